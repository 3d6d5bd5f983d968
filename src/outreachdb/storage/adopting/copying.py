"""Fills the copy in batches and keeps it equal to the table; each batch is one snapshot and one transaction."""

from __future__ import annotations

from typing import Any

from psycopg import errors as pg
from psycopg import sql

from outreachdb.db.pools import Connection
from outreachdb.errors import OutreachDBError
from outreachdb.progress import Progress
from outreachdb.storage.adopting.preparing import widen
from outreachdb.storage.adopting.shape import Q, Shape, check_unaltered, names, one

BATCH = 50_000
# So many logged rows are refreshed in some ten milliseconds: few enough to do the rest under the lock.
SMALL_LOG = 500
SETTLING = 20


async def copy(connection: Connection, shape: Shape, progress: Progress) -> None:
    """Copy what is not copied yet; safe to stop anywhere and to call again."""
    state = await _state(connection, shape)
    while state["state"] != "copied":
        progress("copying", state["rows_copied"], max(shape.rows, state["rows_copied"]))
        state = await _step(connection, shape)
    await connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.SQL(shape.shadow)))


async def settle(connection: Connection, shape: Shape) -> None:
    """Refresh logged rows until few are left."""
    for _ in range(SETTLING):
        state = await _step(connection, shape)
        while state["state"] != "copied":  # the table was truncated meanwhile
            state = await _step(connection, shape)
        row = await one(connection, _sql("SELECT count(*) AS n FROM {log}", shape))
        if row is not None and row["n"] <= SMALL_LOG:
            return


async def verify(connection: Connection, shape: Shape, progress: Progress) -> tuple[int, str]:
    """Rows and content hash of the table; raises where the copy has others.

    Both are read in one snapshot, in which every difference between the two must stand in the log: rows that the log
    names are left out on both sides.
    """
    await settle(connection, shape)
    await check_unaltered(connection, shape)
    progress("comparing", 0, 2)
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        here = await _digest(connection, shape, shape.qualified)
        progress("comparing", 1, 2)
        there = await _digest(connection, shape, shape.shadow)
        progress("comparing", 2, 2)
    if here != there:
        raise OutreachDBError(
            f"the copy of {shape.qualified} differs: {there[0]} rows, hash {there[1]}, not {here[0]}, hash {here[1]}",
            hint="nothing was exchanged; --cancel removes the copy. Please report this",
        )
    return here


async def replay(connection: Connection, shape: Shape, copied_to: list[str] | None) -> None:
    """Bring logged rows of the copied part up to date and empty the log; inside the caller's snapshot or lock.

    Deleting first and inserting then what the table has now is right in whatever order the changes came, also where
    they moved a row to another partition or swapped values of a unique key. ``copied_to`` None means: all is copied.
    """
    for name in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan"):
        # The copy may have no statistics yet; by key it is always a matter of a few look-ups per logged row.
        await connection.execute(f"SET LOCAL {name} = off".encode())
    await connection.execute(
        _sql(
            """DELETE FROM {shadow} AS s USING (SELECT DISTINCT {logged}, instant FROM {log} WHERE NOT truncated) AS l
               WHERE {same_row} AND s.{c} = l.instant""",
            shape,
        )
    )
    copied = sql.SQL("") if copied_to is None else sql.SQL("WHERE {}").format(_within(shape, "o", "<=", copied_to))
    await connection.execute(
        sql.SQL("{} {}").format(
            _sql(
                """INSERT INTO {shadow} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {table} AS o
                   JOIN (SELECT DISTINCT {logged} FROM {log} WHERE NOT truncated) AS l ON {same_old}""",
                shape,
            ),
            copied,
        )
    )
    await connection.execute(_sql("DELETE FROM {log}", shape))
    for name in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan"):
        await connection.execute(f"SET LOCAL {name} = on".encode())


async def truncated(connection: Connection, shape: Shape) -> bool:
    """Whether the table was truncated since the log was emptied."""
    return await one(connection, _sql("SELECT true FROM {log} WHERE truncated LIMIT 1", shape)) is not None


async def _step(connection: Connection, shape: Shape) -> dict[str, Any]:
    """Refresh what changed and copy one batch more; makes partitions for rows that have none and tries again."""
    for _ in range(3):
        try:
            async with connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                return await _batch(connection, shape)
        except pg.CheckViolation:
            await widen(connection, shape)
    raise OutreachDBError(
        f"rows of {shape.qualified} find no partition", hint="some dates change faster than it copies"
    )


