"""Events that name nothing of ours find their send: by a tag or variable that returns, or by the relay's own id."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

from launched import Launched, Send, launch

from outreachdb.db.tenant import Row, Tenant
from outreachdb.events import webhooks
from outreachdb.events.ingest import ingest, ingest_parsed
from outreachdb.secrets import Keyring
from outreachdb.sending import relays


async def _rows(tenant: Tenant, query: str) -> list[Row]:
    async with tenant.trusted() as session:
        return await session.all(query, [tenant.workspace_id])


async def _log(tenant: Tenant, campaign: Launched, *named: tuple[Send, str]) -> None:
    """As a worker logs messages whose relay answered with an id."""
    async with tenant.trusted() as session:
        for send, name in named:
            await session.execute(
                "INSERT INTO outreach.message_log "
                "(workspace_id, created_at, lead_id, campaign_id, send_id, provider_id, recipient) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [
                    tenant.workspace_id,
                    campaign.launched_at,
                    send.lead_id,
                    campaign.campaign_id,
                    send.id,
                    name,
                    send.recipient,
                ],
            )


async def test_what_the_relay_s_header_carries_comes_back_in_its_events(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=4)
    one, two, three, four = campaign.sends
    at = (campaign.launched_at + timedelta(minutes=5)).isoformat()

    def header(host: str, send: Send) -> str:
        return relays.line(host, send.message_id).decode().partition(": ")[2].strip()

    tag = header("smtp.mailersend.net", one)
    new = {"id": "a", "type": "opened", "message_id": "x", "recipient": one.recipient, "tags": ["b2b", tag], "meta": []}
    nested = {
        "message": {"id": "x"},
        "recipient": {"email": two.recipient},
        "tags": [header("smtp.mailersend.net", two)],
    }
    old = {"id": "b", "type": "opened", "created_at": at, "email": nested}
    # Resend returns the headers of a message, ours for SendGrid among them.
    argument = json.dumps({"unique_args": {"outreachdb_message_id": three.message_id}})
    resent = {"email_id": "r", "to": [three.recipient], "headers": [{"name": "X-SMTPAPI", "value": argument}]}
    metadata = json.loads(header("smtp.go1.unisender.ru", four))["global_metadata"]
    told = {
        "job_id": "1a3Q2V-0000OZ-S0",
        "metadata": metadata,
        "email": four.recipient,
        "status": "opened",
        "event_time": at,
    }
    bodies: list[tuple[str, Any]] = [
        ("mailersend", {"type": "activity.opened", "created_at": at, "data": new}),
        ("mailersend", {"type": "activity.opened", "created_at": at, "data": old}),
        ("resend", {"type": "email.opened", "created_at": at, "data": resent}),
        ("unisender_go", {"event_name": "transactional_email_status", "event_data": told}),
    ]
    for provider, body in bodies:
        report = await ingest_parsed(tenant, keyring, webhooks.adapter(provider).parse(json.dumps(body).encode()))
        assert (report.stored, report.unknown) == (1, 0), provider
    opened = await _rows(
        tenant, "SELECT id FROM outreach.email_sends WHERE workspace_id = %s AND opened_at IS NOT NULL"
    )
    assert len(opened) == 4


async def test_a_relay_s_own_id_leads_to_the_send(tenant: Tenant, other_tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=3)
    one, two, three = campaign.sends
    name, shared = str(uuid4()), str(uuid4())
    await _log(tenant, campaign, (one, name), (two, shared), (three, shared))
    events = [
        campaign.event(one, "opened", provider="resend", message_id=name),
        campaign.event(two, "clicked", provider="resend", message_id=shared),
        # Not to whom the message of that name went.
        campaign.event(one, "opened", provider="resend", message_id=shared),
        campaign.event(one, "opened", provider="resend", message_id=str(uuid4())),
    ]
    report = await ingest(tenant, keyring, events)
    assert (report.stored, report.unknown) == (4, 2)
    found = await _rows(
        tenant,
        "SELECT send_id, event FROM outreach.email_events WHERE workspace_id = %s AND send_id IS NOT NULL ORDER BY 1",
    )
    assert found == [{"send_id": one.id, "event": "opened"}, {"send_id": two.id, "event": "clicked"}]
    assert (await ingest(tenant, keyring, events)).duplicates == 4
    # Another workspace's messages are none of ours.
    assert (await ingest(other_tenant, keyring, events[:1])).unknown == 1


async def test_an_event_that_was_faster_than_the_log_is_matched_later(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=2)
    one, two = campaign.sends
    name = str(uuid4())
    events = [
        campaign.event(one, "bounced", severity="hard", reason="no such user", provider="resend", message_id=name),
        campaign.event(two, "opened", provider="resend", message_id=str(uuid4())),
    ]
    assert (await ingest(tenant, keyring, events)).unknown == 2
    before = await _rows(
        tenant, "SELECT event_key, raw, reason FROM outreach.email_events WHERE workspace_id = %s ORDER BY 1"
    )
    await _log(tenant, campaign, (one, name))
    async with tenant.session("jobs") as session:
        assert await session.value("SELECT outreach.match_late_events()") == 1
        assert await session.value("SELECT outreach.match_late_events()") == 0
    after = await _rows(
        tenant, "SELECT event_key, raw, reason FROM outreach.email_events WHERE workspace_id = %s ORDER BY 1"
    )
    assert after == before
    [send] = await _rows(
        tenant, "SELECT id, bounced_at FROM outreach.email_sends WHERE workspace_id = %s AND bounced_at IS NOT NULL"
    )
    assert send == {"id": one.id, "bounced_at": events[0].timestamp}
    assert (await ingest(tenant, keyring, events)).duplicates == 2


async def test_what_was_acknowledged_is_on_disk(tenant: Tenant, keyring: Keyring) -> None:
    """The tests' server has synchronous_commit off; these wait for their commit all the same."""
    campaign = await launch(tenant, keyring, leads=1)
    calls: list[tuple[str, list[Any]]] = [
        ("SELECT * FROM outreach.batch_update_email_status('[]')", []),
        ("SELECT * FROM outreach.suppress(ARRAY['gone@buyer.example'])", []),
        ("SELECT outreach.set_campaign_status(%s, 'paused')", [campaign.campaign_id]),
    ]
    for call, given in calls:
        async with tenant.session("jobs") as session:
            assert await session.value("SELECT current_setting('synchronous_commit')") == "off"
            await session.execute(call, given)
            assert await session.value("SELECT current_setting('synchronous_commit')") == "on", call
    async with tenant.session("jobs") as session:
        await session.execute("SELECT * FROM outreach.record_sends('[]', 'nobody')")
        assert await session.value("SELECT current_setting('synchronous_commit')") == "off"
