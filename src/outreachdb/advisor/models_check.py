"""What can be known of SQLAlchemy models without a database of theirs: their tables are made in a throw-away server."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys

import psycopg
import sqlalchemy
from psycopg import conninfo

from outreachdb.advisor.advise import advise
from outreachdb.advisor.findings import Report
from outreachdb.advisor.rulebook import rules
from outreachdb.advisor.suppressions import Suppressions
from outreachdb.db.embedded import throwaway
from outreachdb.errors import InvalidInput

# What a schema without rows and use can't tell.
_NEED_ROWS = frozenset({"unused_index", "extension_in_public", "extension_outdated"})


async def advise_metadata(target: str, *, suppressions: Suppressions | None = None) -> Report:
    """The rules of the catalogue on ``package.module:Base`` (or ``:metadata``); errors: InvalidInput."""
    metadata = _load(target)
    names = [name for name, rule in rules().items() if not rule.from_workload and rule.group != "storage"]

    def made() -> Report:
        with throwaway() as server:
            url = server.url("postgres")
            _create(metadata, url)
            only = [name for name in names if name not in _NEED_ROWS]
            return asyncio.run(advise(url, only=only, suppressions=suppressions))

    return await asyncio.to_thread(made)


def _load(target: str) -> sqlalchemy.MetaData:
    module, colon, name = target.partition(":")
    if not colon:
        raise InvalidInput(f"{target!r} names no metadata", hint="package.module:Base")
    if os.getcwd() not in sys.path:  # noqa: PTH109  (sys.path holds texts)
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"{target} can't be imported: {error}") from error
    metadata = getattr(found, "metadata", found)
    if not isinstance(metadata, sqlalchemy.MetaData):
        raise InvalidInput(f"{target} is no MetaData and has none")
    return metadata


def _create(metadata: sqlalchemy.MetaData, url: str) -> None:
    """Make schemas, the extensions that are there, and the tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        for extension in ("btree_gin", "btree_gist", "citext", "hstore", "ltree", "pg_trgm"):
            connection.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}".encode())
    parts = conninfo.conninfo_to_dict(url)
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        connect_args={name: value for name, value in parts.items() if value},
        poolclass=sqlalchemy.NullPool,
    )
    try:
        with engine.begin() as connection:
            for schema in sorted({table.schema for table in metadata.tables.values() if table.schema}):
                connection.execute(sqlalchemy.schema.CreateSchema(schema, if_not_exists=True))
            metadata.create_all(connection)
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise InvalidInput(f"the models make no schema: {str(error).splitlines()[0]}") from error
    finally:
        engine.dispose()
