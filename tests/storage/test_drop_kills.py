"""kill -9 of a retention run that drops without an archive: the next run finishes it, and no table is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import retention_child
from months import CLEAR, MONTH, workspace

import outreachdb
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.errors import Conflict
from outreachdb.health import report
from outreachdb.storage import retention
from outreachdb.storage.archive_files import Folder

CHILD = Path(__file__).with_name("retention_child.py")
MESSAGES = """
    INSERT INTO outreach.message_log (workspace_id, created_at, recipient)
    SELECT %(ws)s, {month} + n * interval '1 hour', 'x@buyer.example' FROM generate_series(0, 49) AS n
"""
# A partition by whatever name it has meanwhile.
LEFT = """
    SELECT c.relname FROM pg_class AS c
    WHERE c.relnamespace = 'parts'::regnamespace AND c.relkind = 'r'
      AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid AND NOT i.inhdetachpending)
"""
THERE = "SELECT count(*) FROM outreach.get_partition_info(%s) WHERE range_to <= now() - interval '12 months'"
DETACHING = (
    "SELECT query FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'ALTER TABLE % DETACH PARTITION %'"
)
RECORDED = "SELECT partition_name FROM ops.partition_drops"
HALF = "SELECT inhrelid FROM pg_inherits WHERE inhdetachpending"

pytestmark = pytest.mark.slow


class Ground:
    def __init__(self, url: str, pools: Pools, folder: Path) -> None:
        self.url, self.pools, self.folder = url, pools, folder
        self.connection = self.connect()
        self.ws = workspace(self.connection, "acme")
        self.connection.execute("UPDATE ops.partitioned_tables SET archive = false WHERE table_name = 'message_log'")
        self.connection.execute(CLEAR.encode())

    def connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self.url, autocommit=True)
        connection.execute("SET timezone = 'UTC'")
        return connection

    def old_month(self, table: str) -> None:
        """Of message_log, which is not archived, one with rows; of email_events, which is, one that never had any."""
        month = MONTH.format(months=15)
        self.connection.execute(f"SELECT outreach.ensure_partitions('{table}', {month}, {month})".encode())
        if table == "message_log":
            self.connection.execute(MESSAGES.format(month=month).encode(), {"ws": self.ws})

    def child(self, table: str, point: str = "") -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": str(Path(outreachdb.__file__).parents[1])}
        command = [sys.executable, str(CHILD), self.url, str(self.folder), table, *([point] if point else [])]
        return subprocess.Popen(command, env=environment)

    def rows(self, query: str, *given: object) -> list[Any]:
        return self.connection.execute(query.encode(), given or None).fetchall()

    async def next_run(self, table: str) -> retention.Run:
        """By whoever comes next; the server notices a moment later that a client was killed."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                return await retention.run(self.pools, table, folder=Folder(self.folder))
            except Conflict as error:
                if "another retention run" not in str(error):
                    raise
                await asyncio.sleep(0.05)
        raise AssertionError("the lock of the killed run stays")

    async def check_gone(self, table: str) -> None:
        done = await self.next_run(table)
        assert done.failed == []
        assert (self.rows(THERE, table), self.rows(LEFT), self.rows(RECORDED)) == ([(0,)], [], [])
        assert not list(self.folder.rglob("*.parquet"))


@pytest.fixture
async def ground(own_database_url: str, tmp_path: Path) -> AsyncIterator[Ground]:
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        made = Ground(own_database_url, pools, tmp_path)
        yield made
        made.connection.close()


def _seen(process: subprocess.Popen[bytes], ground: Ground, query: str) -> bool:
    """Wait for the moment; False where it passed and nobody looked."""
    deadline = time.monotonic() + 120
    while not ground.rows(query):
        if process.poll() is not None:
            assert process.returncode == 0
            return False
        assert time.monotonic() < deadline
    return True


@pytest.mark.parametrize("table", ["message_log", "email_events"])
async def test_a_drop_that_is_killed_at_any_point_is_finished_by_the_next_run(ground: Ground, table: str) -> None:
    for point in retention_child.POINTS:
        ground.old_month(table)
        assert ground.child(table, point).wait(120) == -signal.SIGKILL, point
        if point in {"half detached", "about to finish the detach", "detached", "about to drop"}:
            step = next(each for each in (await retention.plan(ground.pools, table)).steps if each.action == "drop")
            assert step.reasons[0].startswith("begun at 2"), point
        await ground.check_gone(table)


def _open(ground: Ground, table: str, held: bool) -> psycopg.Connection[Any] | None:
    if not held:
        return None
    holder = psycopg.connect(ground.url)
    holder.execute(f"SELECT count(*) FROM outreach.{table}".encode())
    return holder


@pytest.mark.parametrize("table", ["message_log", "email_events"])
@pytest.mark.parametrize("held", [True, False])
async def test_a_worker_killed_while_the_detach_waits_leaves_no_table(ground: Ground, table: str, held: bool) -> None:
    """With an open transaction that the detach waits for, and without: what the server does alone is known too."""
    moments: Iterator[tuple[str, float]] = iter([(RECORDED, 0), (DETACHING, 0), (HALF, 0), (HALF, 0.15), (HALF, 0.7)])
    for query, delay in moments:
        if not held and delay:
            continue  # it is done by then
        for _ in range(10):
            ground.old_month(table)
            holder = _open(ground, table, held)
            process = ground.child(table)
            if _seen(process, ground, query):
                break
            if holder is not None:
                holder.close()
            await ground.check_gone(table)
        else:
            pytest.fail(f"it was always too late to see: {query}")
        await asyncio.sleep(delay)
        process.kill()
        process.wait(60)
        if holder is not None:
            await asyncio.sleep(0.5)
            holder.close()
        # Whatever the server is about to do alone, it has done.
        await asyncio.sleep(0.5)
        await ground.check_gone(table)


async def test_health_tells_of_a_detached_table_that_nobody_drops(ground: Ground) -> None:
    ground.old_month("message_log")

    async def status() -> str:
        return (await report.check(ground.url, only=["detached_partitions"]))["detached_partitions"].status

    assert await status() == "green"
    assert ground.child("message_log", "about to drop").wait(120) == -signal.SIGKILL
    assert await status() == "green", "retention drops it"
    name = str(ground.rows(RECORDED)[0][0])
    ground.connection.execute(f"ALTER TABLE {name} SET (fillfactor = 90)".encode())
    assert await status() == "yellow", "somebody touched it, so nobody drops it"
    await ground.next_run("message_log")
    assert await status() == "yellow"
    assert ground.rows(f"SELECT count(*) FROM {name}") == [(50,)]
    ground.connection.execute(f"DROP TABLE {name}".encode())
    assert await status() == "green"
