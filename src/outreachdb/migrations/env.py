"""Alembic's environment: each revision is one transaction, the version table lives in ``ops``."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection, MetaData
from sqlalchemy.sql.schema import SchemaItem

from outreachdb.config import Settings
from outreachdb.db.migrating.session import MigrationSession
from outreachdb.db.models import Base
from outreachdb.db.rooms import import_models
from outreachdb.errors import DatabaseUnavailable

VERSION_SCHEMA = "ops"
# Book-keeping of the migrations themselves: made before or outside the models.
NOT_MODELLED = {("ops", "alembic_version"), ("ops", "routine_files"), ("ops", "routine_objects")}

import_models()


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Look only into the schemas that have models: never into ``parts``, ``staging``, ``public``."""
    if kind != "schema":
        return True
    return name in {table.schema for table in Base.metadata.tables.values()}


def include_object(item: SchemaItem, name: str | None, kind: str, reflected: bool, _compare_to: Any) -> bool:
    """Leave out the book-keeping; a table that lost its model must show, so nothing else is left out."""
    return not (kind == "table" and reflected and (getattr(item, "schema", None), name) in NOT_MODELLED)


def metadata() -> MetaData:
    """The models for comparing (check, autogenerate); for running, none.

    Given the models, Alembic would apply their naming convention to the finished names in revisions, which must mean
    the same for ever.
    """
    typed = getattr(getattr(context.config, "cmd_opts", None), "cmd", None)
    runs = context.config.attributes.get("running") or (typed and typed[0].__name__ in {"upgrade", "downgrade"})
    return MetaData() if runs else Base.metadata


def options() -> dict[str, Any]:
    """What both modes share."""
    return {
        "target_metadata": metadata(),
        "version_table": "alembic_version",
        "version_table_schema": VERSION_SCHEMA,
        "transaction_per_migration": True,
        "include_schemas": True,
        "include_name": include_name,
        "include_object": include_object,
        "compare_type": True,
        "compare_server_default": True,
        # Read by outreachdb.db.ddl, which lifts the limit for concurrent builds and puts it back.
        "lock_timeout_ms": context.config.attributes.get("lock_timeout_ms", Settings.load().lock_timeout_ms),
    }


def run_offline() -> None:
    """Write the SQL instead of running it (`--sql`), for review and for lint."""
    context.configure(dialect_name="postgresql", literal_binds=True, as_sql=True, **options())
    limit = context.get_context().opts["lock_timeout_ms"]
    context.execute("SET ROLE outreachdb_owner")
    context.execute(f"SET lock_timeout = '{limit}ms'")
    context.execute(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}")
    with context.begin_transaction():
        context.run_migrations()


def run_on(connection: Connection) -> None:
    """Run the steps on a connection that :class:`MigrationSession` has prepared."""
    context.configure(connection=connection, **options())
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Use the caller's connection, or open one for a developer who typed `alembic ...`."""
    given = context.config.attributes.get("connection")
    if given is not None:
        run_on(given)
        return
    settings = Settings.load()
    url = settings.url("admin")
    if url is None:
        raise DatabaseUnavailable("no database URL", hint="set OUTREACHDB_DATABASE_URL")
    with MigrationSession(url, settings) as session:
        run_on(session.prepare())


if context.is_offline_mode():
    run_offline()
else:
    run_online()
