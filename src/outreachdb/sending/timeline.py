"""What became of a lead in a campaign, as one timeline; and sends whose fate a person has to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg import errors as pg

from outreachdb.campaigns import campaigns
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.leads.search import find as find_lead

Q = Queries("outreachdb.sending")
Decision = Literal["sent", "failed", "resend"]


@dataclass(frozen=True, slots=True)
class Happening:
    """One line; ``kind``: lead, segment, campaign, exclusion, schedule, claim, attempt, message, event, suppression."""

    at: datetime
    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class Story:
    """What became of a lead in one campaign; ``concerned`` is whether the campaign scheduled it or left it out."""

    campaign_id: int
    campaign: str
    run: int
    status: str
    concerned: bool
    timeline: list[Happening]


@dataclass(frozen=True, slots=True)
class Limits:
    """A lead gets at most ``sends`` mails in ``days`` days, whatever the campaigns."""

    sends: int
    days: int


async def why(tenant: Tenant, lead: int | str, campaign: int | str) -> list[Happening]:
    """All that concerns a lead (id or address) in a campaign (name or id), in order; raises NotFound."""
    found = await campaigns.find(tenant, campaign)
    lead_id = (await find_lead(tenant, lead))["id"]
    async with tenant.session(doing="reading what became of a lead") as session:
        rows = await session.all(Q.timeline, {"lead_id": lead_id, "campaign_id": found.id})
    return [Happening(**row) for row in rows]


async def stories(tenant: Tenant, lead: int | str, *, limit: int = 10) -> tuple[list[Story], int]:
    """What became of a lead in all campaigns that concern it, the newest ``limit`` first, and how many there are.

    Where no campaign concerns it, the newest one tells why it does not. Raises NotFound, also where no campaign is.
    """
    lead_id = (await find_lead(tenant, lead))["id"]
    given = {"workspace_id": tenant.workspace_id, "lead_id": lead_id, "limit": limit}
    async with tenant.session(doing="looking for the campaigns of a lead") as session:
        rows = await session.all(Q.campaigns_of_lead, given)
    found = [(row["id"], row["name"], row["run"], row["status"]) for row in rows]
    if not found:
        found = [(each.id, each.name, each.run, each.status) for each in await campaigns.listed(tenant, limit=1)]
    if not found:
        raise NotFound(f"the workspace {tenant.name} has no campaign yet", hint="outreachdb campaign create FILE")
    told = [Story(*each, bool(rows), await why(tenant, lead_id, each[0])) for each in found]
    return told, rows[0]["campaigns"] if rows else len(told)


async def unknown(
    tenant: Tenant, campaign: int | str | None = None, *, sends: Sequence[int] | None = None, limit: int | None = None
) -> list[Row]:
    """Sends of which nobody knows whether they left, the oldest first; only those of ``sends`` where it is given."""
    campaign_id = None if campaign is None else (await campaigns.find(tenant, campaign)).id
    given = {"workspace_id": tenant.workspace_id, "campaign_id": campaign_id, "limit": limit}
    async with tenant.session(doing="listing sends of unknown fate") as session:
        return await session.all(Q.unknown_sends, given | {"sends": list(sends) if sends else None})


async def decide(tenant: Tenant, sends: Sequence[Row], decision: Decision) -> int:
    """Settle sends of :func:`unknown`: count them as sent or failed, or queue them once more; how many it were.

    Raises Conflict where a closed campaign would have to send again.
    """
    if not sends:
        raise InvalidInput("no sends to decide about", hint="outreachdb send unknown")
    given = {"ids": [row["send_id"] for row in sends], "created_ats": [row["created_at"] for row in sends]}
    async with tenant.session("jobs", doing="deciding about sends") as session:
        try:
            count: int = await session.value(Q.decide_unknown, given | {"decision": decision})
        except pg.ObjectNotInPrerequisiteState as error:
            raise Conflict(str(error.diag.message_primary), hint="make its next run") from None
    return count


async def limits(tenant: Tenant) -> Limits | None:
    """The workspace's frequency cap."""
    async with tenant.session(doing="reading limits") as session:
        row = await session.one(Q.limits, {"workspace_id": tenant.workspace_id})
    return Limits(row["frequency_sends"], row["frequency_days"]) if row else None


async def set_limits(tenant: Tenant, wanted: Limits | None) -> None:
    """Set or lift the frequency cap; it holds from the next claim on. Raises InvalidInput."""
    key = {"workspace_id": tenant.workspace_id}
    if wanted is not None and not (wanted.sends > 0 and 1 <= wanted.days <= 366):
        raise InvalidInput("a frequency cap is at least one mail in 1 to 366 days")
    async with tenant.session(doing="setting limits") as session:
        if wanted is None:
            await session.execute(Q.drop_limits, key)
        else:
            await session.execute(Q.put_limits, key | {"sends": wanted.sends, "days": wanted.days})
