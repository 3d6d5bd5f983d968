"""Metrics in Prometheus' text format, from the checks and from what the server counts.

Labels take their values from closed lists only: checks, queues, periodic jobs, levels, the kinds named below, and the
largest tables (at most ``MOST_TABLES``). Never from workspaces, leads, addresses, queries or errors: those grow without
end. A scrape costs one look at the database in ``seconds`` however many ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from outreachdb.config import Settings
from outreachdb.db.queries import Queries
from outreachdb.db.reading import reading
from outreachdb.errors import OutreachDBError
from outreachdb.health import report
from outreachdb.health.checkbook import checks
from outreachdb.health.configuration import Configuration
from outreachdb.health.report import Report

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_TABLES = 20
MOST_JOBS = 100
Q = Queries("outreachdb.health")
log = structlog.get_logger(__name__)
STATUS = {"green": 0, "yellow": 1, "red": 2}
CONNECTIONS = {
    "connections": "taken",
    "connections_active": "active",
    "connections_idle_in_transaction": "idle_in_transaction",
}
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Figures:
    """One look at the database; ``report`` None where it does not answer."""

    report: Report | None = None
    database: Mapping[str, float] = field(default_factory=dict)
    tables: Rows = field(default_factory=list)
    jobs: Rows = field(default_factory=list)
    alerts: Rows = field(default_factory=list)


class Exporter:
    """Gives the text for /metrics; one per process, so that scrapes share a look at the database."""

    def __init__(
        self,
        url: str,
        configuration: Configuration | None = None,
        *,
        settings: Settings | None = None,
        seconds: float = 30,
    ) -> None:
        self._url = url
        self._settings = settings
        self._configuration = configuration or Configuration()
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._text = b""
        self._until = 0.0

    async def text(self) -> bytes:
        """The metrics; a database that does not answer is ``outreachdb_up 0``, never an error."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._text = exposition(await look(self._url, self._configuration, self._settings))
                self._until = time.monotonic() + self._seconds
            return self._text


async def look(url: str, configuration: Configuration | None = None, settings: Settings | None = None) -> Figures:
    """One look; on a database without our schema the checks alone."""
    try:
        found = await report.check(url, configuration, settings=settings)
    except (OutreachDBError, psycopg.Error) as error:
        log.warning("no metrics from the database", reason=str(error))
        return Figures()
    limits = {"limit": MOST_TABLES}
    try:
        async with reading(url, doing="metrics") as connection:
            database = await (await connection.execute(Q.metric_database)).fetchall()
            return Figures(
                report=found,
                database={row["metric"]: row["value"] for row in database},
                tables=await (await connection.execute(Q.metric_tables, limits)).fetchall(),
                jobs=await (await connection.execute(Q.metric_jobs, {"limit": MOST_JOBS})).fetchall(),
                alerts=await (await connection.execute(Q.metric_alerts)).fetchall(),
            )
    except (OutreachDBError, psycopg.Error):
        return Figures(report=found)


def exposition(figures: Figures) -> bytes:
    """The text of one look."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(figures))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        yield from families(self._figures)


def families(figures: Figures) -> Iterator[Metric]:
    """Every metric with its samples."""
    yield GaugeMetricFamily("outreachdb_up", "Whether the database answers.", value=figures.report is not None)
    if figures.report is None:
        return
    yield from _of_checks(figures.report)
    yield from _of_database(figures.database)
    yield _gauge(
        "outreachdb_table_bytes", "Size of the largest tables with indexes.", "table", figures.tables, "total_bytes"
    )
    yield _gauge("outreachdb_table_dead_rows", "Dead rows of the largest tables.", "table", figures.tables, "dead_rows")
    yield from _of_jobs(figures.jobs)
    firing = {row["level"]: row["firing"] for row in figures.alerts}
    rows = [{"name": level, "firing": firing.get(level, 0)} for level in ("yellow", "red")]
    yield _gauge("outreachdb_alerts_firing", "Checks whose alert fires.", "level", rows, "firing")


def _of_checks(found: Report) -> Iterator[Metric]:
    status = GaugeMetricFamily("outreachdb_health_status", "0 green, 1 yellow, 2 red.", labels=["check"])
    value = GaugeMetricFamily("outreachdb_health_value", "What a check measured, in its own unit.", labels=["check"])
    limit = GaugeMetricFamily("outreachdb_health_threshold", "From where on a check is so.", labels=["check", "level"])
    queue = GaugeMetricFamily("outreachdb_queue_size", "What waits in a queue.", labels=["queue"])
    for each in found.applying:
        if each.value is None:
            continue
        status.add_metric([each.name], STATUS[each.status])
        value.add_metric([each.name], each.value)
        limit.add_metric([each.name, "yellow"], each.yellow)
        limit.add_metric([each.name, "red"], each.red)
        if checks()[each.name].group == "queues" and each.name.startswith("queue_"):
            queue.add_metric([each.name.removeprefix("queue_")], each.value)
    yield from (status, value, limit, queue)
    seconds = "What the checks took."
    yield GaugeMetricFamily("outreachdb_health_check_seconds", seconds, value=round(found.seconds, 3))


def _of_database(values: Mapping[str, float]) -> Iterator[Metric]:
    yield _single("outreachdb_database_bytes", "Size of the database.", values, "database_size")
    yield _single("outreachdb_connections_max", "max_connections.", values, "max_connections")
    connections = GaugeMetricFamily("outreachdb_connections", "Client connections.", labels=["state"])
    for metric, state in CONNECTIONS.items():
        if metric in values:
            connections.add_metric([state], values[metric])
    yield connections
    yield _counter(
        "outreachdb_transactions", "Transactions.", "outcome", values, commit="commits", rollback="rollbacks"
    )
    yield _counter("outreachdb_deadlocks", "Deadlocks.", "", values, deadlocks="deadlocks")
    yield _counter("outreachdb_temporary_bytes", "Bytes written to temporary files.", "", values, all="temporary_bytes")
    kinds = {"read": "rows_read", "inserted": "rows_inserted", "updated": "rows_updated", "deleted": "rows_deleted"}
    yield _counter("outreachdb_rows", "Rows.", "operation", values, **kinds)


def _of_jobs(rows: Rows) -> Iterator[Metric]:
    named = [row | {"name": row["job"]} for row in rows]
    for key in ("finished_at", "succeeded_at"):
        for row in named:
            row[key] = row[key].timestamp() if row[key] is not None else None
    yield _gauge("outreachdb_job_finished_timestamp_seconds", "When a job last ended.", "job", named, "finished_at")
    yield _gauge("outreachdb_job_succeeded_timestamp_seconds", "When it last succeeded.", "job", named, "succeeded_at")
    yield _gauge("outreachdb_job_seconds", "What its last run took.", "job", named, "seconds")
    for row in named:
        row["failed"] = row["status"] == "failed"
    yield _gauge("outreachdb_job_failed", "Whether its last run failed.", "job", named, "failed")


def _gauge(name: str, help_text: str, label: str, rows: Rows, key: str) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for row in rows:
        if row[key] is not None:
            family.add_metric([row["name"]], float(row[key]))
    return family


def _single(name: str, help_text: str, values: Mapping[str, float], key: str) -> Metric:
    family = GaugeMetricFamily(name, help_text)
    if key in values:
        family.add_metric([], values[key])
    return family


def _counter(name: str, help_text: str, label: str, values: Mapping[str, float], **keys: str) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=[label] if label else [])
    for kind, key in keys.items():
        if key in values:
            family.add_metric([kind] if label else [], values[key])
    return family
