"""What happened to a campaign or a workspace, exact as of now: folded rollups and the deltas not folded yet."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from outreachdb.analytics import reports
from outreachdb.analytics.reports import Report
from outreachdb.db.tenant import Tenant


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


async def campaign(tenant: Tenant, name_or_id: str | int) -> CampaignStats:
    """Counts of a campaign: an int is an id, a text a name (its latest run) or else an id; raises NotFound."""
    report = await reports.campaign(tenant, name_or_id)
    return CampaignStats(**_only(CampaignStats, report))


async def workspace(tenant: Tenant) -> WorkspaceStats:
    """Counts of the whole workspace."""
    return WorkspaceStats(**_only(WorkspaceStats, await reports.workspace(tenant)))


def _only(wanted: type[CampaignStats | WorkspaceStats], report: Report) -> dict[str, Any]:
    known = report.about | report.totals | {"as_of": report.as_of}
    return {each.name: known[each.name] for each in fields(wanted)}
