"""Reports, and taking new events into rollups and views, with few and with many events stored.

The stored events are inserted set-based, their rollups, totals and people beside them by the same formula; the new
million goes through the real ingest function in batches of 5,000, without folding, and what is timed is the fold of all
deltas and the refresh of all views. Leads are as many with few events as with many.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from outreachdb.analytics import reports, rollups, views
from outreachdb.analytics.reports import Period
from outreachdb.benchmarks.asking import Question, measure
from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.config import Settings
from outreachdb.db import index_catalogue, migrate
from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.progress import Progress, silent
from outreachdb.tenancy import workspaces

Q = Queries("outreachdb.benchmarks", "analytics.sql")
EVENTS_PER_MAIL = 1.711
CAMPAIGNS = 200
LEADS = 1_000_000
EVENTS_PER_LEAD = 20
PORTION = 1_000_000
BATCH = 5_000
EVENTS_PER_SEND = 4
READ_LIMIT = 10.0  # ms, p95
TAKE_LIMIT = 15.0  # seconds for a million new events
FLAT_LIMIT = 1.2  # times the same with a fiftieth stored
INDEXES = (
    "brin_email_events_created_at",
    "ix_email_events_campaign",
    "ix_email_events_created_at",
    "ix_email_events_lead",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is filled: ``stored`` events over 300 days, and new ones on top."""

    workspace_id: int
    stored: int

    @property
    def mails(self) -> int:
        """Mails that have the stored events."""
        return max(CAMPAIGNS, round(self.stored / EVENTS_PER_MAIL))

    @property
    def leads(self) -> int:
        """Leads; fewer only in a small trial."""
        return min(LEADS, max(1_000, self.stored // EVENTS_PER_LEAD))

    @property
    def new(self) -> int:
        """New events: a million, or fewer where leads are few (a mail of a campaign has four)."""
        return min(PORTION, self.leads * EVENTS_PER_SEND)

    def given(self) -> dict[str, int]:
        """For the statements."""
        return {"ws": self.workspace_id, "mails": self.mails, "campaigns": CAMPAIGNS, "leads": self.leads}


async def run(url: str, events: int = 50_000_000, progress: Progress = silent) -> list[Result]:
    """Fill a fiftieth, take in a million; fill the rest, take in another million; read every report."""
    async with scratch_database(url, "analytics") as scratch:
        await migrate.upgrade(scratch)
        async with Pools(Settings.load({}, database_url=scratch)) as pools:
            tenant = await workspaces.tenant(pools, (await workspaces.create(pools, "bench")).name)
            plan = Plan(tenant.workspace_id, events)
            few = max(plan.mails // 50, CAMPAIGNS)
            async with await connect(scratch, autocommit=True) as connection:
                await _prepare(connection, plan)
                await _fill(connection, plan, 0, few, progress)
                await views.rescore(pools)
                await views.refresh_all(pools)
                first = await _take_in(connection, tenant, plan, progress)
                await _fill(connection, plan, few, plan.mails, progress)
                await views.refresh_all(pools)
                second = await _take_in(connection, tenant, plan, progress)
                recounted = await _timed(lambda: connection.execute(Q.recount, plan.given()))
                rescanned = await _timed(lambda: connection.execute(Q.rescan_scores))
            read = [await measure(question, progress) for question in _questions(tenant)]
    slowest = max(read, key=lambda each: each.value)
    scale = PORTION / plan.new
    return [
        *read,
        Result(f"analytics: {plan.new:,} new events stored by ingest, beside", second.stored, "s"),
        Result(f"analytics: {second.deltas:,} deltas folded", second.folded, "s"),
        *(Result(f"analytics: refresh {name}", seconds, "s") for name, seconds in second.refreshed.items()),
        Result("analytics: a million new events into rollups and views", second.total * scale, "s", limit=TAKE_LIMIT),
        Result(f"analytics: that with {events:,} stored", second.total / first.total, "x a fiftieth", limit=FLAT_LIMIT),
        Result("analytics: recount of all campaigns from events", recounted, "s"),
        Result("analytics: recount by the slowest report", recounted * 1000 / max(slowest.value, 0.01), "times"),
        Result(f"analytics: all {plan.leads:,} scores computed, beside", rescanned, "s"),
    ]


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds: storing (not part of the total), folding, and each view."""

    stored: float
    deltas: int
    folded: float
    refreshed: dict[str, float]

    @property
    def total(self) -> float:
        """Folding and all views."""
        return self.folded + sum(self.refreshed.values())


async def _prepare(connection: Connection, plan: Plan) -> None:
    for statement in Q.make_schema.split(";\nCREATE"):
        await connection.execute((statement if statement.startswith("CREATE") else f"CREATE{statement}").encode())
    for statement in (Q.add_mailboxes, Q.add_leads, Q.add_engagement, Q.add_campaigns, Q.make_months):
        await connection.execute(statement, plan.given())
    # Campaigns and mailboxes were given their ids.
    for table in ("campaigns", "mailboxes", "leads"):
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('outreach.{table}', 'id'), {LEADS * 2})".encode()
        )
    await connection.execute("VACUUM (ANALYZE) outreach.leads, outreach.lead_engagement, outreach.campaigns")


async def _fill(connection: Connection, plan: Plan, first: int, last: int, progress: Progress) -> None:
    """Mails from ``first`` to before ``last``: their events without indexes, which are built afterwards."""
    definitions = index_catalogue.definitions()
    for name in INDEXES:
        await connection.execute(f"DROP INDEX outreach.{name}".encode())
    await connection.execute("ALTER TABLE outreach.email_events DROP CONSTRAINT pk_email_events")
    for start in range(first, last, PORTION):
        progress("storing events, rollups and people", start, last)
        given = plan.given() | {"first": start, "last": min(start + PORTION, last) - 1}
        for statement in (Q.add_events, Q.add_rollups, Q.add_people):
            await connection.execute(statement, given)
    progress("building indexes and totals", 0)
    for name in ("pk_email_events", *INDEXES):
        await connection.execute(definitions[name].encode())
    for statement in (Q.count_people, Q.count_totals):
        await connection.execute(statement, plan.given())
    await connection.execute(
        "VACUUM (ANALYZE) analytics.rollups, analytics.totals, analytics.people_first, outreach.email_events"
    )
    await connection.execute("CHECKPOINT")


async def _take_in(connection: Connection, tenant: Tenant, plan: Plan, progress: Progress) -> Taken:
    given = {"ws": plan.workspace_id, "sends": plan.new // EVENTS_PER_SEND}
    made = await (await connection.execute(Q.add_new_campaign, given)).fetchone()
    assert made is not None  # noqa: S101
    given |= {"campaign_id": made["id"], "launched_at": made["launched_at"]}
    await connection.execute(Q.add_new_sends, given)
    await connection.execute("VACUUM (ANALYZE) outreach.email_sends")
    found = await (await connection.execute(Q.first_new_send, given)).fetchone()
    assert found is not None  # noqa: S101
    began = time.perf_counter()
    for start in range(0, given["sends"], BATCH // EVENTS_PER_SEND):
        progress("ingesting new events", start * EVENTS_PER_SEND, plan.new)
        batch = given | {"first": found["min"] + start, "next": found["min"] + start + BATCH // EVENTS_PER_SEND}
        async with tenant.trusted() as session:
            await session.execute(Q.take_in, batch)
    stored = time.perf_counter() - began
    deltas = await (await connection.execute(Q.count_deltas, given)).fetchone()
    progress("folding", 0)
    folded = await _timed(lambda: rollups.fold(tenant))
    refreshed = {}
    for name in views.SCHEDULES:
        progress(f"refreshing {name}", 0)
        refreshed[name] = await _timed(lambda name=name: views.refresh(tenant.pools, name))  # type: ignore[misc]
    return Taken(stored, deltas["count"] if deltas else 0, folded, refreshed)


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return round(time.perf_counter() - began, 3)


def _questions(tenant: Tenant) -> list[Question]:
    some = (3, 50, 101, 150, 199)
    month = Period(since=datetime.now(UTC).date() - timedelta(days=29))

    def by(word: str | None, period: Period = reports.ALL_TIME) -> list[Callable[[], Awaitable[object]]]:
        return [lambda number=number: reports.campaign(tenant, number, by=word, period=period) for number in some]  # type: ignore[misc]

    ways: dict[str, list[Callable[[], Awaitable[object]]]] = {
        "campaign": by(None),
        "campaign by day": by("day"),
        "campaign by step": by("step"),
        "campaign by step, 30 days": by("step", month),
        "workspace": [lambda: reports.workspace(tenant)],
        "workspace by day": [lambda: reports.workspace(tenant, by="day")],
        "workspace by campaign": [lambda: reports.workspace(tenant, by="campaign")],
        "workspace by mailbox": [lambda: reports.workspace(tenant, by="mailbox")],
        "workspace by domain": [lambda: reports.workspace(tenant, by="domain")],
        "workspace by domain, 30 days": [lambda: reports.workspace(tenant, by="domain", period=month)],
        "deliverability by mailbox": [lambda: reports.deliverability(tenant)],
        "deliverability by domain": [lambda: reports.deliverability(tenant, by="domain")],
        "growth": [lambda: reports.growth(tenant)],
        "engagement": [lambda: reports.engagement(tenant)],
    }
    return [Question(f"stats {name}", asked, READ_LIMIT) for name, asked in ways.items()]
