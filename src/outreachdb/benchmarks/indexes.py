"""Every index of the catalogue: its owner query with and without it, its size, what it adds to each written row.

"Without" is the same database with the index dropped in a transaction that is rolled back. What was asked for and left
out is built in such a transaction, and its query measured with the index that serves it and with the one asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, cast

import psycopg
from psycopg import sql

from outreachdb.benchmarks.catalogue import ROLES, fill, parameters_of
from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.db import index_catalogue, migrate
from outreachdb.db.index_catalogue import Entry, LeftOut, OwnedIndex
from outreachdb.progress import Progress, silent

ROUNDS = 5
WRITE_ROUNDS = 4
BATCH = 1_000
# Where a query needs longer without its index, once is enough.
SLOW_MS = 500.0
WHERE = """
    SELECT n.nspname AS schema, t.relname AS "table", i.relname AS name, a.amname AS method, k.conname AS "constraint",
           t.relkind = 'm' AS "view"
    FROM pg_class AS i
    JOIN pg_index AS x ON x.indexrelid = i.oid
    JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    JOIN pg_am AS a ON a.oid = i.relam
    LEFT JOIN pg_constraint AS k ON k.conindid = i.oid AND k.contype IN ('p', 'u')
    WHERE i.relname = %s AND n.nspname IN ('outreach', 'analytics', 'ops')
"""
# The index, and its partitions where it has any.
MEMBERS = "(SELECT %(index)s::regclass AS relid UNION SELECT relid FROM pg_partition_tree(%(index)s::regclass)) AS t"
SIZE = f"SELECT sum(pg_relation_size(t.relid)) FROM {MEMBERS}"  # noqa: S608
COLUMNS = """
    SELECT a.attname FROM pg_attribute AS a
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ORDER BY a.attnum
"""
PENDING = f"""
    SELECT gin_clean_pending_list(t.relid)
    FROM {MEMBERS}
    JOIN pg_class AS c ON c.oid = t.relid AND c.relkind = 'i'
"""  # noqa: S608

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Target:
    """An index where it lives, or one that is built for the measurement."""

    table: sql.Identifier
    name: str
    index: sql.Identifier
    make: sql.Composed | None
    drop: sql.Composed
    gin: bool
    view: bool = False


async def run(url: str, _leads: int = 0, progress: Progress = silent) -> list[Result]:
    """Fill a scratch database (200,000 leads, sends, events each) and measure all entries, some three minutes."""
    async with scratch_database(url, "indexes") as scratch:
        await migrate.upgrade(scratch)
        return await asyncio.to_thread(_measure_all, scratch, progress)


def _measure_all(url: str, progress: Progress) -> list[Result]:
    progress("filling", 0)
    parameters = fill(url)
    entries = index_catalogue.entries()
    results: list[Result] = []
    with psycopg.connect(url, autocommit=True) as connection:
        for number, entry in enumerate(entries):
            progress(entry.name, number, len(entries))
            results += _measure(connection, entry, parameters_of(entry, parameters))
    return results


def _measure(connection: Connection, entry: Entry, given: dict[str, Any]) -> list[Result]:
    target = _target(connection, entry)
    if target is None:
        served = _query(connection, entry, entry.query, given)
        return [Result(f"{entry.name}: query, served by another", served, "ms")]
    if isinstance(entry, OwnedIndex):
        with _undone(connection):
            having = _query(connection, entry, entry.query, given)
        with _undone(connection):
            connection.execute(target.drop)
            missing = _query(connection, entry, entry.query, given)
        first = [
            Result(f"{entry.name}: query with it", having, "ms", _claimed(entry, "after")),
            Result(f"{entry.name}: query without it", missing, "ms", _claimed(entry, "before")),
        ]
        if entry.index != entry.name:
            return first
    else:
        first = _asked_for(connection, entry, target, given)
    if target.view:  # nobody writes rows there but a refresh
        return [*first, Result(f"{entry.name}: size", round(_size(connection, target) / 1024**2, 2), "MB")]
    size, write, share = _size_and_writes(connection, target)
    connection.execute(sql.SQL("VACUUM {}").format(target.table))
    return [
        *first,
        Result(f"{entry.name}: size", round(size / 1024**2, 2), "MB"),
        Result(f"{entry.name}: for each written row", write, "us"),
        Result(f"{entry.name}: share of the time to write a row", share, "%"),
    ]


def _claimed(entry: OwnedIndex, when: str) -> str | None:
    return "; ".join(dict.fromkeys(getattr(claim, when) for claim in entry.claims)) or None


def _asked_for(connection: Connection, entry: LeftOut, target: Target, given: dict[str, Any]) -> list[Result]:
    """The query with the index that serves it, and with the one that was asked for beside it and alone."""
    assert target.make is not None  # noqa: S101  (what was left out is made here)
    with _undone(connection):
        served = _query(connection, entry, entry.query, given)
    with _undone(connection):
        connection.execute(target.make)
        connection.execute(sql.SQL("ANALYZE {}").format(target.table))
        serving = _live(connection, entry.served_by)
        if entry.asked is None and serving is not None:
            # Beside the other one the planner might not take it.
            connection.execute(serving.drop)
        alone = _query(connection, entry, entry.asked or entry.query, given)
    return [
        Result(f"{entry.name}: query, served by {entry.served_by}", served, "ms"),
        Result(f"{entry.name}: query with the index asked for", alone, "ms"),
    ]


def _target(connection: Connection, entry: Entry) -> Target | None:
    if isinstance(entry, OwnedIndex):
        found = _live(connection, entry.index)
        assert found is not None, entry.name  # noqa: S101  (a test holds the catalogue against the live indexes)
        return found
    if entry.tried is None:
        return None
    table = sql.Identifier("outreach", entry.table)
    name = f"tried_{entry.name}"
    index = sql.Identifier("outreach", name)
    make = sql.SQL("CREATE INDEX {} ON {} {}").format(sql.Identifier(name), table, sql.SQL(cast("Any", entry.tried)))
    return Target(table, name, index, make, sql.SQL("DROP INDEX {}").format(index), "gin" in entry.tried)


def _live(connection: Connection, name: str) -> Target | None:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(WHERE, [name]).fetchone()
    if row is None:
        return None
    table, index = sql.Identifier(row["schema"], row["table"]), sql.Identifier(row["schema"], name)
    drop = sql.SQL("DROP INDEX {}").format(index)
    if row["constraint"]:
        # CASCADE takes the foreign keys along that refer to it.
        drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {} CASCADE").format(table, sql.Identifier(row["constraint"]))
    return Target(table, name, index, None, drop, row["method"] == "gin", row["view"])


@contextmanager
def _undone(connection: Connection) -> Iterator[None]:
    with connection.transaction(force_rollback=True):
        yield


def _query(connection: Connection, entry: Entry, query: str, given: dict[str, Any]) -> float:
    """The median of its time in milliseconds, as the entry's role."""
    with _undone(connection):
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(ROLES[entry.role])))
        if entry.role == "tenant":
            connection.execute(f"SET LOCAL app.workspace_id = '{int(given['workspace_id'])}'".encode())
        return _timed(connection, lambda: connection.execute(query.encode(), given), ROUNDS)


