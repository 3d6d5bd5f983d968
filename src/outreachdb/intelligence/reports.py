"""Reports about a period or a lead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant

Q = Queries("outreachdb.intelligence")


@dataclass(frozen=True, slots=True)
class Report:
    """A report as listed, without its body."""

    id: int
    lead_id: int | None
    kind: str
    title: str
    period_start: date | None
    period_end: date | None
    created_at: datetime


async def put(
    tenant: Tenant,
    kind: str,
    title: str,
    body: dict[str, Any],
    *,
    lead_id: int | None = None,
    period: tuple[date, date] | None = None,
) -> int:
    """Keep a report; its id. Raises ConstraintViolated for a period that ends before it starts."""
    start, end = period or (None, None)
    given = {"kind": kind, "title": title, "body": Jsonb(body), "lead_id": lead_id}
    given |= {"period_start": start, "period_end": end, "workspace_id": tenant.workspace_id}
    async with tenant.session(doing="storing a report") as session:
        return int(await session.value(Q.put_report, given))


async def latest(tenant: Tenant, kind: str, *, limit: int = 20) -> list[Report]:
    """The latest reports of a kind."""
    return await _reports(tenant, Q.latest_reports, kind=kind, limit=limit)


async def of_lead(tenant: Tenant, lead_id: int) -> list[Report]:
    """The reports about a lead, latest first."""
    return await _reports(tenant, Q.reports_of_lead, lead_id=lead_id)


async def _reports(tenant: Tenant, query: str, **given: Any) -> list[Report]:
    async with tenant.session(doing="reading reports") as session:
        return [Report(**row) for row in await session.all(query, given | {"workspace_id": tenant.workspace_id})]
