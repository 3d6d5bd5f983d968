"""Which revision a database is at and which one this version needs; without Alembic, a half-second import."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from psycopg import errors as pg

from outreachdb.db.pools import connect
from outreachdb.errors import DatabaseUnsupported, MigrationError

VERSIONS = Path(__file__).parents[1] / "migrations" / "versions"


@cache
def head() -> str:
    """The newest revision of this version: its files are named ``<revision>_<title>.py`` and sort in order."""
    return max(file.name.split("_", 1)[0] for file in VERSIONS.glob("[0-9]*_*.py"))


async def current(url: str) -> str | None:
    """The database's revision, ``None`` where there is no schema; raises DatabaseUnavailable."""
    connection = await connect(url, autocommit=True)
    async with connection:
        try:
            row = await (await connection.execute("SELECT version_num FROM ops.alembic_version")).fetchone()
        except (pg.UndefinedTable, pg.InvalidSchemaName):
            return None
        except pg.InsufficientPrivilege:
            raise DatabaseUnsupported(
                f"the login {connection.info.user} may not read the schema's revision",
                hint=f"GRANT outreachdb_app, outreachdb_trusted TO {connection.info.user}",
            ) from None
    return row["version_num"] if row else None


async def check(url: str) -> None:
    """Raise MigrationError unless the database is at this version's revision."""
    here = await current(url)
    if here != head():
        state = f"is at revision {here}, not {head()}" if here else "has no schema yet"
        raise MigrationError(f"the database {state}", hint="run: outreachdb migrate")
