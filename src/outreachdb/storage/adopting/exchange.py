"""The copy takes the table's place: one transaction under one lock, given up rather than held for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from psycopg import errors as pg
from psycopg import sql

from outreachdb.db.pools import Connection
from outreachdb.errors import Conflict
from outreachdb.progress import Progress
from outreachdb.storage.adopting import copying, preparing
from outreachdb.storage.adopting.shape import Q, Shape, check_unaltered, one, rows
from outreachdb.storage.detaching import LOCK_MS

ENABLED = {"D": "DISABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}


class _GaveWay(Exception):
    """The lock was held for as long as writers may be held up."""


async def exchange(connection: Connection, shape: Shape, progress: Progress) -> tuple[float, str | None]:
    """Exchange the two; seconds that the table was locked, and the old table's name where it was kept."""
    deadline, pause, slow = time.monotonic() + shape.plan.patience, 0.1, 0
    while True:
        progress("exchanging", slow)
        await copying.settle(connection, shape)
        try:
            blocked = await _attempt(connection, shape)
            break
        except (pg.LockNotAvailable, pg.DeadlockDetected, pg.CheckViolation):
            pass
        except _GaveWay:
            slow += 1
        if time.monotonic() > deadline or slow >= 5:
            reason = "needs longer under its lock than writers may wait" if slow >= 5 else "found it locked by others"
            raise Conflict(
                f"{shape.qualified} is copied, but the exchange {reason}",
                hint="end long transactions or raise --block-seconds; the same command goes on from here",
            )
        await preparing.end_autovacuum(connection, shape)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 3.0)
    retired = await _retire(connection, shape)
    await connection.execute(sql.SQL("ANALYZE {}").format(sql.SQL(shape.qualified)))
    return blocked, retired


async def _retire(connection: Connection, shape: Shape) -> str | None:
    """Drop the old table, or its foreign keys, which would go on refusing to let go of rows elsewhere."""
    row = await one(connection, "SELECT %(t)s::regclass::text AS name", {"t": shape.retired})
    if shape.plan.drop_old:
        await preparing.briefly(connection, shape, lambda: _run(connection, [f"DROP TABLE {shape.retired}"]))
        return None
    for key in await rows(connection, Q.foreign_keys, {"oid": shape.oid}):
        name = sql.Identifier(key["name"]).as_string()
        dropped = [f"ALTER TABLE {shape.retired} DROP CONSTRAINT {name}"]
        await preparing.briefly(connection, shape, partial(_run, connection, dropped))
    return row["name"] if row else None


async def _attempt(connection: Connection, shape: Shape) -> float:
    views = await rows(connection, Q.views, {"oid": shape.oid})
    # Views first, as their readers lock them: nobody waits in a circle.
    locked = ", ".join([*(each["name"] for each in views), shape.qualified])
    async with connection.transaction():
        await connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_MS)))
        await connection.execute(f"LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE".encode())
        began = time.monotonic()
        if await copying.truncated(connection, shape):
            raise pg.LockNotAvailable  # it has to be copied again first
        await check_unaltered(connection, shape)
        await copying.replay(connection, shape, None)
        await _exchange(connection, shape)
        held = time.monotonic() - began
        if held > shape.plan.block_seconds - LOCK_MS / 1000:
            raise _GaveWay
    return time.monotonic() - began


async def _exchange(connection: Connection, shape: Shape) -> None:
    given = {"oid": shape.oid, "column": shape.plan.column}
    shadow = await one(connection, "SELECT %(t)s::regclass::oid::bigint AS oid", {"t": shape.shadow})
    assert shadow is not None  # noqa: S101  (the cast raises where there is none)
    views = await rows(connection, Q.views, given)
    triggers = await rows(connection, Q.triggers, given)
    indexes = await rows(connection, Q.indexes, given)
    old = await rows(connection, Q.sequences, given)
    new = await rows(connection, Q.sequences, {"oid": shadow["oid"]})
    statistics = await rows(connection, Q.statistics, {"oid": shape.oid, "target": shadow["oid"]})
    await preparing.unwatch(connection, shape)
    await _run(connection, _index_names(shape, indexes))
    await _run(connection, _statistics_names(statistics))
    await _run(connection, _table_names(shape))
    for statement in _sequences(shape, old, {each["column"]: each["qualified"] for each in new}):
        await connection.execute(statement.encode())
    await _run(connection, _triggers(shape, triggers))
    await _run(connection, [each["definition"] for each in views])
    await connection.execute(
        """SELECT outreach.register_partitioned_table(
               %(table)s, %(interval)s, %(ahead)s, %(retention)s::interval, %(archive)s)""",
        {
            "table": shape.qualified,
            "interval": shape.plan.interval,
            "ahead": shape.plan.ahead,
            "retention": shape.plan.retention,
            "archive": shape.plan.archive,
        },
    )


