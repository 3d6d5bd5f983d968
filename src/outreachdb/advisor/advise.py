"""Runs the rules on a database and turns what they return into findings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import psycopg

from outreachdb.advisor import catalogue
from outreachdb.advisor.catalogue import Catalogue, Relation
from outreachdb.advisor.drops import ORDER, DropSet
from outreachdb.advisor.findings import Finding, Report, Severity, lower, ordered
from outreachdb.advisor.fixes import Change, Writer
from outreachdb.advisor.rulebook import Rule, rules
from outreachdb.advisor.suppressions import Suppressions, own
from outreachdb.advisor.violations import count_violations
from outreachdb.advisor.workload import propose, source
from outreachdb.advisor.workload.source import Workload
from outreachdb.db.pools import Connection
from outreachdb.db.reading import STATEMENT_MS, reading
from outreachdb.errors import UsageError
from outreachdb.progress import Progress, silent
from outreachdb.words import did_you_mean

SMALL = 10 * 1024 * 1024  # bytes below which a finding of a rule that weighs by size is one level lower


@dataclass(frozen=True, slots=True)
class Raw:
    """What a rule returned, before partitions are brought together and statements written."""

    rule: Rule
    relation: int | None
    schema: str | None
    columns: tuple[str, ...]
    object: str | None
    severity: Severity | None
    evidence: dict[str, Any]
    fixes: tuple[dict[str, Any], ...]


async def advise(  # noqa: PLR0913  (each is a choice of its own)
    url: str,
    *,
    only: Sequence[str] = (),
    suppressions: Suppressions | None = None,
    queries: Workload | None = None,
    indexes: bool = False,
    given: Mapping[str, float] | None = None,
    statement_ms: int = STATEMENT_MS,
    timeout: int = 5,
    progress: Progress = silent,
) -> Report:
    """Look at a database without changing it.

    ``only`` names rules, none meaning all; ``queries`` replaces pg_stat_statements; ``indexes`` proposes indexes
    for them, tried by hypopg or on a sampled copy; ``given`` holds numbers instead of those in rules' headers.
    Errors: DatabaseUnavailable, DatabaseUnsupported, UsageError for an unknown rule.
    """
    chosen = select(only)
    began = time.monotonic()
    async with reading(url, doing="advise", statement_ms=statement_ms, timeout=timeout) as connection:
        known = await catalogue.read(connection)
        notes = _blind_spots(known)
        if indexes or any(rule.from_workload for rule in chosen):
            await catalogue.read_details(connection, known)
            queries = queries or await source.from_server(connection, known, notes)
        notes += _too_young(known, chosen, given or {})
        raw = await _run_all(connection, known, chosen, queries, given or {}, notes, progress)
    findings = findings_of(raw, known)
    if indexes and queries is not None:
        progress("trying indexes", 0)
        findings += await asyncio.to_thread(propose.propose, url, queries, known, notes)
    today = date.today()  # noqa: DTZ011
    kept, accepted = (suppressions or Suppressions()).apply(findings, today=today, notes=notes)
    if known.ours:
        kept, settled = own().apply(kept, today=today, notes=[])
        accepted += settled
    return Report(
        database=known.database,
        version=known.version,
        as_of=known.as_of,
        seconds=time.monotonic() - began,
        findings=ordered(kept),
        suppressed=accepted,
        notes=notes,
        rules=tuple(rule.name for rule in chosen),
    )


def select(only: Sequence[str]) -> list[Rule]:
    """Rules by name; UsageError names one that does not exist."""
    everything = rules()
    if unknown := sorted(set(only) - everything.keys() - {propose.RULE}):
        names = [*everything, propose.RULE]
        hint = did_you_mean(unknown[0], names, f"there are: {', '.join(names)}")
        raise UsageError(f"there is no rule {', '.join(unknown)}", hint=hint)
    return [rule for name, rule in everything.items() if not only or name in only]


async def _run_all(
    connection: Connection,
    known: Catalogue,
    chosen: Sequence[Rule],
    queries: Workload | None,
    given: Mapping[str, float],
    notes: list[str],
    progress: Progress,
) -> list[Raw]:
    raw: list[Raw] = []
    for done, rule in enumerate(chosen):
        progress("looking", done, len(chosen))
        if known.server_version < rule.needs * 10000:
            notes.append(f"{rule.name}: needs PostgreSQL {rule.needs}")
        elif rule.find is not None:
            raw += [_of_row(rule, row) for row in rule.find(queries, known)]
        else:
            raw += await _run_sql(connection, rule, given, notes)
    return await count_violations(connection, known, raw, notes)


async def _run_sql(connection: Connection, rule: Rule, given: Mapping[str, float], notes: list[str]) -> list[Raw]:
    """One rule in a savepoint: what it may not see, or takes too long, costs this rule only."""
    try:
        async with connection.transaction():
            rows = await (await connection.execute(rule.statement(given).encode())).fetchall()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.QueryCanceled) as error:
        notes.append(f"{rule.name}: not looked at, {str(error).splitlines()[0]}")
        return []
    return [_of_row(rule, row) for row in rows]


def _of_row(rule: Rule, row: dict[str, Any]) -> Raw:
    fix = row["fix"] or []
    return Raw(
        rule=rule,
        relation=row["relation"],
        schema=row["schema"],
        columns=tuple(row["columns"] or ()),
        object=row["object"],
        severity=row["severity"],
        evidence=dict(row["evidence"]),
        fixes=tuple(fix if isinstance(fix, list) else [fix]),
    )


def findings_of(raw: Iterable[Raw], known: Catalogue) -> list[Finding]:
    """Findings with their statements: partitions through their parent, drops safe as a whole."""
    writer, drops = Writer(known), DropSet()
    by_place = {name: place for place, name in enumerate(ORDER)}
    whole = sorted(_merged(raw, known), key=lambda each: by_place.get(each.rule.name, len(by_place)))
    found = []
    for name in dict.fromkeys(each.rule.name for each in whole):
        group = [each for each in whole if each.rule.name == name]
        drops.turn(fix for each in group for fix in each.fixes if fix["kind"] == "drop_index")
        found += [_finding(each, known, writer, drops) for each in group]
    return found


def _merged(raw: Iterable[Raw], known: Catalogue) -> list[Raw]:
    """The same finding on several partitions becomes one on their parent."""
    merged: dict[tuple[Any, ...], Raw] = {}
    for place, each in enumerate(raw):
        relation = known.relations.get(each.relation) if each.relation else None
        if relation is None or relation.root == relation.oid:
            merged[(place,)] = each
            continue
        key = (each.rule.name, relation.root, each.columns)
        first = merged.get(key)
        if first is None:
            evidence = each.evidence | {"partitions": 1, "first_partition": relation.name}
            merged[key] = replace(each, evidence=evidence)
        else:
            evidence = first.evidence | {"partitions": first.evidence["partitions"] + 1}
            fixes = tuple(fix | {"relation": each.relation} for fix in each.fixes)
            merged[key] = replace(first, evidence=evidence, fixes=first.fixes + fixes)
    return list(merged.values())


def _finding(each: Raw, known: Catalogue, writer: Writer, drops: DropSet) -> Finding:
    own = known.relations.get(each.relation) if each.relation else None
    table = known.table_of(own.oid) if own else None
    ddl: list[str] = []
    rollback: list[str] = []
    evidence = dict(each.evidence)
    for fix in each.fixes:
        if fix["kind"] == "drop_index":
            allowed, reason = drops.decide(fix)
            if not allowed:
                evidence["not_dropped"] = reason
                continue
        change: Change = writer.change(known.relations.get(fix["relation"]) if "relation" in fix else own, fix)
        ddl += change.ddl
        rollback = [*change.rollback, *rollback]
    text = Change(tuple(ddl), tuple(rollback)).text()
    return Finding(
        rule=each.rule.name,
        severity=_level(each, table),
        schema=table.schema if table else each.schema,
        table=table.name if table else None,
        columns=each.columns,
        object=each.object,
        evidence=evidence,
        ddl=text[0],
        rollback=text[1],
    )


def _level(each: Raw, table: Relation | None) -> Severity:
    if each.severity is not None:
        return each.severity
    if each.rule.weigh and table is not None and table.bytes < SMALL:
        return lower(each.rule.severity)
    return each.rule.severity


def _too_young(known: Catalogue, chosen: Sequence[Rule], given: Mapping[str, float]) -> list[str]:
    """Rules that can't say anything yet, as counts are younger than they ask for."""
    notes = []
    for rule in chosen:
        days = given.get("min_days", rule.given.get("min_days", 0)) if "min_days" in rule.given else 0
        if known.statistics_days is not None and known.statistics_days < days:
            notes.append(f"{rule.name}: use is counted since {known.statistics_days} days, and {days:g} are needed")
    return notes


def _blind_spots(known: Catalogue) -> list[str]:
    """What the role can't see, in words."""
    notes = []
    tables = [each for each in known.relations.values() if each.kind in "rpm" and each.parent is None]
    hidden = [each for each in tables if not each.readable]
    if hidden:
        notes.append(
            f"{known.role} may not read {len(hidden)} of {len(tables)} tables: shares of nulls, bloat estimates and "
            "rows that break a rule are unknown there (GRANT SELECT, or pg_read_all_data)"
        )
    filtered = [each for each in tables if each.filtered]
    if filtered:
        notes.append(f"row-level security hides rows of {len(filtered)} tables from {known.role}: counts are too low")
    if known.hidden_sequences:
        notes.append(f"{known.hidden_sequences} sequences can't be read: whether they run out is unknown")
    if not known.reads_statistics:
        notes.append(f"{known.role} sees only its own queries (GRANT pg_read_all_stats)")
    if known.standby:
        notes.append("this is a standby: its counts of index use are its own, not the primary's")
    return notes
