"""One database that the tests of the checks share, and a way to look at it through one check."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from outreachdb.db.embedded import EmbeddedServer
from outreachdb.health import report
from outreachdb.health.configuration import Configuration
from outreachdb.health.report import Result


@dataclass(frozen=True, slots=True)
class Ground:
    """The database; conditions are caused by sessions of their own."""

    url: str

    async def look(self, name: str, **numbers: float) -> Result:
        """One check with these thresholds."""
        return (await report.check(self.url, Configuration({name: numbers}), only=[name]))[name]

    def do(self, *statements: str) -> Any:
        """Run statements, each in its own transaction, in a session that ends: its counts are there for all to see."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            connection.execute("SELECT pg_stat_force_next_flush()")
        return row[0] if row else None

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """An open session; it is ended, not waited for."""
        connection = psycopg.connect(self.url, autocommit=True, application_name="trouble")
        try:
            yield connection
        finally:
            with psycopg.connect(self.url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 60000)", [connection.info.backend_pid])
            connection.close()

    @contextmanager
    def running(self, *statements: str) -> Iterator[int]:
        """A session that is in the last of the statements; gives its pid."""
        with self.session() as connection:
            for statement in statements[:-1]:
                connection.execute(statement.encode())
            thread = threading.Thread(target=_run_until_ended, args=(connection, statements[-1]))
            thread.start()
            pid = connection.info.backend_pid
            with psycopg.connect(self.url, autocommit=True) as other:
                waiting = "SELECT state = 'active' AND query = %s FROM pg_stat_activity WHERE pid = %s"
                until = time.monotonic() + 60
                while other.execute(waiting, [statements[-1], pid]).fetchone() != (True,):
                    assert time.monotonic() < until
                yield pid
                other.execute("SELECT pg_terminate_backend(%s)", [pid])
            thread.join()


def _run_until_ended(connection: psycopg.Connection[Any], statement: str) -> None:
    with suppress(psycopg.Error):
        connection.execute(statement.encode())


@pytest.fixture(scope="module")
def ground(server: EmbeddedServer, template: str, request: pytest.FixtureRequest) -> Iterator[Ground]:
    """A clone of the migrated database with pg_stat_statements."""
    name = request.module.__name__.rpartition(".")[2]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        made = Ground(server.url(name))
        made.do("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "CREATE SCHEMA trouble")
        yield made
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
