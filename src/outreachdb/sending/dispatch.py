"""The worker: claims due sends, renders them, delivers them by SMTP and records what became of each.

A chunk of sends of one mailbox is marked as begun just before SMTP and recorded right after; a crash leaves at most the
chunks under way as ``unknown``. Cancelling (Ctrl-C, SIGTERM) ends the messages under way and gives the rest back.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput, OutreachDBError, UsageError
from outreachdb.progress import Progress, silent
from outreachdb.secrets import Keyring
from outreachdb.sending import links, message_id, relays, rendering, schedule
from outreachdb.sending.checking import open_mailbox
from outreachdb.sending.ledger import Ledger, Send
from outreachdb.sending.maildir import MaildirLine, MaildirOutbox
from outreachdb.sending.message import Message, build
from outreachdb.sending.smtp import Line, Mailbox, MailboxUnusable, Outbox, Outcome

Q = Queries("outreachdb.sending")
log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=10)
CHUNK = 25
MOST_CHUNKS = 64  # in flight or waiting for a connection
IDLE_SECONDS = 2.0
FOLD_FROM = 1_000  # deltas, by a worker that stays
RELEASE_EVERY = 30.0
UNUSABLE_FOR = 60.0
DISTANCE_SECONDS = 5.0  # a run that ends when nothing is due waits so long for a mailbox that keeps its distance


@dataclass(slots=True)
class SendReport:
    """What a run did. ``deferred`` will be tried again; ``suppressed`` were cancelled on the way, whatever the reason.

    ``unknown`` may have been sent and will not be again; ``problems`` says per mailbox why it was given up, ``hints``
    what to do about it.
    """

    sent: int = 0
    failed: int = 0
    deferred: int = 0
    suppressed: int = 0
    unknown: int = 0
    seconds: float = 0.0
    problems: dict[str, str] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)


async def run(
    tenant: Tenant,
    keyring: Keyring,
    *,
    once: bool = True,
    batch: int = 500,
    connections: int = 4,
    lease: timedelta = LEASE,
    maildir: Path | None = None,
    progress: Progress = silent,
) -> SendReport:
    """Send what is due: until nothing is (``once``), or until cancelled.

    ``connections`` are those to each mailbox's server at the same time. Any number of workers may run at once. With
    ``maildir`` messages are written into that folder instead of sent; the ledger counts them as sent all the same.
    """
    if not (1 <= batch <= 10_000 and 1 <= connections <= 100):
        raise UsageError("a batch takes 1 to 10000 sends, a mailbox 1 to 100 connections")
    worker = _Worker(tenant, keyring, Ledger(tenant, lease), connections, maildir, progress)
    started = time.perf_counter()
    try:
        await worker.work(batch, once=once)
    finally:
        await worker.close()
    worker.report.seconds = round(time.perf_counter() - started, 3)
    return worker.report


class _Worker:
    """One run."""

    def __init__(
        self,
        tenant: Tenant,
        keyring: Keyring,
        ledger: Ledger,
        connections: int,
        maildir: Path | None,
        progress: Progress,
    ) -> None:
        self.tenant = tenant
        self.keyring = keyring
        self.ledger = ledger
        self.connections = connections
        self.maildir = maildir
        self.links = links.links_of(tenant, keyring)
        self.progress = progress
        self.report = SendReport()
        self.stopping = False
        self.total: int | None = None
        self.steps: rendering.Templates = {}
        self.tracked: dict[int, list[str]] = {}
        self.outboxes: dict[int, Outbox | MaildirOutbox] = {}
        self.unusable_until: dict[int, float] = {}
        self.chunks: set[asyncio.Task[None]] = set()
        self.named_by_relays = False

    async def work(self, batch: int, *, once: bool) -> None:
        released = 0.0
        if self.progress is not silent:
            self.total = await self.ledger.due()
        while True:
            if time.monotonic() - released > RELEASE_EVERY:
                self.report.unknown += (await self.ledger.release_expired()).get("unknown", 0)
                await schedule.launch_due(self.tenant)
                await self._match_late()
                released = time.monotonic()
            sends, others = await self.ledger.claim(batch, self._given_up(tell=not once))
            self.report.suppressed += sum(1 for row in others if row["verdict"] == "cancelled")
            await self._load(sends)
            for chunk in _chunks(sends):
                await self._room_for_a_chunk()
                self._start(chunk)
            if sends or others:
                continue
            if self.chunks:
                # Their outcomes may make the next step of a sequence due.
                await self._settle(await_all=True)
                continue
            distance = await self.ledger.next_distance()
            if distance is not None and distance <= DISTANCE_SECONDS:
                await asyncio.sleep(min(distance + 0.01, IDLE_SECONDS))
                continue
            await self.ledger.complete()
            await self._fold(1 if once else FOLD_FROM)
            if once:
                return
            await asyncio.sleep(IDLE_SECONDS)

    async def _fold(self, least: int) -> None:
        """Nothing is lost when it fails: the numbers are exact folded or not, and the next one folds."""
        try:
            await self.ledger.fold(least)
        except OutreachDBError as error:
            log.warning("rollups were not folded", problem=str(error))

    async def _match_late(self) -> None:
        """Nothing is lost when it fails: the events are stored, and the next one looks for their sends."""
        if not self.named_by_relays:
            return
        try:
            await self.ledger.match_late_events()
        except OutreachDBError as error:
            log.warning("events were not matched", problem=str(error))

    async def close(self) -> None:
        """End in good order, also when cancelled or failed: nothing is left claimed that was not begun."""
        self.stopping = True
        for ended in await asyncio.gather(*self.chunks, return_exceptions=True):
            if isinstance(ended, Exception):
                log.error("sends under way could not be recorded", problem=str(ended))
        await self.ledger.give_back()
        for outbox in self.outboxes.values():
            if outbox.unusable:
                self.report.problems[outbox.mailbox.address] = outbox.unusable
                self.report.hints[outbox.mailbox.address] = outbox.hint
            await outbox.close()

    def _given_up(self, *, tell: bool) -> list[int]:
        """Mailboxes to leave alone for now; their time over, they get a new chance.

        A run that goes on has no report to ``tell`` of them.
        """
        now = time.monotonic()
        for mailbox_id, outbox in self.outboxes.items():
            if outbox.unusable and mailbox_id not in self.unusable_until:
                self.unusable_until[mailbox_id] = now + UNUSABLE_FOR
                if tell:
                    about = {"problem": outbox.unusable, "hint": outbox.hint}
                    log.warning("mailbox given up for now", mailbox=outbox.mailbox.address, **about)
        for mailbox_id in [known for known, until in self.unusable_until.items() if until <= now]:
            del self.unusable_until[mailbox_id]
            self.outboxes[mailbox_id].unusable = None
        return list(self.unusable_until)

    async def _room_for_a_chunk(self) -> None:
        while len(self.chunks) >= MOST_CHUNKS:
            await self._settle(await_all=False)

    async def _settle(self, *, await_all: bool) -> None:
        """Wait for chunks; a failed one ends the run."""
        when = asyncio.ALL_COMPLETED if await_all else asyncio.FIRST_COMPLETED
        done, _ = await asyncio.wait(self.chunks, return_when=when)
        self.chunks -= done
        for task in done:
            task.result()

    def _start(self, chunk: list[Send]) -> None:
        self.chunks.add(asyncio.create_task(self._send_chunk(chunk)))

    async def _send_chunk(self, chunk: list[Send]) -> None:
        outbox = self.outboxes[chunk[0].mailbox_id]
        async with outbox.line() as line:
            if self.stopping:
                return  # close() gives them back
            messages, results = self._render(chunk, outbox.mailbox)
            ready = [send for send in chunk if send.send_id in messages]
            if outbox.unusable:
                results += [_result(send, Outcome("returned", outbox.unusable)) for send in ready]
            elif ready:
                results += await self._deliver(line, ready, messages)
            await self._record(results)

    async def _deliver(
        self, line: Line | MaildirLine, sends: Sequence[Send], messages: dict[int, Message]
    ) -> list[dict[str, Any]]:
        verdicts = await self.ledger.begin(sends)
        self.report.suppressed += sum(1 for row in verdicts.values() if row["verdict"] == "cancelled")
        begun = [send for send in sends if send.send_id in verdicts and verdicts[send.send_id]["verdict"] == "begun"]
        # A server may take its time over each: none is started that might still be under way when the lease ends, and
        # others take it for lost.
        latest = time.monotonic() + self.ledger.lease.total_seconds() / 2
        results = []
        for send in begun:
            message = messages[send.send_id]
            if self.stopping or line.outbox.unusable:
                outcome = Outcome("returned", line.outbox.unusable or "the worker was stopped")
            elif time.monotonic() > latest:
                outcome = Outcome("returned", "the server is too slow for so many at a time")
            else:
                try:
                    outcome = await line.deliver(message)
                except MailboxUnusable as error:
                    outcome = Outcome("returned", str(error))
            results.append(_result(send, outcome, message, line.outbox.mailbox))
        return results

    async def _record(self, results: list[dict[str, Any]]) -> None:
        if not results:
            return
        counted = await self.ledger.record(results)
        if any(result.get("provider_id") for result in results):
            self.named_by_relays = True
            await self._match_late()
        for name in ("sent", "failed", "deferred", "unknown"):
            setattr(self.report, name, getattr(self.report, name) + counted.get(name, 0))
        self.progress("sending", self.report.sent + self.report.failed, self.total)

    def _render(self, chunk: Iterable[Send], mailbox: Mailbox) -> tuple[dict[int, Message], list[dict[str, Any]]]:
        """Messages by send, and the results of those that can't be made."""
        messages: dict[int, Message] = {}
        failed: list[dict[str, Any]] = []
        for send in chunk:
            identity = message_id.make(
                self.keyring, self.tenant.workspace_id, send.send_id, send.created_at, mailbox.domain
            )
            try:
                messages[send.send_id] = self._message(send, mailbox, identity)
            except InvalidInput as error:
                failed.append(_result(send, Outcome("failed", f"template: {error.detail}")))
            except (ValueError, LookupError) as error:
                failed.append(_result(send, Outcome("failed", f"the message can't be built: {error}")))
        return messages, failed

    def _message(self, send: Send, mailbox: Mailbox, identity: str) -> Message:
        templates = self.steps[send.campaign_id, send.step, send.variant]
        if self.links is None:
            rendered, headers = templates.render(send.lead), None
        else:
            own = links.MessageLinks(self.links, send.send_id, send.created_at)
            track = self.tracked[send.campaign_id]
            rendered = templates.render(send.lead | own.values)
            rendered = own.tracked(rendered, opens="opens" in track, clicks="clicks" in track)
            headers = own.headers
        return build(
            mailbox.display_name, mailbox.address, send.recipient, rendered, identity, headers, relay=mailbox.smtp_host
        )

    async def _load(self, sends: Sequence[Send]) -> None:
        """Templates and mailboxes that this run has not met yet."""
        campaigns = {send.campaign_id for send in sends} - self.tracked.keys()
        mailboxes = {send.mailbox_id for send in sends} - self.outboxes.keys()
        key = {"workspace_id": self.tenant.workspace_id}
        if campaigns:
            self.steps |= await rendering.load(self.tenant, list(campaigns))
            async with self.tenant.session("jobs", doing="reading campaigns") as session:
                rows = await session.all(Q.tracking, key | {"campaigns": list(campaigns)})
            self.tracked |= {row["id"]: row["track"] or [] for row in rows}
        if mailboxes:
            async with self.tenant.session("jobs", doing="reading mailboxes") as session:
                boxes = await session.all(Q.mailboxes, key | {"mailboxes": list(mailboxes)})
            for row in boxes:
                self.outboxes[row["id"]] = self._outbox(open_mailbox(self.tenant, self.keyring, row))

    def _outbox(self, box: Mailbox) -> Outbox | MaildirOutbox:
        if self.maildir is not None:
            return MaildirOutbox(box, self.maildir)
        return Outbox(box, self.connections, links.tls_context(self.tenant.pools.settings))


def _chunks(sends: Sequence[Send]) -> list[list[Send]]:
    """Chunks of one mailbox each, taken from the mailboxes in turn."""
    by_mailbox: dict[int, list[Send]] = defaultdict(list)
    for send in sends:
        by_mailbox[send.mailbox_id].append(send)
    cut = [[part[at : at + CHUNK] for at in range(0, len(part), CHUNK)] for part in by_mailbox.values()]
    return [chunk for turn in itertools.zip_longest(*cut) for chunk in turn if chunk]


def _result(
    send: Send, outcome: Outcome, message: Message | None = None, mailbox: Mailbox | None = None
) -> dict[str, Any]:
    result: dict[str, Any] = {"id": send.send_id, "created_at": send.created_at, "outcome": outcome.verdict}
    if outcome.verdict != "sent" or message is None or mailbox is None:
        return result | {"error": outcome.reply}
    return result | {
        "message_id": message.message_id,
        "provider_id": relays.provider_id(mailbox.smtp_host, outcome.reply),
        "subject": message.subject,
        "sender": mailbox.address,
        "response": outcome.reply[:500],
    }
