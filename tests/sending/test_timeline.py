"""Why a lead got a mail or none, in one timeline; and what people decide about the unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from mailing import Sink, add_leads, campaign_file, launched, rows, statuses

from outreachdb.analytics import stats
from outreachdb.campaigns import campaigns
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, NotFound
from outreachdb.events.ingest import ingest
from outreachdb.events.normal import NormalEvent
from outreachdb.leads import suppression
from outreachdb.secrets import Keyring
from outreachdb.sending import Happening, Limits, decide, dispatch, set_limits, stories, unknown, why
from outreachdb.sending.ledger import Ledger

LEASE = timedelta(minutes=5)
STEPS = [{"subject": f"step {n}", "text": "x", "delay": "2 days" if n > 1 else 0} for n in (1, 2)]


def told(timeline: list[Happening]) -> str:
    assert [each.at for each in timeline] == sorted(each.at for each in timeline)
    return "\n".join(f"{each.kind}: {each.what}" for each in timeline)


async def test_a_mail_s_whole_story(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 2)
    await launched(tenant, keyring, sink.port, steps=STEPS)
    before = told(await why(tenant, "lead1@example.org", "spring"))
    assert "step 1: it is due and waits for a worker" in before
    assert "schedule: step 2 is scheduled from ann@sender.example, 2 days after step 1\n" in before
    assert "step 2: it waits until step 1 has left, and 2 days more" in before
    await dispatch.run(tenant, keyring)
    later = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d")
    assert f"step 2: it waits until {later}" in told(await why(tenant, "lead1@example.org", "spring"))
    message = str(sink.parsed("lead1@example.org")["Message-ID"])
    [send] = await rows(
        tenant,
        "SELECT sent_at FROM outreach.email_sends "
        "WHERE workspace_id = %s AND recipient = 'lead1@example.org' AND step = 1",
        tenant.workspace_id,
    )
    event = NormalEvent(
        event="complained", recipient="lead1@example.org", timestamp=send["sent_at"] + timedelta(seconds=5),
        provider="sendgrid", message_id=message, event_id="e1", reason="junk",
    )  # fmt: skip
    await ingest(tenant, keyring, [event])
    after = told(await why(tenant, "lead1@example.org", "spring"))
    assert "step 2: it will not be sent: the address or its domain is suppressed" in after
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET scheduled_at = now() WHERE workspace_id = %s AND status = 'scheduled'",
            [tenant.workspace_id],
        )
    await dispatch.run(tenant, keyring)
    text = told(await why(tenant, "lead1@example.org", "spring"))
    for line in (
        "campaign: the campaign was launched",
        "schedule: step 1 is scheduled from ann@sender.example, not before",
        "claim: step 1 was claimed by",
        "attempt: step 1: the server took the mail",
        f"message: message {message} from ann@sender.example: step 1 (250 2.0.0 taken)",
        "event: step 1: complained says sendgrid: junk",
        "suppression: lead1@example.org was suppressed: complained (event)",
        "schedule: step 2: will not be sent: suppressed",
        "segment: the lead is in the campaign's segment",
    ):
        assert line in text, text


async def test_why_not(tenant: Tenant, other_tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 3)
    await suppression.add(tenant, ["lead1@example.org"], reason="manual", source="test")
    made = await campaigns.create(tenant, keyring, campaign_file(25))
    assert "nothing is scheduled yet" in told(await why(tenant, "lead2@example.org", made.id))
    from outreachdb.sending import schedule

    await schedule.launch(tenant, made.id)
    await add_leads(tenant, 1, "late")
    assert "exclusion: left out: its address or domain was suppressed" in told(
        await why(tenant, "lead1@example.org", "spring")
    )
    assert "entered the segment after the launch" in told(await why(tenant, "late1@example.org", "spring"))
    await campaigns.pause(tenant, "spring")
    assert "step 1: the campaign is paused" in told(await why(tenant, "lead2@example.org", "spring"))
    with pytest.raises(NotFound):
        await why(tenant, "nobody@example.org", "spring")
    with pytest.raises(NotFound):
        await why(other_tenant, "lead2@example.org", "spring")


async def test_without_a_campaign_all_that_concern_the_lead_are_told(
    tenant: Tenant, keyring: Keyring, sink: Sink
) -> None:
    await add_leads(tenant, 2)
    with pytest.raises(NotFound, match="has no campaign yet"):
        await stories(tenant, "lead1@example.org")
    await launched(tenant, keyring, sink.port, name="first")
    await suppression.add(tenant, ["lead1@example.org"], reason="manual", source="test")
    await launched(tenant, keyring, sink.port, name="second")
    await campaigns.create(tenant, keyring, campaign_file(sink.port, name="draft"))
    found, there = await stories(tenant, "lead1@example.org")
    assert ([(each.campaign, each.concerned) for each in found], there) == ([("second", True), ("first", True)], 2)
    assert "exclusion: left out: its address or domain was suppressed" in told(found[0].timeline)
    assert "it will not be sent: the address or its domain is suppressed" in told(found[1].timeline)
    newest, there = await stories(tenant, "lead2@example.org", limit=1)
    assert ([each.campaign for each in newest], there) == (["second"], 2)
    await add_leads(tenant, 1, "late")
    [only], there = await stories(tenant, "late1@example.org")
    assert (only.campaign, only.concerned, there) == ("draft", False, 1)
    assert "nothing is scheduled yet" in told(only.timeline)
    with pytest.raises(NotFound, match="no lead"):
        await stories(tenant, "nobody@example.org")


async def test_what_holds_a_mail_up_is_named(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    """A window that is closed, the frequency cap, a mailbox that keeps its distance, a start that lies ahead."""

    async def last(campaign: str) -> str:
        return (await why(tenant, "lead1@example.org", campaign))[-1].what

    await add_leads(tenant, 1)
    smtp = {"host": "127.0.0.1", "port": sink.port, "security": "plain"}
    boxes = [{"address": "slow@sender.example", "smtp": smtp, "min_spacing": 3600}]
    # Two hours on a day that is neither today nor, by any clock, tomorrow or yesterday.
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(datetime.now(UTC).weekday() + 3) % 7]
    window = {"from": "09:00", "to": "11:00", "days": [day], "timezone": "Asia/Tokyo"}
    await launched(tenant, keyring, sink.port, name="shut", window=window)
    assert (await last("shut")).endswith("UTC: by the clock of Asia/Tokyo the campaign's window is closed")
    # Due, as one that was left over when the window closed.
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET scheduled_at = now() WHERE workspace_id = %s", [tenant.workspace_id]
        )
    assert "by the clock of Asia/Tokyo" in await last("shut")
    start = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    await launched(tenant, keyring, sink.port, name="later", start=start)
    assert (await last("later")).endswith("UTC: the campaign begins then")

    began = datetime.now(UTC)
    await launched(tenant, keyring, sink.port, name="first", mailboxes=boxes)
    await dispatch.run(tenant, keyring)
    await launched(tenant, keyring, sink.port, name="second", mailboxes=boxes)
    assert await last("second") == "step 1: it is due; the mailbox slow@sender.example keeps its distance between mails"
    await set_limits(tenant, Limits(1, 7))
    capped = await last("second")
    assert capped.endswith("UTC: the lead has got as many mails lately as the workspace allows")
    ends = {began + timedelta(days=7), datetime.now(UTC) + timedelta(days=7)}
    assert any(capped.startswith(f"step 1: it waits until {each:%Y-%m-%d}") for each in ends)
    await set_limits(tenant, None)
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.mailboxes SET next_free_at = now() WHERE workspace_id = %s", [tenant.workspace_id]
        )
    assert await last("second") == "step 1: it is due and waits for a worker"


async def test_putting_off_and_losing_a_worker_are_told(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 1, "refused4-")
    await launched(tenant, keyring, sink.port)
    await dispatch.run(tenant, keyring)
    assert "attempt: step 1: put off: 451 4.3.0 try again later" in told(
        await why(tenant, "refused4-1@example.org", "spring")
    )
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET scheduled_at = now() WHERE workspace_id = %s", [tenant.workspace_id]
        )
    lost = Ledger(tenant, timedelta(microseconds=1))
    assert len((await lost.claim(10, []))[0]) == 1
    await lost.release_expired()
    assert "attempt: step 1: the worker was lost before it began" in told(
        await why(tenant, "refused4-1@example.org", "spring")
    )


async def test_people_decide_about_the_unknown(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 9)
    made = await launched(tenant, keyring, sink.port)
    lost = Ledger(tenant, LEASE)
    sends, _ = await lost.claim(10, [])
    await lost.begin(sends)
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET lease_expires_at = now() WHERE workspace_id = %s", [tenant.workspace_id]
        )
    assert (await dispatch.run(tenant, keyring)).unknown == 9
    assert sink.messages == [], "none is sent again by itself"
    listed = await unknown(tenant, "spring")
    assert [row["recipient"] for row in listed] == [row["recipient"] for row in await unknown(tenant)]
    assert "nobody knows whether it left" in told(await why(tenant, listed[0]["lead_id"], "spring"))
    assert await decide(tenant, listed[:2], "sent") == 2
    assert await decide(tenant, listed[:4], "failed") == 2
    assert await decide(tenant, listed[4:8], "resend") == 4
    assert (await dispatch.run(tenant, keyring)).sent == 4
    assert sink.recipients() == {row["recipient"]: 1 for row in listed[4:8]}
    assert await statuses(tenant) == {"sent": 6, "failed": 2, "unknown": 1}
    assert (await stats.campaign(tenant, made.campaign_id)).sent == 6
    [log] = await rows(
        tenant, "SELECT count(*) AS n FROM outreach.message_log WHERE workspace_id = %s", tenant.workspace_id
    )
    assert log["n"] == 6
    assert (await campaigns.find(tenant, made.campaign_id)).status == "running", "one is undecided still"
    await campaigns.cancel(tenant, made.campaign_id)
    with pytest.raises(Conflict, match="closed campaign"):
        await decide(tenant, listed[8:], "resend")


async def test_a_send_settled_by_an_event_is_in_the_log(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 1)
    await launched(tenant, keyring, 25)
    lost = Ledger(tenant, LEASE)
    sends, _ = await lost.claim(1, [])
    await lost.begin(sends)
    await lost.record([{"id": sends[0].send_id, "created_at": sends[0].created_at, "outcome": "unknown"}])
    from outreachdb.sending import message_id

    identity = message_id.make(keyring, tenant.workspace_id, sends[0].send_id, sends[0].created_at, "sender.example")
    for _ in range(2):
        event = NormalEvent(
            event="delivered", recipient="lead1@example.org", timestamp=sends[0].created_at, provider="sendgrid",
            message_id=identity, event_id="d1",
        )  # fmt: skip
        await ingest(tenant, keyring, [event])
    log = await rows(
        tenant,
        "SELECT recipient, sender, response FROM outreach.message_log WHERE workspace_id = %s",
        tenant.workspace_id,
    )
    assert log == [
        {"recipient": "lead1@example.org", "sender": "ann@sender.example", "response": "settled by an event"}
    ]


async def test_a_second_send_is_refused_by_a_rule_with_a_name(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 1)
    await launched(tenant, keyring, 25)
    with pytest.raises(Conflict, match="no send is made twice") as caught:
        async with tenant.trusted(doing="scheduling") as session:
            await session.execute(
                "INSERT INTO outreach.email_sends (workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, "
                "recipient, scheduled_at) SELECT workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, "
                "recipient, scheduled_at FROM outreach.email_sends WHERE workspace_id = %s",
                [tenant.workspace_id],
            )
    assert caught.value.context["constraint"] == "uq_email_sends_exactly_once"