async def _batch(connection: Connection, shape: Shape) -> dict[str, Any]:
    state = await _state(connection, shape)
    if await truncated(connection, shape):
        await connection.execute(_sql("TRUNCATE {shadow}", shape))
        await connection.execute(_sql("DELETE FROM {log}", shape))
        state = {"state": "copying", "copied_to": None, "rows_copied": 0}
    elif state["state"] == "copied":
        await replay(connection, shape, None)
    elif state["copied_to"] is None:
        await connection.execute(_sql("DELETE FROM {log}", shape))  # nothing is copied yet that could be stale
    else:
        await replay(connection, shape, state["copied_to"])
    if state["state"] != "copied":
        state = await _copy_rows(connection, shape, state)
    await connection.execute(Q.advance, {"table": shape.qualified} | state)
    return state


async def _copy_rows(connection: Connection, shape: Shape, state: dict[str, Any]) -> dict[str, Any]:
    last: list[str] | None = state["copied_to"]
    beyond = sql.SQL("true") if last is None else _within(shape, "o", ">", last)
    bound = await one(
        connection,
        sql.SQL("SELECT {} FROM {} AS o WHERE {} ORDER BY {} OFFSET {} LIMIT 1").format(
            sql.SQL(", ").join(
                sql.SQL("{}::text AS {}").format(sql.Identifier("o", each), sql.Identifier(f"k{n}"))
                for n, each in enumerate(shape.key)
            ),
            sql.SQL(shape.qualified),
            beyond,
            names(shape.key, "o"),
            sql.Literal(BATCH - 1),
        ),
    )
    upto = list(bound.values()) if bound else None
    within = sql.SQL("true") if upto is None else _within(shape, "o", "<=", upto)
    done = await connection.execute(
        sql.SQL("{} WHERE {} AND {}").format(
            _sql("INSERT INTO {shadow} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {table} AS o", shape),
            beyond,
            within,
        )
    )
    return {
        "state": "copied" if upto is None else "copying",
        "copied_to": upto or last,
        "rows_copied": state["rows_copied"] + done.rowcount,
    }


async def _digest(connection: Connection, shape: Shape, table: str) -> tuple[int, str]:
    row = await one(
        connection,
        sql.SQL(
            """SELECT count(*) AS n, coalesce(sum(pg_catalog.hashtextextended(s::text, 0)::numeric), 0)::text AS digest
               FROM {} AS s WHERE NOT EXISTS (SELECT FROM {} AS l WHERE {})"""
        ).format(sql.SQL(table), sql.SQL(shape.log), _same(shape, "s")),
    )
    return (int(row["n"]), str(row["digest"])) if row else (0, "0")


async def _state(connection: Connection, shape: Shape) -> dict[str, Any]:
    row = await one(connection, Q.find_state, {"table": shape.qualified})
    if row is None:
        raise OutreachDBError(f"the adoption of {shape.qualified} was cancelled")
    return {name: row[name] for name in ("state", "copied_to", "rows_copied")}


def _within(shape: Shape, alias: str, operator: str, key: list[str]) -> sql.Composed:
    """The key compared with a recorded one as a row; the server reads the recorded texts as the columns' types."""
    return sql.SQL("({}) {} ({})").format(
        names(shape.key, alias),
        sql.SQL(operator),
        sql.SQL(", ").join(sql.Literal(each) for each in key),
    )


def _same(shape: Shape, alias: str) -> sql.Composed:
    """The row of an alias has the key of the log's row ``l``."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(alias, each), sql.Identifier("l", f"k{place}"))
        for place, each in enumerate(shape.key)
    )


def _sql(template: str, shape: Shape) -> sql.Composed:
    """A statement about the table, its copy and its log; the templates of this file alone."""
    return sql.SQL(template).format(
        table=sql.SQL(shape.qualified),
        shadow=sql.SQL(shape.shadow),
        log=sql.SQL(shape.log),
        c=sql.Identifier(shape.plan.column),
        columns=sql.SQL(", ").join(sql.Identifier(each) for each in shape.columns),
        values=names(shape.columns, "o"),
        logged=sql.SQL(", ").join(sql.Identifier(f"k{place}") for place in range(len(shape.key))),
        same_row=_same(shape, "s"),
        same_old=_same(shape, "o"),
    )
