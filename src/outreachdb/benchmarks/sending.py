"""Scheduling beside a bare INSERT ... SELECT of the same rows, claims by four workers, many launches and workers at once."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import timedelta
from typing import Any

from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.campaigns import campaigns
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.pools import Pools, connect
from outreachdb.db.tenant import Tenant
from outreachdb.errors import OutreachDBError
from outreachdb.progress import Progress, silent
from outreachdb.secrets import Keyring
from outreachdb.sending import schedule
from outreachdb.sending.ledger import Ledger
from outreachdb.tenancy import workspaces

MAILBOXES = 64
WORKERS = 4
CLAIM = 1000
CLAIMED = 300_000
BARE_LIMIT = 1.5
LEADS = """
    INSERT INTO outreach.leads (workspace_id, email, first_name, last_name, title, company_name, country, custom_fields)
    SELECT %(workspace_id)s, 'person' || n || '@company' || n %% 50000 || '.example', 'First' || n %% 500,
           'Family' || n %% 20000, 'Title ' || n %% 200, 'Company ' || n %% 50000, 'C' || n %% 50,
           jsonb_build_object('plan', n %% 3)
    FROM generate_series(1, %(leads)s) AS n
"""
TWIN = (
    "CREATE TABLE public.sends_twin (LIKE outreach.email_sends INCLUDING ALL)",
    """ALTER TABLE public.sends_twin ADD FOREIGN KEY (workspace_id, campaign_id, created_at)
       REFERENCES outreach.campaigns (workspace_id, id, launched_at)""",
    "ALTER TABLE public.sends_twin ADD FOREIGN KEY (workspace_id, lead_id) REFERENCES outreach.leads (workspace_id, id)",
)
# A worker is a process of its own, as in life.
CHILD = """
import asyncio, json, sys, time
from datetime import timedelta
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.sending.ledger import Ledger
from outreachdb.tenancy import workspaces

async def main(url, name, batch, enough):
    async with Pools(Settings.load({}, database_url=url)) as pools:
        tenant = await workspaces.tenant(pools, name)
        ledger = Ledger(tenant, timedelta(minutes=10))
        async with tenant.session("jobs") as session:
            await session.execute("SELECT 1")
        print("ready", flush=True)
        sys.stdin.readline()
        began, claimed = time.time(), 0
        while claimed < enough:
            sends, others = await ledger.claim(batch, [])
            claimed += len(sends)
            if not sends and not others:
                break
        print(json.dumps({"began": began, "ended": time.time(), "claimed": claimed}))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


