"""kill -9 at every step of an archive and of a restore: the rows are in the database or in a verified file, always."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import archive_child
import psycopg
import pytest
from months import content, store_events, workspace
from server_kills import kill_and_start

import outreachdb
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.server import throwaway
from outreachdb.db.pools import Pools
from outreachdb.storage import archive_files, querying, restoring, retention
from outreachdb.storage.archive_files import Folder

CHILD = Path(__file__).with_name("archive_child.py")
ROWS = 400
COUNT = "SELECT count(*), count(DISTINCT event_key) FROM email_events"
TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'parts' AND c.relkind = 'r' AND c.relname ~ '^email_events_' AND pg_relation_size(c.oid) > 0
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedServer]:
    with throwaway() as running:
        asyncio.run(migrate.upgrade(running.url()))
        yield running


class Ground:
    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        with self.connect() as connection:
            row = connection.execute("SELECT id FROM outreach.workspaces WHERE name = 'acme'").fetchone()
            self.ws = row[0] if row else workspace(connection, "acme")
            self.partition = store_events(connection, self.ws, months=15, rows=ROWS)
            self.content = content(connection, self.partition)

    def connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self.server.url(), autocommit=True)
        connection.execute("SET timezone = 'UTC'")
        return connection

    def child(self, work: str, point: str) -> int:
        arguments = [work, self.server.url(), str(self.folder), "email_events", self.partition, point]
        environment = os.environ | {"PYTHONPATH": str(Path(outreachdb.__file__).parents[1])}
        command = [sys.executable, str(CHILD), *arguments]
        return subprocess.run(command, env=environment, timeout=120, check=False).returncode

    def where(self) -> list[str]:
        """Every table that holds the rows, and every verified file that does."""
        found = []
        with self.connect() as connection:
            for (table,) in connection.execute(TABLES.encode()).fetchall():
                if content(connection, table) == self.content:
                    found.append(table)
            archives = connection.execute(
                "SELECT state, file, content_sha256 FROM ops.partition_archives WHERE state IN ('verified', 'dropped')"
            ).fetchall()
        for state, file, sha256 in archives:
            if archive_files.fingerprint(self.folder / file).sha256 == sha256:
                found.append(state)
        return found

    def here(self, work: Any) -> Any:
        async def opened() -> Any:
            async with Pools(Settings.load({}, database_url=self.server.url())) as pools:
                return await work(pools)

        return asyncio.run(opened())

    def clean(self) -> None:
        with self.connect() as connection:
            connection.execute("DELETE FROM outreach.email_events")
            connection.execute("DELETE FROM ops.partition_archives")


@pytest.fixture
def ground(own_server: EmbeddedServer, tmp_path: Path) -> Iterator[Ground]:
    made = Ground(own_server, tmp_path)
    yield made
    made.clean()


def _finish(ground: Ground) -> None:
    """The next run of retention, whoever starts it, brings it to its end, once."""
    done = ground.here(lambda pools: retention.run(pools, "email_events", folder=Folder(ground.folder)))
    assert done.failed == []
    assert ground.where() == ["dropped"]
    files = [each for each in ground.folder.rglob("*") if each.is_file()]
    assert [each.suffix for each in files] == [".parquet"]
    answer = ground.here(lambda pools: querying.query_all(pools, COUNT, folder=Folder(ground.folder)))
    assert answer.rows == [(ROWS, ROWS)]


@pytest.mark.parametrize("point", archive_child.ARCHIVE)
def test_an_archive_that_is_killed_loses_nothing(ground: Ground, point: str) -> None:
    assert ground.child("archive", point) == -signal.SIGKILL
    found = ground.where()
    assert found, point
    assert ("dropped" in found) == (point == "done")
    # A query over live and archived rows sees each row once, whatever state the archive was left in.
    answer = ground.here(lambda pools: querying.query_all(pools, COUNT, folder=Folder(ground.folder)))
    assert answer.rows == [(ROWS, ROWS)], point
    _finish(ground)


@pytest.mark.parametrize("point", archive_child.RESTORE)
def test_a_restore_that_is_killed_loses_nothing(ground: Ground, point: str) -> None:
    _finish(ground)
    assert ground.child("restore", point) == -signal.SIGKILL
    found = ground.where()
    assert ("dropped" in found) == (point != "done"), found
    if point != "done":
        restored = ground.here(
            lambda pools: restoring.restore(pools, "email_events", ground.partition, folder=Folder(ground.folder))
        )
        assert [each.rows for each in restored] == [ROWS]
    assert ground.where() == [ground.partition]


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.15, 0.2, 0.4, 0.7, 1.0])
def test_a_server_that_is_killed_loses_nothing(ground: Ground, delay: float) -> None:
    with ground.connect() as connection:
        connection.execute("CHECKPOINT")  # the rows are on disk: tests' own servers acknowledge before that
    arguments = ["archive", ground.server.url(), str(ground.folder), "email_events", ground.partition, "done"]
    environment = os.environ | {"PYTHONPATH": str(Path(outreachdb.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, str(CHILD), *arguments], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    with ground.connect() as connection:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if connection.execute("SELECT count(*) FROM ops.partition_archives").fetchone() != (0,):
                break
            time.sleep(0.002)
    time.sleep(delay)
    kill_and_start(ground.server)
    process.wait(timeout=120)
    assert ground.where()
    _finish(ground)
