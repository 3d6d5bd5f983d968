"""Social profiles of leads and the organization charts of their companies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant

Q = Queries("outreachdb.intelligence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A lead's profile on a platform; the score lies between 0 and 100, priority is low, medium or high."""

    lead_id: int
    platform: str
    profile_url: str | None = None
    company_name: str | None = None
    headline: str | None = None
    decision_maker_score: float | None = None
    contact_priority: str | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Who reports to whom in a company, as it was found at ``created_at``."""

    id: int
    lead_id: int | None
    company_id: int | None
    chart: dict[str, Any]
    created_at: datetime


async def put(
    tenant: Tenant, profile: Profile, *, follower_count: int | None = None, scraped_at: datetime | None = None
) -> int:
    """Store a profile in place of the lead's former one on the platform; its id. Raises ConstraintViolated."""
    given = asdict(profile) | {"follower_count": follower_count, "scraped_at": scraped_at}
    async with tenant.session(doing="storing a profile") as session:
        return int(await session.value(Q.put_profile, given | {"workspace_id": tenant.workspace_id}))


async def of_lead(tenant: Tenant, lead_id: int) -> list[Profile]:
    """A lead's profiles by platform."""
    return await _profiles(tenant, Q.profiles_of_lead, {"lead_id": lead_id})


async def top_contacts(tenant: Tenant, company_name: str, *, limit: int = 20) -> list[Profile]:
    """The people of a company who most likely decide, best first; those without a score last."""
    return await _profiles(tenant, Q.top_contacts, {"company_name": company_name, "limit": limit})


async def decision_makers(tenant: Tenant, *, least: float = 70, limit: int = 100) -> list[Profile]:
    """The workspace's people with a score of ``least`` or more, best first."""
    return await _profiles(tenant, Q.decision_makers, {"least": least, "limit": limit})


async def of_priority(tenant: Tenant, priority: str, *, limit: int = 100) -> list[Profile]:
    """Some people of a priority, in no order."""
    return await _profiles(tenant, Q.contacts_of_priority, {"priority": priority, "limit": limit})


async def put_chart(
    tenant: Tenant, chart: dict[str, Any], *, company_id: int | None = None, lead_id: int | None = None
) -> int:
    """Keep a chart; its id. Earlier ones stay."""
    given = {"chart": Jsonb(chart), "company_id": company_id, "lead_id": lead_id}
    async with tenant.session(doing="storing an organization chart") as session:
        return int(await session.value(Q.put_chart, given | {"workspace_id": tenant.workspace_id}))


async def chart_of_company(tenant: Tenant, company_id: int) -> Chart | None:
    """A company's latest chart."""
    given = {"workspace_id": tenant.workspace_id, "company_id": company_id}
    async with tenant.session(doing="reading organization charts") as session:
        row = await session.one(Q.chart_of_company, given)
    return Chart(**row) if row else None


async def charts_of_lead(tenant: Tenant, lead_id: int) -> list[Chart]:
    """The charts that came with a lead, latest first."""
    given = {"workspace_id": tenant.workspace_id, "lead_id": lead_id}
    async with tenant.session(doing="reading organization charts") as session:
        return [Chart(**row) for row in await session.all(Q.charts_of_lead, given)]


async def _profiles(tenant: Tenant, query: str, given: dict[str, Any]) -> list[Profile]:
    async with tenant.session(doing="reading profiles") as session:
        return [Profile(**row) for row in await session.all(query, given | {"workspace_id": tenant.workspace_id})]
