"""One session that migrates: connected, alone (advisory lock), limited, and acting as the owner of the tables."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import psycopg
import sqlalchemy
from psycopg import errors as pg
from psycopg import sql
from sqlalchemy.pool import StaticPool

from outreachdb.config import Settings
from outreachdb.db import pools
from outreachdb.db.migrating import roles
from outreachdb.errors import Cancelled, DatabaseUnsupported, MigrationError

# "outreach" in ASCII. Advisory locks are per database, so databases of one cluster don't wait for each other.
LOCK_KEY = 0x6F75747265616368


class MigrationSession:
    """Open it with ``with``; :meth:`prepare` takes the lock and gives the connection that Alembic runs on."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self.settings = settings
        self.notices: list[str] = []
        self._stopped = threading.Event()
        self.raw = connect(url, settings)
        self._engine: sqlalchemy.Engine | None = None
        self._connection: sqlalchemy.Connection | None = None

    @property
    def pid(self) -> int:
        """The backend's process id."""
        return self.raw.info.backend_pid

    def prepare(self) -> sqlalchemy.Connection:
        """Take the lock, make roles and extensions, become the owner, set the limits."""
        self.lock()
        self.notices += roles.ensure(self.raw)
        self._limit()
        self.become_owner()
        self._ensure_version_schema()
        return self.connection

    @property
    def connection(self) -> sqlalchemy.Connection:
        """The same session through SQLAlchemy, in no transaction."""
        if self._connection is None:
            self.raw.autocommit = False
            self._engine = sqlalchemy.create_engine(
                "postgresql+psycopg://", creator=lambda: self.raw, poolclass=StaticPool
            )
            self._connection = self._engine.connect()
        return self._connection

    def lock(self) -> None:
        """Wait for another migration of this database to end, at most ``migration_wait`` seconds.

        Polls: a session that *waits* in pg_advisory_lock holds a snapshot, and the other one's CREATE INDEX
        CONCURRENTLY would wait for that snapshot for ever.
        """
        deadline = time.monotonic() + self.settings.migration_wait
        while not self._try_lock():
            if time.monotonic() >= deadline:
                waited = f"{self.settings.migration_wait} s"
                raise MigrationError(
                    f"another migration of {pools.describe(self.url)} still runs after {waited}",
                    hint="wait for it, or raise OUTREACHDB_MIGRATION_WAIT",
                )
            self.pause(0.1)

    def become_owner(self) -> None:
        """Act as ``outreachdb_owner``, so that it owns what the steps make."""
        self.raw.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(roles.OWNER)))

    def cancel(self) -> None:
        """Stop the statement that runs and begin no other step; safe from another thread."""
        self._stopped.set()
        self.raw.cancel()

    def pause(self, seconds: float = 0) -> None:
        """Sleep, or raise Cancelled as soon as :meth:`cancel` was called."""
        if self._stopped.wait(seconds):
            raise Cancelled("the migration was stopped", hint="the steps that are done stay; migrate again to go on")

    def close(self) -> None:
        """Close the session; the lock goes with it."""
        if self._connection is not None:
            self._connection.close()
        if self._engine is not None:
            self._engine.dispose()
        self.raw.close()

    def _try_lock(self) -> bool:
        row = self.raw.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", (LOCK_KEY,)).fetchone()
        return bool(row and row[0])

    def _limit(self) -> None:
        """Limits of this session: a step gives way instead of queueing for long in front of writers."""
        for name, milliseconds in (
            ("lock_timeout", self.settings.lock_timeout_ms),
            ("statement_timeout", self.settings.migration_statement_timeout_ms),
            ("idle_in_transaction_session_timeout", 60_000),
        ):
            self.raw.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(milliseconds)))
        # Revisions qualify every name; extensions' operator classes are found in public.
        self.raw.execute("SET search_path = public")

    def _ensure_version_schema(self) -> None:
        try:
            self.raw.execute("CREATE SCHEMA IF NOT EXISTS ops")
            self.raw.execute("SELECT 'ops'::regnamespace")
        except pg.InsufficientPrivilege as error:
            raise DatabaseUnsupported(
                f"{roles.OWNER} may not create schemas here", hint="grant it CREATE on the database"
            ) from error
        row = self.raw.execute("SELECT pg_catalog.has_schema_privilege('ops', 'CREATE')").fetchone()
        if not (row and row[0]):
            raise DatabaseUnsupported(
                "the database has a schema named ops that belongs to somebody else",
                hint="give OutreachDB a database of its own",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(url: str, settings: Settings) -> psycopg.Connection[Any]:
    """A plain autocommit connection; errors name the database without its password."""
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=settings.connect_timeout,
            prepare_threshold=None,
            application_name="outreachdb migrate",
        )
    except psycopg.Error as error:
        raise pools.unreachable(url, error) from error
    version = connection.info.server_version
    if version < pools.MINIMUM_VERSION:
        connection.close()
        raise DatabaseUnsupported(
            f"PostgreSQL {version // 10000} is too old", hint="OutreachDB needs PostgreSQL 15 to 18"
        )
    return connection
