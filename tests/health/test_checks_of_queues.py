"""Queues, staleness, rollups and jobs of our own schema: green, then yellow and red by real rows."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from conftest import Ground

from outreachdb.health.checkbook import checks
from outreachdb.health.report import Result


@pytest.fixture(scope="module")
def workspace(ground: Ground) -> int:
    """A workspace with a mailbox, a running campaign and a thousand leads."""
    found = ground.do(
        "INSERT INTO outreach.workspaces (name) VALUES ('busy')",
        "INSERT INTO outreach.leads (workspace_id, email) "
        "SELECT w.id, 'lead' || n || '@acme.example' FROM outreach.workspaces AS w, generate_series(1, 1000) AS n",
        "INSERT INTO outreach.mailboxes (workspace_id, address, smtp_host) "
        "SELECT w.id, 'sales@sender.example', '127.0.0.1' FROM outreach.workspaces AS w",
        "INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at) "
        "SELECT w.id, 'spring', 'running', now() - interval '2 hours' FROM outreach.workspaces AS w",
        "SELECT w.id FROM outreach.workspaces AS w",
    )
    return int(found)


async def step(ground: Ground, name: str, numbers: dict[str, float], *causes: str) -> list[Result]:
    found = [await ground.look(name, **numbers)]
    for cause in causes:
        ground.do(cause)
        found.append(await ground.look(name, **numbers))
    return found


def statuses(found: list[Result]) -> list[str]:
    return [each.status for each in found]


def companies(count: int, crawled: str, workspace: int) -> str:
    return (
        "INSERT INTO outreach.companies (workspace_id, name, website_url, last_crawled_at) "
        f"SELECT {workspace}, gen_random_uuid()::text, 'https://acme.example', {crawled} "
        f"FROM generate_series(1, {count})"
    )


async def test_queue_crawl(ground: Ground, workspace: int) -> None:
    ground.do(companies(50, "now()", workspace))
    never, stale = companies(10, "NULL", workspace), companies(10, "now() - interval '31 days'", workspace)
    found = await step(ground, "queue_crawl", {"yellow": 5, "red": 15}, never, stale)
    assert statuses(found) == ["green", "yellow", "red"]
    seen = ground.do(f"SELECT company_urls FROM outreach.vw_queue_sizes WHERE workspace_id = {workspace}")
    assert seen == found[-1].value == 20


async def test_crawl_staleness(ground: Ground, workspace: int) -> None:
    ground.do("DELETE FROM outreach.companies")
    fresh = companies(60, "now()", workspace)
    old = companies(30, "now() - interval '31 days'", workspace)
    found = await step(ground, "crawl_staleness", {}, fresh, old, companies(60, "'2020-01-01'", workspace))
    assert statuses(found) == ["not applicable", "green", "yellow", "red"]
    view = "SELECT (total, never_checked, stale_30d)::text FROM outreach.vw_health_crawl_staleness"
    assert ground.do(view) == "(150,0,90)"


async def test_queue_profiles_and_their_staleness(ground: Ground, workspace: int) -> None:
    def profiles(share: int, at: str) -> str:
        return (
            f"UPDATE outreach.leads SET linkedin_url = 'https://in.example/' || id, profile_checked_at = {at} "
            f"WHERE workspace_id = {workspace} AND id % 100 < {share}"
        )

    fresh, few, many = profiles(100, "now()"), profiles(30, "now() - interval '31 days'"), profiles(60, "'2020-01-01'")
    numbers = {"yellow": 200, "red": 500}
    found = await step(ground, "queue_profiles", numbers, fresh, few, many)
    assert statuses(found) == ["green", "green", "yellow", "red"]
    stale = [await ground.look("profile_staleness")]
    for cause in (few, fresh, few):
        ground.do(cause)
        stale.append(await ground.look("profile_staleness"))
    assert statuses(stale) == ["red", "red", "green", "yellow"]
    view = "SELECT (total, never_checked, stale_30d)::text FROM outreach.vw_health_profile_staleness"
    assert ground.do(view) == "(1000,0,300)"
    assert ground.do("SELECT profile_urls FROM outreach.vw_queue_sizes") == 300


async def test_profile_staleness(ground: Ground, workspace: int) -> None:
    ground.do("UPDATE outreach.leads SET profile_checked_at = NULL")
    found = await ground.look("profile_staleness")
    assert (found.status, found.reason) == ("not applicable", "none was looked at yet")


async def test_queue_email_checks(ground: Ground, workspace: int) -> None:
    def checked(share: int, at: str) -> str:
        return (
            f"UPDATE outreach.leads SET email_status = 'valid', email_checked_at = {at} "
            f"WHERE workspace_id = {workspace} AND id % 100 < {share}"
        )

    ground.do(checked(100, "now()"))
    numbers = {"yellow": 200, "red": 500}
    found = await step(ground, "queue_email_checks", numbers, checked(30, "NULL"), checked(60, "'2020-01-01'"))
    assert statuses(found) == ["green", "yellow", "red"]
    assert ground.do("SELECT email_rechecks FROM outreach.vw_queue_sizes") == 600


def sends(first: int, last: int, status: str, minutes: int) -> str:
    """Sends that were due, or whose lease ended, that many minutes ago."""
    at = f"now() - interval '{minutes} minutes'"
    lease = at if status == "claimed" else "NULL"
    return (
        "INSERT INTO outreach.email_sends (workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, status, "
        "recipient, scheduled_at, lease_expires_at) "
        f"SELECT c.workspace_id, c.launched_at, c.id, l.id, m.id, 1, '{status}', l.email, {at}, {lease} "
        "FROM outreach.campaigns AS c JOIN outreach.mailboxes AS m USING (workspace_id) "
        "JOIN (SELECT *, row_number() OVER (ORDER BY id) AS place FROM outreach.leads) AS l USING (workspace_id) "
        f"WHERE l.place BETWEEN {first} AND {last}"
    )


async def test_queue_sends(ground: Ground, workspace: int) -> None:
    numbers = {"yellow": 10, "red": 50}
    young, some = sends(1, 30, "scheduled", 5), sends(31, 50, "scheduled", 20)
    many = sends(51, 200, "scheduled", 30)
    found = await step(ground, "queue_sends", numbers, young, some, many)
    assert statuses(found) == ["green", "green", "yellow", "red"]
    assert found[-1].value == 51  # counted no further than needed
    assert ground.do("SELECT sends_due FROM outreach.vw_queue_sizes") == 200


async def test_queue_expired_leases(ground: Ground, workspace: int) -> None:
    young, one, many = sends(301, 310, "claimed", 5), sends(311, 311, "claimed", 20), sends(312, 340, "claimed", 20)
    found = await step(ground, "queue_expired_leases", {"red": 20}, young, one, many)
    assert statuses(found) == ["green", "green", "yellow", "red"]
    assert ground.do("SELECT expired_leases FROM outreach.vw_queue_sizes") == 40


async def test_rollup_lag(ground: Ground, workspace: int) -> None:
    delta = (
        "INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day) "
        f"SELECT {workspace}, 'campaign', '1', 'sent', current_date FROM generate_series(1, 5)"
    )
    found = await step(ground, "rollup_lag", {"yellow": 3, "red": 8}, delta, delta)
    assert statuses(found) == ["green", "yellow", "red"]


async def test_failed_jobs(ground: Ground, workspace: int) -> None:
    def run(job: str, status: str, days: int = 0) -> str:
        return (
            "INSERT INTO ops.maintenance_runs (job, status, started_at) "
            f"VALUES ('{job}', '{status}', now() - interval '{days} days')"
        )

    ground.do(
        run("one", "succeeded", 1), run("old", "failed", 20), run("mended", "failed", 1), run("mended", "succeeded")
    )
    found = await step(ground, "failed_jobs", {"red": 2}, run("one", "failed"), run("two", "failed"))
    assert statuses(found) == ["green", "yellow", "red"]
    assert found[-1].summary == "one, two"


async def test_a_tenant_sees_its_own_queues_only(ground: Ground, workspace: int) -> None:
    other = ground.do("INSERT INTO outreach.workspaces (name) VALUES ('quiet') RETURNING id")
    with psycopg.connect(ground.url) as connection:
        connection.execute("SET LOCAL ROLE outreachdb_app")
        connection.execute(f"SET LOCAL app.workspace_id = '{other}'".encode())
        rows = connection.execute("SELECT workspace_id, sends_due FROM outreach.vw_queue_sizes").fetchall()
        stale = connection.execute("SELECT count(*) FROM outreach.vw_health_profile_staleness").fetchone()
    assert (rows, stale) == ([(other, 0)], (0,))


def test_every_check_is_tried() -> None:
    """A check without a test that causes its condition can't be added."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_checks_*.py"))
    tried = set(re.findall(r'"(\w+)"', text)) | {"index_bloat", "table_bloat"}
    missing = sorted(checks().keys() - tried)
    assert missing == []


