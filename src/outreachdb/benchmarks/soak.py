"""Everything at once for some minutes: imports, launches, readers, all jobs, refreshes, partitions that leave.

Readers are 50 clients with their own connections whose ``lock_timeout`` is a second: a wait for a lock that is longer
is an error of theirs. Imports and launches go through a real worker process; another part of this process runs every
job of the registry again and again, refreshes all views and detaches and drops the oldest months.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from psycopg import conninfo

from outreachdb import analytics, jobs, leads, segments
from outreachdb.analytics import rollups, views
from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.campaigns import campaigns
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import OutreachDBError
from outreachdb.jobs import registry, requests, runs
from outreachdb.progress import Progress, silent
from outreachdb.secrets import Keyring
from outreachdb.tenancy import workspaces

log = structlog.get_logger(__name__)
MINUTES = 10
CLIENTS = 50
THINK_SECONDS = 1.0
WORKSPACES = 2
OLD_LEADS = 50_000
FILE_ROWS = 20_000
AUDIENCE = "soak"
LOCK_WAIT = 1.0  # seconds
SLOWEST_LIMIT = 5.0  # seconds, of one request in a hundred
STOP_SECONDS = 120.0
LEADS = """
    INSERT INTO outreach.leads (
        workspace_id, email, first_name, title, company_name, country, industry, tags, qualification_score)
    SELECT %(ws)s, 'old' || n || '@firm' || n %% 5000 || '.example', 'Name' || n,
           (ARRAY['Head of Growth', 'Engineer', 'Founder', 'Buyer'])[1 + n %% 4], 'Firm ' || n %% 5000,
           (ARRAY['US', 'GB', 'DE', 'FR', 'PL'])[1 + n %% 5], (ARRAY['Finance', 'Health', 'Retail'])[1 + n %% 3],
           CASE WHEN n %% 50 = 0 THEN ARRAY['soak'] ELSE '{}' END, n %% 101
    FROM generate_series(1, %(n)s) AS n
"""
ENGLISH = {"field": "country", "op": "in", "value": ["US", "GB"]}
DEFINITIONS: tuple[dict[str, Any], ...] = (
    {"field": "title", "op": "contains", "value": "growth"},
    {"all": [ENGLISH, {"field": "qualification_score", "op": "gte", "value": 70}]},
    {"field": "tags", "op": "has_any", "value": ["soak"]},
)
# At first nothing is old; each step of the soak makes a month older. One table is archived, the others are dropped.
OLD_MONTHS = """
    WITH registered AS (
        UPDATE ops.partitioned_tables SET retention_months = %(months)s, archive = table_name = 'lead_activities'
    ), activities AS (
        INSERT INTO outreach.lead_activities (workspace_id, created_at, lead_id, activity_type)
        SELECT 1 + n %% 2, now() - (n %% 600) * interval '1 day', n, 'note' FROM generate_series(1, 30000) AS n
    )
    INSERT INTO outreach.message_log (workspace_id, created_at)
    SELECT 1 + n %% 2, now() - (n %% 600) * interval '1 day' FROM generate_series(1, 30000) AS n
"""
OLDER = "UPDATE ops.partitioned_tables SET retention_months = greatest(retention_months - 1, 3)"
MONTHS = 20
LEAVE_EVERY = 15  # seconds


@dataclass
class Seen:
    """What happened: how often each thing was done, errors by their words, seconds of the readers' requests."""

    done: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    requests: list[float] = field(default_factory=list)
    lock_waits: int = 0

    def error(self, what: str, problem: BaseException) -> None:
        """Count an error; one that is a lock waited for too long counts twice over."""
        words = " ".join(f"{what}: {problem}".split())[:300]
        self.errors[words] += 1
        if "lock timeout" in words:
            self.lock_waits += 1
        log.warning("the soak met an error", problem=words)


async def run(url: str, minutes: int = MINUTES, progress: Progress = silent) -> list[Result]:
    """Run for so many minutes on a scratch database; every figure is of this run."""
    seen = Seen()
    async with scratch_database(url, "soak") as scratch:
        with tempfile.TemporaryDirectory(prefix="odb-soak-") as folder:
            await _soak(scratch, Path(folder), minutes, seen, progress)
    return _results(minutes, seen)


