"""The demo's path: each chapter does one thing for real, times it, and counts what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outreachdb.analytics import stats
from outreachdb.api.app import create_app, listen, serve
from outreachdb.app import OutreachDB
from outreachdb.campaigns import campaigns, file
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.tenant import Tenant
from outreachdb.demo import people, reports
from outreachdb.demo.sink import Sink
from outreachdb.errors import OutreachDBError
from outreachdb.events import endpoints
from outreachdb.jobs import upkeep
from outreachdb.leads import suppression
from outreachdb.leads.importing import import_file
from outreachdb.progress import Progress, silent
from outreachdb.segments import segments
from outreachdb.sending import dispatch, schedule
from outreachdb.tenancy import workspaces

# 2 of 10 titles and 4 of 10 places: some 7,000 of 100,000 leads.
SEGMENT = {
    "all": [
        {"field": "title", "op": "contains", "value": "growth"},
        {"field": "country", "op": "in", "value": ["US", "GB", "DE"]},
    ]
}
SUPPRESSED_DOMAIN = "northwindlabs7.example"
MAILBOXES = 4
LOGGED = """
    SELECT count(*) FROM outreach.message_log
    WHERE workspace_id = %(workspace)s AND campaign_id = %(campaign)s AND direction = 'outbound'
"""
BODY = """Hello {{ first_name or "there" }},

{{ company_name or "your company" }} came up when we looked for teams that care about growth in {{ country }}.
Shall we talk for ten minutes this week?

Maria
"""


@dataclass(slots=True)
class Chapter:
    """One step: its title, how long it took, what it counted (label and number, in order), and its rate."""

    title: str
    seconds: float = 0.0
    counts: list[tuple[str, int]] = field(default_factory=list)
    unit: str | None = None
    amount: int = 0

    @property
    def rate(self) -> float | None:
        """Amount per second, where the chapter has an amount."""
        return self.amount / self.seconds if self.unit and self.seconds else None


def _unheard(_chapter: Chapter) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class Story:
    """All chapters, and the equations that must hold at the end; ``ended`` is told of each chapter when it ends."""

    ended: Callable[[Chapter], None] = _unheard
    workspace: str = ""
    folder: Path = Path()
    chapters: list[Chapter] = field(default_factory=list)
    balances: list[tuple[str, list[int]]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Sum of all chapters."""
        return sum(chapter.seconds for chapter in self.chapters)

    @property
    def balanced(self) -> bool:
        """Whether each equation has one value only."""
        return all(len(set(values)) == 1 for _, values in self.balances)

    @contextmanager
    def chapter(self, title: str) -> Iterator[Chapter]:
        """Time a chapter; it joins the story when it ends well."""
        chapter = Chapter(title)
        began = time.monotonic()
        yield chapter
        chapter.seconds = time.monotonic() - began
        self.chapters.append(chapter)
        self.ended(chapter)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "workspace": self.workspace,
            "seconds": round(self.seconds, 3),
            "balanced": self.balanced,
            "steps": [
                {"step": each.title, "seconds": round(each.seconds, 3), "rate": each.rate, **dict(each.counts)}
                for each in self.chapters
            ],
            "balances": [{"what": what, "values": values} for what, values in self.balances],
        }


async def tell(
    settings: Settings,
    *,
    leads: int = 100_000,
    progress: Progress = silent,
    ended: Callable[[Chapter], None] = _unheard,
) -> Story:
    """Go the whole path with ``leads`` generated leads in a new workspace; raises when something does not add up.

    ``ended`` hears of each chapter when it ends.
    """
    story = Story(ended)
    await _prepare(story, settings, progress)
    async with OutreachDB.open(settings=settings) as db:
        tenant = await _workspace(story, db)
        story.folder = settings.home / "demo" / f"{tenant.name}-{int(time.time())}"
        story.folder.mkdir(parents=True)
        await _import(story, tenant, leads, progress)
        await _segment(story, tenant)
        async with Sink(story.folder / "received.jsonl") as sink:
            launch = await _launch(story, db, tenant, sink.port)
            await _send(story, db, tenant, progress)
            received = sink.received()
        posted = await _report(story, db, tenant, received, progress)
        counted = await _count(story, tenant, launch.campaign_id)
        await _tidy(story, db)
        story.balances += [
            ("mails: sink = ledger = message log = stats", [len(received), *counted["mails"]]),
            ("sends: scheduled = sent + cancelled + other", [launch.scheduled, counted["ledger"]]),
            ("events: reported = stored", [posted.events, posted.stored]),
        ]
    if not story.balanced:
        raise OutreachDBError(f"the demo does not add up: {story.balances}")
    return story


async def _prepare(story: Story, settings: Settings, progress: Progress) -> None:
    progress("starting PostgreSQL", 0)
    with story.chapter("PostgreSQL ready"):
        # To ask for the demo is to ask for its server, also where it was taken down.
        url = settings.url("admin") or (await asyncio.to_thread(EmbeddedServer(settings.home).start)).url
        assert url is not None  # noqa: S101  (it runs)
    progress("migrating", 0)
    with story.chapter("schema migrated") as chapter:
        done = await migrate.upgrade(url, settings=settings)
        chapter.counts = [("revisions applied", len(done.steps)), ("revisions in all", len(migrate.history()))]


async def _tidy(story: Story, db: OutreachDB) -> None:
    """Each mail changed its row some times: what a worker clears away as it goes, as none runs beside the demo."""
    with story.chapter("worker's upkeep") as chapter:
        chapter.counts = [("tables vacuumed", (await upkeep.vacuum(db.pools)).rows)]