def _index_names(shape: Shape, indexes: list[dict[str, Any]]) -> Iterator[str]:
    """The old table's indexes give their names to the copy's; a key's constraint is renamed with its index."""
    for place, index in enumerate(indexes):
        old = sql.Identifier(shape.schema, index["name"]).as_string()
        spare = sql.Identifier(shape.beside(f"unpartitioned_{place}", index["name"])).as_string()
        new = sql.Identifier(shape.schema, preparing.index_name(shape, place)).as_string()
        yield f"ALTER INDEX {old} RENAME TO {spare}"
        yield f"ALTER INDEX {new} RENAME TO {sql.Identifier(index['name']).as_string()}"


def _statistics_names(statistics: list[dict[str, Any]]) -> Iterator[str]:
    for place, each in enumerate(statistics):
        spare = sql.Identifier(f"{each['name'][:40]}_unpartitioned_{place}").as_string()
        yield f"ALTER STATISTICS {each['qualified']} RENAME TO {spare}"
        if each["twin"]:
            yield f"ALTER STATISTICS {each['twin']} RENAME TO {sql.Identifier(each['name']).as_string()}"


def _table_names(shape: Shape) -> Iterator[str]:
    yield f"ALTER TABLE {shape.qualified} RENAME TO {sql.Identifier(shape.beside('unpartitioned')).as_string()}"
    yield f"ALTER TABLE {shape.shadow} RENAME TO {sql.Identifier(shape.table).as_string()}"


def _sequences(shape: Shape, old: list[dict[str, Any]], new: dict[str, str]) -> Iterator[str]:
    """An identity column counts on where the old one stands, under the old sequence's name; a serial's is handed on."""
    for place, each in enumerate(old):
        column = sql.Identifier(each["column"]).as_string()
        if each["kind"] == "a":
            yield f"ALTER SEQUENCE {each['qualified']} OWNED BY {shape.qualified}.{column}"
            yield f"ALTER TABLE {shape.retired} ALTER COLUMN {column} DROP DEFAULT"
            continue
        twin = sql.Literal(new[each["column"]]).as_string()
        # Both names come quoted from the catalogue.
        yield f"SELECT pg_catalog.setval({twin}::regclass, last_value, is_called) FROM {each['qualified']}"  # noqa: S608
        spare = sql.Identifier(shape.beside(f"unpartitioned_{place}_seq", each["name"])).as_string()
        yield f"ALTER SEQUENCE {each['qualified']} RENAME TO {spare}"
        yield f"ALTER SEQUENCE {new[each['column']]} RENAME TO {sql.Identifier(each['name']).as_string()}"
        yield from (grant.replace("%s", each["qualified"], 1) for grant in each["grants"])


def _triggers(shape: Shape, triggers: list[dict[str, Any]]) -> Iterator[str]:
    for each in triggers:
        name = sql.Identifier(each["name"]).as_string()
        yield each["definition"]
        if each["enabled"] in ENABLED:
            yield f"ALTER TABLE {shape.qualified} {ENABLED[each['enabled']]} {name}"
        if each["comment"]:
            yield f"COMMENT ON TRIGGER {name} ON {shape.qualified} IS {sql.Literal(each['comment']).as_string()}"


async def _run(connection: Connection, statements: Iterator[str] | list[str]) -> None:
    for statement in statements:
        await connection.execute(statement.encode())