async def test_queue_jobs(ground: Ground, workspace: int) -> None:
    def jobs(count: int, minutes: int) -> str:
        return (
            "INSERT INTO procrastinate.procrastinate_jobs (queue_name, task_name, scheduled_at) "
            f"SELECT 'waiting', 'tried', now() + {minutes} * interval '1 minute' FROM generate_series(1, {count})"
        )

    found = await step(ground, "queue_jobs", {"yellow": 3, "red": 10}, jobs(20, 5), jobs(5, -5), jobs(10, -1))
    assert statuses(found) == ["green", "green", "yellow", "red"]


async def test_view_lag(ground: Ground, workspace: int) -> None:
    """A view that is refreshed every half hour, one every two hours, one every day; each in its own measure."""
    ground.do(
        "INSERT INTO ops.scheduled_jobs "
        "(name, description, schedule, minutes, hours, days, months, weekdays, lock, limit_seconds) "
        "SELECT 'refresh_' || v.name, '', '', v.minutes, v.hours, '{1}', '{1}', '{1}', '', 1 FROM (VALUES "
        "('often', ARRAY[0, 30], ARRAY(SELECT generate_series(0, 23))), "
        "('seldom', ARRAY[5], ARRAY(SELECT generate_series(0, 22, 2))), ('daily', ARRAY[0], ARRAY[2])) "
        "AS v (name, minutes, hours)"
    )

    def refreshed(often: str, seldom: str, daily: str) -> str:
        return (
            "INSERT INTO analytics.view_refreshes (view_name, refreshed_at, duration, row_count) VALUES "
            f"('often', now() - interval '{often}', '1 s', 1), ('seldom', now() - interval '{seldom}', '1 s', 1), "
            f"('daily', now() - interval '{daily}', '1 s', 1) "
            "ON CONFLICT (view_name) DO UPDATE SET refreshed_at = excluded.refreshed_at"
        )

    times = [("20 min", "100 min", "20 hours"), ("20 min", "5 hours", "20 hours"), ("3 hours", "100 min", "20 hours")]
    found = await step(ground, "view_lag", {}, *(refreshed(*each) for each in times))
    assert statuses(found) == ["not applicable", "green", "yellow", "red"]
    assert found[-1].evidence["views"] == {"often": 6.0, "seldom": 0.8, "daily": 0.8}


@pytest.mark.slow
async def test_large_tables_are_sampled(ground: Ground, workspace: int) -> None:
    """Beyond 5,000 pages a sample stands for all: within a tenth of what is there."""
    ground.do("TRUNCATE outreach.companies CASCADE")
    ground.do(
        "INSERT INTO outreach.companies (workspace_id, name, website_url, last_crawled_at) "
        f"SELECT {workspace}, n || repeat(md5(n::text), 30), 'https://acme.example', "
        "CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '2020-01-01' ELSE now() END FROM generate_series(1, 60000) AS n"
    )
    assert ground.do("SELECT pg_relation_size('outreach.companies') > 6000 * 8192")
    waiting, stale = await ground.look("queue_crawl"), await ground.look("crawl_staleness")
    assert waiting.evidence["sampled"]
    assert waiting.value == pytest.approx(30_000, rel=0.1)
    assert stale.value == pytest.approx(100 / 3, rel=0.1)
    assert "from a sample" in stale.summary
    ground.do("TRUNCATE outreach.companies CASCADE")
