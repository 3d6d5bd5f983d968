"""Loads one large workspace beside a hundred small ones, and the events of its campaigns, by SQL alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from outreachdb.benchmarks.measure import scratch_database
from outreachdb.config import Settings
from outreachdb.db import index_catalogue, migrate
from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.progress import Progress, silent
from outreachdb.tenancy import workspaces

Q = Queries("outreachdb.benchmarks", "population.sql")
# The last revision before the secondary indexes of leads: built afterwards, they are as fresh as after a REINDEX.
BEFORE_INDEXES = "0009"
SMALL = 100
SMALL_LEADS = 2_000
CAMPAIGNS = 40
EVENTS_PER_LEAD = 10
EVENTS_PER_SEND = 2.72  # what add_events makes of one send, on average
PER_STATEMENT = 500_000
TABLES = """outreach.leads, outreach.companies, outreach.search_words, outreach.email_events,
    outreach.lead_engagement, outreach.campaigns"""


@dataclass(frozen=True, slots=True)
class Population:
    """The large workspace, one of the small ones, and how much was loaded."""

    url: str
    large: Tenant
    small: Tenant
    leads: int
    events: int


@asynccontextmanager
async def scratch(url: str, leads: int, progress: Progress = silent) -> AsyncIterator[Population]:
    """A scratch database with ``leads`` leads in one workspace and ten events for each of them."""
    async with scratch_database(url, "people") as database:
        await fill(database, leads, leads * EVENTS_PER_LEAD, progress)
        async with opened(database) as population:
            yield population


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Population]:
    """What :func:`fill` has loaded."""
    async with Pools(Settings.load({}, database_url=url)) as pools:
        large = await workspaces.tenant(pools, "large")
        small = await workspaces.tenant(pools, "small-50")
        async with large.trusted() as session:
            leads = await session.value(Q.count_leads, {"workspace_id": large.workspace_id})
            events = await session.value("SELECT count(*) FROM outreach.email_events")
        yield Population(url, large, small, leads, events)


async def fill(url: str, leads: int, events: int, progress: Progress = silent) -> None:
    """Migrate an empty database and load it."""
    await migrate.upgrade(url, BEFORE_INDEXES)
    connection = await connect(url, autocommit=True)
    async with connection:
        for statement in (Q.make_schema, Q.make_even, Q.make_words):
            await connection.execute(statement)
        large = await _leads(connection, leads, progress)
        progress("building the indexes of leads", 0)
        await migrate.upgrade(url)
        if events:
            await _events(connection, large, events, progress)
        await _words(connection)
        progress("vacuum and statistics", 0)
        await connection.execute(f"VACUUM (ANALYZE) {TABLES}".encode())
        await connection.execute("DROP SCHEMA bench CASCADE")
        await connection.execute("CHECKPOINT")


async def _leads(connection: Connection, leads: int, progress: Progress) -> dict[str, int]:
    """Loads all workspaces; what later statements need to know of the large one."""
    made = await connection.execute(Q.add_workspaces, {"small": SMALL})
    ids = [int(row["id"]) for row in await made.fetchall()]
    large = {"workspace_id": ids.pop(), "leads": leads, "base": SMALL * SMALL_LEADS}
    for number, workspace in enumerate(ids):
        progress("loading small workspaces", number, SMALL)
        given = {"workspace_id": workspace, "leads": SMALL_LEADS, "base": number * SMALL_LEADS}
        await _people(connection, given, progress=silent)
    await _people(connection, large, progress)
    await connection.execute(Q.advance_ids, {"base": large["base"] + leads})
    return large


async def _people(connection: Connection, given: dict[str, int], progress: Progress) -> None:
    given = given | {"companies": given["leads"] // 15}
    await connection.execute(Q.add_companies, given)
    await connection.execute("ANALYZE outreach.companies")
    last = given["leads"]
    for first in range(1, last + 1, PER_STATEMENT):
        progress("loading leads", first - 1, last)
        until = min(first + PER_STATEMENT - 1, last)
        await connection.execute(Q.add_leads, given | {"first": first, "last": until, "marked": False})
    # Those whose address was taken come once more, with a mark that makes it their own.
    await connection.execute(Q.add_leads, given | {"first": 1, "last": last, "marked": True})


async def _words(connection: Connection) -> None:
    """As every import does it."""
    made = await connection.execute("SELECT id FROM outreach.workspaces ORDER BY id")
    for row in await made.fetchall():
        await connection.execute(f"SET app.workspace_id = '{int(row['id'])}'".encode())
        await connection.execute("SELECT outreach.learn_search_words()")


async def _events(connection: Connection, large: dict[str, int], events: int, progress: Progress) -> None:
    given = large | {"campaigns": CAMPAIGNS}
    await connection.execute(Q.add_campaigns, given)
    await connection.execute("ANALYZE outreach.campaigns")
    definitions = index_catalogue.definitions()
    names = (
        "brin_email_events_created_at",
        "ix_email_events_campaign",
        "ix_email_events_created_at",
        "ix_email_events_lead",
    )
    for name in names:
        await connection.execute(f"DROP INDEX outreach.{name}".encode())
    await connection.execute("ALTER TABLE outreach.email_events DROP CONSTRAINT pk_email_events")
    audience = round(events / EVENTS_PER_SEND / CAMPAIGNS)
    campaigns = await (await connection.execute(Q.list_campaigns, given)).fetchall()
    for number, campaign in enumerate(campaigns):
        progress("loading events", number, CAMPAIGNS)
        run = {
            "campaign_id": campaign["id"],
            "launched_at": campaign["launched_at"],
            "audience": audience,
            "first_send": number * audience,
        }
        await connection.execute(Q.add_events, given | run)
    progress("building the indexes of events", 0)
    for name in ("pk_email_events", *names):
        await connection.execute(definitions[name].encode())
    progress("adding engagement", 0)
    await connection.execute("ANALYZE outreach.email_events")
    await connection.execute(Q.add_engagement, given)
