"""Calls of language models and what they cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant

Q = Queries("outreachdb.intelligence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call as reported by its caller; tokens and latency are above 0, the cost is in US dollars to six places."""

    provider: str
    model: str
    endpoint: str
    prompt_tokens: int
    completion_tokens: int
    latency_ms: int
    cost_usd: Decimal
    success: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCall(Call):
    """A call of the log."""

    id: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DayCost:
    """A model's calls on a day (UTC); ``failed`` of the ``calls`` were no success."""

    day: date
    provider: str
    model: str
    calls: int
    failed: int
    tokens: int
    cost_usd: Decimal
    mean_latency_ms: float


async def log(tenant: Tenant, call: Call) -> int:
    """Log a call; its id. Raises ConstraintViolated for counts, a latency or a cost that can't be."""
    async with tenant.session(doing="logging a model call") as session:
        return int(await session.value(Q.log_call, asdict(call) | {"workspace_id": tenant.workspace_id}))


async def cost_per_day(tenant: Tenant, since: datetime, until: datetime) -> list[DayCost]:
    """Calls, tokens and cost per day and model from ``since`` up to, not including, ``until``."""
    given = {"workspace_id": tenant.workspace_id, "since": since, "until": until}
    async with tenant.session(doing="adding up model calls") as session:
        return [DayCost(**row) for row in await session.all(Q.cost_per_day, given)]


async def recent(tenant: Tenant, provider: str, model: str, *, limit: int = 50) -> list[LoggedCall]:
    """A model's calls, latest first."""
    given = {"workspace_id": tenant.workspace_id, "provider": provider, "model": model, "limit": limit}
    async with tenant.session(doing="reading model calls") as session:
        return [LoggedCall(**row) for row in await session.all(Q.recent_calls, given)]
