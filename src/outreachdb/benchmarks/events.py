"""Ingest: by the library with two workers, by HTTP in batches of 500, and with few and many events stored already."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.config import Settings
from outreachdb.db import index_catalogue, migrate
from outreachdb.db.pools import Pools, connect
from outreachdb.errors import OutreachDBError
from outreachdb.progress import Progress, silent
from outreachdb.tenancy import workspaces

WORKSPACE = "bench"
SENDS = 200_000
WORKERS = 2
BY_WORKER = 100_000
BY_HTTP = 50_000
HTTP_BATCH = 500
LIBRARY_LIMIT = 20_000.0
HTTP_LIMIT = 5_000.0
FLAT_LIMIT = 1.25  # times the cost of an event with a fiftieth stored
PORTION = 500_000
FILLERS = 2
CAMPAIGN = """
    WITH campaign AS (
        INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at)
        VALUES (%(ws)s, %(name)s, 'running', date_trunc('minute', now()) - interval '2 hours') RETURNING id, launched_at
    ), mailbox AS (
        INSERT INTO outreach.mailboxes (workspace_id, address, smtp_host)
        SELECT %(ws)s, %(name)s || n || '@sender.example', '127.0.0.1' FROM generate_series(1, 20) AS n RETURNING id
    ), boxes AS (
        SELECT array_agg(id) AS ids FROM mailbox
    ), people AS (
        INSERT INTO outreach.leads (workspace_id, email, status)
        SELECT %(ws)s, %(name)s || n || '@buyer' || n %% 5000 || '.example', 'contacted'
        FROM generate_series(1, %(sends)s) AS n
        RETURNING id, email
    )
    INSERT INTO outreach.email_sends (
        workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, status, recipient, scheduled_at, sent_at)
    SELECT %(ws)s, c.launched_at, c.id, p.id, b.ids[1 + p.id %% 20], 1, 'sent', p.email, c.launched_at, c.launched_at
    FROM people AS p, campaign AS c, boxes AS b
"""
# A year's events of other campaigns of the workspace, straight into the months: what an ingest finds, not what it does.
# Their keys are as random as SendGrid's, so that the new ones land anywhere in the index.
STORED = """
    INSERT INTO outreach.email_events (
        workspace_id, event_key, created_at, event, provider, send_id, campaign_id, lead_id, step, recipient, raw)
    SELECT %(ws)s, 'sendgrid:' || md5(n::text),
           now() - (n %% 300) * interval '1 day' - (n %% 86400) * interval '1 second',
           (ARRAY['delivered', 'opened', 'clicked', 'delivered'])[1 + n %% 4], 'sendgrid', n, 1000000 + n %% 200, n, 1,
           'lead' || n || '@buyer.example', '{"event": "delivered", "useragent": "Mail/1.0", "ip": "192.0.2.7"}'
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
INDEXES = (
    "brin_email_events_created_at",
    "ix_email_events_campaign",
    "ix_email_events_created_at",
    "ix_email_events_lead",
)
MONTHS = "SELECT outreach.ensure_partitions('email_events', now() - interval '301 days', now())"
CAMPAIGNS = "SELECT count(*) FROM outreach.campaigns"
CHILD = "from outreachdb.benchmarks.events import child; child()"


