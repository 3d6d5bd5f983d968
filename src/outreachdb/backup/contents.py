"""What is in a database at one moment: rows and a hash of each table, roles, extensions, how it sorts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from outreachdb.backup.manifest import Role, Table
from outreachdb.db.pools import Connection, connect
from outreachdb.db.queries import Queries
from outreachdb.errors import DatabaseUnsupported
from outreachdb.progress import Progress, silent
from outreachdb.words import counted

Q = Queries("outreachdb.backup")
LOCK_TIMEOUT = "60s"
# A row's text depends on these; the same values everywhere make the same hash.
STEADY = """
    SET LOCAL search_path = pg_catalog; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY';
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1;
    SET LOCAL lc_monetary = 'C'; SET LOCAL row_security = off; SET LOCAL statement_timeout = 0
"""


@dataclass(frozen=True, slots=True)
class Database:
    """One database as the snapshot sees it; ``about`` is the statement ``database`` of queries.sql."""

    about: dict[str, Any]
    snapshot: str
    tables: tuple[str, ...]
    extensions: dict[str, str]
    roles: tuple[Role, ...]
    revision: str | None


@asynccontextmanager
async def held(url: str) -> AsyncIterator[tuple[Connection, Database]]:
    """A transaction that holds a snapshot for others to share; no table goes away or changes its columns meanwhile."""
    connection = await connect(url)
    async with connection:
        await connection.set_autocommit(True)
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await connection.execute(STEADY)
        try:
            yield connection, await _look(connection)
        finally:
            if not connection.broken:
                await connection.execute("ROLLBACK")


async def _look(connection: Connection) -> Database:
    about = await (await connection.execute(Q.database)).fetchone()
    tables = await (await connection.execute(Q.tables)).fetchall()
    hidden = [row["name"] for row in tables if row["hidden"]]
    if hidden:
        raise DatabaseUnsupported(
            f"row-level security hides rows of {hidden[0]} and {counted(len(hidden) - 1, 'more table')} from the login",
            hint="back up as a member of their owner, as an administrator, or with BYPASSRLS",
        )
    names = tuple(row["name"] for row in tables)
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    for first in range(0, len(names), 500):
        listed = sql.SQL(", ").join([sql.SQL(name) for name in names[first : first + 500]])  # quoted by the catalogue
        await connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(listed))
    extensions = await (await connection.execute(Q.extensions)).fetchall()
    roles = await (await connection.execute(Q.roles)).fetchall()
    ours = await (await connection.execute(Q.revision_table)).fetchone()
    revision = await (await connection.execute(Q.revision)).fetchone() if ours and ours["ours"] else None
    snapshot = await (await connection.execute(Q.export_snapshot)).fetchone()
    assert about is not None  # noqa: S101  (one row by its form)
    assert snapshot is not None  # noqa: S101
    return Database(
        about,
        str(snapshot["snapshot"]),
        names,
        {row["name"]: row["version"] for row in extensions},
        tuple(Role(**row | {"member_of": tuple(row["member_of"])}) for row in roles),
        revision["revision"] if revision else None,
    )


async def measured(
    url: str,
    tables: Sequence[str],
    *,
    snapshot: str | None = None,
    hashes: bool = True,
    jobs: int = 2,
    progress: Progress = silent,
) -> dict[str, Table]:
    """Rows and hash of each table, by several connections at once; in one snapshot where one is given."""
    waiting = list(reversed(tables))  # the largest first
    found: dict[str, Table] = {}

    async def work() -> None:
        connection = await connect(url)
        async with connection:
            await connection.set_autocommit(True)
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if snapshot:
                await connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
            await connection.execute(STEADY)
            while waiting:
                name = waiting.pop()
                found[name] = await _table(connection, name, hashes=hashes)
                progress("counting and hashing rows", len(found), len(tables))
            await connection.execute("ROLLBACK")

    async with asyncio.TaskGroup() as group:
        for _ in range(max(1, min(jobs, len(tables)))):
            group.create_task(work())
    return {name: found[name] for name in sorted(found)}


async def _table(connection: Connection, name: str, *, hashes: bool) -> Table:
    """The hash of a table is the sum of its rows' hashes: no order, and no sort of all rows, is needed."""
    content = (
        """pg_catalog.sum(('x' || pg_catalog.left(pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
               "a row"::text, 'UTF8')), 'hex'), 16))::bit(64)::bigint)::text"""
        if hashes
        else "NULL"
    )
    statement = f'SELECT pg_catalog.count(*) AS rows, {content} AS hash FROM ONLY {name} AS "a row"'  # noqa: S608  (quoted by the catalogue)
    row = await (await connection.execute(statement.encode())).fetchone()
    assert row is not None  # noqa: S101  (an aggregate gives one row)
    return Table(row["rows"], (row["hash"] or "0") if hashes else None)
