"""Every periodic job, once: when it runs, what it does, how long it may take, and beside what it must not run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from croniter import croniter

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.jobs import across, upkeep, watching
from outreachdb.jobs.outcome import Done

MINUTE, HOUR = 60, 3600
Work = Callable[[Pools], Awaitable[Done]]


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """One job: ``sql``, a statement that gives one number, or ``run`` where it takes Python.

    The statement names settings (whole numbers) in braces; see :meth:`statement`.
    With both, pg_cron runs the first and the worker the second. ``schedule`` is cron text (minute, hour, day, month,
    weekday) in the time zone of the setting ``jobs_time_zone``; ``limit`` is in seconds. A run that is due while one
    with the same ``lock`` (default: the job's own) goes on waits for its end; ticks missed meanwhile count as one.
    """

    name: str
    schedule: str
    description: str
    limit: int
    sql: str | None = None
    run: Work | None = None
    lock: str = ""

    def __post_init__(self) -> None:
        if self.sql is None and self.run is None:
            raise ValueError(f"{self.name}: neither sql nor run")

    @property
    def pg_cron(self) -> bool:
        """Whether pg_cron can run it by itself."""
        return self.sql is not None

    def statement(self, settings: Settings) -> str | None:
        """``sql`` with the settings that it names."""
        return None if self.sql is None else self.sql.format_map(settings.values)

    def fields(self) -> dict[str, list[int]]:
        """The schedule as numbers: ``minutes``, ``hours``, ``days``, ``months``, ``weekdays`` (0 is Sunday)."""
        whole = {"minutes": range(60), "hours": range(24), "days": range(1, 32), "months": range(1, 13),
                 "weekdays": range(7)}  # fmt: skip
        expanded, _ = croniter.expand(self.schedule)
        numbers = {
            name: list(every) if "*" in given else sorted(int(each) for each in given)
            for (name, every), given in zip(whole.items(), expanded, strict=True)
        }
        if len(numbers["days"]) < 31 and len(numbers["weekdays"]) < 7:
            raise ValueError(f"{self.name}: days of the month or of the week, not both")
        return numbers


def _rows(function: str) -> str:
    """A statement for a function that returns one number."""
    return f"SELECT outreach.{function}"


# In the order in which a day sees them. What needs a function of another room names it; a test runs every one.
JOBS: tuple[PeriodicJob, ...] = (
    PeriodicJob(
        "fold_rollups",
        "* * * * *",
        "Adds the numbers of new events to the rollups.",
        10 * MINUTE,
        run=across.fold_rollups,
    ),
    PeriodicJob(
        "launch_due_campaigns",
        "* * * * *",
        "Launches the campaigns whose time has come (`campaign launch --at`).",
        30 * MINUTE,
        run=across.launch_due_campaigns,
    ),
    PeriodicJob(
        "release_lost_sends",
        "* * * * *",
        "Takes back the sends of workers that were lost: not begun goes back, begun becomes unknown.",
        10 * MINUTE,
        run=across.release_lost_sends,
    ),
    PeriodicJob(
        "match_late_events",
        "*/5 * * * *",
        "Finds the sends of events that came in before the log knew by which name their relay calls the message.",
        10 * MINUTE,
        run=across.match_late_events,
    ),
    PeriodicJob(
        "tell_alerts",
        "* * * * *",
        "Looks at the health checks and tells the configured channels what begins, goes on for long or ends.",
        5 * MINUTE,
        run=watching.tell_alerts,
    ),
    PeriodicJob(
        "poll_inboxes",
        "*/5 * * * *",
        "Reads replies and bounces from the inboxes that workspaces have added.",
        20 * MINUTE,
        run=across.poll_inboxes,
    ),
    PeriodicJob(
        "end_dead_imports",
        "*/5 * * * *",
        "Marks imports whose process died as failed, so that they can be resumed.",
        MINUTE,
        run=across.end_dead_imports,
    ),
    PeriodicJob(
        "learn_search_words",
        "*/10 * * * *",
        "Learns the words of imports that were killed before they had learned them.",
        30 * MINUTE,
        run=across.learn_search_words,
    ),
    PeriodicJob(
        "snapshot_health",
        "*/10 * * * *",
        "Keeps the status and value of every health check.",
        10 * MINUTE,
        run=watching.snapshot_health,
    ),
    PeriodicJob(
        "release_check_leases",
        "*/10 * * * *",
        "Frees the crawls, profiles and addresses that lost workers had taken.",
        5 * MINUTE,
        sql=_rows("release_check_leases()"),
    ),
    PeriodicJob(
        "analyze_hot_tables",
        "*/15 * * * *",
        "New planner statistics for tables of which a tenth has changed.",
        15 * MINUTE,
        sql=_rows("analyze_hot_tables()"),
    ),
    PeriodicJob(
        "snapshot_statistics",
        "50 * * * *",
        "Keeps the sizes of tables, and what statements did since the last time.",
        15 * MINUTE,
        run=watching.snapshot_statistics,
    ),
    PeriodicJob(
        "snapshot_index_usage",
        "55 23 * * *",
        "Keeps how often each index was used since the last time.",
        15 * MINUTE,
        sql=_rows("snapshot_index_usage()"),
    ),
    PeriodicJob(
        "vacuum_hot_tables",
        "*/30 * * * *",
        "VACUUM (ANALYZE) of tables after imports, restores and large deletions.",
        2 * HOUR,
        run=upkeep.vacuum,
        lock="vacuum",
    ),
    PeriodicJob(
        "refresh_campaign_performance",
        "2,32 * * * *",
        "Refreshes the materialised view campaign_performance.",
        20 * MINUTE,
        sql="SELECT coalesce(outreach.refresh_campaign_performance(), 0)",
        lock="views",
    ),
    PeriodicJob(
        "refresh_lead_analytics",
        "4,34 * * * *",
        "Refreshes the materialised view lead_analytics.",
        20 * MINUTE,
        sql="SELECT coalesce(outreach.refresh_lead_analytics(), 0)",
        lock="views",
    ),
    PeriodicJob(
        "refresh_campaign_analytics",
        "6 * * * *",
        "Refreshes the materialised view campaign_analytics.",
        30 * MINUTE,
        sql="SELECT coalesce(outreach.refresh_campaign_analytics(), 0)",
        lock="views",
    ),
    PeriodicJob(
        "refresh_email_deliverability_metrics",
        "8 */2 * * *",
        "Refreshes the materialised view email_deliverability_metrics.",
        HOUR,
        sql="SELECT coalesce(outreach.refresh_email_deliverability_metrics(), 0)",
        lock="views",
    ),
    PeriodicJob(
        "refresh_lead_engagement_scores",
        "10 */6 * * *",
        "Scores the leads that did something and those whose deeds have grown old.",
        2 * HOUR,
        sql="SELECT outreach.refresh_lead_engagement_scores()",
        run=across.score_leads,
    ),
    PeriodicJob(
        "refresh_workspace_usage_analytics",
        "15 1 * * *",
        "Refreshes the materialised view workspace_usage_analytics.",
        HOUR,
        sql="SELECT coalesce(outreach.refresh_workspace_usage_analytics(), 0)",
        lock="views",
    ),
    PeriodicJob(
        "reconcile_rollups",
        "40 * * * *",
        "Compares the rollups of twelve days with a recount of their events; fails where they differ.",
        HOUR,
        sql="SELECT drifted FROM outreach.reconcile_all_rollups()",
        run=across.reconcile_rollups,
    ),
    PeriodicJob(
        "partition_check",
        "10 0 * * *",
        "Makes the partitions ahead that are missing; the worker also ends detaches that were interrupted.",
        HOUR,
        sql="SELECT coalesce(sum(created), 0)::bigint FROM outreach.create_monthly_partitions()",
        run=upkeep.maintain_partitions,
        lock="partitions",
    ),
    PeriodicJob(
        "create_partitions",
        "5 0 1 * *",
        "The same on the first of the month.",
        HOUR,
        run=upkeep.maintain_partitions,
        sql="SELECT coalesce(sum(created), 0)::bigint FROM outreach.create_monthly_partitions()",
        lock="partitions",
    ),
    PeriodicJob(
        "retention",
        "15 1 * * *",
        "Lets the months leave that are past their retention, archived first where the table says so.",
        6 * HOUR,
        run=upkeep.retain,
        lock="partitions",
    ),
    PeriodicJob(
        "erase_from_archives",
        "20 3 * * *",
        "Rewrites archived months without the people who are to be erased and whom they still know.",
        6 * HOUR,
        run=upkeep.erase_from_archives,
    ),
    PeriodicJob(
        "verify_archives",
        "45 3 * * 6",
        "Reads the archived months that were not read for a week and compares them; fails where one is damaged.",
        6 * HOUR,
        run=upkeep.verify_archives,
    ),
    PeriodicJob(
        "prune_message_log",
        "30 2 * * 0",
        "Deletes messages older than 365 days, or than the log's longer retention, where it is not archived by months.",
        2 * HOUR,
        sql="""SELECT coalesce(sum(p.deleted), 0)::bigint
               FROM ops.partitioned_tables AS r
               CROSS JOIN LATERAL outreach.prune_message_log(greatest(interval '365 days', make_interval(
                   months => r.retention_months::integer, days => r.retention_days::integer)), 1000000) AS p
               WHERE r.table_name = 'message_log' AND r.retention_months IS NOT NULL""",
        lock="partitions",
    ),
    PeriodicJob(
        "prune_import_history",
        "45 2 * * 0",
        "Forgets before-images and rejected rows of imports older than `OUTREACHDB_IMPORT_HISTORY_DAYS`.",
        2 * HOUR,
        sql="SELECT outreach.prune_import_history('{import_history_days} days', 5000000)",
    ),
    PeriodicJob(
        "daily_maintenance",
        "0 2 * * *",
        "perform_maintenance_tasks(): months, statistics, history, leases; the worker runs what it says is due.",
        4 * HOUR,
        sql="SELECT coalesce(sum(done), 0)::bigint FROM outreach.perform_maintenance_tasks()",
        run=upkeep.daily_maintenance,
        lock="vacuum",
    ),
    PeriodicJob(
        "expire_api_keys",
        "0 3 * * *",
        "Revokes API keys whose time is over; forgets them after 90 days.",
        5 * MINUTE,
        sql=_rows("expire_api_keys()"),
        lock="api_keys",
    ),
    PeriodicJob(
        "renew_api_keys",
        "0 4 * * *",
        "Prolongs the API keys that are marked for renewal, in use and about to expire.",
        5 * MINUTE,
        sql=_rows("renew_api_keys()"),
        lock="api_keys",
    ),
    PeriodicJob(
        "weekly_report",
        "0 5 * * 1",
        "Writes the week's report: slow queries, growth, partitions, failed jobs (`jobs report`).",
        15 * MINUTE,
        sql=_rows("write_weekly_report()"),
    ),
    PeriodicJob(
        "reindex_bloated",
        "0 6 1 1,4,7,10 *",
        "Rebuilds indexes that are more than half empty (REINDEX CONCURRENTLY), every quarter.",
        12 * HOUR,
        run=upkeep.reindex,
    ),
)


def find(name: str) -> PeriodicJob | None:
    """The job of that name."""
    return next((job for job in JOBS if job.name == name), None)