async def run(url: str, events: int = 5_000_000, progress: Progress = silent) -> list[Result]:
    """Ingest into a scratch database that holds ``events`` / 50, then into one that holds ``events``."""
    async with scratch_database(url, "events") as scratch:
        await migrate.upgrade(scratch)
        async with Pools(Settings.load({}, database_url=scratch)) as pools:
            await workspaces.create(pools, WORKSPACE)
        stored = max(events // 50, 1)
        await _fill(scratch, 0, stored, progress)
        first = await _library(scratch, progress)
        await _fill(scratch, stored, events, progress)
        library = await _library(scratch, progress)
        http = await _http(scratch, progress)
    return [
        Result("events: library, two workers", library, "events/s", limit=LIBRARY_LIMIT, more_is_better=True),
        Result("events: HTTP, batches of 500", http, "events/s", limit=HTTP_LIMIT, more_is_better=True),
        Result(f"events: cost with {events:,} stored", first / library, f"x that with {stored:,}", limit=FLAT_LIMIT),
    ]


async def _fill(url: str, first: int, last: int, progress: Progress) -> None:
    async with Pools(Settings.load({}, database_url=url)) as pools:
        workspace = (await workspaces.tenant(pools, WORKSPACE)).workspace_id
    portions = iter(range(first, last, PORTION))

    async def work() -> None:
        async with await connect(url, autocommit=True) as connection:
            for start in portions:
                progress("storing events", start, last)
                given = {"ws": workspace, "first": start + 1, "last": min(start + PORTION, last)}
                await connection.execute(STORED, given)

    async with await connect(url, autocommit=True) as connection:
        await connection.execute(MONTHS)
        # Twenty minutes for 50 million rows become eight.
        definitions = index_catalogue.definitions()
        for name in INDEXES:
            await connection.execute(f"DROP INDEX outreach.{name}".encode())
        await connection.execute("ALTER TABLE outreach.email_events DROP CONSTRAINT pk_email_events")
        await asyncio.gather(*(work() for _ in range(FILLERS)))
        progress("building the indexes of events", 0)
        for name in ("pk_email_events", *INDEXES):
            await connection.execute(definitions[name].encode())
        await connection.execute("VACUUM (ANALYZE) outreach.email_events")
        await connection.execute("CHECKPOINT")


async def _campaign(url: str) -> str:
    """A campaign of its own for each measurement, whose sends have no event yet; its name."""
    async with Pools(Settings.load({}, database_url=url)) as pools:
        tenant = await workspaces.tenant(pools, WORKSPACE)
        async with tenant.trusted() as session:
            name = f"bench-{await session.value(CAMPAIGNS)}-"
            await session.execute(CAMPAIGN, {"ws": tenant.workspace_id, "sends": SENDS, "name": name})
    async with await connect(url, autocommit=True) as connection:
        await connection.execute("VACUUM (ANALYZE) outreach.email_sends, outreach.leads")
        await connection.execute("CHECKPOINT")
    return name


async def _library(url: str, progress: Progress) -> float:
    """Events a second: the workers have their events in memory and begin at a word."""
    name = await _campaign(url)
    progress("ingesting", 0, WORKERS * BY_WORKER)
    seconds = await _race([["library", url, name, str(worker)] for worker in range(WORKERS)])
    return WORKERS * BY_WORKER / seconds


async def _http(url: str, progress: Progress) -> float:
    name = await _campaign(url)
    progress("posting", 0, BY_HTTP)
    return BY_HTTP / await _race([["http", url, name, "0"]])


async def _race(children: list[list[str]]) -> float:
    """Start children, wait until all are ready, let them go; seconds until the last is done."""
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        for arguments in children
    ]
    for each in running:
        assert each.stdout is not None  # noqa: S101
        await each.stdout.readline()
    began = asyncio.get_running_loop().time()
    outputs = await asyncio.gather(*(each.communicate(b"go\n") for each in running))
    seconds = asyncio.get_running_loop().time() - began
    for each, (said, _) in zip(running, outputs, strict=True):
        if each.returncode or not said.strip():
            raise OutreachDBError("a worker of the benchmark failed")
        told = json.loads(said.splitlines()[-1])  # warnings come before
        if told["stored"] != told["expected"]:
            raise OutreachDBError(f"of {told['expected']} events {told['stored']} were stored")
    return seconds


def child() -> None:
    """One worker; its own process, as in real life."""
    from outreachdb.benchmarks import events_worker  # noqa: PLC0415 - the parent needs neither HTTP nor signatures

    kind, url, name, worker = sys.argv[1:]
    work: Any = {"library": events_worker.in_process, "http": events_worker.http}[kind]
    stored, expected = asyncio.run(work(url, name, int(worker)))
    sys.stdout.write(json.dumps({"stored": stored, "expected": expected}) + "\n")
