"""Inserts, late events, folds, crashes, retention in any order: always what a recount of all accepted events says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from recounting import Accepted, counted, summed, totalled, two_campaigns

from outreachdb.analytics import rollups, stats
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import OutreachDBError
from outreachdb.events.ingest import ingest
from outreachdb.events.normal import NormalEvent
from outreachdb.secrets import Keyring
from outreachdb.tenancy import workspaces

KINDS = ("delivered", "opened", "opened", "clicked", "replied", "bounced", "complained", "unsubscribed", "deferred")
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
KILL = WAITING.replace("SELECT pid", "SELECT pg_terminate_backend(pid)")


def month_start(back: int) -> datetime:
    """The first instant of the month that is ``back`` months ago."""
    now = datetime.now(UTC)
    months = now.year * 12 + now.month - 1 - back
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


class Plan:
    """One random history of a database of its own."""

    def __init__(self, url: str, tenant: Tenant, keyring: Keyring, accepted: Accepted, chance: random.Random) -> None:
        self.url, self.tenant, self.keyring, self.accepted, self.chance = url, tenant, keyring, accepted, chance
        self.told: list[NormalEvent] = []
        self.horizon = datetime.min.replace(tzinfo=UTC)
        self.gone: frozenset[str] = frozenset()
        self.steps = {"new": 6, "again": 2, "fold": 3, "killed fold": 2, "killed ingest": 2, "reconcile": 1}
        self.steps |= {"events go": 1, "sends go": 1}

    async def run(self, length: int) -> None:
        for _ in range(length):
            (step,) = self.chance.choices(list(self.steps), list(self.steps.values()))
            await getattr(self, step.replace(" ", "_"))()
            assert await counted(self.tenant) == self.accepted.buckets(), step
        assert (await rollups.reconcile(self.tenant, days=500)).drifted == 0
        await rollups.fold(self.tenant)
        assert await totalled(self.tenant) == summed(self.accepted.buckets())

    def _events(self, size: int) -> list[NormalEvent]:
        """Between each campaign's launch and now, so many of them late."""
        now = datetime.now(UTC)
        made = []
        for _ in range(size):
            number = self.chance.randrange(len(self.accepted.sends))
            launched = self.accepted.event(number, "opened", 0).timestamp
            kind = self.chance.choice(KINDS)
            hard = {"severity": self.chance.choice(["hard", "soft"])} if kind == "bounced" else {}
            minutes = self.chance.uniform(0, (now - launched) / timedelta(minutes=1))
            made.append(self.accepted.event(number, kind, minutes, **hard))
        return made

    async def _take(self, batch: list[NormalEvent]) -> None:
        report = await ingest(self.tenant, self.keyring, batch)
        assert report.received == len(batch)
        self._note(batch)

    def _note(self, batch: list[NormalEvent]) -> None:
        live = {send.message_id for campaign in self.accepted.campaigns for send in campaign.sends}
        for event in batch:
            if event.timestamp >= self.horizon and event.message_id in live - self.gone:
                self.accepted.take(event)
        self.told += batch

    async def new(self) -> None:
        await self._take(self._events(self.chance.randint(1, 25)))

    async def again(self) -> None:
        """A provider delivers once more."""
        await ingest(self.tenant, self.keyring, self.chance.sample(self.told, min(len(self.told), 20)))

    async def fold(self) -> None:
        await rollups.fold(self.tenant, portion=self.chance.choice([3, 40, 100_000]))

    async def killed_fold(self) -> None:
        """The backend dies while it adds to the rollups, after it took some deltas away."""
        await self._killed("LOCK TABLE analytics.totals IN SHARE MODE", rollups.fold(self.tenant))

    async def killed_ingest(self) -> None:
        """The backend dies in the middle of a batch, which comes again."""
        batch = self._events(9)
        if await self._killed(
            "LOCK TABLE analytics.rollup_deltas IN SHARE MODE", ingest(self.tenant, self.keyring, batch)
        ):
            await self._take(batch)
        else:
            self._note(batch)

    async def _killed(self, lock: str, work: object) -> bool:
        """Kill the work where the lock stops it; False where it ended without meeting the lock."""
        async with await psycopg.AsyncConnection.connect(self.url) as holder:
            await holder.execute(lock.encode())
            task = asyncio.ensure_future(work)  # type: ignore[call-overload]
            while not task.done() and not await (await holder.execute(WAITING)).fetchall():
                await asyncio.sleep(0.005)
                # Else its transaction would see no session that began after its first look.
                await holder.execute("SELECT pg_stat_clear_snapshot()")
            await holder.execute(KILL)
            try:
                await task
            except OutreachDBError:
                return True
            return False

    async def reconcile(self) -> None:
        assert (await rollups.reconcile(self.tenant, days=self.chance.randint(1, 40))).drifted == 0

    async def events_go(self) -> None:
        """Retention: months that are older than the horizon go, and what comes for them later is refused."""
        self.horizon = datetime.now(UTC) - timedelta(days=31)
        await self._drop("email_events", 3)
        await self._drop("email_events", 2)
        async with await psycopg.AsyncConnection.connect(self.url) as admin:
            await admin.execute(
                "UPDATE ops.partitioned_tables SET retention_months = 1 WHERE table_name = 'email_events'"
            )
            row = await (await admin.execute("SELECT now() - make_interval(months => 1)")).fetchone()
        assert row is not None
        self.horizon = row[0]
        self.steps["events go"] = 0

    async def sends_go(self) -> None:
        """The first campaign's sends go: what comes for them later belongs to no send."""
        await self._drop("email_sends", 3)
        self.gone = frozenset(send.message_id for send in self.accepted.campaigns[0].sends)
        self.steps["sends go"] = 0

    async def _drop(self, table: str, back: int) -> None:
        first, after = month_start(back), month_start(back - 1)
        before = [await stats.campaign(self.tenant, each.campaign_id) for each in self.accepted.campaigns]
        async with await psycopg.AsyncConnection.connect(self.url) as admin:
            froze = await (
                await admin.execute("SELECT repaired FROM outreach.freeze_rollups(%s, %s, %s)", [table, first, after])
            ).fetchone()
            assert froze == (0,)
            await admin.execute(f"DROP TABLE parts.{table}_{first:%Y_%m}".encode())
        after_it = [await stats.campaign(self.tenant, each.campaign_id) for each in self.accepted.campaigns]
        assert [each.document() | {"as_of": 0} for each in before] == [
            each.document() | {"as_of": 0} for each in after_it
        ]


@pytest.fixture
async def own_tenant(own_database_url: str) -> AsyncIterator[Tenant]:
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        yield await workspaces.tenant(pools, (await workspaces.create(pools, "acme")).name)


async def _run(url: str, tenant: Tenant, keyring: Keyring, seed: int, length: int) -> None:
    launches = (month_start(3) + timedelta(days=3), month_start(1) + timedelta(hours=5))
    accepted = await two_campaigns(tenant, keyring, leads=3, launched_at=launches)
    await Plan(url, tenant, keyring, accepted, random.Random(seed)).run(length)


@pytest.mark.parametrize("seed", range(2))
async def test_any_plan_gives_what_a_recount_gives(
    own_database_url: str, own_tenant: Tenant, keyring: Keyring, seed: int
) -> None:
    await _run(own_database_url, own_tenant, keyring, seed, 25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
async def test_many_long_plans_give_what_a_recount_gives(
    own_database_url: str, own_tenant: Tenant, keyring: Keyring, seed: int
) -> None:
    await _run(own_database_url, own_tenant, keyring, seed, 60)
