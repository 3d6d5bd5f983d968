"""A way to look at any database without changing it: a read-only transaction with a time limit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from outreachdb.db.pools import MINIMUM_VERSION, Connection, connect
from outreachdb.errors import DatabaseUnsupported, from_database

STATEMENT_MS = 10_000


@asynccontextmanager
async def reading(
    url: str, *, doing: str = "reading", statement_ms: int = STATEMENT_MS, timeout: int = 5
) -> AsyncIterator[Connection]:
    """A connection in a read-only, repeatable-read transaction that is rolled back at the end.

    ``doing``, one word, is part of the application's name and stands in errors. An empty search_path keeps a
    stranger's functions from standing in for the catalogue's.
    """
    connection = await connect(url, autocommit=True, timeout=timeout)
    async with connection:
        version = connection.info.server_version
        if version < MINIMUM_VERSION:
            raise DatabaseUnsupported(
                f"PostgreSQL {version // 10000} is too old", hint="PostgreSQL 15 to 18 can be read"
            )
        try:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for setting in (
                f"statement_timeout = {int(statement_ms)}",
                "lock_timeout = 1000",
                "search_path = ''",
                f"application_name = 'outreachdb {doing}'",
                "timezone = 'UTC'",
                "datestyle = 'ISO'",
                "jit = off",
                # Functions and arrays hide numbers from the planner: it takes thousands of rows for one.
                "enable_nestloop = off",
            ):
                await connection.execute(f"SET LOCAL {setting}".encode())
            yield connection
        except psycopg.Error as error:
            raise from_database(error, doing=doing) from error
        finally:
            if not connection.closed:
                await connection.execute("ROLLBACK")