async def run(url: str, leads: int = 1_000_000, progress: Progress = silent) -> list[Result]:
    """Schedule ``leads`` sends, write the same rows bare, claim from 64 mailboxes, then launch five campaigns at once."""
    async with scratch_database(url, "sending") as scratch:
        await migrate.upgrade(scratch)
        async with Pools(Settings.load({}, database_url=scratch)) as pools:
            await workspaces.create(pools, "bench")
            tenant = await workspaces.tenant(pools, "bench")
            progress("filling", 0, 5)
            async with tenant.trusted() as session:
                await session.execute(LEADS, {"workspace_id": tenant.workspace_id, "leads": leads})
            await _maintain(scratch, "VACUUM (ANALYZE) outreach.leads")
            progress("scheduling", 1, 5)
            scheduled = await _schedule(tenant, scratch, "one")
            progress("bare INSERT", 2, 5)
            bare = await _bare(scratch)
            progress("claiming", 3, 5)
            rate = await _claims(scratch, min(CLAIMED, leads // 2))
            progress("five campaigns, ten workers", 4, 5)
            crowd = await _crowd(tenant, scratch, min(leads, 20_000))
            progress("done", 5, 5)
    return [
        Result(f"schedule: {leads:,} recipients", round(scheduled, 2), "s", "3 minutes", 15 * leads / 1_000_000),
        Result("bare INSERT ... SELECT of the same rows", round(bare, 2), "s"),
        Result("schedule: times bare INSERT", round(scheduled / bare, 2), "x", None, BARE_LIMIT),
        Result(f"claim: {WORKERS} workers, {MAILBOXES} mailboxes", rate, "sends/s", None, 30_000, more_is_better=True),
        *crowd,
    ]


async def _schedule(tenant: Tenant, url: str, name: str) -> float:
    await _campaign(tenant, name, {})
    await _maintain(url, "CHECKPOINT")
    return (await schedule.launch(tenant, name, check=False)).seconds


async def _campaign(tenant: Tenant, name: str, segment: dict[str, Any]) -> None:
    smtp = {"host": "127.0.0.1", "port": 2525, "security": "plain"}
    boxes = [{"address": f"box{n}@sender.example", "smtp": smtp} for n in range(MAILBOXES)]
    steps = [{"subject": "Hello {{ first_name }}", "text": "Hello"}]
    given = {"name": name, "segment": segment, "mailboxes": boxes, "steps": steps}
    await campaigns.create(tenant, Keyring(bytes(32)), given)


async def _bare(url: str) -> float:
    async with await connect(url, autocommit=True) as connection:
        for statement in TWIN:
            await connection.execute(statement.encode())
        await connection.execute("CHECKPOINT")
        began = time.perf_counter()
        await connection.execute("INSERT INTO public.sends_twin SELECT * FROM outreach.email_sends")
        taken = time.perf_counter() - began
        await connection.execute("DROP TABLE public.sends_twin")
    return taken


async def _claims(url: str, enough: int) -> float:
    """Sends per second of all workers together, from the first to begin to the last to end."""
    await _maintain(url, "CHECKPOINT")
    pipe = asyncio.subprocess.PIPE
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, url, "bench", str(CLAIM), str(enough // WORKERS), stdin=pipe, stdout=pipe
        )
        for _ in range(WORKERS)
    ]
    for process in started:
        assert process.stdout is not None  # noqa: S101  (asked for above)
        await process.stdout.readline()
    told = [json.loads(out) for out, _ in await asyncio.gather(*(process.communicate(b"\n") for process in started))]
    claimed = sum(each["claimed"] for each in told)
    return round(claimed / (max(each["ended"] for each in told) - min(each["began"] for each in told)))


async def _crowd(tenant: Tenant, url: str, leads: int) -> list[Result]:
    """Five launches and ten workers at the same time: every send is handed out once, nobody deadlocks."""
    names = [f"crowd {n}" for n in range(5)]
    segment = {"field": "last_name", "op": "in", "value": [f"Family{n}" for n in range(max(1, leads // 50))]}
    for name in names:
        await _campaign(tenant, name, segment)
    async with tenant.session("jobs") as session:
        await session.execute(
            "SELECT outreach.set_campaign_status(id, 'cancelled') FROM outreach.campaigns WHERE name = 'one'"
        )
    before = await _deadlocks(url)
    began = time.perf_counter()
    seen: list[int] = []
    launching = asyncio.gather(*(schedule.launch(tenant, name, check=False) for name in names))

    async def work() -> None:
        ledger = Ledger(tenant, timedelta(minutes=10))
        while True:
            sends, others = await ledger.claim(500, [])
            seen.extend(send.send_id for send in sends)
            if not sends and not others:
                if launching.done():
                    return
                await asyncio.sleep(0.01)

    workers = asyncio.gather(*(work() for _ in range(10)))
    launched = await launching
    await workers
    sent = sum(each.scheduled for each in launched)
    if len(seen) != sent or len(set(seen)) != sent:
        raise OutreachDBError(
            f"{sent} sends were scheduled, {len(seen)} handed out, {len(set(seen))} of them different"
        )
    taken = round(time.perf_counter() - began, 2)
    return [
        Result(f"five launches and ten workers at once, {sent:,} sends", taken, "s"),
        Result("deadlocks among them", float(await _deadlocks(url) - before), "", None, 0),
    ]


async def _deadlocks(url: str) -> int:
    async with await connect(url, autocommit=True) as connection:
        row = await (
            await connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        ).fetchone()
    return int(row["deadlocks"]) if row else 0


async def _maintain(url: str, statement: str) -> None:
    async with await connect(url, autocommit=True) as connection:
        await connection.execute(statement.encode())