async def _soak(url: str, folder: Path, minutes: int, seen: Seen, progress: Progress) -> None:
    await migrate.upgrade(url)
    impatient = conninfo.make_conninfo(url, options=f"-c lock_timeout={int(LOCK_WAIT * 1000)}")
    readers = Settings.load({}, database_url=impatient, pool_max=CLIENTS)
    working = Settings.load({}, database_url=url, home=folder)
    async with Pools(working) as pools, Pools(readers) as reading:
        progress("loading", 0)
        tenants = [await _prepared(pools, f"soak{number}") for number in range(WORKSPACES)]
        async with pools.connection("admin") as connection:
            await connection.execute(OLD_MONTHS, {"months": MONTHS})
        await jobs.publish(pools)
        stop = asyncio.Event()
        async with _worker(url, folder, seen):
            work: list[Callable[[], Awaitable[None]]] = []
            for tenant in tenants:
                work += [_import(tenant, folder, seen), _launch(tenant, pools, seen)]
            work += [_all_jobs(pools, seen), _refresh(pools, seen), _drop_months(pools, seen)]
            for number in range(CLIENTS):
                own = tenants[number % WORKSPACES]
                work.append(_read(Tenant(reading, own.workspace_id, own.name), seen, number))
            tasks = [asyncio.create_task(_until(stop, each, seen)) for each in work]
            began = time.monotonic()
            while (elapsed := time.monotonic() - began) < minutes * 60:
                progress("soaking, seconds", int(elapsed), minutes * 60)
                await asyncio.sleep(1)
            stop.set()
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(*tasks)
        await _balance(pools, tenants, seen)


async def _until(stop: asyncio.Event, work: Callable[[], Awaitable[None]], seen: Seen) -> None:
    while not stop.is_set():
        try:
            await work()
        except OutreachDBError as error:
            seen.error(work.__qualname__.split(".")[0].strip("_"), error)
            await asyncio.sleep(0.5)


async def _prepared(pools: Pools, name: str) -> Tenant:
    await workspaces.create(pools, name)
    tenant = await workspaces.tenant(pools, name)
    async with tenant.trusted(doing="loading leads") as trusted:
        await trusted.execute(LEADS, {"ws": tenant.workspace_id, "n": OLD_LEADS})
        await trusted.execute("SELECT outreach.refresh_statistics('leads')")
    for number, definition in enumerate(DEFINITIONS):
        await segments.create(tenant, f"segment{number}", definition)
    await segments.create(tenant, AUDIENCE, DEFINITIONS[2])
    return tenant


def _write(path: Path, turn: int) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("email", "first name", "company", "city"))
        for row in range(FILE_ROWS):
            rows.writerow((f"new{row}@list{row % 700}.example", f"N{row}", f"Company {row % 700}", f"City {turn}"))


def _import(tenant: Tenant, folder: Path, seen: Seen) -> Callable[[], Awaitable[None]]:
    """One import at a time, in the background: at first leads are made, then each turn changes all of them."""
    turns = iter(range(1_000_000))
    file = folder / f"{tenant.name}.csv"

    async def imports() -> None:
        await asyncio.to_thread(_write, file, next(turns))
        asked = await requests.import_file(tenant, file)
        await _ended(tenant, asked.id, "imports", seen)

    return imports


def _launch(tenant: Tenant, pools: Pools, seen: Seen) -> Callable[[], Awaitable[None]]:
    turns = iter(range(1_000_000))

    async def launches() -> None:
        given = {
            "name": f"campaign {next(turns)}",
            "segment": AUDIENCE,
            "mailboxes": [
                {
                    "address": f"ann@{tenant.name}.example",
                    "smtp": {"host": "127.0.0.1", "port": 2525, "security": "plain"},
                }
            ],
            "steps": [{"subject": "Hello {{ first_name }}", "text": "Dear {{ first_name }}"}],
        }
        made = await campaigns.create(tenant, Keyring.load(pools.settings), given)
        asked = await requests.launch(tenant, made.id)
        await _ended(tenant, asked.id, "launches", seen)

    return launches


async def _ended(tenant: Tenant, job_id: int, what: str, seen: Seen) -> None:
    async with asyncio.timeout(STOP_SECONDS):
        while (found := await jobs.find(tenant, job_id)).status in {"queued", "running"}:  # noqa: ASYNC110
            await asyncio.sleep(0.25)
    seen.done[what] += 1
    if found.status != "succeeded":
        seen.error(what, OutreachDBError(found.error or found.status))


def _read(tenant: Tenant, seen: Seen, number: int) -> Callable[[], Awaitable[None]]:
    """What one client does between two pauses."""
    chance = random.Random(number)  # noqa: S311 - a mix that repeats, not a secret

    async def reads() -> None:
        await asyncio.sleep(chance.uniform(0, 2 * THINK_SECONDS))
        began = time.perf_counter()
        kind = chance.randrange(5)
        if kind == 0:
            await segments.count(tenant, f"segment{chance.randrange(3)}", confirmed=True)
        elif kind == 1:
            await segments.preview(tenant, f"segment{chance.randrange(3)}")
        elif kind == 2:
            await analytics.workspace_stats(tenant)
        elif kind == 3:
            found = await campaigns.listed(tenant, limit=5)
            if found:
                await analytics.campaign_stats(tenant, found[0].id)
        else:
            await leads.search(tenant, f"firm {chance.randrange(5000)}")
        seen.requests.append(time.perf_counter() - began)
        seen.done["requests"] += 1

    return reads


