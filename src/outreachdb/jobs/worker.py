"""The worker: runs what is due and what people asked for, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import procrastinate
import structlog
from procrastinate import exceptions
from procrastinate.job_context import AbortReason, JobContext

from outreachdb.db.cancelling import cancelled
from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Tenant, session
from outreachdb.errors import DatabaseUnavailable, OutreachDBError
from outreachdb.jobs import background, doing, queue, runs
from outreachdb.jobs.queue import Again

Q = Queries("outreachdb.jobs")
log = structlog.get_logger(__name__)
ATTEMPTS = 5
FLUSH_SECONDS = 1.0
BUSY_SECONDS = 10


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """``concurrency`` jobs at once; with ``once`` it ends when nothing is left to do.

    Told to stop, it waits ``stop_seconds`` for jobs under way; what is not done by then goes back into the queue.
    """

    concurrency: int = 4
    once: bool = False
    stop_seconds: float = 20.0


async def work(pools: Pools, options: WorkerOptions | None = None) -> None:
    """Run a worker until nothing is left (``once``), or until cancelled; then it ends in good order and returns."""
    options = options or WorkerOptions()
    await runs.publish(pools)
    # One connection for listening, one for each job's ends, one for what is due.
    async with queue.opened(pools, connections=options.concurrency + 3) as app:
        queue.add_ticks(app, pools)
        add_background(app, pools)
        await queue.tend(app, pools)
        with contextlib.suppress(asyncio.CancelledError):  # a worker is cancelled to stop it: that is its normal end
            await app.run_worker_async(
                name="outreachdb",
                concurrency=options.concurrency,
                wait=not options.once,
                install_signal_handlers=False,
                shutdown_graceful_timeout=options.stop_seconds,
                stalled_worker_timeout=queue.STALLED_SECONDS,
                delete_jobs="always",
            )


def add_background(app: procrastinate.App, pools: Pools) -> None:
    """Register the task that does one background job."""

    @app.task(name=queue.BACKGROUND, queue="background", retry=queue.WHEN_ASKED, pass_context=True)
    async def run_background(context: JobContext, workspace_id: int, background_id: int) -> None:
        structlog.contextvars.bind_contextvars(background_job=background_id)
        tenant = await _tenant(pools, workspace_id)
        async with runs.locked(pools, f"background {background_id}") as held:
            if held is None:
                raise Again(BUSY_SECONDS)  # a worker that was taken for lost is still at it
            await _attempt(context, tenant, background_id)


async def _attempt(context: JobContext, tenant: Tenant, background_id: int) -> None:
    key = {"workspace_id": tenant.workspace_id, "id": background_id}
    async with tenant.trusted(doing="beginning a background job") as trusted:
        row = await trusted.one(Q.begin_background, key | {"now": datetime.now(UTC)})
    if row is None:
        return  # it ended already, or was cancelled
    try:
        async with _progress(tenant, background_id) as progress:
            task = doing.Task(
                tenant, background_id, row["arguments"], row["attempts"], row["started_at"], row["created_at"], progress
            )
            result = await doing.do(row["kind"], task)
    except asyncio.CancelledError:
        if context.abort_reason() == AbortReason.SHUTDOWN:
            await _put_back(tenant, key)
            raise Again from None
        await background.end(tenant, background_id, "cancelled", error="cancelled; what was committed stays")
        raise exceptions.JobAborted from None
    except OutreachDBError as error:
        if isinstance(error, DatabaseUnavailable) and row["attempts"] < ATTEMPTS:
            await _put_back(tenant, key)
            raise Again(5 * 2 ** row["attempts"]) from error
        await background.end(tenant, background_id, "failed", error=str(error))
        log.warning("a background job failed", kind=row["kind"], problem=str(error))
    except Exception as error:
        await background.end(tenant, background_id, "failed", error=f"{type(error).__name__}: {error}")
        log.exception("a background job failed", kind=row["kind"])
    else:
        await background.end(tenant, background_id, "succeeded", result=result)


async def _put_back(tenant: Tenant, key: dict[str, int]) -> None:
    """Show that it waits again; where that fails, whoever looks for lost jobs finds it by its lock."""
    with contextlib.suppress(OutreachDBError):
        async with tenant.trusted(doing="putting a job back") as trusted:
            await trusted.execute(Q.put_back, key)


class _Latest:
    """What work last told of itself; it may tell from any thread."""

    def __init__(self) -> None:
        self.told: tuple[str, int, int | None] | None = None

    def __call__(self, phase: str, done: int, total: int | None = None) -> None:
        self.told = (phase, done, total)


@asynccontextmanager
async def _progress(tenant: Tenant, background_id: int) -> AsyncIterator[_Latest]:
    """A callback whose latest word is stored once a second."""
    latest = _Latest()
    writer = asyncio.create_task(_write(tenant, background_id, latest))
    try:
        yield latest
    finally:
        await cancelled(writer)
        if not writer.cancelled() and (error := writer.exception()):
            log.warning("progress was not noted", problem=str(error))


async def _write(tenant: Tenant, background_id: int, latest: _Latest) -> None:
    stored: Any = None
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        told = latest.told
        if told is None or told == stored:
            continue
        phase, done, total = told
        values = {"workspace_id": tenant.workspace_id, "id": background_id}
        values |= {"phase": phase, "done": done, "total": total}  # type: ignore[dict-item]
        with contextlib.suppress(OutreachDBError):  # the next second has newer news
            async with tenant.trusted(doing="noting progress") as trusted:
                await trusted.execute(Q.show_progress, values)
            stored = told


async def _tenant(pools: Pools, workspace_id: int) -> Tenant:
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="finding the workspace") as trusted:
        row = await trusted.one(Q.workspace_of, {"workspace_id": workspace_id})
    if row is None:
        raise OutreachDBError(f"there is no workspace {workspace_id}")
    return Tenant(pools, workspace_id, row["name"], row["read_limit_ms"])
