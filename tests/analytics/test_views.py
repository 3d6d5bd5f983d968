"""The views say what the rollups say, to their own workspace only, and tell as of when."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from recounting import Accepted, two_campaigns
from test_rollups import history

from outreachdb.analytics import reports, rollups, views
from outreachdb.analytics.reports import Period
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import NotFound, OutreachDBError, UsageError
from outreachdb.events.ingest import ingest
from outreachdb.secrets import Keyring

VIEWS = tuple(views.SCHEDULES)


async def rows(tenant: Tenant, query: str, **given: object) -> list[Row]:
    async with tenant.session() as session:
        return await session.all(query, given)


async def filled(tenant: Tenant, keyring: Keyring) -> Accepted:
    accepted = await two_campaigns(tenant, keyring, leads=6)
    events = history(accepted, random.Random(11), 150)
    await ingest(tenant, keyring, events)
    for event in events:
        accepted.take(event)
    return accepted


async def test_every_view_is_exact_as_of_its_refresh_and_stays_in_its_workspace(
    tenant: Tenant, other_tenant: Tenant, keyring: Keyring
) -> None:
    accepted = await filled(tenant, keyring)
    before = datetime.now(UTC) - timedelta(seconds=1)
    # Half of it folded: the views add up what is and what is not.
    await rollups.fold(tenant, portion=60)
    for name in views.SCHEDULES:
        assert (await views.refresh(tenant.pools, name)).rows is not None
    for each in accepted.campaigns:
        report = (await reports.campaign(tenant, each.campaign_id)).totals
        [row] = await rows(
            tenant, "SELECT * FROM outreach.campaign_analytics WHERE campaign_id = %(id)s", id=each.campaign_id
        )
        names = ("sent", "opened", "unique_opened", "clicked", "unique_clicked", "replied", "unique_replied")
        assert {name: row[f"{name}_count"] for name in names} == {name: report[name] for name in names}
        assert row["open_rate"] == pytest.approx(report["open_rate"], abs=1e-4)
        assert row["as_of"] > before
        steps = (await reports.campaign(tenant, each.campaign_id, by="step")).rows
        variants = (await reports.campaign(tenant, each.campaign_id, by="variant")).rows
        shown = await rows(
            tenant,
            "SELECT step, variant, opened_count FROM outreach.campaign_performance WHERE campaign_id = %(id)s"
            " ORDER BY step, variant",
            id=each.campaign_id,
        )
        told = [(row["step"], row.get("variant", ""), row["opened"]) for row in steps + variants]
        assert sorted(told) == [(row["step"], row["variant"], row["opened_count"]) for row in shown]
        assert len(told) > 3
    [usage] = await rows(tenant, "SELECT * FROM outreach.workspace_usage_analytics")
    assert (usage["lead_count"], usage["campaign_count"], usage["emails_sent"]) == (12, 2, 24)
    [leads] = await rows(tenant, "SELECT * FROM outreach.lead_analytics")
    assert (leads["new_leads"], leads["total_leads"]) == (12, 12)
    delivery = await rows(tenant, "SELECT * FROM outreach.email_deliverability_metrics ORDER BY scope, key")
    assert [row["scope"] for row in delivery] == ["mailbox", "mailbox", "workspace"]
    assert sum(row["sent_count"] for row in delivery[:2]) == delivery[2]["sent_count"] == 24
    assert all(0 <= row["reputation_score"] <= 100 for row in delivery)
    for name in views.SCHEDULES:
        own = await rows(tenant, f"SELECT workspace_id, as_of FROM outreach.{name}")
        assert {row["workspace_id"] for row in own} == {tenant.workspace_id}, name
        assert all(row["as_of"] > before for row in own), name
        theirs = await rows(other_tenant, f"SELECT workspace_id FROM outreach.{name}")
        assert {row["workspace_id"] for row in theirs} <= {other_tenant.workspace_id}, name
        with pytest.raises(OutreachDBError, match="permission denied"):
            await rows(tenant, f"SELECT * FROM analytics.{name}")


# Rate -> what is counted in mails, and by what.
SHARES = {
    "delivery_rate": ("delivered", "sent"),
    "open_rate": ("opened", "delivered"),
    "click_rate": ("clicked", "delivered"),
    "reply_rate": ("replied", "delivered"),
    "bounce_rate": ("bounced", "sent"),
}


async def test_rates_are_those_of_a_recount_wherever_they_are_told(tenant: Tenant, keyring: Keyring) -> None:
    accepted = await filled(tenant, keyring)
    recount = accepted.buckets()

    def mails(grain: str, key: str, kind: str) -> int:
        return sum(counts[1] for bucket, counts in recount.items() if bucket[:3] == (grain, key, kind))

    def rates(grain: str, key: str) -> dict[str, float]:
        return {
            name: pytest.approx(mails(grain, key, part) / mails(grain, key, whole), abs=6e-5)
            for name, (part, whole) in SHARES.items()
        }

    for name in ("campaign_analytics", "campaign_performance", "email_deliverability_metrics"):
        await views.refresh(tenant.pools, name)
    for each in accepted.campaigns:
        wanted = rates("campaign", key := str(each.campaign_id))
        assert all(mails("campaign", key, kind) > 0 for kind, _ in SHARES.values()), "nothing to tell"
        report = (await reports.campaign(tenant, each.campaign_id)).totals
        [view] = await rows(tenant, "SELECT * FROM outreach.campaign_analytics WHERE campaign_id = %(id)s", id=int(key))
        steps = await rows(
            tenant,
            "SELECT * FROM outreach.campaign_performance WHERE campaign_id = %(id)s AND variant = ''",
            id=int(key),
        )
        assert {name: report[name] for name in SHARES} == wanted
        assert {name: float(view[name]) for name in SHARES} == wanted
        for step in steps:
            assert float(step["open_rate"]) == rates("step", f"{key}:{step['step']}")["open_rate"]
        [day] = [
            row
            for row in await rows(tenant, "SELECT * FROM outreach.get_campaign_analytics(%(id)s)", id=int(key))
            if row["day"] == each.launched_at.date()
        ]
        assert day["sent_count"] == recount["campaign", key, "sent", day["day"]][0] > 0
        delivered = recount.get(("campaign", key, "delivered", day["day"]), (0, 0, 0))[1]
        assert float(day["delivery_rate"]) == pytest.approx(delivered / day["sent_count"], abs=6e-5)
    senders = await rows(tenant, "SELECT * FROM outreach.email_deliverability_metrics WHERE scope = 'mailbox'")
    for row in senders:
        wanted = rates("mailbox", row["key"])
        assert {name: float(row[name]) for name in ("delivery_rate", "bounce_rate")} == {
            name: wanted[name] for name in ("delivery_rate", "bounce_rate")
        }
        complained = mails("mailbox", row["key"], "complained") / mails("mailbox", row["key"], "delivered")
        assert float(row["complaint_rate"]) == pytest.approx(complained, abs=6e-6)


async def test_usage_counts_the_artificial_help_of_thirty_days(tenant: Tenant, other_tenant: Tenant) -> None:
    call = """INSERT INTO outreach.llm_api_calls (workspace_id, provider, endpoint, model, prompt_tokens,
                  completion_tokens, total_tokens, latency_ms, cost_usd, success, created_at)
              VALUES (%s, 'cerebras', 'chat', 'm', 10, %s, 10 + %s, 5, 0.25, true, now() - make_interval(days => %s))"""
    run = """INSERT INTO outreach.agent_executions (workspace_id, agent, status, created_at)
             VALUES (%s, 'writer', 'succeeded', now() - make_interval(days => %s))"""
    async with tenant.trusted() as session:
        for tokens, days in ((5, 0), (7, 29), (100, 31)):
            await session.execute(call, [tenant.workspace_id, tokens, tokens, days])
            await session.execute(run, [tenant.workspace_id, days])
    await views.refresh(tenant.pools, "workspace_usage_analytics")
    names = ("ai_calls_30_days", "ai_tokens_30_days", "ai_cost_usd_30_days", "agent_runs_30_days", "emails_sent")
    for each, wanted in ((tenant, (2, 32, 0.5, 2, 0)), (other_tenant, (0, 0, 0, 0, 0))):
        [row] = await rows(each, "SELECT * FROM outreach.workspace_usage_analytics")
        assert tuple(float(row[name]) for name in names) == wanted


async def test_refreshes_are_for_the_trusted_and_one_at_a_time(tenant: Tenant) -> None:
    with pytest.raises(OutreachDBError, match="permission denied"):
        await rows(tenant, "SELECT outreach.refresh_campaign_analytics()")
    async with tenant.trusted() as session:
        for name in views.SCHEDULES:
            assert await session.value(f"SELECT outreach.refresh_{name}()") is not None
        # Its transaction holds the lock still.
        assert (await views.refresh(tenant.pools, "campaign_analytics")).rows is None
    with pytest.raises(UsageError, match="no view named x"):
        await views.refresh(tenant.pools, "x")
    ages = await views.staleness(tenant.pools)
    assert {each.view for each in ages} == set(views.SCHEDULES)
    assert not any(each.late for each in ages)
    assert all(each.duration is not None and each.duration >= timedelta(0) for each in ages)


async def test_reports_add_up_whatever_they_are_told_by(tenant: Tenant, keyring: Keyring) -> None:
    accepted = await filled(tenant, keyring)
    recount = accepted.buckets()
    whole = (await reports.workspace(tenant)).totals
    for by in reports.WORKSPACE_BY:
        report = await reports.workspace(tenant, by=by, limit=100)
        for kind in ("sent", "opened", "clicked", "replied", "complained"):
            assert sum(row[kind] for row in report.rows) == whole[kind] == report.totals[kind], (by, kind)
    days = (await reports.workspace(tenant, by="day")).rows
    assert [row["day"] for row in days] == sorted({day for _, _, _, day in recount})
    for row in days:
        assert row["unique_opened"] == recount.get(("workspace", "", "opened", row["day"]), (0, 0, 0))[2]
    middle = Period(since=days[1]["day"], until=days[-2]["day"])
    assert (await reports.workspace(tenant, period=middle)).totals["opened"] == sum(row["opened"] for row in days[1:-1])
    mailboxes = (await reports.deliverability(tenant)).rows
    assert len(mailboxes) == 2
    for row in mailboxes:
        counts = [recount[bucket] for bucket in recount if bucket[:3] == ("mailbox", str(row["mailbox_id"]), "bounced")]
        assert row["bounced"] == sum(total for total, _, _ in counts)
        assert row["hard_bounced"] == sum(mails for _, mails, _ in counts)
    for each in accepted.campaigns:
        by_function = await rows(tenant, "SELECT * FROM outreach.get_campaign_analytics(%(id)s)", id=each.campaign_id)
        by_report = (await reports.campaign(tenant, each.campaign_id, by="day")).rows
        assert [(row["day"], row["unique_opened_count"]) for row in by_function] == [
            (row["day"], row["unique_opened"]) for row in by_report
        ]
    metrics = await rows(tenant, "SELECT * FROM outreach.batch_update_campaign_metrics()")
    assert [row["campaign_id"] for row in metrics] == [each.campaign_id for each in accepted.campaigns]
    assert sum(row["opened_count"] for row in metrics) == whole["opened"]
    async with tenant.trusted() as session:
        waiting = "SELECT count(*) FROM analytics.rollup_deltas WHERE workspace_id = %s"
        assert await session.value(waiting, [tenant.workspace_id]) == 0


async def test_growth_fills_empty_days_and_an_empty_workspace_reports_zeros(
    tenant: Tenant, other_tenant: Tenant, keyring: Keyring
) -> None:
    await two_campaigns(tenant, keyring, leads=5)
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.leads SET created_at = now() - (id %% 2) * interval '3 days' WHERE workspace_id = %s",
            [tenant.workspace_id],
        )
    report = await reports.growth(tenant, refresh=True)
    assert len(report.rows) == 30
    assert report.totals == {"new_leads": 10, "total_leads": 10}
    assert [row["new_leads"] for row in report.rows[-4:]] == [5, 0, 0, 5]
    assert [row["total_leads"] for row in report.rows[-4:]] == [5, 5, 5, 10]
    assert report.rows[-1]["growth_rate"] == 1
    assert report.as_of is not None
    empty = await reports.growth(other_tenant)
    assert empty.totals == {"new_leads": 0, "total_leads": 0}
    assert set((await reports.workspace(other_tenant, by="domain")).totals.values()) == {0, None}
    assert (await reports.deliverability(other_tenant)).rows == []
    assert (await reports.engagement(other_tenant)).rows == []
    with pytest.raises(NotFound):
        await reports.campaign(other_tenant, "none")
    with pytest.raises(UsageError, match="by one of: day, step, variant"):
        await reports.campaign(tenant, "x", by="mailbox")
    with pytest.raises(UsageError, match="is after until"):
        Period(since=datetime.now(UTC).date(), until=datetime(2020, 1, 1, tzinfo=UTC).date())
