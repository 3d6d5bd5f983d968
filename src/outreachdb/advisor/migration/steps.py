"""Findings as steps of a migration: what can be run again after it broke off, and what waits for locks for how long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pglast import parser

from outreachdb.advisor.findings import SEVERITIES, Finding
from outreachdb.advisor.rulebook import rules

LOCK_MS = 2000
# What a person decides: who sees what, rows that have to be mended first.
BY_HAND = frozenset({"not_valid_constraint", "table_without_primary_key"})
_CREATE = re.compile(
    r'^CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?("(?:[^"]|"")+"|\w+) ON (ONLY )?("(?:[^"]|"")+"|\w+)\.'
)
_ADD = re.compile(r'^(ALTER TABLE \S+) ADD CONSTRAINT ("(?:[^"]|"")+"|\w+) ')


@dataclass(frozen=True, slots=True)
class Step:
    """One statement: ``before`` clears what a broken run left; ``index`` is the name it makes, with its schema."""

    statement: str
    before: str | None
    index: str | None
    concurrent: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The way up, the way down, what they are for, and what was left out with the reason."""

    up: tuple[Step, ...]
    down: tuple[Step, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[tuple[Finding, str], ...]


def plan(findings: Iterable[Finding], *, chosen: Sequence[str] = ()) -> Plan:
    """Choose findings with statements, of level ``warning`` and above unless their rule was chosen by name."""
    taken, left = [], []
    for each in findings:
        if each.ddl is None:
            continue
        reason = None if each.rule in chosen else _why_not(each)
        if reason is None:
            taken.append(each)
        else:
            left.append((each, reason))
    up = [_step(statement) for each in taken for statement in _statements(each)]
    down = [_step(statement) for each in reversed(taken) for statement in parser.split(each.rollback or "")]
    return Plan(tuple(up), tuple(down), tuple(taken), tuple(left))


def _why_not(finding: Finding) -> str | None:
    if SEVERITIES.index(finding.severity) < SEVERITIES.index("warning"):
        return "below the level warning; --rule takes it in"
    if finding.rule in BY_HAND:
        return "rows may stand against it: look first; --rule takes it in"
    rule = rules().get(finding.rule)
    if rule is not None and rule.group == "isolation":
        return "it changes who sees what; --rule takes it in"
    return None


def _statements(finding: Finding) -> list[str]:
    """The statements; a constraint that rows break is added without the validation."""
    statements = list(parser.split(finding.ddl or ""))
    if finding.evidence.get("violating_rows"):
        return [each for each in statements if " VALIDATE CONSTRAINT " not in each]
    return statements


def _step(statement: str) -> Step:
    concurrent = " CONCURRENTLY " in statement
    if found := _CREATE.match(statement):
        name = f"{found[4]}.{found[2]}"
        return Step(statement, f"DROP INDEX {'CONCURRENTLY ' if concurrent else ''}IF EXISTS {name}", name, concurrent)
    if found := _ADD.match(statement):
        return Step(statement, f"{found[1]} DROP CONSTRAINT IF EXISTS {found[2]}", None, concurrent)
    for drop in ("DROP INDEX CONCURRENTLY ", "DROP INDEX "):
        if statement.startswith(drop) and " IF EXISTS " not in statement:
            return Step(f"{drop}IF EXISTS {statement.removeprefix(drop)}", None, None, concurrent)
    return Step(statement.replace(" DROP CONSTRAINT ", " DROP CONSTRAINT IF EXISTS "), None, None, concurrent)
