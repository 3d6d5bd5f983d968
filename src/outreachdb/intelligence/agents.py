"""Runs of agents, and sessions of voice agents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict

Q = Queries("outreachdb.intelligence")


@dataclass(frozen=True, slots=True)
class Run:
    """An agent's run; status is queued, running, succeeded, failed or cancelled."""

    id: int
    lead_id: int | None
    agent: str
    status: str
    error: str | None
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class VoiceSession:
    """A voice agent's session; the statuses are those of runs."""

    id: int
    lead_id: int | None
    status: str
    duration_seconds: int | None
    created_at: datetime
    completed_at: datetime | None


async def start(tenant: Tenant, agent: str, now: datetime, *, lead_id: int | None = None) -> int:
    """Note that an agent began; the run's id."""
    given = {"workspace_id": tenant.workspace_id, "agent": agent, "now": now, "lead_id": lead_id}
    async with tenant.session(doing="starting an agent run") as session:
        return int(await session.value(Q.start_run, given))


async def finish(
    tenant: Tenant,
    run_id: int,
    status: str,
    now: datetime,
    *,
    result: dict[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Note how a run ended; raises Conflict when there is no such run or it ended before."""
    given = {"run_id": run_id, "status": status, "now": now, "result": Jsonb(result or {}), "error": error}
    async with tenant.session(doing="finishing an agent run") as session:
        if await session.value(Q.finish_run, given | {"workspace_id": tenant.workspace_id}) is None:
            raise Conflict(f"no agent run {run_id} is under way", hint="a run is finished once")


async def of_status(tenant: Tenant, status: str, *, limit: int = 50) -> list[Run]:
    """Runs of a status, newest first."""
    return await _runs(tenant, Q.runs_by_status, status=status, limit=limit)


async def of_lead(tenant: Tenant, lead_id: int) -> list[Run]:
    """A lead's runs by status, newest first within each."""
    return await _runs(tenant, Q.runs_of_lead, lead_id=lead_id)


async def started_since(tenant: Tenant, since: datetime, *, limit: int = 50) -> list[Run]:
    """Runs started since, latest first."""
    return await _runs(tenant, Q.runs_started_since, since=since, limit=limit)


async def completed_since(tenant: Tenant, since: datetime, *, limit: int = 50) -> list[Run]:
    """Runs completed since, latest first."""
    return await _runs(tenant, Q.runs_completed_since, since=since, limit=limit)


async def voice_of_status(tenant: Tenant, status: str, *, limit: int = 50) -> list[VoiceSession]:
    """Voice sessions of a status, newest first."""
    return await _voice(tenant, Q.voice_by_status, status=status, limit=limit)


async def voice_of_lead(tenant: Tenant, lead_id: int) -> list[VoiceSession]:
    """A lead's voice sessions, newest first."""
    return await _voice(tenant, Q.voice_of_lead, lead_id=lead_id)


async def voice_completed_since(tenant: Tenant, since: datetime, *, limit: int = 50) -> list[VoiceSession]:
    """Voice sessions completed since, latest first."""
    return await _voice(tenant, Q.voice_completed_since, since=since, limit=limit)


async def _runs(tenant: Tenant, query: str, **given: Any) -> list[Run]:
    async with tenant.session(doing="reading agent runs") as session:
        return [Run(**row) for row in await session.all(query, given | {"workspace_id": tenant.workspace_id})]


async def _voice(tenant: Tenant, query: str, **given: Any) -> list[VoiceSession]:
    async with tenant.session(doing="reading voice sessions") as session:
        return [VoiceSession(**row) for row in await session.all(query, given | {"workspace_id": tenant.workspace_id})]
