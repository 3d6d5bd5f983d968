"""Sends of which nobody knows whether they left, and the sequences that wait for them."""

from __future__ import annotations

from datetime import timedelta

from mailing import Sink, add_leads, launched, rows, statuses

from outreachdb.analytics import stats
from outreachdb.campaigns import campaigns
from outreachdb.db.tenant import Tenant
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch
from outreachdb.sending.ledger import Ledger, Send

LEASE = timedelta(minutes=5)
STEPS = [{"subject": f"step {n}", "text": "x", "delay": "1 day" if n > 1 else 0} for n in (1, 2, 3)]


async def change(tenant: Tenant, what: str) -> None:
    async with tenant.trusted() as session:
        await session.execute(f"UPDATE outreach.email_sends SET {what}", [tenant.workspace_id])


async def due_again(tenant: Tenant) -> None:
    await change(tenant, "scheduled_at = now() WHERE workspace_id = %s AND status = 'scheduled'")


async def begun(tenant: Tenant, count: int = 200) -> tuple[Ledger, list[Send]]:
    """Sends as a worker holds them in the middle of SMTP."""
    ledger = Ledger(tenant, LEASE)
    sends, _ = await ledger.claim(count, [])
    await ledger.begin(sends)
    return ledger, sends


async def test_a_sequence_ends_when_the_step_before_stays_unknown(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 1, "dropped")
    made = await launched(tenant, keyring, sink.port, steps=STEPS)
    assert (await dispatch.run(tenant, keyring)).unknown == 1
    await due_again(tenant)
    assert (await dispatch.run(tenant, keyring)).suppressed == 0
    assert await statuses(tenant) == {"unknown": 1, "scheduled": 2}
    await change(tenant, "begun_at = now() - interval '73 hours' WHERE workspace_id = %s AND status = 'unknown'")
    for _ in range(2):
        await due_again(tenant)
        await dispatch.run(tenant, keyring)
    ended = await rows(
        tenant, "SELECT last_error FROM outreach.email_sends WHERE workspace_id = %s AND step > 1 ORDER BY step",
        tenant.workspace_id,
    )  # fmt: skip
    assert [row["last_error"] for row in ended] == ["the step before is unknown", "the step before was cancelled"]
    assert (await campaigns.find(tenant, made.campaign_id)).status == "completed"


async def test_a_lost_worker_s_mail_that_was_seen_is_sent(hundred: Tenant, keyring: Keyring) -> None:
    made = await launched(hundred, keyring, 25)
    await begun(hundred)
    await change(hundred, "lease_expires_at = now() - interval '1 second' WHERE workspace_id = %s")
    await change(
        hundred,
        "delivered_at = now() WHERE workspace_id = %s AND recipient IN ('lead1@example.org', 'lead2@example.org')",
    )
    assert await Ledger(hundred, LEASE).release_expired() == {"released": 0, "unknown": 98}
    assert await statuses(hundred) == {"sent": 2, "unknown": 98}
    assert (await stats.campaign(hundred, made.campaign_id)).sent == 2


async def test_a_worker_s_doubt_is_settled_by_an_event_that_was_faster(hundred: Tenant, keyring: Keyring) -> None:
    await launched(hundred, keyring, 25)
    ledger, sends = await begun(hundred, 2)
    await change(hundred, f"opened_at = now() WHERE workspace_id = %s AND id = {sends[0].send_id}")
    results = [{"id": send.send_id, "created_at": send.created_at, "outcome": "unknown"} for send in sends]
    assert await ledger.record(results) == {"sent": 1, "failed": 0, "deferred": 0, "unknown": 1}
