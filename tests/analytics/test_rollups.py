from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter

import pytest
from launched import launch
from recounting import Accepted, counted, summed, totalled, two_campaigns

from outreachdb.analytics import rollups, stats
from outreachdb.db.tenant import Tenant
from outreachdb.errors import NotFound
from outreachdb.events.ingest import ingest
from outreachdb.events.normal import NormalEvent
from outreachdb.secrets import Keyring

KINDS = (
    "delivered",
    "opened",
    "opened",
    "opened",
    "clicked",
    "replied",
    "bounced",
    "complained",
    "deferred",
    "queued",
    "sent",
)


def history(accepted: Accepted, chance: random.Random, size: int) -> list[NormalEvent]:
    """Events over some days in any order, late ones and redeliveries among them."""
    made = [
        accepted.event(
            chance.randrange(len(accepted.sends)),
            kind := chance.choice(KINDS),
            chance.uniform(-6000, 60),
            prefetched=kind == "opened" and chance.random() < 0.2,
            severity=chance.choice(["hard", "soft", None]) if kind == "bounced" else None,
        )
        for _ in range(size)
    ]
    made += chance.choices(made, k=size // 3)
    chance.shuffle(made)
    return made


@pytest.mark.parametrize("seed", range(4))
async def test_any_interleaving_counts_what_a_recount_counts(tenant: Tenant, keyring: Keyring, seed: int) -> None:
    chance = random.Random(seed)
    accepted = await two_campaigns(tenant, keyring)
    waiting = history(accepted, chance, 150)
    while waiting:
        size = chance.randint(1, 25)
        batch, waiting = waiting[:size], waiting[size:]
        await ingest(tenant, keyring, batch)
        for event in batch:
            accepted.take(event)
        if chance.random() < 0.4:
            await rollups.fold(tenant, portion=chance.choice([3, 50, 100_000]))
        if chance.random() < 0.3:
            await ingest(tenant, keyring, batch)
        if chance.random() < 0.3:
            assert await counted(tenant) == accepted.buckets()
    assert await counted(tenant) == accepted.buckets()
    await rollups.fold(tenant, portion=7)
    assert await counted(tenant) == accepted.buckets()
    assert await totalled(tenant) == summed(accepted.buckets())
    assert await rollups.fold(tenant) == 0
    assert (await rollups.reconcile(tenant, days=9)).drifted == 0


async def test_two_ingesters_two_folders_and_a_reader(tenant: Tenant, keyring: Keyring) -> None:
    accepted = await two_campaigns(tenant, keyring, leads=12)
    campaign = accepted.campaigns[0]
    events = history(accepted, random.Random(42), 900)
    done = asyncio.Event()
    seen: list[Counter[str]] = []

    async def take_in(part: list[NormalEvent]) -> None:
        for start in range(0, len(part), 40):
            await ingest(tenant, keyring, part[start : start + 40])

    async def keep_folding() -> None:
        while not done.is_set():
            await rollups.fold(tenant, portion=15)

    async def keep_reading() -> None:
        while not done.is_set():
            now = await stats.campaign(tenant, campaign.name)
            seen.append(Counter(opened=now.opened, unique=now.unique_opened, delivered=now.delivered))

    others = [asyncio.create_task(work()) for work in (keep_folding, keep_folding, keep_reading)]
    # Both see every event, in another order: half of what each brings is the other's duplicate.
    await asyncio.gather(take_in(events), take_in(events[::-1]))
    done.set()
    await asyncio.gather(*others)
    for event in events:
        accepted.take(event)
    assert await counted(tenant) == accepted.buckets()
    # Nothing is ever taken back, so a total that falls was read half.
    assert all(earlier <= later for earlier, later in itertools.pairwise(seen))
    assert len(seen) > 5


async def test_folded_or_not_the_numbers_are_the_same(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=4, steps=2)
    first, second, third, *_ = campaign.sends
    assert first.lead_id == second.lead_id != third.lead_id
    await ingest(
        tenant,
        keyring,
        [
            *(campaign.event(send, "delivered") for send in campaign.sends),
            campaign.event(first, "opened", 1),
            campaign.event(first, "opened", 2),
            campaign.event(second, "opened", 3),
            campaign.event(third, "opened", 4),
            campaign.event(third, "clicked", 5, url="https://example.com"),
        ],
    )
    before = (await stats.campaign(tenant, campaign.name)).document()
    assert await rollups.fold(tenant) > 0
    after = (await stats.campaign(tenant, campaign.campaign_id)).document()
    assert {**before, "as_of": None} == {**after, "as_of": None}
    assert before["as_of"] < after["as_of"]
    assert {k: v for k, v in after.items() if k not in ("as_of", "campaign_id", "name")} == {
        "scheduled": 0,
        "sent": 0,
        "delivered": 8,
        "opened": 4,
        "unique_opened": 2,
        "clicked": 1,
        "unique_clicked": 1,
        "replied": 0,
        "bounced": 0,
        "complained": 0,
        "unsubscribed": 0,
    }
    whole = await stats.workspace(tenant)
    assert (whole.delivered, whole.opened) == (8, 4)


async def test_a_providers_sent_is_not_the_ledgers(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    await ingest(tenant, keyring, [campaign.event(campaign.sends[0], kind) for kind in ("sent", "failed", "delivered")])
    found = await stats.campaign(tenant, campaign.name)
    assert (found.sent, found.delivered) == (0, 1)


async def test_statistics_stay_in_the_workspace(tenant: Tenant, other_tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    await ingest(tenant, keyring, [campaign.event(campaign.sends[0], "opened")])
    with pytest.raises(NotFound, match="no campaign"):
        await stats.campaign(other_tenant, campaign.campaign_id)
    assert (await stats.workspace(other_tenant)).opened == 0
    async with other_tenant.session() as session:
        query = "SELECT count(*) FROM outreach.rollup_totals('campaign', %(key)s)"
        assert await session.value(query, {"key": str(campaign.campaign_id)}) == 0
    assert await rollups.fold(other_tenant) == 0
    assert (await stats.workspace(tenant)).opened == 1


async def test_a_number_is_an_id_whatever_campaigns_are_called(tenant: Tenant, keyring: Keyring) -> None:
    first, second = [await launch(tenant, keyring, leads=1) for _ in range(2)]
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.campaigns SET name = %s WHERE workspace_id = %s AND id = %s",
            [str(first.campaign_id), tenant.workspace_id, second.campaign_id],
        )
    assert (await stats.campaign(tenant, first.campaign_id)).campaign_id == first.campaign_id
    assert (await stats.campaign(tenant, str(first.campaign_id))).campaign_id == second.campaign_id
    assert (await stats.campaign(tenant, str(second.campaign_id))).campaign_id == second.campaign_id


@pytest.mark.parametrize("name", ["", "none", "99999999999999999999", "-1", "١"])
async def test_an_unknown_campaign_is_named(tenant: Tenant, name: str) -> None:
    with pytest.raises(NotFound, match="outreachdb campaign list"):
        await stats.campaign(tenant, name)


async def test_every_workspace_with_deltas_is_folded(tenant: Tenant, other_tenant: Tenant, keyring: Keyring) -> None:
    for each in (tenant, other_tenant):
        campaign = await launch(each, keyring, leads=1)
        await ingest(each, keyring, [campaign.event(campaign.sends[0], "opened")])
    assert await rollups.fold_all(tenant.pools) >= 10
    for each in (tenant, other_tenant):
        assert await rollups.fold(each) == 0
        assert (await stats.workspace(each)).opened == 1
