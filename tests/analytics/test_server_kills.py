"""kill -9 of the whole server, again and again, under events, late events, folds and retention: every total is right.

What a caller was told is stored counts, whatever the server had in memory; what it was not told is delivered again, as
providers do. At the end the rollups say what a recount of everything says that was ever acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from recounting import Accepted, counted, summed, totalled, two_campaigns
from server_kills import kill_and_start

from outreachdb.analytics import rollups
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.server import MEMORY
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import OutreachDBError
from outreachdb.events.ingest import IngestReport, ingest
from outreachdb.events.normal import NormalEvent
from outreachdb.secrets import Keyring
from outreachdb.storage import querying, retention
from outreachdb.storage.archive_files import Folder
from outreachdb.tenancy import workspaces

pytestmark = pytest.mark.slow
KINDS = ("delivered", "opened", "opened", "clicked", "replied", "bounced", "complained", "unsubscribed", "deferred")
MONTHS_AGO = 6
SMALL = {"shared_buffers": "64MB", "max_connections": "60"}
MESSAGES = """
    SELECT outreach.ensure_partitions('message_log', now() - interval '16 months', now() - interval '13 months');
    INSERT INTO outreach.message_log (workspace_id, created_at, recipient)
    SELECT {ws}, now() - interval '16 months' + n * interval '1 hour', 'x@b.example' FROM generate_series(0, 2000) AS n
"""
# Months that were never used and that are past their retention: a run would be busy with them alone.
CLEAR = """
    DO $$ DECLARE old text; BEGIN
        FOR old IN SELECT partition_name FROM outreach.get_partition_info() WHERE state = 'expired' LOOP
            EXECUTE 'DROP TABLE ' || old;
        END LOOP;
    END $$
"""
LEFT = """
    SELECT c.relname FROM pg_class AS c
    WHERE c.relnamespace = 'parts'::regnamespace AND c.relkind = 'r'
      AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid AND NOT i.inhdetachpending)
    UNION ALL SELECT d.partition_name FROM ops.partition_drops AS d
    UNION ALL SELECT a.partition_name FROM ops.partition_archives AS a WHERE a.state <> 'dropped'
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """With its safety on, as in earnest: tests' own servers write pages without a way to mend half of one."""
    # In memory where there is such a place: each start after a kill syncs every file.
    home = Path(tempfile.mkdtemp(prefix="odb-", dir=MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else None))
    made = EmbeddedServer(home, fitted=SMALL)
    if os.geteuid() == 0:
        home.chmod(0o711)
    try:
        made.start()
        asyncio.run(migrate.upgrade(made.url()))
        # Whoever acknowledges asks for more than this.
        with psycopg.connect(made.url(), autocommit=True) as connection:
            connection.execute("ALTER DATABASE outreachdb SET synchronous_commit = off")
        yield made
    finally:
        made.destroy()


def month_start(back: int) -> datetime:
    now = datetime.now(UTC)
    months = now.year * 12 + now.month - 1 - back
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


