"""A campaign among a hundred deaths: workers, ingesters and server are killed at random; the books still balance."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from mailing import add_leads, campaign_file, rows

from outreachdb.analytics import stats
from outreachdb.campaigns import campaigns
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.server import throwaway
from outreachdb.db.pools import Pools
from outreachdb.demo.sink import Sink
from outreachdb.errors import OutreachDBError
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch, schedule, unknown
from outreachdb.tenancy import workspaces

KILLS = 100
RECIPIENTS = int(os.environ.get("OUTREACHDB_TEST_RECIPIENTS", "12000"))
WORKERS, INGESTERS = 3, 2
# Both go on until they are killed; whatever the server does to them, they start again.
COMMON = """
import asyncio, json, sys, time
from datetime import datetime, timedelta
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.errors import OutreachDBError
from outreachdb.events.ingest import ingest
from outreachdb.events.normal import NormalEvent
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch
from outreachdb.tenancy import workspaces

KEYRING = Keyring(bytes(range(32)))

async def forever(url, work):
    while True:
        try:
            async with Pools(Settings.load({}, database_url=url)) as pools:
                await work(await workspaces.tenant(pools, "faults"))
        except (OutreachDBError, OSError):
            await asyncio.sleep(0.1)
"""
WORKER = (
    COMMON
    + """
async def work(tenant):
    await dispatch.run(tenant, KEYRING, once=False, batch=60, connections=2, lease=timedelta(seconds=3))
asyncio.run(forever(sys.argv[1], work))
"""
)
# Reports every message that arrived as delivered, again and again.
INGESTER = (
    COMMON
    + """
import random
async def work(tenant):
    while True:
        with open(sys.argv[2]) as file:
            lines = [json.loads(line) for line in file if line.endswith("\\n")]
        for line in random.sample(lines, min(len(lines), 400)):
            line["at"] = 1
        chosen = [line for line in lines if "at" in line]
        events = [NormalEvent(event="delivered", recipient=line["recipient"], provider="sendgrid",
                              timestamp=datetime.fromisoformat(sys.argv[3]), message_id=line["message_id"],
                              event_id="d" + line["message_id"]) for line in chosen]
        if events:
            await ingest(tenant, KEYRING, events)
        await asyncio.sleep(0.05)
