"""Sends whose fate was unknown, and the events that tell it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from launched import Launched, launch

from outreachdb.analytics import stats
from outreachdb.db.tenant import Row, Tenant
from outreachdb.events.ingest import ingest
from outreachdb.secrets import Keyring

SENT = """
    SELECT grain, sum(total)::int AS total, sum(people)::int AS people FROM (
        SELECT grain, kind, workspace_id, total, people FROM analytics.rollups
        UNION ALL SELECT grain, kind, workspace_id, total, people FROM analytics.rollup_deltas) AS t
    WHERE workspace_id = %s AND kind = 'sent' GROUP BY 1 ORDER BY 1
"""


async def rows(tenant: Tenant, query: str) -> list[Row]:
    async with tenant.trusted() as session:
        return await session.all(query, [tenant.workspace_id])


async def make_unknown(tenant: Tenant, *, begun: bool = True) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET status = 'unknown', sent_at = NULL, "
            f"begun_at = {'created_at' if begun else 'NULL'} WHERE workspace_id = %s",
            [tenant.workspace_id],
        )
        await session.execute("UPDATE outreach.leads SET status = 'new' WHERE workspace_id = %s", [tenant.workspace_id])


async def unknown(tenant: Tenant, keyring: Keyring, **changes: int) -> Launched:
    campaign = await launch(tenant, keyring, **changes)
    await make_unknown(tenant)
    return campaign


@pytest.mark.parametrize(
    ("event", "severity", "status", "lead"),
    [
        ("delivered", None, "sent", "contacted"),
        ("opened", None, "sent", "contacted"),
        ("clicked", None, "sent", "contacted"),
        ("replied", None, "sent", "replied"),
        ("bounced", "hard", "sent", "bounced"),
        ("complained", None, "sent", "unsubscribed"),
        ("unsubscribed", None, "sent", "unsubscribed"),
        ("bounced", "soft", "unknown", "new"),
        ("deferred", None, "unknown", "new"),
        ("queued", None, "unknown", "new"),
    ],
)
async def test_what_only_a_mail_that_left_can_have_settles_it(
    tenant: Tenant, keyring: Keyring, event: str, severity: str | None, status: str, lead: str
) -> None:
    campaign = await unknown(tenant, keyring, leads=1)
    await ingest(tenant, keyring, [campaign.event(campaign.sends[0], event, 5, severity=severity)])
    [send] = await rows(
        tenant,
        "SELECT s.status, s.sent_at, l.status AS lead FROM outreach.email_sends AS s "
        "JOIN outreach.leads AS l ON l.id = s.lead_id WHERE s.workspace_id = %s",
    )
    sent_at = campaign.launched_at if status == "sent" else None
    assert send == {"status": status, "sent_at": sent_at, "lead": lead}
    assert (await stats.campaign(tenant, campaign.campaign_id)).sent == (status == "sent")


async def test_it_is_counted_once_whatever_comes_later(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await unknown(tenant, keyring, leads=2, steps=2)
    events = [
        campaign.event(send, kind, n) for send in campaign.sends for n, kind in enumerate(("opened", "delivered"))
    ]
    await ingest(tenant, keyring, events[::2] + events[:1])
    await ingest(tenant, keyring, events)
    assert await rows(tenant, SENT) == [
        {"grain": "campaign", "total": 4, "people": 2},
        {"grain": "domain", "total": 4, "people": 0},
        {"grain": "mailbox", "total": 4, "people": 0},
        {"grain": "step", "total": 4, "people": 4},
        {"grain": "workspace", "total": 4, "people": 0},
    ]
    assert (
        await rows(
            tenant,
            "SELECT sent_count, open_count, last_contacted_at FROM outreach.lead_engagement WHERE workspace_id = %s",
        )
        == [{"sent_count": 2, "open_count": 2, "last_contacted_at": campaign.launched_at}] * 2
    )


async def test_without_a_begin_the_first_event_gives_the_instant(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    await make_unknown(tenant, begun=False)
    (send,) = campaign.sends
    await ingest(tenant, keyring, [campaign.event(send, "opened", 9), campaign.event(send, "delivered", 4)])
    assert await rows(tenant, "SELECT status, sent_at FROM outreach.email_sends WHERE workspace_id = %s") == [
        {"status": "sent", "sent_at": campaign.launched_at + timedelta(minutes=4)}
    ]
