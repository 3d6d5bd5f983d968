"""Profiles, charts, activity and reports: what is stored is read back in its order, and by its own workspace only."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from outreachdb.db.tenant import Tenant
from outreachdb.errors import ConstraintViolated
from outreachdb.intelligence import activity, profiles, reports
from outreachdb.intelligence.profiles import Profile

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)


@pytest.fixture
async def leads(tenant: Tenant) -> list[int]:
    async with tenant.session() as session:
        rows = await session.all(
            "INSERT INTO outreach.leads (workspace_id, first_name)"
            " SELECT %s, 'lead ' || n FROM generate_series(1, 3) AS n RETURNING id",
            [tenant.workspace_id],
        )
    return sorted(row["id"] for row in rows)


async def test_top_contacts_of_a_company_come_best_first(
    tenant: Tenant, other_tenant: Tenant, leads: list[int]
) -> None:
    for lead, score in zip(leads, (40.0, None, 90.0), strict=True):
        await profiles.put(
            tenant, Profile(lead_id=lead, platform="linkedin", company_name="Acme", decision_maker_score=score)
        )
    await profiles.put(tenant, Profile(lead_id=leads[0], platform="x", company_name="Globex", decision_maker_score=99))
    found = await profiles.top_contacts(tenant, "Acme")
    assert [(each.lead_id, each.decision_maker_score) for each in found] == [
        (leads[2], 90),
        (leads[0], 40),
        (leads[1], None),
    ]
    assert len(await profiles.top_contacts(tenant, "Acme", limit=1)) == 1
    assert [each.lead_id for each in await profiles.decision_makers(tenant, least=90)] == [leads[0], leads[2]]
    assert [each.platform for each in await profiles.of_lead(tenant, leads[0])] == ["linkedin", "x"]
    assert await profiles.top_contacts(other_tenant, "Acme") == []


async def test_a_profile_seen_again_replaces_the_former(tenant: Tenant, leads: list[int]) -> None:
    first = await profiles.put(tenant, Profile(lead_id=leads[0], platform="x", contact_priority="low"))
    second = await profiles.put(tenant, Profile(lead_id=leads[0], platform="x", contact_priority="high"))
    assert first == second
    assert await profiles.of_priority(tenant, "low") == []
    assert await profiles.of_priority(tenant, "high") == [
        Profile(lead_id=leads[0], platform="x", contact_priority="high")
    ]


async def test_what_can_not_be_is_refused_by_name(tenant: Tenant, other_tenant: Tenant, leads: list[int]) -> None:
    with pytest.raises(ConstraintViolated, match="decision_maker_score_range"):
        await profiles.put(tenant, Profile(lead_id=leads[0], platform="x", decision_maker_score=101))
    with pytest.raises(ConstraintViolated, match="fk_contact_social_profiles_lead"):
        await profiles.put(other_tenant, Profile(lead_id=leads[0], platform="x"))
    with pytest.raises(ConstraintViolated, match="sentiment_known"):
        await activity.add(tenant, leads[0], "x", NOON, sentiment="great")
    with pytest.raises(ConstraintViolated, match="period_order"):
        await reports.put(tenant, "weekly", "A week", {}, period=(date(2026, 3, 8), date(2026, 3, 1)))


async def test_the_latest_chart_of_a_company_counts(tenant: Tenant, leads: list[int]) -> None:
    async with tenant.session() as session:
        company = await session.value(
            "INSERT INTO outreach.companies (workspace_id, name) VALUES (%s, 'Acme') RETURNING id",
            [tenant.workspace_id],
        )
    assert await profiles.chart_of_company(tenant, company) is None
    await profiles.put_chart(tenant, {"head": "Ada"}, company_id=company)
    await profiles.put_chart(tenant, {"head": "Grace"}, company_id=company, lead_id=leads[0])
    latest = await profiles.chart_of_company(tenant, company)
    assert latest is not None
    assert latest.chart == {"head": "Grace"}
    assert [each.id for each in await profiles.charts_of_lead(tenant, leads[0])] == [latest.id]


async def test_timelines_come_latest_first_and_page_by_instant(tenant: Tenant, leads: list[int]) -> None:
    posts = [("x", "positive"), ("linkedin", "negative"), ("x", "negative")]
    for hour, (platform, sentiment) in enumerate(posts):
        await activity.add(tenant, leads[hour % 2], platform, NOON + timedelta(hours=hour), sentiment=sentiment)
    on_x = await activity.of_platform(tenant, "x", before=LATER)
    assert [each.posted_at for each in on_x] == [NOON + timedelta(hours=2), NOON]
    assert await activity.of_platform(tenant, "x", before=NOON + timedelta(hours=2)) == on_x[1:]
    assert len(await activity.newest(tenant, before=LATER)) == 3
    assert [each.lead_id for each in await activity.of_lead(tenant, leads[1], before=LATER)] == [leads[1]]
    assert [each.platform for each in await activity.of_sentiment(tenant, "negative", before=LATER)] == [
        "x",
        "linkedin",
    ]
    assert await activity.last_scraped(tenant) == max(each.scraped_at for each in on_x)


async def test_nothing_scraped_yet(tenant: Tenant) -> None:
    assert await activity.last_scraped(tenant) is None


async def test_reports_by_kind_and_by_lead(tenant: Tenant, leads: list[int]) -> None:
    week = (date(2026, 3, 2), date(2026, 3, 8))
    first = await reports.put(tenant, "weekly", "First", {"text": "..."}, period=week)
    second = await reports.put(tenant, "weekly", "Second", {}, lead_id=leads[0])
    await reports.put(tenant, "lead", "Ada", {}, lead_id=leads[1])
    assert [each.id for each in await reports.latest(tenant, "weekly")] == [second, first]
    assert (await reports.latest(tenant, "weekly"))[1].period_start == week[0]
    assert [each.title for each in await reports.of_lead(tenant, leads[1])] == ["Ada"]
    # Kinds are the caller's own words: any is kept and found.
    odd = await reports.put(tenant, "Vorstand, Q3 (Entwurf)", "Third", {})
    assert [each.id for each in await reports.latest(tenant, "Vorstand, Q3 (Entwurf)")] == [odd]
