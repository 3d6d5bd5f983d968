"""The database's side of sending: claim, begin, record. Each call is one short transaction."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import OutreachDBError

Q = Queries("outreachdb.sending")
RECORD_ATTEMPTS = 6
FOLD_AT_MOST = 50_000
BUSY_ATTEMPTS, BUSY_SECONDS = 100, 0.02


@dataclass(frozen=True, slots=True)
class Send:
    """A claimed send with what its templates need."""

    send_id: int
    created_at: datetime
    campaign_id: int
    step: int
    variant: str | None
    lead_id: int
    mailbox_id: int
    recipient: str
    lead_json: str

    @property
    def lead(self) -> dict[str, Any]:
        """What templates may name, parsed each time: of claims that nobody renders, parsing was a fifth of the work."""
        fields: dict[str, Any] = json.loads(self.lead_json)
        return fields


class Ledger:
    """One worker's view of the ledger; its name is unique, so that nobody else's claims are taken for its own."""

    def __init__(self, tenant: Tenant, lease: timedelta) -> None:
        self.tenant = tenant
        self.lease = lease
        self.worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    async def claim(self, n: int, skip: Sequence[int]) -> tuple[list[Send], list[Row]]:
        """Claimed sends, and the rows that were cancelled or put off instead; both empty when nothing is due.

        Where other claims hold all that might be due, it is asked for again for a while.
        """
        given = {"n": n, "worker": self.worker, "lease": self.lease, "skip": list(skip)}
        for _ in range(BUSY_ATTEMPTS):
            async with self.tenant.session("jobs", doing="claiming sends") as session:
                names, rows = await session.tuples(Q.claim_sends, given)
            if not (rows and rows[0][0] == "busy"):
                break
            rows = []
            await asyncio.sleep(BUSY_SECONDS)
        claimed = [Send(*row[2:]) for row in rows if row[0] == "claimed"]
        return claimed, [dict(zip(names, row, strict=True)) for row in rows if row[0] != "claimed"]

    async def begin(self, sends: Sequence[Send]) -> dict[int, Row]:
        """Mark sends as begun; by id, the verdict of each that is still ours."""
        given = {
            "ids": [send.send_id for send in sends],
            "created_ats": [send.created_at for send in sends],
            "worker": self.worker,
            "lease": self.lease,
        }
        async with self.tenant.session("jobs", doing="beginning sends") as session:
            return {row["send_id"]: row for row in await session.all(Q.begin_sends, given)}

    async def record(self, results: Sequence[dict[str, Any]]) -> Row:
        """Record outcomes; they are known here alone, so a lock or a server in trouble is waited for."""
        clean = Jsonb([{key: _clean(value) for key, value in result.items()} for result in results])
        for attempt in range(1, RECORD_ATTEMPTS + 1):
            try:
                async with self.tenant.session("jobs", doing="recording sends") as session:
                    row = await session.one(Q.record_sends, {"results": clean, "worker": self.worker})
            except OutreachDBError:
                if attempt == RECORD_ATTEMPTS:
                    raise
                await asyncio.sleep(0.1 * 2**attempt)
            else:
                return row or {}
        raise AssertionError("unreachable")

    async def give_back(self) -> int:
        """Return what was claimed and not begun."""
        async with self.tenant.session("jobs", doing="returning claims") as session:
            returned: int = await session.value(Q.return_claims, {"worker": self.worker})
        return returned

    async def release_expired(self) -> Row:
        """Clear up after lost workers: ``released``, ``unknown``."""
        async with self.tenant.session("jobs", doing="releasing expired leases") as session:
            return await session.one(Q.release_expired_leases) or {}

    async def complete(self) -> list[int]:
        """Finish campaigns that have nothing left to send; their ids."""
        async with self.tenant.session("jobs", doing="completing campaigns") as session:
            return [row["campaign_id"] for row in await session.all(Q.complete_campaigns)]

    async def fold(self, least: int = 1) -> None:
        """Fold rollups when at least ``least`` deltas are waiting, so many as one short transaction takes."""
        async with self.tenant.session("jobs", doing="folding rollups") as session:
            await session.execute(Q.fold, {"least": least, "limit": FOLD_AT_MOST})

    async def match_late_events(self) -> int:
        """Find the sends of events that came in before their relay's name of the message was logged; how many."""
        async with self.tenant.session("jobs", doing="matching events") as session:
            matched: int = await session.value(Q.match_late_events)
        return matched

    async def next_distance(self) -> float | None:
        """Seconds until a mailbox with something due has kept its distance; ``None`` where none is waiting."""
        async with self.tenant.session("jobs", doing="asking for mailboxes that wait") as session:
            seconds: float | None = await session.value(Q.seconds_to_next_distance)
        return seconds

    async def due(self) -> int:
        """How many sends are due now."""
        async with self.tenant.session("jobs", doing="counting due sends") as session:
            count: int = await session.value(Q.due_count, {"workspace_id": self.tenant.workspace_id})
        return count


def _clean(value: Any) -> Any:
    """Text that JSON in PostgreSQL can hold, whatever a server answered."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value.replace("\0", "").encode(errors="replace").decode() if isinstance(value, str) else value