def _all_jobs(pools: Pools, seen: Seen) -> Callable[[], Awaitable[None]]:
    """Every job of the registry, one after another, beside the worker's own schedule."""

    async def all_jobs() -> None:
        for job in jobs.JOBS:
            try:
                done = await runs.perform(pools, job, driver="command")
                seen.done["jobs" if done.status == "succeeded" else "jobs that ran elsewhere"] += 1
            except OutreachDBError as error:
                seen.error(f"job {job.name}", error)
            await asyncio.sleep(0.2)

    return all_jobs


def _refresh(pools: Pools, seen: Seen) -> Callable[[], Awaitable[None]]:
    async def refreshes() -> None:
        for view in views.SCHEDULES:
            await views.refresh(pools, view)
            seen.done["refreshes"] += 1
            await asyncio.sleep(1)

    return refreshes


def _drop_months(pools: Pools, seen: Seen) -> Callable[[], Awaitable[None]]:
    """The oldest month of every table leaves, as retention does it: detached beside its readers, then dropped."""
    job = registry.find("retention")
    assert job is not None  # noqa: S101 - a row of the registry

    async def drops() -> None:
        await asyncio.sleep(LEAVE_EVERY)
        async with pools.connection("admin") as connection:
            await connection.execute(OLDER)
        done = await runs.perform(pools, job, driver="command")
        seen.done["months dropped"] += (done.details or {}).get("dropped", 0)
        seen.done["months archived"] += (done.details or {}).get("archived", 0)

    return drops


@contextlib.asynccontextmanager
async def _worker(url: str, folder: Path, seen: Seen) -> AsyncIterator[None]:
    """A worker as a process of its own; it must live to the end and stop when told."""
    log_file = folder / "worker.log"
    environment = os.environ | {"OUTREACHDB_DATABASE_URL": url, "OUTREACHDB_HOME": str(folder)}
    with log_file.open("wb") as output:
        command = (sys.executable, "-m", "outreachdb", "worker", "--concurrency", "6")
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=output, stderr=output)
        try:
            yield
            if process.returncode is not None:
                seen.error("worker", OutreachDBError(f"it ended with {process.returncode}"))
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(60):
                    if await process.wait() != 0:
                        seen.error("worker", OutreachDBError("it did not stop in good order"))
    for line in (await asyncio.to_thread(log_file.read_text)).splitlines():
        if "[warning" in line or "[error" in line or "Traceback" in line:
            seen.error("worker", OutreachDBError(line))


async def _balance(pools: Pools, tenants: list[Tenant], seen: Seen) -> None:
    """What must hold whatever happened at once: nothing lost, nothing twice, and runs of jobs that succeeded."""
    for tenant in tenants:
        async with tenant.trusted(doing="counting") as trusted:
            leads_now = await trusted.value(
                "SELECT count(*) FROM outreach.leads WHERE workspace_id = %(ws)s", {"ws": tenant.workspace_id}
            )
        if leads_now != OLD_LEADS + FILE_ROWS:
            seen.error("balance", OutreachDBError(f"{leads_now} leads in {tenant.name}"))
        await rollups.fold(tenant)
        drift = await rollups.reconcile(tenant, days=60)
        if drift.drifted:
            seen.error("balance", OutreachDBError(f"{drift.drifted} wrong numbers in {tenant.name}"))
    for row in await jobs.history(pools, limit=100_000):
        if row["status"] == "failed":
            seen.error(f"job {row['job']}", OutreachDBError(row["error"]))
        elif row["driver"] == "worker":
            seen.done["jobs by the worker"] += 1


def _results(minutes: int, seen: Seen) -> list[Result]:
    ordered = sorted(seen.requests) or [0.0]
    slow = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    results = [
        Result("soak: minutes", minutes, "min"),
        Result("soak: errors", sum(seen.errors.values()), "", limit=0),
        Result(f"soak: waits for a lock over {LOCK_WAIT:g} s by {CLIENTS} clients", seen.lock_waits, "", limit=0),
        Result("soak: requests, median", ordered[len(ordered) // 2] * 1000, "ms"),
        Result("soak: requests, 99 of 100 within", slow * 1000, "ms", limit=SLOWEST_LIMIT * 1000),
        Result("soak: slowest request", ordered[-1] * 1000, "ms"),
    ]
    return results + [Result(f"soak: {what}", count, "") for what, count in sorted(seen.done.items())]
