"""Limits inside the claim: frequency cap, ramp-up, distance between mails, fair shares and priorities."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mailing import Sink, add_leads, campaign_file, launched, rows, statuses
from test_claims import opened

from outreachdb.campaigns import campaigns
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict
from outreachdb.secrets import Keyring
from outreachdb.sending import Limits, dispatch, schedule, set_limits
from outreachdb.sending.ledger import Ledger, Send

LEASE = timedelta(minutes=5)
CLAIM = "SELECT send_id, lead_id FROM outreach.claim_sends(%s, %s, '5 minutes') WHERE verdict = 'claimed'"


def boxes(port: int, count: int = 1, **limits: Any) -> list[dict[str, Any]]:
    smtp = {"host": "127.0.0.1", "port": port, "security": "plain"}
    return [{"address": f"m{n}@sender.example", "smtp": smtp, **limits} for n in range(count)]


async def change(tenant: Tenant, table: str, what: str) -> None:
    async with tenant.trusted() as session:
        await session.execute(f"UPDATE outreach.{table} SET {what}", [tenant.workspace_id])


async def record(ledger: Ledger, sends: list[Send]) -> None:
    await ledger.begin(sends)
    await ledger.record([{"id": send.send_id, "created_at": send.created_at, "outcome": "sent"} for send in sends])


async def test_the_frequency_cap_holds_over_campaigns_and_claims(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 20)
    await set_limits(tenant, Limits(2, 7))
    for name in ("a", "b", "c"):
        await launched(tenant, keyring, 25, name=name)
    ledger = Ledger(tenant, LEASE)
    claimed: list[Send] = []
    while True:
        sends, others = await ledger.claim(1000, [])
        claimed += sends
        if not sends and not others:
            break
    per_lead = Counter(send.lead_id for send in claimed)
    assert set(per_lead.values()) == {2}
    assert len(per_lead) == 20
    await record(ledger, claimed)
    await change(tenant, "email_sends", "scheduled_at = now() WHERE workspace_id = %s AND status = 'scheduled'")
    sends, others = await ledger.claim(1000, [])
    assert sends == []
    assert {row["verdict"] for row in others} == {"postponed"}
    [waits] = await rows(
        tenant,
        "SELECT min(scheduled_at) AS first, count(*) AS n FROM outreach.email_sends "
        "WHERE workspace_id = %s AND status = 'scheduled'",
        tenant.workspace_id,
    )
    assert waits["n"] == 20
    assert timedelta(days=6, hours=23) < waits["first"] - datetime.now(UTC) < timedelta(days=7)
    # A launch now leaves everybody out; the same leads come in when their mails are older than that.
    made = await launched(tenant, keyring, 25, name="d")
    assert (made.scheduled, made.excluded) == (0, {"frequency_cap": 20})
    past = "sent_at = sent_at - interval '8 days', begun_at = begun_at - interval '8 days'"
    await change(tenant, "email_sends", f"{past} WHERE workspace_id = %s AND status = 'sent'")
    assert (await launched(tenant, keyring, 25, name="e")).scheduled == 20


async def test_two_claims_at_once_don_t_both_fill_the_cap(tenant: Tenant, keyring: Keyring, database_url: str) -> None:
    await add_leads(tenant, 10)
    await set_limits(tenant, Limits(1, 7))
    for name in ("a", "b"):
        await launched(tenant, keyring, 25, name=name)
    async with opened(database_url, tenant) as one, opened(database_url, tenant) as two:
        first = await (await one.execute(CLAIM, [10, "one"])).fetchall()
        second = asyncio.create_task(two.execute(CLAIM, [20, "two"]))
        await asyncio.sleep(0.1)
        assert not second.done(), "it waits for its turn"
        await one.commit()
        then = await (await second).fetchall()
        await two.commit()
    leads = [row[1] for row in (*first, *then)]
    assert len(leads) == len(set(leads))


async def test_ramp_up_begins_with_the_first_launch(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 40)
    ramp = {"daily_cap": 25, "ramp_up": {"first_day": 5, "increase": 10}}
    await launched(tenant, keyring, sink.port, mailboxes=boxes(sink.port, **ramp))
    for days, expected in ((0, 5), (1, 15), (2, 25), (3, 25)):
        await change(
            tenant,
            "mailboxes",
            f"ramp_from = timezone('UTC', now())::date - {days} WHERE workspace_id = %s AND ramp_from IS NOT NULL",
        )
        await dispatch.run(tenant, keyring)
        assert len(sink.messages) == expected
    [mailbox] = (await campaigns.show(tenant, "spring")).mailboxes
    assert mailbox["ramp_from"] is not None


async def test_mails_of_a_mailbox_keep_their_distance(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 8)
    await launched(tenant, keyring, sink.port, mailboxes=boxes(sink.port, 2, min_spacing=1))
    await change(tenant, "mailboxes", "min_spacing_ms = 300 WHERE workspace_id = %s")
    reports = await asyncio.gather(*(dispatch.run(tenant, keyring) for _ in range(2)))
    assert sum(report.sent for report in reports) == 8
    begun = await rows(
        tenant,
        "SELECT mailbox_id, begun_at - lag(begun_at) OVER (PARTITION BY mailbox_id ORDER BY begun_at) AS since "
        "FROM outreach.email_sends WHERE workspace_id = %s",
        tenant.workspace_id,
    )
    assert len({row["mailbox_id"] for row in begun}) == 2
    assert min(row["since"] for row in begun if row["since"]) >= timedelta(milliseconds=300)


async def test_a_large_campaign_does_not_hold_up_a_small_one(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 300)
    large = await launched(tenant, keyring, 25, name="large")
    some = {"field": "first_name", "op": "in", "value": [f"Name{n}" for n in range(1, 21)]}
    small = await launched(tenant, keyring, 25, name="small", segment=some)
    urgent = await launched(tenant, keyring, 25, name="urgent", segment=some, priority=5)
    ledger = Ledger(tenant, LEASE)
    first, _ = await ledger.claim(20, [])
    assert {send.campaign_id for send in first} == {urgent.campaign_id}
    second, _ = await ledger.claim(30, [])
    shares = Counter(send.campaign_id for send in second)
    assert shares == {large.campaign_id: 15, small.campaign_id: 15}


async def test_shares_of_a_capped_mailbox(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 50)
    for name in ("a", "b"):
        await launched(tenant, keyring, 25, name=name, mailboxes=boxes(25, daily_cap=10))
    sends, _ = await Ledger(tenant, LEASE).claim(100, [])
    assert sorted(Counter(send.campaign_id for send in sends).values()) == [5, 5]


async def test_adding_leads_touches_nobody_else(hundred: Tenant, keyring: Keyring) -> None:
    async with hundred.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, first_name, company_name, email_status) "
            "VALUES (%s, 'wrong@example.org', 'W', 'C', 'invalid')",
            [hundred.workspace_id],
        )
    made = await launched(hundred, keyring, 25)
    assert made.excluded == {"invalid": 1}
    before = await rows(
        hundred, "SELECT * FROM outreach.email_sends WHERE workspace_id = %s ORDER BY id", hundred.workspace_id
    )
    await add_leads(hundred, 30, "late")
    await change(hundred, "leads", "email_status = 'valid' WHERE workspace_id = %s AND email = 'wrong@example.org'")
    added = await schedule.add(hundred, "spring")
    assert (added.scheduled, added.excluded) == (31, {"already_in_campaign": 100})
    assert (await campaigns.show(hundred, "spring")).excluded == {}
    again = await schedule.add(hundred, "spring")
    assert (again.scheduled, again.excluded) == (0, {"already_in_campaign": 131})
    after = await rows(
        hundred, "SELECT * FROM outreach.email_sends WHERE workspace_id = %s ORDER BY id", hundred.workspace_id
    )
    assert after[:100] == before
    assert {row["created_at"] for row in after} == {before[0]["created_at"]}
    [total] = await rows(
        hundred,
        "SELECT sum(total)::int AS n FROM analytics.rollup_deltas "
        "WHERE workspace_id = %s AND grain = 'campaign' AND kind = 'scheduled'",
        hundred.workspace_id,
    )
    assert total["n"] == 131


async def test_add_while_others_add_launch_and_claim(hundred: Tenant, keyring: Keyring, database_url: str) -> None:
    draft = await campaigns.create(hundred, keyring, campaign_file(25))
    async with opened(database_url, hundred) as launching, opened(database_url, hundred) as adding:
        await launching.execute("SELECT outreach.bulk_schedule_email_sends(%s, now())", [draft.id])
        late = asyncio.create_task(adding.execute("SELECT scheduled FROM outreach.add_campaign_leads(%s)", [draft.id]))
        await asyncio.sleep(0.1)
        assert not late.done(), "an add waits for the launch under way"
        await launching.commit()
        assert await (await late).fetchall() == [(0,)]
        await adding.commit()
    await add_leads(hundred, 50, "late")
    async with opened(database_url, hundred) as one, opened(database_url, hundred) as two:
        await one.execute("SELECT outreach.add_campaign_leads(%s)", [draft.id])
        # Claims go on meanwhile, and a second add waits for the first.
        claims, _ = await Ledger(hundred, LEASE).claim(10, [])
        assert len(claims) == 10
        second = asyncio.create_task(two.execute("SELECT scheduled FROM outreach.add_campaign_leads(%s)", [draft.id]))
        await asyncio.sleep(0.1)
        assert not second.done()
        await one.commit()
        assert await (await second).fetchall() == [(0,)]
        await two.commit()
    assert await statuses(hundred) == {"scheduled": 140, "claimed": 10}


async def test_the_next_run_leaves_out_whom_the_last_mailed(hundred: Tenant, keyring: Keyring, sink: Sink) -> None:
    await launched(hundred, keyring, sink.port)
    await dispatch.run(hundred, keyring)
    await add_leads(hundred, 5, "late")
    made = await schedule.next_run(hundred, "spring")
    assert (made.run, made.status, made.name) == (2, "draft", "spring")
    launch = await schedule.launch(hundred, "spring")
    assert (launch.scheduled, launch.excluded) == (5, {"already_in_campaign": 100})
    assert (await campaigns.show(hundred, made.id)).excluded == {"already_in_campaign": 100}
    await dispatch.run(hundred, keyring)
    assert set(sink.recipients().values()) == {1}


async def test_variants_are_stable_and_recorded(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 400)
    step = {
        "variants": [
            {"name": "A", "weight": 3, "subject": "Version A", "text": "a"},
            {"name": "B", "subject": "Version B", "text": "b"},
        ]
    }
    await launched(tenant, keyring, sink.port, steps=[step])
    await dispatch.run(tenant, keyring)
    recorded = {
        row["recipient"]: row["variant"]
        for row in await rows(
            tenant, "SELECT recipient, variant FROM outreach.email_sends WHERE workspace_id = %s", tenant.workspace_id
        )
    }
    assert 250 < sum(variant == "A" for variant in recorded.values()) < 350
    for recipient, variant in list(recorded.items())[:40]:
        assert sink.parsed(recipient)["Subject"] == f"Version {variant}"
    told = (await campaigns.show(tenant, "spring")).variants
    assert [(row["variant"], row["sent"]) for row in told] == sorted(Counter(recorded.values()).items())


async def test_a_scheduled_campaign_is_launched_by_a_worker(hundred: Tenant, keyring: Keyring, sink: Sink) -> None:
    made = await campaigns.create(hundred, keyring, campaign_file(sink.port))
    planned = await schedule.plan(hundred, made.id, datetime.now(UTC) + timedelta(hours=1))
    assert planned.status == "scheduled"
    assert (await dispatch.run(hundred, keyring)).sent == 0
    await change(
        hundred, "campaigns", 'settings = settings || \'{"start": "2026-01-01T00:00:00Z"}\' WHERE workspace_id = %s'
    )
    both = await asyncio.gather(*(dispatch.run(hundred, keyring) for _ in range(2)))
    assert sum(report.sent for report in both) == 100


async def test_a_planned_campaign_is_planned_anew_or_launched_after_all(
    hundred: Tenant, keyring: Keyring, sink: Sink
) -> None:
    made = await campaigns.create(hundred, keyring, campaign_file(sink.port))
    later = datetime.now(UTC) + timedelta(days=2)
    await schedule.plan(hundred, made.id, later + timedelta(days=1))
    assert (await schedule.plan(hundred, made.id, later)).status == "scheduled"
    start = "SELECT (settings ->> 'start')::timestamptz AS start FROM outreach.campaigns WHERE workspace_id = %s"
    assert await rows(hundred, start, hundred.workspace_id) == [{"start": later}]
    assert (await schedule.launch(hundred, made.id)).scheduled == 100
    assert (await dispatch.run(hundred, keyring)).sent == 100, "what was planned holds nobody up"
    with pytest.raises(Conflict, match="can't become scheduled"):
        await schedule.plan(hundred, made.id, later)
    assert await rows(hundred, start, hundred.workspace_id) == [{"start": None}]
