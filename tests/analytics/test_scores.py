"""Scores of engagement and of senders' reputation: their formulas, and that only what changes is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launched import launch

from outreachdb.analytics import reports, views
from outreachdb.db.tenant import Tenant
from outreachdb.events.ingest import ingest
from outreachdb.secrets import Keyring

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SCORE = """
SELECT outreach.engagement_score(
    %(opens)s, %(clicks)s, %(replies)s, %(bounces)s, %(opened)s, %(clicked)s, %(replied)s, %(now)s)
"""
SCORED = """
SELECT lead_id, engagement_score AS score, engagement_level AS level
FROM outreach.lead_engagement_scores ORDER BY lead_id
"""
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def connection(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


def score(
    connection: Connection,
    *,
    opens: int = 0,
    clicks: int = 0,
    replies: int = 0,
    bounces: int = 0,
    days: float = 0,
) -> float:
    last = NOW - timedelta(days=days)
    given = {"opens": opens, "clicks": clicks, "replies": replies, "bounces": bounces, "now": NOW}
    given |= {
        "opened": last if opens else None,
        "clicked": last if clicks else None,
        "replied": last if replies else None,
    }
    row = connection.execute(SCORE, given).fetchone()
    assert row is not None
    return float(row[0])


def test_the_formula_gives_what_its_page_says(connection: Connection) -> None:
    assert score(connection) == 0
    assert score(connection, opens=1) == pytest.approx(10.5)
    assert score(connection, opens=1, clicks=1) == pytest.approx(28)
    assert score(connection, replies=1) == pytest.approx(42)
    assert score(connection, opens=1, clicks=1, replies=1) == pytest.approx(70)
    assert score(connection, opens=1000, clicks=1000, replies=1000) == pytest.approx(100)
    assert score(connection, replies=1, bounces=1) == pytest.approx(22)
    assert score(connection, bounces=3) == 0
    by_age = [score(connection, replies=1, days=days) for days in (0, 6.9, 7.1, 29, 31, 89, 91, 179, 181, 1000)]
    assert by_age == pytest.approx([42, 42, 33.6, 33.6, 21, 21, 10.5, 10.5, 4.2, 4.2])


@settings(max_examples=40, deadline=None)
@given(
    counts=st.tuples(*[st.integers(0, 2**40)] * 3),
    bounces=st.integers(0, 9),
    days=st.floats(-1, 4000),
    more=st.integers(0, 2),
)
def test_more_engagement_never_scores_less_and_age_never_more(
    connection: Connection, counts: tuple[int, int, int], bounces: int, days: float, more: int
) -> None:
    def of(opens: int, clicks: int, replies: int, age: float, bounced: int) -> float:
        return score(connection, opens=opens, clicks=clicks, replies=replies, days=age, bounces=bounced)

    base = of(*counts, days, bounces)
    grown = [count + (place == more) for place, count in enumerate(counts)]
    assert 0 <= base <= 100
    assert of(*grown, days, bounces) >= base  # type: ignore[call-arg]
    assert of(*counts, days + 10, bounces) <= base
    assert of(*counts, days, bounces + 1) <= base


def test_reputation_falls_with_what_providers_suspend_for(connection: Connection) -> None:
    def reputation(sent: int, bounced: int, complained: int) -> tuple[float, str]:
        query = """SELECT s, outreach.reputation(s)
            FROM outreach.reputation_score(%(sent)s, %(bounced)s, %(sent)s - %(bounced)s, %(complained)s) AS s"""
        row = connection.execute(query, {"sent": sent, "bounced": bounced, "complained": complained}).fetchone()
        assert row is not None
        return float(row[0]), row[1]

    assert reputation(0, 0, 0) == (100, "good")
    assert reputation(100_000, 1_000, 50) == (100, "good")
    assert reputation(100_000, 5_000, 50)[1] == "fair"
    assert reputation(100_000, 10_200, 0) == (0, "poor")
    assert reputation(100_000, 0, 300)[1] == "fair"
    assert reputation(100_000, 0, 510) == (0, "poor")
    assert reputation(3, 1, 0)[1] == "good"


async def test_scores_follow_what_leads_do_and_grow_old(tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=4)
    first, second, third, _ = campaign.sends
    events = [campaign.event(first, kind) for kind in ("opened", "clicked", "replied")] + [
        campaign.event(second, "opened")
    ]
    await ingest(tenant, keyring, [*events, campaign.event(third, "bounced", severity="hard")])
    assert (await views.score(tenant.pools)).rows is not None
    async with tenant.session() as session:
        scored = {row["lead_id"]: (row["score"], row["level"]) for row in await session.all(SCORED)}
    assert scored == {
        first.lead_id: (70, "hot"),
        second.lead_id: (10.5, "warm"),
        third.lead_id: (0, "cold"),
    }
    report = await reports.engagement(tenant, refresh=True)
    assert report.totals == {"levels": {"hot": 1, "engaged": 0, "warm": 1, "cold": 2}}
    assert [(row["lead_id"], row["engagement_score"]) for row in report.rows] == [
        (first.lead_id, 70),
        (second.lead_id, 10.5),
    ]
    # Nothing happened, nothing is written.
    async with tenant.trusted() as session:
        query = "SELECT xmin::text AS x, lead_id FROM outreach.lead_engagement WHERE workspace_id = %s ORDER BY lead_id"
        before = await session.all(query, [tenant.workspace_id])
    await views.score(tenant.pools)
    await views.rescore(tenant.pools)
    async with tenant.trusted() as session:
        assert await session.all(query, [tenant.workspace_id]) == before
        # Ten days later, as the clock of the database sees it.
        await session.execute(
            "UPDATE outreach.lead_engagement SET last_opened_at = last_opened_at - interval '10 days',"
            " last_clicked_at = last_clicked_at - interval '10 days',"
            " last_replied_at = last_replied_at - interval '10 days',"
            " score_due_at = score_due_at - interval '10 days' WHERE workspace_id = %s",
            [tenant.workspace_id],
        )
    await views.score(tenant.pools)
    report = await reports.engagement(tenant)
    assert [(row["lead_id"], row["engagement_score"]) for row in report.rows] == [
        (first.lead_id, 56),
        (second.lead_id, pytest.approx(8.4)),
    ]
    assert report.totals["levels"] == {"hot": 0, "engaged": 1, "warm": 0, "cold": 3}
