"""What people ask to be done in the background: put in, looked at, cancelled, tried again.

Who only looks starts without the queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Session, Tenant
from outreachdb.errors import Conflict, NotFound

Q = Queries("outreachdb.jobs")
Kind = Literal["action", "export", "import", "launch"]
FINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Background:
    """A background job: ``status`` queued, running, succeeded, failed or cancelled; ``done`` of ``total`` of its phase.

    ``result`` is the document that the same command prints without ``--background``.
    """

    id: int
    kind: Kind
    title: str
    arguments: dict[str, Any]
    status: str
    phase: str | None
    done: int
    total: int | None
    attempts: int
    result: dict[str, Any] | None
    error: str | None
    queue_id: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        shown = asdict(self)
        del shown["queue_id"]
        return {"job_id": shown.pop("id")} | shown


async def submit(tenant: Tenant, kind: Kind, title: str, arguments: Mapping[str, Any]) -> Background:
    """Put a job into the queue; a worker (`outreachdb worker`) does it."""
    from outreachdb.jobs import queue

    values = {"workspace_id": tenant.workspace_id, "kind": kind, "title": title, "arguments": Jsonb(dict(arguments))}
    async with queue.opened(tenant.pools) as app, tenant.trusted(doing=f"queueing the {kind}") as session:
        background_id = await session.value(Q.add_background, values)
        await queue.put_in(app, await session.connection(), tenant.workspace_id, background_id)
        return await _find(session, tenant, background_id)


async def find(tenant: Tenant, background_id: int) -> Background:
    """One job of the workspace; raises NotFound."""
    async with tenant.session(doing="reading a background job") as session:
        return await _find(session, tenant, background_id)


async def listed(tenant: Tenant, *, limit: int = 50) -> list[Background]:
    """The newest jobs of the workspace."""
    async with tenant.session(doing="listing background jobs") as session:
        rows = await session.all(Q.list_background, {"workspace_id": tenant.workspace_id, "limit": limit})
    return [Background(**row) for row in rows]


async def cancel(tenant: Tenant, background_id: int) -> Background:
    """Stop a job: one that waits never begins, one that runs is stopped within seconds; what it committed stays.

    Raises NotFound, or Conflict where it has ended.
    """
    found = await find(tenant, background_id)
    if found.status in FINAL:
        again = "to do it again: outreachdb jobs retry ID, or its command once more"
        raise Conflict(f"job {background_id} is {found.status} already", hint=again)
    from outreachdb.jobs import queue

    async with queue.opened(tenant.pools) as app:
        if found.queue_id is not None:
            await app.job_manager.cancel_job_by_id_async(found.queue_id, abort=True, delete_job=True)
        if found.status == "queued":
            # A worker that was quicker has made it "running", and is told by the queue to stop.
            await end(tenant, background_id, "cancelled", error="cancelled before it began", only="queued")
    return await find(tenant, background_id)


async def retry(tenant: Tenant, background_id: int) -> Background:
    """Put a job that failed or was cancelled into the queue again; raises NotFound, or Conflict for any other."""
    from outreachdb.jobs import queue

    found = await find(tenant, background_id)
    values = {"workspace_id": tenant.workspace_id, "id": background_id}
    async with queue.opened(tenant.pools) as app, tenant.trusted(doing="queueing a job again") as session:
        if await session.one(Q.requeue_background, values) is None:
            raise Conflict(f"job {background_id} is {found.status}", hint="only what failed or was cancelled")
        await queue.put_in(app, await session.connection(), tenant.workspace_id, background_id)
    return await find(tenant, background_id)


async def end(
    tenant: Tenant,
    background_id: int,
    status: str,
    *,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
    only: str | None = None,
) -> None:
    """Note how a job ended; ``only`` if it still has that status."""
    values = {
        "workspace_id": tenant.workspace_id,
        "id": background_id,
        "status": status,
        "result": Jsonb(dict(result)) if result is not None else None,
        "error": error,
        "only": only,
        "finished_at": datetime.now(UTC),
    }
    async with tenant.trusted(doing="noting how a job ended") as session:
        await session.execute(Q.end_background, values)


async def _find(session: Session, tenant: Tenant, background_id: int) -> Background:
    row = await session.one(Q.find_background, {"workspace_id": tenant.workspace_id, "id": background_id})
    if row is None:
        raise NotFound(f"no background job {background_id} in {tenant.name}", hint="see `outreachdb jobs list`")
    return Background(**row)
