"""Take delivery events in: the Message-ID tells the send, one function of the database does the rest."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import orjson
import structlog
from psycopg import errors as pg

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.errors import OutreachDBError
from outreachdb.events.normal import NormalEvent, Parsed
from outreachdb.secrets import Keyring
from outreachdb.sending import message_id

CHUNK = 5000
ATTEMPTS = 8
# Who reads a total adds up the deltas of its own key, some hundreds. A fold costs less a delta the more there are,
# because the domains of recipients come again; looking costs as much as reading what waits. A job folds every minute
# what an ingest leaves.
FOLD_FROM = 20_000
FOLD_AT_MOST = 100_000
LOOK_EVERY = 10_000  # deltas, by a guess
Q = Queries("outreachdb.events")
log = structlog.get_logger(__name__)

# A send or lead that is deleted while its event comes in breaks a foreign key once; the second time it is unknown.
_TRY_AGAIN = (pg.SerializationFailure, pg.DeadlockDetected, pg.ForeignKeyViolation, pg.LockNotAvailable)


@dataclass(slots=True)
class _State:
    """What this process knows of a database; whatever is wrong here costs a second try, not an event."""

    months: set[tuple[int, int]] = field(default_factory=set)
    # By workspace: deltas that this process has made since it looked.
    left: dict[int, int] = field(default_factory=dict)


_STATES: WeakKeyDictionary[Pools, _State] = WeakKeyDictionary()


def _state(tenant: Tenant) -> _State:
    return _STATES.setdefault(tenant.pools, _State())


@dataclass(frozen=True, slots=True)
class IngestReport:
    """``received = stored + duplicates + rejected``; ``unknown`` of the stored belong to no send of the workspace."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: int = 0
    unknown: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: IngestReport) -> IngestReport:
        return IngestReport(
            self.received + other.received,
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.rejected + other.rejected,
            self.unknown + other.unknown,
            dict(Counter(self.reasons) + Counter(other.reasons)),
        )

    def document(self) -> dict[str, Any]:
        """As JSON shows it; ``reasons`` counts the rejected."""
        return {
            "received": self.received,
            "stored": self.stored,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "unknown": self.unknown,
            "reasons": dict(self.reasons),
        }


async def ingest_parsed(tenant: Tenant, keyring: Keyring, parsed: Parsed) -> IngestReport:
    """Ingest what a body held; its malformed items count as received and rejected."""
    bad = len(parsed.malformed)
    report = IngestReport(received=bad, rejected=bad, reasons={"malformed": bad} if bad else {})
    return report + await ingest(tenant, keyring, parsed.events)


async def ingest(tenant: Tenant, keyring: Keyring, events: Iterable[NormalEvent]) -> IngestReport:
    """Store events, each once, with all that follows from them; chunks of 5,000, each in a transaction of its own.

    Can be repeated after any failure: what was stored is counted as duplicates then.
    """
    report = IngestReport()
    waiting = list(events)
    for start in range(0, len(waiting), CHUNK):
        chunk = await _ingest_chunk(tenant, keyring, waiting[start : start + CHUNK])
        await _fold(tenant, chunk.stored)
        report += chunk
    return report


async def _fold(tenant: Tenant, stored: int) -> None:
    """Keep the deltas few; the events are stored, so that trouble here is for the next to mend.

    Looking costs a transaction, so that small batches look every now and then only.
    """
    left = _state(tenant).left
    # Each of few events has its own grains' deltas; of many, hardly more than the domains are left.
    left[tenant.workspace_id] = left.get(tenant.workspace_id, 0) + stored + min(5 * stored, 500)
    if left[tenant.workspace_id] < LOOK_EVERY:
        return
    left[tenant.workspace_id] = 0
    try:
        async with tenant.session("jobs", doing="folding rollups") as session:
            await session.execute(Q.fold, {"least": FOLD_FROM, "limit": FOLD_AT_MOST})
    except OutreachDBError as error:
        log.warning("rollups were not folded", problem=str(error))


async def _ingest_chunk(tenant: Tenant, keyring: Keyring, events: Sequence[NormalEvent]) -> IngestReport:
    rows, nameless = _document(tenant.workspace_id, keyring, events)
    store = Q.store_by_relay if nameless else Q.store
    instants = [event.timestamp for event in events]
    months = {(instant.year, instant.month) for instant in instants}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if attempt > 1 or not _state(tenant).months.issuperset(months):
                await _prepare_months(tenant, min(instants), max(instants))
                _state(tenant).months.update(months)
            async with tenant.session("jobs", doing="storing delivery events") as session:
                counts = await session.one(store, {"events": rows})
            return IngestReport(**counts) if counts else IngestReport()
        except OutreachDBError as error:
            if attempt == ATTEMPTS or not _passes(error.__cause__):
                raise
            await asyncio.sleep(random.uniform(0, 0.05) * attempt)  # noqa: S311 - jitter, not a secret
    raise AssertionError  # the last attempt returned or raised


async def _prepare_months(tenant: Tenant, first: datetime, last: datetime) -> None:
    """In a transaction of its own: attaching a partition must not wait for, or hold up, the batch."""
    async with tenant.trusted(doing="making the months of delivery events") as session:
        await session.execute(Q.prepare_months, {"first": first, "last": last})


def _passes(cause: BaseException | None) -> bool:
    if isinstance(cause, pg.CheckViolation):
        # "no partition of relation": retention took the month between the two transactions.
        return cause.diag.constraint_name is None
    return isinstance(cause, _TRY_AGAIN)


def _document(workspace_id: int, keyring: Keyring, events: Iterable[NormalEvent]) -> tuple[str, bool]:
    """The batch as JSON, and whether an event of it has a message's name, but not that of a send of ours.

    One row at a time: thousands that live at once are walked through by the garbage collector.
    """
    rows, nameless = [], False
    for event in events:
        row = _row(workspace_id, keyring, event)
        nameless = nameless or ("send_id" not in row and bool(row["message_id"]))
        rows.append(_json(row))
    return f"[{b','.join(rows).decode()}]", nameless


def _json(row: dict[str, Any]) -> bytes:
    """For PostgreSQL; numbers that don't fit into 64 bits are for the slower writer."""
    try:
        return orjson.dumps(row)
    except TypeError:
        return json.dumps(row, allow_nan=False, separators=(",", ":"), default=datetime.isoformat).encode()


def _row(workspace_id: int, keyring: Keyring, event: NormalEvent) -> dict[str, Any]:
    row: dict[str, Any] = {
        "event_key": event.key(),
        "created_at": event.timestamp,
        "event": event.event,
        "provider": event.provider,
        "recipient": event.recipient,
        "message_id": event.message_id,
        "raw": event.raw,
    }
    # Most events have none of these: what is not said need not be read.
    if event.severity:
        row["severity"] = event.severity
    if event.reason:
        row["reason"] = event.reason
    if event.url:
        row["url"] = event.url
    if event.prefetched:
        row["prefetched"] = True
    reference = _reference(keyring, event)
    if reference is not None and reference.workspace_id == workspace_id:
        row["send_id"] = reference.send_id
        row["month"] = reference.month_start.date().isoformat()
    return row


def _reference(keyring: Keyring, event: NormalEvent) -> message_id.MessageReference | None:
    """By the message id, else by a Message-ID of ours that the provider returns in a header, tag or variable."""
    found = message_id.parse(keyring, event.message_id) if event.message_id else None
    if found is None and event.raw:
        returned = message_id.find(keyring, json.dumps(event.raw))
        found = message_id.parse(keyring, returned) if returned else None
    return found
