from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from launched import launch

from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput
from outreachdb.events.ingest import IngestReport, ingest
from outreachdb.secrets import Keyring


async def _value(tenant: Tenant, query: str, **given: Any) -> Any:
    async with tenant.session() as session:
        return await session.value(query, {"ws": tenant.workspace_id} | given)


async def _row(tenant: Tenant, query: str, **given: Any) -> dict[str, Any]:
    async with tenant.session() as session:
        row = await session.one(query, {"ws": tenant.workspace_id} | given)
    assert row is not None
    return row


async def test_an_event_is_stored_once_however_often_it_comes(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring)
    events = [campaign.event(send, "delivered") for send in campaign.sends]
    assert await ingest(tenant, keyring, [*events, events[0]]) == IngestReport(6, 5, 1)
    assert await ingest(tenant, keyring, events[::-1]) == IngestReport(5, 0, 5)
    assert await _value(tenant, "SELECT count(*) FROM outreach.email_events WHERE workspace_id = %(ws)s") == 5


async def test_without_an_event_id_the_payload_tells_a_redelivery(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring)
    first = campaign.event(campaign.sends[0], "opened", event_id=None, raw={"a": 1, "b": 2})
    again = replace(first, raw={"b": 2, "a": 1})
    other = replace(first, raw={"a": 1, "b": 3})
    assert await ingest(tenant, keyring, [first, again, other]) == IngestReport(3, 2, 1)


