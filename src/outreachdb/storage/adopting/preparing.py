"""The partitioned copy beside a table, the log of changed keys, and how both go away again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from psycopg import errors as pg
from psycopg import sql

from outreachdb.db.pools import Connection
from outreachdb.errors import Conflict, InvalidInput
from outreachdb.progress import Progress
from outreachdb.storage.adopting.shape import Q, Shape, names, one, rows
from outreachdb.storage.detaching import LOCK_MS

T = TypeVar("T")
MOST_PARTITIONS = 1000
EVENTS = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}


async def prepare(connection: Connection, shape: Shape, progress: Progress) -> None:
    """Make the copy and its log; nothing to do where an earlier call was further already.

    Two transactions, since the second waits for every writer that is at work: the lock of a trigger's creation makes
    sure that no transaction changes rows without being logged.
    """
    state = await one(connection, Q.find_state, {"table": shape.qualified})
    progress("preparing", 0)
    if state is None:
        async with connection.transaction():
            await connection.execute(
                Q.begin, {"table": shape.qualified, "plan": json.dumps(shape.document(), default=str)}
            )
            await _make_shadow(connection, shape)
            await _make_log(connection, shape)
    if state is None or state["state"] == "preparing":
        await briefly(connection, shape, lambda: _watch(connection, shape))


async def remove(connection: Connection, shape: Shape) -> None:
    """Drop triggers, log, copy and record."""
    await briefly(connection, shape, lambda: _remove(connection, shape))


async def briefly(connection: Connection, shape: Shape, work: Callable[[], Awaitable[T]]) -> T:
    """Run work in a transaction that waits for no lock longer than a moment; again until the plan's patience ends."""
    deadline, pause = time.monotonic() + shape.plan.patience, 0.1
    while True:
        try:
            async with connection.transaction():
                await connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_MS)))
                return await work()
        except (pg.LockNotAvailable, pg.DeadlockDetected) as error:
            if time.monotonic() > deadline:
                raise Conflict(
                    f"{shape.qualified} stayed locked by others for {shape.plan.patience:.0f} s",
                    hint="end long transactions (pg_stat_activity); the same command goes on from here",
                ) from error
        await end_autovacuum(connection, shape)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 3.0)


async def end_autovacuum(connection: Connection, shape: Shape) -> None:
    """Let autovacuum give the table free, where the login may ask for it; it comes again by itself."""
    for row in await rows(connection, Q.autovacuum, {"oid": shape.oid}):
        with suppress(pg.InsufficientPrivilege):
            await connection.execute(Q.cancel, {"pid": row["pid"]})


async def widen(connection: Connection, shape: Shape) -> int:
    """Partitions for every row that is there, and ahead of now; how many were made."""
    found = await one(connection, _sql("SELECT min({c})::text AS first, max({c})::text AS last FROM {table}", shape))
    given = (found or {"first": None, "last": None}) | {
        "shadow": shape.shadow,
        "name": shape.table,
        "interval": shape.plan.interval,
        "ahead": shape.plan.ahead,
        "options": shape.options,
        "most": MOST_PARTITIONS,
    }
    # Judged by the server: Python's dates know neither infinity nor years before Christ.
    span = await one(connection, Q.span, given)
    if span is None or not span["fits"]:
        raise InvalidInput(
            f"the rows of {shape.qualified} reach from {given['first']} to {given['last']}: "
            f"over {MOST_PARTITIONS} partitions by {shape.plan.interval}",
            hint="mend or remove rows with wrong dates, or choose a longer interval",
        )
    made = await one(connection, Q.add_partitions, given)
    return int(made["made"]) if made else 0


async def count_partitions(connection: Connection, qualified: str) -> int:
    """How many partitions a table has."""
    row = await one(
        connection,
        "SELECT count(*) AS n FROM pg_catalog.pg_inherits WHERE inhparent = %(t)s::regclass",
        {"t": qualified},
    )
    return int(row["n"]) if row else 0


async def _make_shadow(connection: Connection, shape: Shape) -> None:
    await connection.execute(
        _sql(
            "CREATE TABLE {shadow} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE ({c})",
            shape,
        )
    )
    for row in await rows(connection, Q.dress, {"oid": shape.oid, "target": shape.shadow}):
        await connection.execute(row["statement"].encode())
    for place, index in enumerate(await _indexes(connection, shape)):
        for statement in index_statements(shape, index, place):
            await connection.execute(statement.encode())
    await widen(connection, shape)


async def _indexes(connection: Connection, shape: Shape) -> list[dict[str, Any]]:
    return await rows(connection, Q.indexes, {"oid": shape.oid, "column": shape.plan.column})


def index_name(shape: Shape, place: int) -> str:
    """What the copy's index is called until the exchange gives it the old one's name."""
    return shape.beside(f"adopting_{place}")


def index_statements(shape: Shape, index: dict[str, Any], place: int) -> list[str]:
    """The index, or key, on the copy; unique ones get the partition column where they lack it."""
    name = sql.Identifier(index_name(shape, place)).as_string()
    qualified = sql.Identifier(shape.schema, index_name(shape, place)).as_string()
    widened = index["is_unique"] and not index["has_column"]
    column = shape.plan.column if widened else None
    if index["constraint_name"]:
        made = f"ALTER TABLE {shape.shadow} ADD CONSTRAINT {name} {_wider_key(index['constraint_definition'], column)}"
    else:
        made = _moved_index(shape, index["definition"], index_name(shape, place), column)
    comments = [
        f"COMMENT ON {kind} IS {sql.Literal(text).as_string()}"
        for kind, text in (
            (f"INDEX {qualified}", index["comment"]),
            (f"CONSTRAINT {name} ON {shape.shadow}", index["constraint_comment"]),
        )
        if text
    ]
    return [made, *comments]


