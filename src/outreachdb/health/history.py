"""Snapshots for the history, and what it tells: growth, when something is full, what got slower.

Counters of PostgreSQL begin at nothing after a reset, a crash, or for a statement that was thrown out; the history
keeps differences, taken by the routines ``snapshot_*``. Each snapshot clears away what is past its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.reading import reading
from outreachdb.errors import NotFound, OutreachDBError
from outreachdb.health import report
from outreachdb.health.checkbook import checks
from outreachdb.health.checks import disk
from outreachdb.health.configuration import Configuration
from outreachdb.health.report import Report

Q = Queries("outreachdb.health")
UNDEFINED_TABLE = "42P01"
KEEP_DAYS = 90  # health snapshots; the routines say how long they keep their own


@dataclass(frozen=True, slots=True)
class Growth:
    """The line through a figure's last days; bytes, or values of a sequence. ``runs_out_on`` None: not in sight."""

    kind: str
    name: str
    days: int
    value: float
    most: float | None
    per_day: float
    per_month: float
    runs_out_on: date | None


@dataclass(frozen=True, slots=True)
class Slower:
    """A statement whose mean of the last seven days is ``times`` that of the seven before; milliseconds."""

    query_id: int
    query: str | None
    calls: int
    mean_ms: float
    calls_before: int
    mean_ms_before: float
    times: float


@dataclass(frozen=True, slots=True)
class Idle:
    """An index that nobody scanned since the first capture that is kept."""

    schema_name: str
    table_name: str
    index_name: str
    since: datetime
    index_bytes: int


@dataclass(frozen=True, slots=True)
class Trends:
    """What the history tells."""

    growth: Sequence[Growth]
    slower: Sequence[Slower]
    unused_indexes: Sequence[Idle]


async def snapshot_statistics(pools: Pools, configuration: Configuration | None = None) -> dict[str, int]:
    """Write today's sizes and what statements did since the last time: ``figures`` and ``statements``.

    Runs as the login, not as a role of ours: only it may be a member of pg_monitor, which sees others' statements.
    """
    configuration = configuration or Configuration()
    async with pools.connection("jobs") as connection:
        found = await disk.measure(connection, configuration.given(checks()["disk"]))
        given = {"used": found.evidence.get("used_bytes"), "total": found.evidence.get("total_bytes")}
        sizes: dict[str, Any] = await (await connection.execute(Q.snapshot_sizes, given)).fetchone() or {}
        queries: dict[str, Any] = await (await connection.execute(Q.snapshot_queries)).fetchone() or {}
    return {"figures": sizes["figures"], "statements": queries["statements"]}


async def snapshot_health(pools: Pools, configuration: Configuration | None = None) -> Report:
    """Run the checks and keep their status and value."""
    found = await report.check(pools.url("admin"), configuration, settings=pools.settings)
    kept = {each.name: {"status": each.status, "value": each.value} for each in found.applying}
    async with pools.connection("jobs") as connection:
        await connection.execute(Q.store_snapshot, {"status": found.status, "checks": Jsonb(kept)})
        await connection.execute(Q.prune_snapshots, {"days": KEEP_DAYS})
    return found


async def trends(
    url: str,
    *,
    days: int = 30,
    times: float = 1.5,
    min_calls: int = 20,
    min_ms: float = 1,
    limit: int = 20,
    timeout: int = 5,
) -> Trends:
    """Read the history: growth over ``days``, statements that got ``times`` slower; NotFound where there is none.

    A statement counts when it ran ``min_calls`` times in each of the two weeks and takes ``min_ms`` milliseconds now.
    """
    asked = {
        "days": days,
        "times": times,
        "min_calls": min_calls,
        "min_ms": min_ms,
        "limit": limit,
        "min_bytes": 1 << 20,
    }
    try:
        async with reading(url, doing="trends", timeout=timeout) as connection:
            figures = await (await connection.execute(Q.trend_figures, asked)).fetchall()
            queries = await (await connection.execute(Q.trend_queries, asked)).fetchall()
            indexes = await (await connection.execute(Q.trend_indexes, asked)).fetchall()
    except OutreachDBError as error:
        if error.context.get("sqlstate") != UNDEFINED_TABLE:
            raise
        raise NotFound("there is no history in this database", hint="run: outreachdb migrate") from None
    return Trends(
        [Growth(**row) for row in figures], [Slower(**row) for row in queries], [Idle(**row) for row in indexes]
    )
