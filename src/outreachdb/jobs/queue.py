"""procrastinate, the queue: its tables in a schema of their own, its tasks, and how work is put into it.

Two tasks: one periodic job, one background job. A third one looks every minute what is due. The queue only carries:
that a job runs once is the lock's doing (:mod:`outreachdb.jobs.runs`), and a job that the queue lost is put in again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import procrastinate
import structlog
from procrastinate import exceptions, retry
from procrastinate.job_context import JobContext
from procrastinate.jobs import Job, Status
from psycopg import sql

from outreachdb.db.pools import CONNECTION_DEFAULTS, Connection, Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, session
from outreachdb.errors import OutreachDBError
from outreachdb.jobs import registry, runs

Q = Queries("outreachdb.jobs")
log = structlog.get_logger(__name__)
SCHEMA = "procrastinate"
PERIODIC = "outreachdb.periodic"
BACKGROUND = "outreachdb.background"
TICK = "outreachdb.tick"
STALLED_SECONDS = 30
BUSY_ATTEMPTS = 4


class Again(Exception):
    """Put the job back and try it after some seconds."""

    def __init__(self, seconds: int = 0) -> None:
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds


class _WhenAsked(retry.BaseRetryStrategy):
    """Only what asks for it is tried again: all else has its end on record already."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> retry.RetryDecision | None:
        """When to try again, if at all."""
        del job
        return retry.RetryDecision(retry_in={"seconds": exception.seconds}) if isinstance(exception, Again) else None


WHEN_ASKED = _WhenAsked()


@asynccontextmanager
async def opened(pools: Pools, *, connections: int = 2) -> AsyncIterator[procrastinate.App]:
    """The queue, for putting work in and for a worker; its sessions are of the trusted role."""
    connector = procrastinate.PsycopgConnector(
        conninfo=pools.url("jobs"),
        kwargs={**CONNECTION_DEFAULTS, "connect_timeout": pools.settings.connect_timeout},
        min_size=0,
        max_size=connections,
        configure=_configure,
    )
    app = procrastinate.App(connector=connector)
    async with app.open_async():
        yield app


async def _configure(connection: Connection) -> None:
    await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(TRUSTED_ROLE)))
    await connection.execute(sql.SQL("SET search_path = {}, pg_catalog").format(sql.Identifier(SCHEMA)))
    await connection.commit()


def add_ticks(app: procrastinate.App, pools: Pools) -> None:
    """Register the task that runs one periodic job, and the one that looks every minute which are due."""

    @app.task(name=PERIODIC, queue="periodic", retry=WHEN_ASKED, pass_context=True)
    async def periodic(context: JobContext, name: str) -> None:
        job = registry.find(name)
        if job is None:
            return  # a newer worker put it in; it puts it in again
        structlog.contextvars.bind_contextvars(job=name)
        try:
            done = await runs.perform(pools, job, driver="worker", scheduled=True)
        except OutreachDBError as error:
            log.warning("a job failed", job=name, problem=str(error))
            return
        if done.status == "busy" and context.job.attempts < BUSY_ATTEMPTS:
            raise Again(2 ** (context.job.attempts + 1))  # its kin may be done soon; later the next tick asks again

    @app.periodic(cron="* * * * *", periodic_id="tick")
    @app.task(name=TICK, queue="periodic", queueing_lock=TICK)
    async def tick(timestamp: int) -> None:
        del timestamp  # the database's clock counts
        await tend(app, pools)


async def tend(app: procrastinate.App, pools: Pools) -> None:
    """Put in what is due, and put back what a lost worker had."""
    await recover(app, pools)
    for name in await runs.due(pools):
        try:
            await app.configure_task(PERIODIC, queueing_lock=f"{PERIODIC} {name}", queue="periodic").defer_async(
                name=name
            )
        except exceptions.AlreadyEnqueued:
            continue


async def recover(app: procrastinate.App, pools: Pools) -> int:
    """Put back the work of workers that were lost; how many jobs. A worker that is alive holds its job's lock."""
    found = 0
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="looking for lost jobs") as trusted:
        lost = await trusted.all(Q.lost_background)
    for row in lost:
        try:
            await app.job_manager.retry_job_by_id_async(job_id=row["queue_id"], retry_at=_now())
            found += 1
        except exceptions.ConnectorException:
            continue  # not in the queue any more: see below
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        if job.task_name == BACKGROUND:
            await app.job_manager.retry_job(job, retry_at=_now())
        elif job.id is not None:
            await app.job_manager.finish_job_by_id_async(job_id=job.id, status=Status.FAILED, delete_job=True)
        found += 1
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="looking for lost jobs") as trusted:
        for row in await trusted.all(Q.orphaned_background):
            await put_in(app, await trusted.connection(), row["workspace_id"], row["id"])
            found += 1
    return found


async def put_in(app: procrastinate.App, connection: Connection, workspace_id: int, background_id: int) -> None:
    """Queue a background job in the caller's transaction: the row and its place in the queue come together or not."""
    await connection.execute(sql.SQL("SET LOCAL search_path = {}, pg_catalog").format(sql.Identifier(SCHEMA)))
    arguments: dict[str, Any] = {"workspace_id": workspace_id, "background_id": background_id}
    deferrer = app.configure_task(BACKGROUND, queue="background", connection=connection)
    queue_id = await deferrer.defer_async(**arguments)
    await connection.execute("SET LOCAL search_path TO DEFAULT")
    given = {"workspace_id": workspace_id, "id": background_id, "queue_id": queue_id}
    await connection.execute(Q.set_queue_id, given)


def _now() -> datetime:
    return datetime.now(UTC)
