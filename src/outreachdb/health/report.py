"""Runs the checks on a database and gives their report; nothing is changed by looking."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import psycopg

from outreachdb.config import Settings
from outreachdb.db.pools import Connection
from outreachdb.db.queries import Queries
from outreachdb.db.reading import reading
from outreachdb.errors import UsageError
from outreachdb.health.checkbook import Check, checks
from outreachdb.health.configuration import Configuration
from outreachdb.words import did_you_mean

Q = Queries("outreachdb.health", "measures.sql")
Status = Literal["green", "yellow", "red", "not applicable"]
LEVELS: tuple[Status, ...] = ("not applicable", "green", "yellow", "red")
STATEMENT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found; ``reason`` says why it does not apply, ``evidence`` holds ``summary``, one line."""

    name: str
    status: Status
    value: float | None
    yellow: float
    red: float
    unit: str
    advice: str
    reason: str | None
    evidence: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The check's name for people."""
        return checks()[self.name].title

    @property
    def summary(self) -> str:
        """What was seen, in one line."""
        return str(self.reason or self.evidence.get("summary") or "")

    def document(self) -> dict[str, Any]:
        """For JSON: ``name, status, value, yellow, red, unit, advice, reason, evidence``."""
        return {
            "name": self.name,
            "status": self.status,
            "value": None if self.value is None else round(self.value, 3),
            "yellow": self.yellow,
            "red": self.red,
            "unit": self.unit,
            "advice": self.advice,
            "reason": self.reason,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one run; ``notes`` say what the role could not see."""

    database: str
    version: str
    as_of: datetime
    seconds: float
    checks: Sequence[Result]
    notes: Sequence[str] = field(default=())

    @property
    def status(self) -> Status:
        """The worst of the checks that apply; green where none does."""
        return (
            max((each.status for each in self.checks), key=LEVELS.index, default="green") if self.applying else "green"
        )

    @property
    def applying(self) -> list[Result]:
        """The checks that apply."""
        return [each for each in self.checks if each.status != "not applicable"]

    def __getitem__(self, name: str) -> Result:
        return next(each for each in self.checks if each.name == name)

    def document(self) -> dict[str, Any]:
        """For JSON: ``status, checks [...], database, version, as_of, seconds, notes``."""
        return {
            "status": self.status,
            "checks": [each.document() for each in self.checks],
            "database": self.database,
            "version": self.version,
            "as_of": self.as_of,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of the database before the checks run."""

    role: str
    standby: bool
    extensions: Mapping[str, str]
    tables: Mapping[str, str]


async def check(
    url: str,
    configuration: Configuration | None = None,
    *,
    only: Sequence[str] = (),
    settings: Settings | None = None,
    statement_ms: int = STATEMENT_MS,
    timeout: int = 5,
) -> Report:
    """Look at any PostgreSQL 15 to 18; ``only`` names checks, none meaning all that are not switched off.

    ``settings`` tell of the pooler in front of it, where there is one.

    A check that can't be made (no such table, no privilege, over ``statement_ms``) is told as not applicable with its
    reason. Errors: DatabaseUnavailable, DatabaseUnsupported, UsageError for an unknown check.
    """
    configuration = configuration or Configuration()
    chosen = select(only, configuration)
    began = time.monotonic()
    async with reading(url, doing="health", statement_ms=statement_ms, timeout=timeout) as connection:
        about: dict[str, Any] = await (await connection.execute(Q.about.encode())).fetchone() or {}
        seen = _Seen(about["role"], about["standby"], about["extensions"], await _tables(connection, chosen))
        results = [await _run(connection, each, configuration, seen, settings) for each in chosen]
    notes = (
        [] if about["reads_statistics"] else [f"{seen.role} sees only its own sessions and queries (GRANT pg_monitor)"]
    )
    return Report(about["database"], about["version"], about["as_of"], time.monotonic() - began, results, notes)


def select(only: Sequence[str], configuration: Configuration) -> list[Check]:
    """Checks by name; UsageError names one that does not exist."""
    everything = checks()
    if unknown := sorted(set(only) - everything.keys()):
        hint = did_you_mean(unknown[0], everything, f"there are: {', '.join(everything)}")
        raise UsageError(f"there is no check {', '.join(unknown)}", hint=hint)
    return [each for name, each in everything.items() if (name in only if only else name not in configuration.off)]


async def _tables(connection: Connection, chosen: Iterable[Check]) -> dict[str, str]:
    names = sorted({need.removeprefix("table:") for each in chosen for need in each.needs if need.startswith("table:")})
    rows = await (await connection.execute(Q.tables, {"names": names})).fetchall()
    return {row["name"]: row["state"] for row in rows}


async def _run(
    connection: Connection, each: Check, configuration: Configuration, seen: _Seen, settings: Settings | None
) -> Result:
    """One check in a savepoint: what it may not see, or takes too long, costs this check only."""
    given = configuration.given(each)
    if reason := _missing(each, seen):
        return _not_applicable(each, given, reason)
    # Statistics hide from the planner how few rows there are; queues are large, and their indexes are the way.
    loops = "off" if each.faults or each.uses else "on"
    try:
        # Rolled back, so that the locks of one check are not held to the end of all.
        async with connection.transaction(force_rollback=True):
            await connection.execute(f"SET LOCAL enable_nestloop = {loops}".encode())
            measured = await each.measure(connection, given, settings) if each.measure is not None else None
            statement = each.statement(given, seen.extensions, measured)
            row = await (await connection.execute(statement.encode())).fetchone()
    except psycopg.Error as error:
        if connection.closed:
            raise
        return _not_applicable(each, given, f"not looked at: {str(error).splitlines()[0]}")
    assert row is not None  # noqa: S101  (the statement gives one row)
    return Result(**row)


def _missing(each: Check, seen: _Seen) -> str | None:
    """The first thing that the check needs and that is not there."""
    words = {
        "absent": "there is no table {}",
        "closed": f"{seen.role} may not read {{}}",
        "filtered": f"row-level security hides rows of {{}} from {seen.role}",
    }
    for need in each.needs:
        kind, _, name = need.partition(":")
        if kind == "extension" and name not in seen.extensions:
            return f"the extension {name} is not there"
        if kind == "table" and seen.tables[name] != "open":
            return words[seen.tables[name]].format(name)
        if kind == "primary" and seen.standby:
            return "this is a standby"
        if kind == "standby" and not seen.standby:
            return "this is a primary"
    return None


def _not_applicable(each: Check, given: Mapping[str, float], reason: str) -> Result:
    return Result(each.name, "not applicable", None, given["yellow"], given["red"], each.unit, each.advice, reason, {})
