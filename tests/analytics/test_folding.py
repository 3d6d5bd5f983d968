"""Who makes deltas folds them, a bounded number at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from launched import launch

from outreachdb.analytics import rollups, stats
from outreachdb.db.tenant import Tenant
from outreachdb.events import ingest as taking_in
from outreachdb.events.ingest import ingest
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch
from outreachdb.sending.ledger import Ledger


async def pending(tenant: Tenant) -> int:
    async with tenant.trusted() as session:
        count: int = await session.value(
            "SELECT count(*) FROM analytics.rollup_deltas WHERE workspace_id = %s", [tenant.workspace_id]
        )
    return count


async def test_an_ingest_folds_when_many_are_pending(
    tenant: Tenant, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_in, "LOOK_EVERY", 1)
    monkeypatch.setattr(taking_in, "FOLD_FROM", 11)
    campaign = await launch(tenant, keyring, leads=1)
    (send,) = campaign.sends
    await ingest(tenant, keyring, [campaign.event(send, "opened", 1)])
    await ingest(tenant, keyring, [campaign.event(send, "opened", 2)])
    assert await pending(tenant) == 10
    await ingest(tenant, keyring, [campaign.event(send, "opened", 3)])
    assert await pending(tenant) == 0
    assert (await stats.campaign(tenant, campaign.campaign_id)).opened == 3


async def test_one_call_folds_no_more_than_its_limit(
    tenant: Tenant, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_in, "LOOK_EVERY", 1)
    monkeypatch.setattr(taking_in, "FOLD_FROM", 1)
    monkeypatch.setattr(taking_in, "FOLD_AT_MOST", 2)
    campaign = await launch(tenant, keyring, leads=1)
    await ingest(tenant, keyring, [campaign.event(campaign.sends[0], "opened", 1)])
    assert await pending(tenant) == 3
    assert await rollups.fold(tenant) == 3


async def test_a_worker_folds_at_the_end_of_its_run(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=2)
    await ingest(tenant, keyring, [campaign.event(send, "opened", 1) for send in campaign.sends])
    ledger = Ledger(tenant, timedelta(minutes=5))
    before = await pending(tenant)
    await ledger.fold(before + 1)
    assert await pending(tenant) == before > 0
    await dispatch.run(tenant, keyring)
    assert await pending(tenant) == 0
    assert (await stats.campaign(tenant, campaign.campaign_id)).opened == 2


async def test_a_large_fold_clears_up_after_itself(
    tenant: Tenant, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    vacuumed = "SELECT vacuum_count FROM pg_stat_all_tables WHERE relid = 'analytics.rollup_deltas'::regclass"
    counts = []
    campaign = await launch(tenant, keyring, leads=1)
    for large in (10**6, 1):
        monkeypatch.setattr(rollups, "LARGE", large)
        await ingest(tenant, keyring, [campaign.event(campaign.sends[0], "opened", large % 50)])
        assert await rollups.fold(tenant) > 0
        async with tenant.trusted() as session:
            counts.append(await session.value(vacuumed))
    assert counts[1] == counts[0] + 1