asyncio.run(forever(sys.argv[1], work))
"""
)


async def start(source: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", source, *arguments)


def kill_server(url: str, source: random.Random) -> None:
    """Kill a backend: the postmaster takes all others down with it and recovers from the log."""
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchall()
        if found:
            os.kill(source.choice(found)[0], signal.SIGKILL)
    except (psycopg.Error, ProcessLookupError):
        pass  # it is recovering from the last time


async def _kill(url: str, notes: Path, source: random.Random) -> Counter[str]:
    """Let workers and ingesters run, and kill them and the server a hundred times."""
    workers = [await start(WORKER, url) for _ in range(WORKERS)]
    # The same instant whoever tells of it, and never beyond the months that are kept.
    ingester = (INGESTER, url, str(notes), datetime.now(UTC).isoformat())
    ingesters = [await start(*ingester) for _ in range(INGESTERS)]
    kills: Counter[str] = Counter()
    while sum(kills.values()) < KILLS:
        await asyncio.sleep(source.uniform(0.2, 1.6))
        whom = source.choices(("worker", "ingester", "server"), (6, 2, 2))[0]
        kills[whom] += 1
        if whom == "server":
            await asyncio.to_thread(kill_server, url, source)
            continue
        crew, program = (workers, (WORKER, url)) if whom == "worker" else (ingesters, ingester)
        place = source.randrange(len(crew))
        crew[place].kill()
        await crew[place].wait()
        crew[place] = await start(*program)
    for process in (*workers, *ingesters):
        process.kill()
        await process.wait()
    return kills


LEFT = "SELECT FROM outreach.email_sends WHERE workspace_id = %s AND status IN ('scheduled', 'claimed') LIMIT 1"


@pytest.mark.slow
async def test_a_hundred_kills_cost_no_mail_and_send_none_twice(tmp_path: Path) -> None:
    with throwaway() as server:
        notes = tmp_path / "received.jsonl"
        notes.touch()
        async with Sink(notes) as sink:
            await _campaign_among_kills(server, sink, notes)


async def _campaign_among_kills(server: EmbeddedServer, sink: Sink, notes: Path) -> None:
    url, keyring, source = server.url("postgres"), Keyring(bytes(range(32))), random.Random(11)
    await migrate.upgrade(url)
    async with Pools(Settings.load({}, database_url=url)) as pools:
        await workspaces.create(pools, "faults")
        tenant = await workspaces.tenant(pools, "faults")
        await add_leads(tenant, RECIPIENTS)
        smtp = {"host": "127.0.0.1", "port": sink.port, "security": "plain"}
        boxes = [{"address": f"m{n}@sender.example", "smtp": smtp} for n in range(4)]
        made = await campaigns.create(tenant, keyring, campaign_file(sink.port, mailboxes=boxes))
        assert (await schedule.launch(tenant, made.id)).scheduled == RECIPIENTS
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")  # on disk before the first kill: this server acknowledges before that

    began = time.monotonic()
    kills = await _kill(url, notes, source)
    await asyncio.sleep(4)  # the last leases end
    async with Pools(Settings.load({}, database_url=url)) as pools:
        tenant = await workspaces.tenant(pools, "faults")
        # What a worker gave back when it stopped is due again after a minute.
        for _ in range(200):
            try:
                await dispatch.run(tenant, keyring)
                if not await rows(tenant, LEFT, tenant.workspace_id):
                    break
            except OutreachDBError:
                pass
            await asyncio.sleep(0.5)
        arrived = Counter(each.recipient for each in sink.received())
        ledger = {
            row["recipient"]: row["status"]
            for row in await rows(
                tenant,
                "SELECT recipient, status FROM outreach.email_sends WHERE workspace_id = %s",
                tenant.workspace_id,
            )
        }
        by_status = Counter(ledger.values())
        listed = {row["recipient"] for row in await unknown(tenant, limit=100_000)}
        [log] = await rows(
            tenant,
            "SELECT count(*) AS n, count(DISTINCT recipient) AS people FROM outreach.message_log "
            "WHERE workspace_id = %s",
            tenant.workspace_id,
        )
        [delivered] = await rows(
            tenant,
            "SELECT count(*) AS events, count(DISTINCT send_id) AS sends, (SELECT count(s.delivered_at) "
            "FROM outreach.email_sends AS s WHERE s.workspace_id = e.workspace_id) AS marked "
            "FROM outreach.email_events AS e WHERE e.workspace_id = %s AND e.event = 'delivered' "
            "GROUP BY e.workspace_id",
            tenant.workspace_id,
        )
        counted = await stats.campaign(tenant, made.id)
    told = f"{dict(kills)} kills in {time.monotonic() - began:.0f} s, {dict(by_status)}, {len(arrived)} arrived"
    assert max(arrived.values()) == 1, told
    assert len(ledger) == RECIPIENTS, told
    assert set(by_status) <= {"sent", "unknown"}, told
    assert {to for to, status in ledger.items() if status == "unknown"} == listed, told
    assert {to for to, status in ledger.items() if status == "sent"} <= set(arrived), told
    assert set(arrived) <= set(ledger), told
    assert set(ledger) - set(arrived) <= listed, told
    assert by_status["sent"] == counted.sent == log["n"] == log["people"], told
    # Reported again and again by ingesters that were killed: each once in the ledger, and in the numbers.
    assert delivered["events"] == delivered["sends"] == delivered["marked"] == counted.delivered > 0, told
    assert delivered["events"] <= len(arrived), told
    sys.stderr.write(told + "\n")