def _wider_key(definition: str, column: str | None) -> str:
    """A PRIMARY KEY or UNIQUE constraint's definition, with one more column."""
    if column is None:
        return definition
    from pglast import ast, parse_sql  # noqa: PLC0415 - a quarter of a second that nothing else here needs
    from pglast.stream import RawStream  # noqa: PLC0415

    statement: Any = parse_sql(f"ALTER TABLE t ADD {definition}")[0].stmt
    constraint = statement.cmds[0].def_
    constraint.keys = (*constraint.keys, ast.String(sval=column))
    return str(RawStream()(constraint))


def _moved_index(shape: Shape, definition: str, name: str, column: str | None) -> str:
    """An index's definition on the copy, under another name, with one more column where that is given."""
    from pglast import ast, parse_sql  # noqa: PLC0415
    from pglast.stream import RawStream  # noqa: PLC0415

    statement: Any = parse_sql(definition)[0].stmt
    statement.idxname = name
    statement.relation.relname = shape.beside("adopting")
    if column is not None:
        statement.indexParams = (*statement.indexParams, ast.IndexElem(name=column, ordering=0, nulls_ordering=0))
    return str(RawStream()(statement))


async def _make_log(connection: Connection, shape: Shape) -> None:
    """The log holds keys and partition column of changed rows, old and new, and a mark where all was truncated."""
    keys = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(sql.Identifier("t", each), sql.Identifier(f"k{place}"))
        for place, each in enumerate(shape.key)
    )
    await connection.execute(
        sql.SQL("CREATE TABLE {} AS SELECT {}, {} AS instant, false AS truncated FROM {} AS t WITH NO DATA").format(
            sql.SQL(shape.log), keys, sql.Identifier("t", shape.plan.column), sql.SQL(shape.qualified)
        )
    )
    await connection.execute(_sql("REVOKE ALL ON TABLE {log} FROM PUBLIC", shape))
    taken = sql.SQL("{}, {}, false").format(names(shape.key, "t"), sql.Identifier("t", shape.plan.column))
    await connection.execute(
        sql.SQL(
            """
            CREATE FUNCTION {log}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp AS $log$
            BEGIN
                IF TG_OP = 'TRUNCATE' THEN
                    INSERT INTO {log} (truncated) VALUES (true);
                END IF;
                IF TG_OP IN ('INSERT', 'UPDATE') THEN
                    INSERT INTO {log} SELECT {taken} FROM new_rows AS t;
                END IF;
                IF TG_OP IN ('UPDATE', 'DELETE') THEN
                    INSERT INTO {log} SELECT {taken} FROM old_rows AS t;
                END IF;
                RETURN NULL;
            END
            $log$
            """
        ).format(log=sql.SQL(shape.log), taken=taken)
    )
    await connection.execute(_sql("REVOKE EXECUTE ON FUNCTION {log}() FROM PUBLIC", shape))


async def _watch(connection: Connection, shape: Shape) -> None:
    """Foreign keys while the copy is empty, then the triggers; from the commit on every change is logged."""
    for key in await rows(connection, Q.foreign_keys, {"oid": shape.oid}):
        name = sql.Identifier(key["name"]).as_string()
        await connection.execute(f"ALTER TABLE {shape.shadow} ADD CONSTRAINT {name} {key['definition']}".encode())
        if key["comment"]:
            comment = sql.Literal(key["comment"]).as_string()
            await connection.execute(f"COMMENT ON CONSTRAINT {name} ON {shape.shadow} IS {comment}".encode())
    for event, referencing in EVENTS.items():
        trigger = f"outreachdb_adopt_{event.lower()}"
        await connection.execute(
            f"CREATE TRIGGER {trigger} AFTER {event} ON {shape.qualified} {referencing} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {shape.log}()".encode()
        )
        # Also for sessions that replicate, whose session_replication_role switches ordinary triggers off.
        await connection.execute(f"ALTER TABLE {shape.qualified} ENABLE ALWAYS TRIGGER {trigger}".encode())
    advanced = {"table": shape.qualified, "state": "copying", "copied_to": None, "rows_copied": 0}
    await connection.execute(Q.advance, advanced)


async def unwatch(connection: Connection, shape: Shape) -> None:
    """Drop the triggers, their function, the log and the record."""
    for event in EVENTS:
        trigger = f"outreachdb_adopt_{event.lower()}"
        await connection.execute(f"DROP TRIGGER IF EXISTS {trigger} ON {shape.qualified}".encode())
    await connection.execute(_sql("DROP FUNCTION IF EXISTS {log}()", shape))
    await connection.execute(_sql("DROP TABLE IF EXISTS {log}", shape))
    await connection.execute(Q.finish, {"table": shape.qualified})


async def _remove(connection: Connection, shape: Shape) -> None:
    await unwatch(connection, shape)
    await connection.execute(_sql("DROP TABLE IF EXISTS {shadow}", shape))


def _sql(template: str, shape: Shape) -> sql.Composed:
    """A statement about the table (``table``), its copy (``shadow``), its log (``log``) and the column (``c``)."""
    return sql.SQL(template).format(  # the templates of this file alone
        table=sql.SQL(shape.qualified),
        shadow=sql.SQL(shape.shadow),
        log=sql.SQL(shape.log),
        c=sql.Identifier(shape.plan.column),
    )
