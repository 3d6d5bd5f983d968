"""Launching a campaign: its sends are made in the database, all at once or not at all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import errors as pg

from outreachdb.campaigns import campaigns
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput

Q = Queries("outreachdb.sending")
LARGE = 500  # new sends that make the planner's statistics worth renewing: a new month has none at all


@dataclass(frozen=True, slots=True)
class Launch:
    """What a launch made: sends over all steps, and the leads left out by reason."""

    campaign_id: int
    scheduled: int
    excluded: dict[str, int]
    seconds: float


async def launch(tenant: Tenant, campaign: str | int, *, launched_at: datetime | None = None) -> Launch:
    """Schedule every send of a campaign; ``launched_at`` (default: now) is the instant that its sends carry.

    Raises Conflict when it was launched already, also where another launch won by a moment.
    """
    instant = datetime.now(UTC) if launched_at is None else launched_at
    if instant.tzinfo is None:
        raise InvalidInput("launched_at has no time zone")
    found = await campaigns.find(tenant, campaign)
    started = time.perf_counter()
    # A new month is attached in a transaction of its own, not held locked while the sends are written.
    async with tenant.trusted(doing="preparing the month") as session:
        await session.execute(Q.prepare_month, {"launched_at": instant})
    async with tenant.session("jobs", doing=f"launching the campaign {found.name}") as session:
        try:
            row = await session.one(Q.schedule, {"campaign_id": found.id, "launched_at": instant})
        except pg.ObjectNotInPrerequisiteState as error:
            raise campaigns.refused(found.name, error) from None
    assert row is not None  # noqa: S101  (a function with one row)
    if row["scheduled"] >= LARGE:
        async with tenant.trusted(doing="renewing statistics") as session:
            await session.execute(Q.refresh_statistics, {"launched_at": instant})
    return Launch(found.id, row["scheduled"], row["excluded"], round(time.perf_counter() - started, 3))