def _timed(connection: Connection, work: Callable[[], object], rounds: int) -> float:
    taken: list[float] = []
    for _ in range(rounds + 1):  # the first warms up
        with _undone(connection):
            began = time.perf_counter()
            work()
            taken.append((time.perf_counter() - began) * 1000)
        if taken[-1] > SLOW_MS:
            return round(taken[-1], 3)
    return round(median(taken[1:]), 3)


def _size_and_writes(connection: Connection, target: Target) -> tuple[float, float, float]:
    """Bytes of the index; microseconds that it adds to each row of a batch, and their share of writing the row."""
    columns = [row[0] for row in connection.execute(COLUMNS, [target.table.as_string()])]
    named = sql.SQL(", ").join(map(sql.Identifier, columns))
    insert = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM batch").format(
        target.table, named, named
    )
    with _undone(connection):
        _rules_off(connection)
        if target.make is not None:
            connection.execute(target.make)
        size = _size(connection, target)
        connection.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE batch ON COMMIT DROP AS"
                " SELECT {}, tableoid AS row_table, ctid AS row_place FROM {} ORDER BY random() LIMIT {}"
            ).format(named, target.table, BATCH)
        )
        # The rows leave and come back, so no unique key is in the way and the index has its real depth.
        connection.execute(
            sql.SQL(
                "DELETE FROM {} AS t USING batch AS b WHERE t.tableoid = b.row_table AND t.ctid = b.row_place"
            ).format(target.table)
        )
        rows = connection.execute("SELECT count(*) FROM batch").fetchone()
        assert rows is not None  # noqa: S101  (an aggregate gives a row)

        def write() -> None:
            connection.execute(insert)
            if target.gin:
                connection.execute(PENDING.encode(), {"index": target.index.as_string()})

        having, missing = [], []
        for _ in range(WRITE_ROUNDS):
            having.append(_once(connection, write))
            with _undone(connection):
                connection.execute(target.drop)
                missing.append(_once(connection, lambda: connection.execute(insert)))
        # The quickest of each: others on the machine only ever add.
        more = max(0.0, min(having) - min(missing))
        return size, round(more * 1000 / max(1, rows[0]), 2), round(100 * more / min(having), 1)


def _size(connection: Connection, target: Target) -> float:
    size = connection.execute(SIZE.encode(), {"index": target.index.as_string()}).fetchone()
    assert size is not None  # noqa: S101  (an aggregate gives a row)
    return float(size[0])


def _once(connection: Connection, work: Callable[[], object]) -> float:
    with _undone(connection):
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1000


def _rules_off(connection: Connection) -> None:
    """What foreign keys and triggers cost is not the index's; only a superuser may switch them off."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        pass
    # Entries of GIN indexes are counted at once, not when some later batch finds the list full.
    connection.execute("SET LOCAL gin_pending_list_limit = '1GB'")