class Storm:
    """Writers, a folder, retention and a killer on one server."""

    def __init__(
        self, server: EmbeddedServer, tenant: Tenant, accepted: Accepted, keyring: Keyring, folder: Path
    ) -> None:
        self.server, self.tenant, self.accepted, self.keyring = server, tenant, accepted, keyring
        self.folder = Folder(folder)
        self.chance = random.Random()
        self.told: list[NormalEvent] = []
        self.over = asyncio.Event()
        self.interrupted = 0

    async def rage(self, kills: int, *, since: datetime, work: tuple[Callable[[], Awaitable[object]], ...]) -> None:
        """Until the server was killed so often; every batch that was begun is acknowledged in the end."""
        self.over.clear()
        # What the test itself prepared was promised to nobody: without synchronous_commit the first kill might take it.
        await asyncio.to_thread(_do, self.server, "CHECKPOINT")
        tasks = [asyncio.create_task(self._write(since)) for _ in range(2)]
        tasks += [asyncio.create_task(self._repeat(each)) for each in work]
        for _ in range(kills):
            await asyncio.sleep(self.chance.uniform(0.1, 1.5))
            await asyncio.to_thread(kill_and_start, self.server)
        await asyncio.sleep(0.5)
        self.over.set()
        await asyncio.gather(*tasks)

    async def _repeat(self, work: Callable[[], Awaitable[object]]) -> None:
        while not self.over.is_set():
            try:
                await work()
            except (OutreachDBError, psycopg.Error):
                self.interrupted += 1
            await asyncio.sleep(self.chance.uniform(0, 0.2))

    async def _write(self, since: datetime) -> None:
        """New events between ``since`` and now; now and then some that were delivered before."""
        while not self.over.is_set():
            batch = self._events(self.chance.randint(1, 40), since)
            report = await self._acknowledged(batch)
            assert (report.received, report.rejected) == (len(batch), 0)
            for event in batch:
                self.accepted.take(event)
            self.told += batch
            if self.chance.random() < 0.3:
                await self._acknowledged(self.chance.sample(self.told, min(20, len(self.told))))

    async def _acknowledged(self, batch: list[NormalEvent]) -> IngestReport:
        """Delivered until the engine says that it has it."""
        while True:
            try:
                return await ingest(self.tenant, self.keyring, batch)
            except (OutreachDBError, psycopg.Error):
                self.interrupted += 1
                await asyncio.sleep(0.05)

    def _events(self, size: int, since: datetime) -> list[NormalEvent]:
        now = datetime.now(UTC)
        made = []
        for _ in range(size):
            number = self.chance.randrange(len(self.accepted.sends))
            launched = self.accepted.event(number, "opened", 0).timestamp
            first = max(since, launched)
            kind = self.chance.choice(KINDS)
            hard = {"severity": self.chance.choice(["hard", "soft"])} if kind == "bounced" else {}
            after = (first - launched) + (now - first) * self.chance.random()
            made.append(self.accepted.event(number, kind, after / timedelta(minutes=1), **hard))
        return made

    async def fold(self) -> None:
        await rollups.fold(self.tenant, portion=self.chance.choice([3, 40, 100_000]))

    async def reconcile(self) -> None:
        assert (await rollups.reconcile(self.tenant, days=self.chance.randint(1, 40))).drifted == 0

    async def retain(self) -> None:
        await retention.run(self.tenant.pools, folder=self.folder)


@pytest.fixture
async def tenant(server: EmbeddedServer) -> AsyncIterator[Tenant]:
    async with Pools(Settings.load({}, database_url=server.url())) as pools:
        made = await workspaces.create(pools, f"acme-{random.randrange(10**9)}")
        yield await workspaces.tenant(pools, made.name)


def _do(server: EmbeddedServer, statement: str) -> list[Any]:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("seed", range(2))
async def test_a_server_that_is_killed_again_and_again_gives_what_a_recount_gives(
    server: EmbeddedServer, tenant: Tenant, keyring: Keyring, tmp_path: Path, seed: int
) -> None:
    _do(server, "UPDATE ops.partitioned_tables SET retention_months = 12, archive = table_name <> 'message_log'")
    launches = (month_start(MONTHS_AGO) + timedelta(days=3), month_start(1) + timedelta(hours=5))
    _do(server, CLEAR)
    accepted = await two_campaigns(tenant, keyring, leads=5, launched_at=launches)
    storm = Storm(server, tenant, accepted, keyring, tmp_path)
    storm.chance.seed(seed)
    await storm.rage(2, since=launches[0], work=(storm.fold, storm.reconcile))
    assert await counted(tenant) == accepted.buckets()

    # From here on the old months leave, archived, and of the log without an archive; what is late is never so late.
    _do(server, MESSAGES.format(ws=tenant.workspace_id))
    _do(server, "UPDATE ops.partitioned_tables SET retention_months = 1 WHERE table_name = 'email_events'")
    since = datetime.now(UTC) - timedelta(days=27)
    await storm.rage(5, since=since, work=(storm.fold, storm.reconcile, storm.retain))

    done = await retention.run(tenant.pools, folder=storm.folder)
    assert done.failed == []
    assert _do(server, LEFT) == []
    archives = _do(
        server, f"SELECT file FROM ops.partition_archives WHERE table_name = 'email_events' AND created_at >= '{since}'"
    )
    assert len(archives) >= MONTHS_AGO - 2
    assert storm.interrupted > 3, "the kills hit nobody"
    assert await counted(tenant) == accepted.buckets()
    assert (await rollups.reconcile(tenant, days=500)).drifted == 0
    await rollups.fold(tenant)
    assert await totalled(tenant) == summed(accepted.buckets())
    answer = await querying.query(
        tenant, "SELECT count(*), count(DISTINCT event_key) FROM email_events", folder=storm.folder
    )
    assert answer.rows == [(len(accepted.events), len(accepted.events))]
    assert answer.live_rows < len(accepted.events)
    _do(server, "DELETE FROM ops.partition_archives")
