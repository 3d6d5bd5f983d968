"""The rules: one file each in ``rules/``, with a header that tells what it is about, and the same output columns.

A file is SQL, run after the shared parts that it ``uses``, or Python with a function ``find``. Its
header, comment lines or docstring, holds ``key: value`` pairs (a value may go on, indented): ``title``, ``severity``
(the highest it gives), ``group``, ``weigh`` (``size`` lowers the level of small tables by one), ``uses``, ``needs``
(``17``: the oldest server that knows what it asks for), ``given`` (``name=number``, one row to read from), ``why``,
``fix``, ``sources``.
SQL rules return ``relation`` (oid or NULL), ``schema``, ``columns``, ``object``, ``severity`` (NULL: the header's),
``evidence`` (jsonb with ``summary``) and ``fix`` (jsonb, see :mod:`outreachdb.advisor.fixes`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from outreachdb.advisor.findings import Severity, severity
from outreachdb.db import headed

COLUMNS = ("relation", "schema", "columns", "object", "severity", "evidence", "fix")
GROUPS = ("indexes", "constraints", "types", "isolation", "storage", "design", "workload")
# Faults that health counts are told here one by one: the same files.
PACKAGES = ("outreachdb.advisor.rules", "outreachdb.health.faults")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; exactly one of ``sql`` and ``find`` is there."""

    name: str
    title: str
    severity: Severity
    group: str
    why: str
    fix: str
    sources: tuple[str, ...]
    weigh: bool
    needs: int
    sql: str | None = None
    find: Callable[..., Any] | None = None
    given: Mapping[str, float] = field(default_factory=dict)
    uses: tuple[str, ...] = ()

    @property
    def from_workload(self) -> bool:
        """Whether it reads queries instead of the catalogue."""
        return self.find is not None

    def statement(self, given: Mapping[str, float]) -> str:
        """The whole statement; ``given`` holds numbers instead of the header's."""
        parts = headed.shared_parts(self.uses)
        if self.given:
            row = {name: given.get(name, number) for name, number in self.given.items()}
            parts = {"given": headed.numbers(row)} | parts
        return headed.with_parts(parts, self.sql or "")


@cache
def rules() -> dict[str, Rule]:
    """Every rule by its name, in order of name."""
    found = {}
    for file in (file for package in PACKAGES for file in resources.files(package).iterdir()):
        name, _, kind = file.name.rpartition(".")
        if name.startswith("_") or kind not in {"sql", "py"}:
            continue
        text = file.read_text(encoding="utf-8")
        found[name] = _sql_rule(name, text) if kind == "sql" else _python_rule(name)
    return dict(sorted(found.items()))


def _sql_rule(name: str, text: str) -> Rule:
    about, body = headed.split(text)
    return _rule(name, about, sql=body)


def _python_rule(name: str) -> Rule:
    module = importlib.import_module(f"outreachdb.advisor.rules.{name}")
    return _rule(name, headed.pairs((module.__doc__ or "").splitlines()), find=module.find)


def _rule(name: str, about: dict[str, str], **how: Any) -> Rule:
    if about["group"] not in GROUPS:
        raise ValueError(f"{name}: no group {about['group']}")
    return Rule(
        name=name,
        title=about["title"],
        severity=severity(about["severity"]),
        group=about["group"],
        why=about["why"],
        fix=about["fix"],
        sources=tuple(about["sources"].split()),
        weigh=about.get("weigh") == "size",
        needs=int(about.get("needs", 15)),
        given=headed.given(about),
        uses=tuple(about.get("uses", "").split()),
        **how,
    )
