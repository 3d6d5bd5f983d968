"""The same work on two servers of this machine: PostgreSQL's own settings, and those that fit the machine."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from outreachdb.analytics import stats
from outreachdb.benchmarks import imports, population
from outreachdb.benchmarks.measure import Result, checkpoint
from outreachdb.benchmarks.segment_mix import random_segment
from outreachdb.campaigns import campaigns
from outreachdb.config import Settings
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.fitting import Situation, fit
from outreachdb.db.machine import Machine
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.leads.importing import import_file
from outreachdb.leads.search import search
from outreachdb.progress import Progress, silent
from outreachdb.secrets import Keyring
from outreachdb.segments import segments
from outreachdb.sending import schedule
from outreachdb.sending.ledger import Ledger
from outreachdb.tenancy import workspaces

SLOWER_LIMIT = 1.05
ROUNDS = 15
EVENTS_PER_LEAD = 5
SEGMENTS, SEARCHES = 30, 40
IMPORTED, SENT, CLAIMED = 30_000, 30_000, 20_000

Work = Callable[["Side"], Awaitable[None]]


class Side:
    """One of the two servers, filled like the other."""

    def __init__(self, name: str, url: str, tenant: Tenant, file: Path) -> None:
        self.name, self.url, self.tenant, self.file = name, url, tenant, file
        self.taken: dict[str, list[float]] = {}


async def run(_url: str, leads: int = 200_000, progress: Progress = silent) -> list[Result]:
    """Fill two servers of its own, work on them in turns, compare the best rounds; the given one is left alone."""
    situation = Situation(Machine.here(Path("/tmp")))  # noqa: S108 - where the servers are
    settings: Mapping[str, Mapping[str, str]] = {
        "before": {},
        "after": {each.name: each.value for each in fit(situation)},
    }
    async with AsyncExitStack() as stack:
        sides = [
            await stack.enter_async_context(_side(name, given, leads, progress)) for name, given in settings.items()
        ]
        for number in range(ROUNDS):
            for work, (_, times) in WORKS.items():
                progress(f"round {number + 1} of {ROUNDS}: {work}", number, ROUNDS)
                for side in sides:
                    await checkpoint(side.url)
                for turn in range(times):
                    # Whoever goes first meets a colder machine: they take turns.
                    for side in sides if (number + turn) % 2 == 0 else reversed(sides):
                        await _timed(side, work)
    return [result for work in WORKS for result in _compared(work, *sides)]


def _compared(work: str, before: Side, after: Side) -> list[Result]:
    ours, theirs = min(after.taken[work]), min(before.taken[work])
    return [
        Result(f"{work}: PostgreSQL's own settings", round(theirs, 3), "s"),
        Result(f"{work}: fitted settings", round(ours, 3), "s"),
        Result(f"{work}: fitted beside own", round(ours / theirs, 3), "x", None, SLOWER_LIMIT),
    ]


async def _timed(side: Side, work: str) -> None:
    began = time.perf_counter()
    await WORKS[work][0](side)
    side.taken.setdefault(work, []).append(time.perf_counter() - began)


@asynccontextmanager
async def _side(name: str, given: Mapping[str, str], leads: int, progress: Progress) -> AsyncIterator[Side]:
    folder = await asyncio.to_thread(_folder)
    server = EmbeddedServer(folder / "home", fitted=given)
    try:
        url = (await asyncio.to_thread(server.start)).url
        await population.fill(str(url), leads, leads * EVENTS_PER_LEAD, progress)
        await asyncio.to_thread(imports.generate, folder / "leads.csv", IMPORTED)
        async with Pools(Settings.load({}, database_url=url)) as pools:
            yield Side(name, str(url), await workspaces.tenant(pools, "large"), folder / "leads.csv")
    finally:
        await asyncio.to_thread(server.destroy)
        await asyncio.to_thread(shutil.rmtree, folder)


def _folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="odb-tuning-", dir="/tmp"))
    if os.geteuid() == 0:
        made.chmod(0o711)
    return made


async def _segments(side: Side) -> None:
    choose = random.Random(7)  # noqa: S311 - the same segments on both sides
    for _ in range(SEGMENTS):
        await segments.count(side.tenant, random_segment(choose), confirmed=True)


async def _searches(side: Side) -> None:
    for number in range(SEARCHES):
        await search(side.tenant, text=f"{('blue', 'north', 'berg', 'son', 'anna')[number % 5]}{number % 7 or ''}")


async def _import(side: Side) -> None:
    await workspaces.create(side.tenant.pools, f"import-{uuid4().hex[:12]}")
    names = await workspaces.listed(side.tenant.pools)
    newest = max((each for each in names if each.name.startswith("import-")), key=lambda each: each.id)
    await import_file(await workspaces.tenant(side.tenant.pools, newest.name), side.file)


async def _send(side: Side) -> None:
    """Schedule a campaign and claim most of it."""
    name = f"campaign-{uuid4().hex[:12]}"
    smtp = {"host": "127.0.0.1", "port": 2525, "security": "plain"}
    given = {
        "name": name,
        "segment": {"random_percent": 15},
        "mailboxes": [{"address": f"{uuid4().hex[:8]}@sender.example", "smtp": smtp} for _ in range(8)],
        "steps": [{"subject": "Hello", "text": "Hello"}],
    }
    await campaigns.create(side.tenant, Keyring(bytes(32)), given)
    await schedule.launch(side.tenant, name, check=False)
    ledger, claimed = Ledger(side.tenant, timedelta(minutes=10)), 0
    while claimed < CLAIMED:
        sends, others = await ledger.claim(1000, [])
        claimed += len(sends)
        if not sends and not others:
            break


async def _reports(side: Side) -> None:
    async with side.tenant.session() as session:
        rows = await session.all("SELECT id FROM outreach.campaigns ORDER BY id LIMIT 40")
    for row in rows:
        await stats.campaign(side.tenant, row["id"])


# Name -> work, and how often in a round: what takes 0.07 s is told from noise by doing it more often.
WORKS: dict[str, tuple[Work, int]] = {
    "30 segments counted": (_segments, 1),
    "40 searches": (_searches, 1),
    "30,000 leads imported": (_import, 1),
    "a campaign scheduled and claimed": (_send, 1),
    "40 campaign reports": (_reports, 10),
}
