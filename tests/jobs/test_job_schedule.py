"""When a job is due: ticks in every time zone, once after a downtime, again after a failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.errors import UsageError
from outreachdb.jobs import JOBS, PeriodicJob, publish, runs
from outreachdb.jobs.outcome import Done

LAST_TICK = "SELECT outreach.last_tick(j, %(at)s) FROM ops.scheduled_jobs AS j WHERE j.name = %(name)s"


async def nothing(_pools: Pools) -> Done:
    return Done()


def test_every_schedule_is_given_as_numbers() -> None:
    assert len({job.name for job in JOBS}) == len(JOBS)
    for job in JOBS:
        fields = job.fields()
        assert all(fields.values()), job.name
        assert job.limit > 0


# When the sources want it: their cron entries, or how often in a day (in minutes).
SOURCES: dict[str, str | int] = {
    "analyze_hot_tables": 15,
    "create_partitions": "5 0 1 * *",
    "daily_maintenance": "0 2 * * *",
    "expire_api_keys": "0 3 * * *",
    "fold_rollups": 1,
    "partition_check": 1440,
    "refresh_campaign_analytics": 60,
    "refresh_campaign_performance": 30,
    "refresh_email_deliverability_metrics": 120,
    "refresh_lead_analytics": 30,
    "refresh_lead_engagement_scores": 360,
    "refresh_workspace_usage_analytics": 1440,
    "renew_api_keys": "0 4 * * *",
    "retention": 1440,
    "snapshot_health": 10,
    "snapshot_index_usage": 1440,
}


def test_the_sources_schedules_are_kept() -> None:
    jobs = {job.name: job for job in JOBS}
    for name, wanted in SOURCES.items():
        job = jobs[name]
        if isinstance(wanted, str):
            assert job.schedule == wanted, name
            continue
        ticks = croniter(job.schedule, datetime(2026, 3, 2, tzinfo=UTC))
        first, second, third = (ticks.get_next(datetime) for _ in range(3))
        assert second - first == third - second == timedelta(minutes=wanted), name
    assert jobs["weekly_report"].schedule.endswith("* * 1")
    assert jobs["prune_message_log"].schedule.endswith("* * 0")
    assert "365 days" in (jobs["prune_message_log"].sql or "")
    assert jobs["prune_import_history"].schedule.endswith("* * 0")
    assert jobs["reindex_bloated"].schedule.split()[2:4] == ["1", "1,4,7,10"], "every quarter"


@pytest.mark.parametrize("schedule", ["0 2 1 * 1", "61 * * * *", "* * *"])
def test_a_schedule_that_says_two_things_or_nothing_is_refused(schedule: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (croniter's own words)
        PeriodicJob("x", schedule, "x", 1, run=nothing).fields()


async def test_both_drivers_keep_the_history_of_imports_as_long_as_the_setting_says(
    own_database_url: str, ask_own: Callable[..., Any]
) -> None:
    statement = "SELECT statement FROM ops.scheduled_jobs WHERE name = 'prune_import_history'"
    await ask_own(
        "WITH w AS (INSERT INTO outreach.workspaces (name) VALUES ('acme') RETURNING id)"
        " INSERT INTO outreach.imports (workspace_id, file_name, status, finished_at)"
        " SELECT w.id, 'x', 'done', now() - interval '40 days' FROM w"
    )
    for days, pruned in ((41, 0), (39, 1)):
        settings = Settings.load({"OUTREACHDB_IMPORT_HISTORY_DAYS": str(days)}, database_url=own_database_url)
        async with Pools(settings) as pools:
            assert (await runs.run_now(pools, "prune_import_history")).status == "succeeded"
        assert f"'{days} days'" in (await ask_own(statement))[0][0]
        assert await ask_own("SELECT count(history_pruned_at) FROM outreach.imports") == [(pruned,)]


async def test_ticks_are_those_of_croniter(own_pools: Pools, ask_own: Callable[..., Any]) -> None:
    """Compared at many instants with the library that reads cron text; in UTC, where no hour is skipped or repeated."""
    await publish(own_pools)
    instants = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=31.3) * step for step in range(40)]
    rows = await ask_own(
        "SELECT j.name, t.at, outreach.last_tick(j, t.at) FROM ops.scheduled_jobs AS j"
        " CROSS JOIN unnest(%(instants)s::timestamptz[]) AS t (at)",
        instants=instants,
    )
    assert len(rows) == len(JOBS) * len(instants)
    schedules = {job.name: job.schedule for job in JOBS}
    for name, at, tick in rows:
        at_utc = at.astimezone(UTC)
        expected = croniter(schedules[name], at_utc + timedelta(microseconds=1)).get_prev(datetime)
        assert tick == expected, (name, at)


async def test_summer_time_neither_skips_nor_doubles_a_day(own_database_url: str) -> None:
    settings = Settings.load({}, database_url=own_database_url, jobs_time_zone="Europe/Berlin")
    zone = ZoneInfo("Europe/Berlin")
    jobs = (
        PeriodicJob("nightly", "30 2 * * *", "In the hour that comes twice or never.", 60, run=nothing),
        PeriodicJob("always", "*/30 * * * *", "Every half hour.", 60, run=nothing),
    )
    async with Pools(settings) as pools:
        await publish(pools, jobs)
        for year, month, day in ((2026, 3, 29), (2026, 10, 25)):
            ticks: dict[str, set[datetime]] = {"nightly": set(), "always": set()}
            midnight = datetime(year, month, day, tzinfo=zone).astimezone(UTC)
            hours = 23 if month == 3 else 25
            async with runs.session(pools, role=runs.TRUSTED_ROLE) as trusted:
                for step in range(hours * 4):
                    at = midnight + timedelta(minutes=15 * step)
                    for name, found in ticks.items():
                        tick = await trusted.value(LAST_TICK, {"at": at, "name": name})
                        if tick >= midnight:
                            found.add(tick)
            assert len(ticks["nightly"]) == 1, "once, on the day that lacks the hour and on the one that has it twice"
            assert len(ticks["always"]) == hours * 2


async def test_a_time_zone_that_is_none_is_one_clear_error(own_database_url: str) -> None:
    settings = Settings.load({}, database_url=own_database_url, jobs_time_zone="Europe/Bonn")
    async with Pools(settings) as pools:
        with pytest.raises(UsageError, match="Europe/Bonn"):
            await publish(pools)


async def test_missed_ticks_are_caught_up_once(own_pools: Pools, ask_own: Callable[..., Any]) -> None:
    job = PeriodicJob("minutely", "* * * * *", "Every minute.", 60, run=nothing)
    daily = PeriodicJob("daily", "0 2 * * *", "Every day.", 60, run=nothing)
    await publish(own_pools, (job, daily))
    assert await runs.due(own_pools) == [], "a job that was registered a moment ago missed nothing"
    await ask_own("UPDATE ops.scheduled_jobs SET registered_at = now() - interval '30 days'")
    assert set(await runs.due(own_pools)) == {"daily", "minutely"}
    for each in (job, daily):
        assert (await runs.perform(own_pools, each, driver="worker", scheduled=True)).status == "succeeded"
    again = await runs.perform(own_pools, daily, driver="worker", scheduled=True)
    assert again.status == "not_due", "thirty missed days are one run"
    assert "daily" not in await runs.due(own_pools)
    asked = await runs.perform(own_pools, daily, driver="command")
    assert asked.status == "succeeded", "whoever asks gets a run all the same"


async def test_a_schedule_that_changed_begins_anew(own_pools: Pools, ask_own: Callable[..., Any]) -> None:
    await publish(own_pools, (PeriodicJob("daily", "0 2 * * *", "Every day.", 60, run=nothing),))
    await ask_own("UPDATE ops.scheduled_jobs SET registered_at = now() - interval '30 days'")
    await publish(own_pools, (PeriodicJob("daily", "0 2 * * *", "In other words.", 60, run=nothing),))
    assert await runs.due(own_pools) == ["daily"]
    await publish(own_pools, (PeriodicJob("daily", "0 3 * * *", "Later.", 60, run=nothing),))
    assert await runs.due(own_pools) == []
    await publish(own_pools, ())
    assert await ask_own("SELECT count(*) FROM ops.scheduled_jobs") == [(0,)]


@given(st.integers(0, 59), st.integers(0, 23), st.integers(1, 28), st.integers(0, 6), st.booleans())
def test_fields_are_what_the_text_says(minute: int, hour: int, day: int, weekday: int, monthly: bool) -> None:
    days = f"{day} * *" if monthly else f"* * {weekday}"
    fields = PeriodicJob("x", f"{minute} {hour} {days}", "x", 1, run=nothing).fields()
    assert (fields["minutes"], fields["hours"]) == ([minute], [hour])
    assert fields["days"] == ([day] if monthly else list(range(1, 32)))
    assert fields["weekdays"] == (list(range(7)) if monthly else [weekday])
