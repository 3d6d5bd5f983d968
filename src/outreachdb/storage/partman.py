"""Hands registered tables to the extension pg_partman (4.x), and takes them back.

Partitions that are there stay as they are; pg_partman makes those that follow, in the table's own schema. Three ways
of it are changed, since they would break a promise of ours: its DEFAULT partition is dropped (it rules out detaching
beside writers), it runs only when we call it (it divides by the session's time zone, we by UTC), and it
drops partitions only of tables that need no archive; all others leave by ``outreachdb retention run``.
"""

from __future__ import annotations

from typing import Any

from psycopg import sql

from outreachdb.db.pools import Connection
from outreachdb.db.queries import Queries
from outreachdb.errors import Conflict, DatabaseUnsupported, NotFound

Q = Queries("outreachdb.storage", "partman.sql")


async def hand_over(connection: Connection, table: str) -> None:
    """Register the table with pg_partman, which goes on where its partitions end; inside the caller's transaction."""
    place = await _place(connection)
    await connection.execute("SET LOCAL timezone = 'UTC'")
    await connection.execute(Q.fill_up, {"table": table})
    row = await _table(connection, table)
    if await _one(connection, _sql("SELECT 1 AS n FROM {}.part_config WHERE parent_table = %(parent)s", place), row):
        raise Conflict(f"pg_partman has {row['parent']} already", hint="remove it from part_config first")
    await connection.execute(
        _sql(
            """SELECT {}.create_parent(
                   p_parent_table := %(parent)s, p_control := %(control)s, p_type := 'native', p_interval := %(every)s,
                   p_premake := %(premake)s, p_automatic_maintenance := 'off', p_start_partition := %(start)s,
                   p_jobmon := false)""",
            place,
        ),
        row,
    )
    await connection.execute(
        _sql(
            # Partitions come also while no row arrives; there is no default partition to look into.
            """UPDATE {}.part_config
               SET infinite_time_partitions = true, ignore_default_data = true, retention = %(retention)s,
               retention_keep_table = false, retention_keep_index = false WHERE parent_table = %(parent)s""",
            place,
        ),
        row,
    )
    await _settle(connection, table)


async def maintain(connection: Connection, table: str) -> int:
    """Let pg_partman create what lies ahead and drop what it may; how many partitions were made, less those dropped."""
    place = await _place(connection)
    async with connection.transaction():
        row = await _table(connection, table)
        before = await _count(connection, table)
        # The registry is the truth: what was changed there since is told.
        await connection.execute(
            _sql(
                """UPDATE {}.part_config SET premake = %(premake)s, retention = %(retention)s
                   WHERE parent_table = %(parent)s""",
                place,
            ),
            row,
        )
        await connection.execute("SET LOCAL timezone = 'UTC'")
        await connection.execute("SET LOCAL lock_timeout = '2s'")
        await connection.execute(_sql("SELECT {}.run_maintenance(%(parent)s, false, false)", place), row)
        await _settle(connection, table)
        return await _count(connection, table) - before


async def take_back(connection: Connection, table: str) -> None:
    """Forget the table in pg_partman; its partitions stay."""
    place = await _place(connection)
    row = await _table(connection, table)
    config = await _one(
        connection,
        _sql("DELETE FROM {}.part_config WHERE parent_table = %(parent)s RETURNING template_table", place),
        row,
    )
    if config and config["template_table"]:
        schema, name = str(config["template_table"]).split(".", 1)
        await connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(schema, name)))


async def _settle(connection: Connection, table: str) -> None:
    """Give new partitions the owner that the others have, close them to direct readers, and drop the default one."""
    cursor = await connection.execute(Q.strangers, {"table": table})
    for row in await cursor.fetchall():
        name = sql.SQL(row["qualified"])
        if row["is_default"]:
            await connection.execute(sql.SQL("DROP TABLE {}").format(name))
            continue
        if row["foreign_owner"]:
            await connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(name, sql.Identifier(row["owner"])))
        if row["open_rows"]:
            await connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(name))


async def _place(connection: Connection) -> str:
    row = await _one(connection, Q.extension)
    if row is None:
        raise DatabaseUnsupported(
            "the extension pg_partman is not installed in this database",
            hint="CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman",
        )
    if not str(row["version"]).startswith("4."):
        raise DatabaseUnsupported(
            f"pg_partman {row['version']} has other functions than 4.x", hint="the native backend needs no extension"
        )
    return str(row["place"])


async def _table(connection: Connection, table: str) -> dict[str, Any]:
    row = await _one(connection, Q.table, {"table": table})
    if row is None:
        raise NotFound(f"no registered partitioned table named {table}", hint="see `outreachdb partitions list`")
    return row


async def _count(connection: Connection, table: str) -> int:
    row = await _one(connection, Q.count, {"table": table})
    return int(row["n"]) if row else 0


async def _one(
    connection: Connection, query: str | sql.Composed, params: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    return await (await connection.execute(query, params)).fetchone()


def _sql(template: str, place: str) -> sql.Composed:
    return sql.SQL(template).format(sql.SQL(place))  # the templates of this file alone
