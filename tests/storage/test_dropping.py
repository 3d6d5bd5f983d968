"""What retention drops without an archive is said first, and that holds only for the table of which it was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from months import CLEAR, MONTH, store_events, workspace

from outreachdb.config import Settings
from outreachdb.db.pools import Pools, connect
from outreachdb.db.tenant import session
from outreachdb.errors import Conflict
from outreachdb.storage import archiving, detaching, dropping, holds, leaving, retention
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.partitions import PartitionManager

LOG = "message_log"
MESSAGES = """
    INSERT INTO outreach.message_log (workspace_id, created_at, recipient)
    SELECT %(ws)s, {month} + n * interval '1 hour', 'x@buyer.example' FROM generate_series(0, 49) AS n
"""


class Ground:
    """A database whose message log is not archived, with a month of it that is past its retention."""

    def __init__(self, url: str, pools: Pools, folder: Path) -> None:
        self.url, self.pools, self.folder = url, pools, Folder(folder)
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute("SET timezone = 'UTC'")
        self.ws = workspace(self.connection, "acme")
        self.do("UPDATE ops.partitioned_tables SET archive = false WHERE table_name = 'message_log'")
        self.do(CLEAR)

    def do(self, statement: str, **given: Any) -> list[Any]:
        cursor = self.connection.execute(statement.encode(), given or None)
        return cursor.fetchall() if cursor.description else []

    def month(self, months: int = 15) -> str:
        start = MONTH.format(months=months)
        self.do(f"SELECT outreach.ensure_partitions('message_log', {start}, {start})")
        self.do(MESSAGES.format(month=start), ws=self.ws)
        return str(self.do(f"SELECT tableoid::regclass FROM outreach.message_log WHERE created_at = {start}")[0][0])

    async def say(self, name: str, table: str = LOG) -> None:
        async with session(self.pools, role="outreachdb_owner", workload="admin") as owner:
            await owner.execute(dropping.Q.intend, {"table_name": table, "partition_name": name})

    async def detach(self, name: str, table: str = LOG, patience: float = 60.0) -> None:
        async with await connect(self.url, autocommit=True) as connection:
            await detaching.detach(connection, table, name, dropping=self.url, patience=patience)

    async def run(self, table: str = LOG) -> retention.Run:
        return await retention.run(self.pools, table, folder=self.folder)

    def count(self, name: str) -> int | None:
        """Rows of a table; None where it is gone."""
        there = self.do("SELECT 1 FROM pg_tables WHERE schemaname || '.' || tablename = %(name)s", name=name)
        return int(self.do(f"SELECT count(*) FROM {name}")[0][0]) if there else None

    def records(self) -> int:
        return len(self.do("SELECT 1 FROM ops.partition_drops"))


@pytest.fixture
async def ground(own_database_url: str, tmp_path: Path) -> AsyncIterator[Ground]:
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        made = Ground(own_database_url, pools, tmp_path)
        yield made
        made.connection.close()


async def test_a_drop_that_was_begun_is_told_held_back_and_finished(ground: Ground) -> None:
    name = ground.month()
    await ground.say(name)
    with psycopg.connect(ground.url) as reader:
        reader.execute("SELECT count(*) FROM outreach.message_log")
        with pytest.raises(Conflict, match="half detached"):
            await ground.detach(name, patience=1.0)
        (step,) = (await retention.plan(ground.pools, LOG)).steps
        assert (step.action, step.partition, step.reasons[0][:8]) == ("drop", name, "begun at")
    hold = await holds.add(ground.pools, "case 7", workspace="acme")
    (step,) = (await retention.plan(ground.pools, LOG)).steps
    assert (step.action, step.reasons[0]) == ("keep", f"legal hold {hold.id}: case 7")
    done = await ground.run()
    assert (done.dropped, [each.partition for each in done.kept], ground.count(name)) == ([], [name], 50)
    # Made whole by whoever maintains partitions, it is still what was begun.
    await PartitionManager(ground.url).maintain(LOG)
    assert (await ground.run()).dropped == []
    await holds.release(ground.pools, hold.id)
    await holds.set_policy(ground.pools, "acme", LOG, 24)
    assert (await ground.run()).dropped == []
    assert ground.count(name) == 50
    await holds.drop_policy(ground.pools, "acme", LOG)
    done = await ground.run()
    assert (done.dropped, done.rows_dropped, done.failed) == ([name], 50, [])
    assert (ground.count(name), ground.records()) == (None, 0)


async def test_a_record_does_not_outlive_what_it_was_made_for(ground: Ground) -> None:
    def attach(name: str, months: int) -> None:
        start, end = ground.do(f"SELECT {MONTH.format(months=months)}, {MONTH.format(months=months - 1)}")[0]
        ground.do(f"ALTER TABLE outreach.message_log ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')")

    by_hand, again, renamed, manager = (ground.month(months) for months in (15, 16, 17, 18))
    for name in (by_hand, again, renamed, manager):
        await ground.say(name)
    # Killed before it could detach; then a person did, for a reason of theirs.
    ground.do(f"ALTER TABLE outreach.message_log DETACH PARTITION {by_hand}")
    # Detached, attached again by a person, who detached it a second time.
    await ground.detach(again)
    attach(again, 16)
    ground.do(f"ALTER TABLE outreach.message_log DETACH PARTITION {again}")
    # Detached, and put aside under another name.
    await ground.detach(renamed)
    ground.do(f"ALTER TABLE {renamed} RENAME TO precious")
    await PartitionManager(ground.url).detach(LOG, manager)
    assert (await retention.plan(ground.pools, LOG)).steps == []
    done = await ground.run()
    assert (done.dropped, done.failed, ground.records()) == ([], [], 0)
    assert [ground.count(name) for name in (by_hand, again, "parts.precious", manager)] == [50] * 4
    # Attached again and left there it is a partition as any other, and goes as the plan says.
    attach(by_hand, 15)
    await ground.say(by_hand)
    assert [each.reasons for each in (await retention.plan(ground.pools, LOG)).steps] == [()]
    assert (await ground.run()).dropped == [by_hand]


async def test_what_is_refused_was_never_said(ground: Ground) -> None:
    name = ground.month()
    ground.do("CREATE TABLE parts.rest PARTITION OF outreach.message_log DEFAULT")
    done = await ground.run()
    assert "default partition" in done.failed[0]
    assert (ground.count(name), ground.records()) == (50, 0)
    ground.do("DROP TABLE parts.rest")
    assert (await ground.run()).dropped == [name]


async def test_an_empty_month_that_gets_a_row_in_the_last_moment_is_archived(ground: Ground) -> None:
    month = store_events(ground.connection, ground.ws, months=15, rows=3)
    ground.do("TRUNCATE outreach.email_events")
    row = ground.do(f"SELECT {MONTH.format(months=15)}, {MONTH.format(months=14)}")[0]
    await leaving.freeze(ground.pools, "email_events", *row)
    await ground.say(month, "email_events")
    ground.do(f"INSERT INTO {month} (workspace_id, event_key, created_at, event, provider)"
              f" SELECT {ground.ws}, 'late', {MONTH.format(months=15)}, 'opened', 'ses'")  # fmt: skip
    await ground.detach(month, "email_events")
    done = await ground.run("email_events")
    assert (done.failed, done.dropped, [each.rows for each in done.archived]) == ([], [], [1])
    assert (ground.count(month), ground.records()) == (None, 0)


async def test_rollups_are_not_mended_by_rows_that_are_out_of_sight(ground: Ground) -> None:
    """A detach that a person began hides the rows; a recount without them would empty the reports."""
    month = store_events(ground.connection, ground.ws, months=15, rows=3)
    with psycopg.connect(ground.url) as reader:
        reader.execute("SELECT count(*) FROM outreach.email_events")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            ground.do("SET lock_timeout = '200ms'") or ground.do(
                f"ALTER TABLE outreach.email_events DETACH PARTITION {month} CONCURRENTLY"
            )
    done = await ground.run("email_events")
    assert "rollups were not frozen" in done.failed[0]
    assert ground.count(month) == 3


async def test_a_month_leaves_while_writers_of_seconds_follow_each_other(ground: Ground) -> None:
    name = ground.month()
    await ground.say(name)
    stop = asyncio.Event()

    async def writes(first: float) -> int:
        """Transactions of 1.2 s, each of which has written before it sleeps with a snapshot, as an import does."""
        done = 0
        async with await connect(ground.url, autocommit=True) as connection:
            await asyncio.sleep(first)
            while not stop.is_set():
                async with connection.transaction():
                    await connection.execute("INSERT INTO outreach.workspaces (name) VALUES (gen_random_uuid())")
                    await connection.execute("SELECT pg_sleep(1.2)")
                done += 1
        return done

    writers = [asyncio.create_task(writes(first)) for first in (0.0, 0.4, 0.8)]
    await asyncio.sleep(1.5)
    await ground.detach(name)
    stop.set()
    assert min(await asyncio.gather(*writers)) >= 1
    assert ground.count(name) == 50, "it is apart, and not dropped yet"
    assert [each.state for each in await dropping.begun(ground.pools)] == ["apart"]


async def test_who_reads_the_table_makes_the_drop_wait_for_the_next_run(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "DROP_ATTEMPTS", 2)
    name = ground.month()
    await ground.say(name)
    await ground.detach(name)
    with psycopg.connect(ground.url) as reader:
        reader.execute(f"LOCK TABLE {name} IN ACCESS SHARE MODE".encode())
        first = await ground.run()
    assert (first.failed, first.dropped, [line.startswith(name) for line in first.waiting]) == ([], [], [True])
    again = await ground.run()
    assert (again.failed, again.waiting, again.dropped, ground.count(name)) == ([], [], [name], None)