async def test_the_first_instant_of_a_kind_stays_on_the_send(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    (send,) = campaign.sends
    for minutes in (30, 10, 20):
        await ingest(
            tenant, keyring, [campaign.event(send, "opened", minutes), campaign.event(send, "delivered", minutes)]
        )
    row = await _row(
        tenant,
        "SELECT opened_at, delivered_at, bounced_at, status FROM outreach.email_sends WHERE workspace_id = %(ws)s",
    )
    first = campaign.launched_at + timedelta(minutes=10)
    assert row == {"opened_at": first, "delivered_at": first, "bounced_at": None, "status": "sent"}


async def test_engagement_counts_and_keeps_the_latest(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1, steps=2)
    first, second = campaign.sends
    await ingest(tenant, keyring, [campaign.event(first, "opened", 9), campaign.event(second, "opened", 5)])
    await ingest(tenant, keyring, [campaign.event(first, "opened", 7), campaign.event(first, "clicked", 8)])
    row = await _row(
        tenant,
        "SELECT open_count, click_count, reply_count, last_opened_at FROM outreach.lead_engagement"
        " WHERE workspace_id = %(ws)s",
    )
    last = campaign.launched_at + timedelta(minutes=9)
    assert row == {"open_count": 3, "click_count": 1, "reply_count": 0, "last_opened_at": last}


@pytest.mark.parametrize(
    ("event", "severity", "reason", "status"),
    [
        ("bounced", "hard", "bounced", "bounced"),
        ("bounced", "soft", None, "contacted"),
        ("complained", None, "complained", "unsubscribed"),
        ("unsubscribed", None, "unsubscribed", "unsubscribed"),
        ("subscribed", None, None, "contacted"),
        ("replied", None, None, "replied"),
        ("rejected", None, None, "contacted"),
    ],
)
async def test_who_does_not_want_mail_is_suppressed_at_once(
    tenant: Tenant, keyring: Keyring, event: str, severity: str | None, reason: str | None, status: str
) -> None:
    campaign = await launch(tenant, keyring, leads=2)
    send = campaign.sends[0]
    # What the provider calls the recipient may differ; the address that we mailed counts.
    await ingest(tenant, keyring, [campaign.event(send, event, severity=severity, recipient="elsewhere@other.example")])
    async with tenant.session() as session:
        ws = {"ws": tenant.workspace_id}
        found = await session.all("SELECT target, reason FROM outreach.suppressions WHERE workspace_id = %(ws)s", ws)
        states = await session.all("SELECT status FROM outreach.leads WHERE workspace_id = %(ws)s ORDER BY id", ws)
    assert found == ([{"target": send.recipient.lower(), "reason": reason}] if reason else [])
    assert [row["status"] for row in states] == [status, "contacted"]


async def test_status_moves_only_forward(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=3)
    async with tenant.trusted() as session:
        for send, status in zip(campaign.sends, ("converted", "replied", "contacted"), strict=True):
            await session.execute(
                "UPDATE outreach.leads SET status = %(status)s WHERE workspace_id = %(ws)s AND id = %(id)s",
                {"ws": tenant.workspace_id, "id": send.lead_id, "status": status},
            )
    await ingest(tenant, keyring, [campaign.event(send, "replied") for send in campaign.sends])
    await ingest(tenant, keyring, [campaign.event(campaign.sends[1], "unsubscribed")])
    await ingest(tenant, keyring, [campaign.event(campaign.sends[2], "complained")])
    await ingest(tenant, keyring, [campaign.event(campaign.sends[2], "bounced", severity="hard")])
    async with tenant.session() as session:
        rows = await session.all(
            "SELECT status FROM outreach.leads WHERE workspace_id = %(ws)s ORDER BY id", {"ws": tenant.workspace_id}
        )
    assert [row["status"] for row in rows] == ["converted", "unsubscribed", "unsubscribed"]


async def test_a_suppression_that_would_expire_becomes_lasting(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    target = campaign.sends[0].recipient.lower()
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.suppressions (workspace_id, target, reason, expires_at)"
            " VALUES (%(ws)s, %(target)s, 'manual', now() + interval '1 day')",
            {"ws": tenant.workspace_id, "target": target},
        )
    await ingest(tenant, keyring, [campaign.event(campaign.sends[0], "complained")])
    row = await _row(tenant, "SELECT reason, expires_at FROM outreach.suppressions WHERE workspace_id = %(ws)s")
    assert row == {"reason": "complained", "expires_at": None}


async def test_events_of_nobody_we_know_are_kept_and_counted(
    tenant: Tenant, other_tenant: Tenant, keyring: Keyring
) -> None:
    theirs = await launch(other_tenant, keyring, leads=1)
    ours = await launch(tenant, keyring, leads=1)
    forged = ours.sends[0].message_id.replace("o1.", "o1.1", 1)
    events = [
        theirs.event(theirs.sends[0], "complained"),
        ours.event(ours.sends[0], "opened", message_id=forged),
        ours.event(ours.sends[0], "opened", message_id="<abc@elsewhere.example>"),
        ours.event(ours.sends[0], "opened", message_id=None, recipient=None),
    ]
    assert await ingest(tenant, keyring, events) == IngestReport(4, 4, 0, 0, 4)
    rows = "SELECT count(*) FROM outreach.email_events WHERE workspace_id = %(ws)s AND send_id IS NULL"
    assert await _value(tenant, rows) == 4
    assert await _value(other_tenant, "SELECT count(*) FROM outreach.email_events WHERE workspace_id = %(ws)s") == 0
    assert await _value(other_tenant, "SELECT count(*) FROM outreach.suppressions WHERE workspace_id = %(ws)s") == 0
    # Whoever complains is not mailed by us either.
    target = theirs.sends[0].recipient.lower()
    assert await _value(tenant, "SELECT target FROM outreach.suppressions WHERE workspace_id = %(ws)s") == target


async def test_what_lies_outside_the_horizon_is_rejected_with_its_reason(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    (send,) = campaign.sends
    now = datetime.now(UTC)
    instants = [
        now - timedelta(days=400),
        now - timedelta(days=300),
        now,
        now + timedelta(hours=23),
        now + timedelta(days=2),
    ]
    report = await ingest(tenant, keyring, [campaign.event(send, "opened", timestamp=instant) for instant in instants])
    assert report == IngestReport(5, 3, 0, 2, 0, {"too_old": 1, "in_the_future": 1})


async def test_an_unknown_word_is_one_bad_event_not_a_failed_batch(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    (send,) = campaign.sends
    wrong = [campaign.event(send, "exploded"), campaign.event(send, "bounced", severity="medium")]
    report = await ingest(tenant, keyring, [*wrong, campaign.event(send, "opened")])
    assert report == IngestReport(3, 1, 0, 2, 0, {"unknown_event": 1, "unknown_severity": 1})


async def test_only_impossible_instants_store_nothing(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    ancient = datetime(1, 1, 1, tzinfo=UTC)
    report = await ingest(tenant, keyring, [campaign.event(campaign.sends[0], "opened", timestamp=ancient)])
    assert report == IngestReport(1, 0, 0, 1, 0, {"too_old": 1})


async def test_a_month_that_retention_took_comes_back_for_a_late_event(own_database_url: str, keyring: Keyring) -> None:
    from outreachdb.config import Settings
    from outreachdb.db.pools import Pools
    from outreachdb.tenancy import workspaces

    late = datetime.now(UTC) - timedelta(days=150)
    async with await psycopg.AsyncConnection.connect(own_database_url, autocommit=True) as connection:
        await connection.execute(f"DROP TABLE parts.email_events_{late:%Y_%m}")
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        await workspaces.create(pools, "acme")
        tenant = await workspaces.tenant(pools, "acme")
        campaign = await launch(tenant, keyring, leads=1)
        for _ in range(2):  # the second time this process believes that the month is there
            event = campaign.event(campaign.sends[0], "opened", timestamp=late)
            assert await ingest(tenant, keyring, [event]) == IngestReport(1, 1)
            async with await psycopg.AsyncConnection.connect(own_database_url, autocommit=True) as connection:
                await connection.execute(f"DROP TABLE parts.email_events_{late:%Y_%m}")


async def test_sends_of_several_months_are_found(tenant: Tenant, keyring: Keyring) -> None:
    now = datetime.now(UTC).replace(microsecond=123456)
    campaigns = [await launch(tenant, keyring, leads=2, launched_at=now - timedelta(days=40 * n)) for n in range(3)]
    events = [campaign.event(send, "delivered") for campaign in campaigns for send in campaign.sends]
    assert await ingest(tenant, keyring, events) == IngestReport(6, 6)
    query = "SELECT count(*) FROM outreach.email_sends WHERE workspace_id = %(ws)s AND delivered_at IS NOT NULL"
    assert await _value(tenant, query) == 6


async def test_two_ingesters_of_the_same_events_in_opposite_order(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=200)
    events = [
        campaign.event(send, kind, minutes, severity="hard" if kind == "bounced" else None)
        for send in campaign.sends
        for minutes, kind in enumerate(("delivered", "opened", "bounced"))
    ]
    reports = await asyncio.gather(
        *(ingest(tenant, keyring, order) for order in (events, events[::-1], events[::2] + events[1::2]))
    )
    assert sum(report.stored for report in reports) == 600
    assert sum(report.duplicates for report in reports) == 1200
    assert (
        await _value(tenant, "SELECT sum(open_count) FROM outreach.lead_engagement WHERE workspace_id = %(ws)s") == 200
    )


async def test_the_function_refuses_what_is_no_batch(tenant: Tenant) -> None:
    call = "SELECT * FROM outreach.batch_update_email_status(%(events)s)"
    for document in ("{}", "null", "3"):
        with pytest.raises(InvalidInput, match="must be a JSON array"):
            await _value(tenant, call, events=document)
    incomplete = json.dumps([{"event": "opened"}, {}])
    row = await _row(tenant, call, events=incomplete)
    assert (row["received"], row["rejected"], row["reasons"]) == (2, 2, {"incomplete": 2})
    assert (await _row(tenant, call, events="[]"))["received"] == 0


async def test_the_function_needs_a_workspace(pools: Any) -> None:
    from outreachdb.db.tenant import APP_ROLE, session

    with pytest.raises(InvalidInput, match="no workspace is set"):
        async with session(pools, role=APP_ROLE) as opened:
            await opened.execute("SELECT * FROM outreach.batch_update_email_status('[]')")
