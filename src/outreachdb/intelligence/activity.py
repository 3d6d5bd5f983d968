"""What leads post on social media."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant

Q = Queries("outreachdb.intelligence")


@dataclass(frozen=True, slots=True)
class Activity:
    """One post; sentiment is positive, neutral or negative where it was judged."""

    id: int
    lead_id: int
    platform: str
    content: str | None
    url: str | None
    sentiment: str | None
    posted_at: datetime | None
    scraped_at: datetime


async def add(
    tenant: Tenant,
    lead_id: int,
    platform: str,
    posted_at: datetime,
    *,
    content: str | None = None,
    url: str | None = None,
    sentiment: str | None = None,
) -> int:
    """Store a post; its id. Raises ConstraintViolated for an unknown lead or sentiment, or a ``url`` that is none."""
    given = {"lead_id": lead_id, "platform": platform, "posted_at": posted_at}
    given |= {"content": content, "url": url, "sentiment": sentiment, "workspace_id": tenant.workspace_id}
    async with tenant.session(doing="storing a social media activity") as session:
        return int(await session.value(Q.add_activity, given))


async def newest(tenant: Tenant, *, before: datetime, limit: int = 50) -> list[Activity]:
    """Posts on all platforms, latest first; page by passing the last one's ``posted_at``."""
    return await _timeline(tenant, Q.newest_activity, before, limit)


async def of_platform(tenant: Tenant, platform: str, *, before: datetime, limit: int = 50) -> list[Activity]:
    """A platform's posts, latest first."""
    return await _timeline(tenant, Q.platform_timeline, before, limit, platform=platform)


async def of_lead(tenant: Tenant, lead_id: int, *, before: datetime, limit: int = 50) -> list[Activity]:
    """A lead's posts, latest first."""
    return await _timeline(tenant, Q.lead_activity, before, limit, lead_id=lead_id)


async def of_sentiment(tenant: Tenant, sentiment: str, *, before: datetime, limit: int = 50) -> list[Activity]:
    """Posts of a sentiment, latest first."""
    return await _timeline(tenant, Q.activity_of_sentiment, before, limit, sentiment=sentiment)


async def last_scraped(tenant: Tenant) -> datetime | None:
    """When anything was gathered last."""
    async with tenant.session(doing="reading social media activity") as session:
        found: datetime | None = await session.value(Q.last_scraped, {"workspace_id": tenant.workspace_id})
    return found


async def _timeline(tenant: Tenant, query: str, before: datetime, limit: int, **given: Any) -> list[Activity]:
    given |= {"workspace_id": tenant.workspace_id, "before": before, "limit": limit}
    async with tenant.session(doing="reading social media activity") as session:
        return [Activity(**row) for row in await session.all(query, given)]