async def _workspace(story: Story, db: OutreachDB) -> Tenant:
    with story.chapter("workspace created"):
        taken = {each.name for each in await workspaces.listed(db.pools)}
        story.workspace = next(name for n in range(1, len(taken) + 2) if (name := f"demo-{n}") not in taken)
        return await db.create_workspace(story.workspace)


async def _import(story: Story, tenant: Tenant, leads: int, progress: Progress) -> None:
    contacts = story.folder / "contacts.csv"
    progress("writing a messy list", 0, leads)
    with story.chapter("messy list written") as chapter:
        written = await asyncio.to_thread(people.write, contacts, leads)
        chapter.counts, chapter.unit, chapter.amount = [("rows", written.rows), ("bytes", written.bytes)], "rows", leads
    with story.chapter("list imported") as chapter:
        report = await import_file(tenant, contacts, progress=progress)
        chapter.counts = [
            ("rows read", report.rows_read),
            ("inserted", report.inserted),
            ("updated", report.updated),
            ("skipped", report.skipped),
            ("rejected", report.rejected),
        ]
        chapter.unit, chapter.amount = "rows", report.rows_read
    outcomes = report.inserted + report.updated + report.skipped + report.rejected
    story.balances.append(("rows: read = inserted + updated + skipped + rejected", [report.rows_read, outcomes]))


async def _segment(story: Story, tenant: Tenant) -> None:
    with story.chapter("addresses suppressed") as chapter:
        addressed = {"all": [SEGMENT, {"field": "email", "op": "is_set"}]}
        some = await segments.preview(tenant, addressed, rows=50)
        targets = [SUPPRESSED_DOMAIN, *(lead["email"] for lead in some)]
        added = await suppression.add(tenant, targets, reason="manual", source="demo")
        chapter.counts = [("addresses and domains", len(targets)), ("newly suppressed", added.added)]
    with story.chapter("segment counted") as chapter:
        await segments.create(tenant, "growth", SEGMENT)
        chapter.counts = [("leads in the segment", (await segments.count(tenant, "growth")).count)]


async def _launch(story: Story, db: OutreachDB, tenant: Tenant, port: int) -> schedule.Launch:
    smtp = {"host": "127.0.0.1", "port": port, "security": "plain"}
    mailboxes = [{"address": f"maria{n}@sender.example", "smtp": smtp} for n in range(1, MAILBOXES + 1)]
    steps = [{"subject": "{{ company_name or 'Your team' }} and growth", "text": BODY}]
    campaign = {"name": "spring", "segment": "growth", "mailboxes": mailboxes, "steps": steps}
    with story.chapter("campaign launched") as chapter:
        await campaigns.create(tenant, db.keyring, file.parse(campaign))
        launch = await schedule.launch(tenant, "spring")
        chapter.counts = [("sends scheduled", launch.scheduled)]
        chapter.counts += [(f"excluded: {reason}", count) for reason, count in sorted(launch.excluded.items())]
    members = next(n for each in story.chapters for label, n in each.counts if label == "leads in the segment")
    outcomes = launch.scheduled + sum(launch.excluded.values())
    story.balances.append(("leads: in the segment = scheduled + excluded", [members, outcomes]))
    return launch


async def _send(story: Story, db: OutreachDB, tenant: Tenant, progress: Progress) -> None:
    with story.chapter("mails delivered by SMTP") as chapter:
        report = await dispatch.run(tenant, db.keyring, progress=progress)
        chapter.counts = [("sent", report.sent), ("failed", report.failed), ("unknown", report.unknown)]
        chapter.unit, chapter.amount = "mails", report.sent


async def _report(
    story: Story, db: OutreachDB, tenant: Tenant, received: list[Any], progress: Progress
) -> reports.Posted:
    signer = reports.Signer()
    endpoint = await endpoints.create(tenant, db.keyring, "sendgrid", signer.public_key)
    told = list(reports.events(received))
    progress("reporting events", 0, len(told))
    with story.chapter("events received over HTTP") as chapter:
        async with _served(db) as port:
            posted = await asyncio.to_thread(reports.post, port, str(endpoint.path), signer, told)
            again = await asyncio.to_thread(reports.post, port, str(endpoint.path), signer, told[:500])
        chapter.counts = [
            ("requests", posted.requests + again.requests),
            ("events stored", posted.stored),
            ("delivered again, ignored", again.duplicates),
        ]
        chapter.unit, chapter.amount = "events", posted.events
    story.balances.append(("events: delivered again = ignored", [again.events, again.duplicates]))
    return posted


@asynccontextmanager
async def _served(db: OutreachDB) -> AsyncIterator[int]:
    """The HTTP door on a free port."""
    with listen("127.0.0.1", 0) as listening:
        serving = asyncio.create_task(serve(create_app(db.pools, db.keyring), listening))
        try:
            yield int(listening.getsockname()[1])
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


async def _count(story: Story, tenant: Tenant, campaign_id: int) -> dict[str, Any]:
    with story.chapter("analytics read") as chapter:
        counted = await stats.campaign(tenant, campaign_id)
        chapter.counts = [(name, value) for name, value in counted.document().items() if isinstance(value, int)]
        chapter.counts = [(name, value) for name, value in chapter.counts if name != "campaign_id"]
    ledger = (await campaigns.show(tenant, campaign_id)).sends
    async with tenant.session(doing="counting the message log") as session:
        logged = await session.value(LOGGED, {"workspace": tenant.workspace_id, "campaign": campaign_id})
    return {"ledger": sum(ledger.values()), "mails": [ledger.get("sent", 0), logged, counted.sent]}
