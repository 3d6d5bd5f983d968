"""What happened to a campaign or a workspace, exact as of now: folded rollups and the deltas not folded yet."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from outreachdb.campaigns import campaigns
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Session, Tenant

Q = Queries("outreachdb.analytics")


@dataclass(frozen=True, slots=True)
class CampaignStats:
    """Counts of a campaign: ``scheduled`` and ``sent`` are sends, ``unique_*`` distinct leads, the others events."""

    campaign_id: int
    name: str
    as_of: datetime
    scheduled: int
    sent: int
    delivered: int
    opened: int
    unique_opened: int
    clicked: int
    unique_clicked: int
    replied: int
    bounced: int
    complained: int
    unsubscribed: int

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class WorkspaceStats:
    """Counts of all campaigns of a workspace together."""

    workspace: str
    as_of: datetime
    scheduled: int
    sent: int
    delivered: int
    opened: int
    clicked: int
    replied: int
    bounced: int
    complained: int
    unsubscribed: int

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Totals:
    as_of: datetime
    total: dict[str, int]
    people: dict[str, int]

    def counts(self, *kinds: str) -> dict[str, int]:
        """Totals of the kinds, 0 where nothing happened."""
        return {kind: self.total.get(kind, 0) for kind in kinds}


async def campaign(tenant: Tenant, name_or_id: str | int) -> CampaignStats:
    """Counts of a campaign: an int is an id, a text a name (its latest run) or else an id; raises NotFound."""
    found = await campaigns.find(tenant, name_or_id)
    async with tenant.session(doing="reading campaign statistics") as open_session:
        totals = await _read(open_session, "campaign", str(found.id))
    return CampaignStats(
        campaign_id=found.id,
        name=found.name,
        as_of=totals.as_of,
        unique_opened=totals.people.get("opened", 0),
        unique_clicked=totals.people.get("clicked", 0),
        **totals.counts(
            "scheduled", "sent", "delivered", "opened", "clicked", "replied", "bounced", "complained", "unsubscribed"
        ),
    )


async def workspace(tenant: Tenant) -> WorkspaceStats:
    """Counts of the whole workspace."""
    async with tenant.session(doing="reading workspace statistics") as open_session:
        totals = await _read(open_session, "workspace", "")
    return WorkspaceStats(
        workspace=tenant.name,
        as_of=totals.as_of,
        **totals.counts(
            "scheduled", "sent", "delivered", "opened", "clicked", "replied", "bounced", "complained", "unsubscribed"
        ),
    )


async def _read(open_session: Session, grain: str, key: str) -> _Totals:
    """One statement, so that a fold in between can't be seen half."""
    rows = await open_session.all(Q.totals, {"grain": grain, "key": key})
    counted = [row for row in rows if row["kind"] is not None]
    return _Totals(
        rows[0]["as_of"],
        {row["kind"]: row["total"] for row in counted},
        {row["kind"]: row["people"] for row in counted},
    )
