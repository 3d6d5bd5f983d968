"""Running a periodic job once: the lock that nobody else has, the note in the history, the time limit.

The lock is an advisory one of a session of its own, so it ends with the process, however that ends. Whoever gets it
next marks the run of the dead one as failed. Whether a job is due is the database's to say (``outreach.due_jobs``), by
its clock; so the drivers, and any number of workers, agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
import structlog
from psycopg import sql
from psycopg.types.json import Jsonb

from outreachdb.config import Settings
from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Row, session
from outreachdb.errors import Conflict, NotFound, OutreachDBError, UsageError, from_database
from outreachdb.jobs import registry
from outreachdb.jobs.outcome import Done
from outreachdb.jobs.registry import PeriodicJob
from outreachdb.words import did_you_mean

Q = Queries("outreachdb.jobs")
Driver = Literal["command", "worker"]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a call: ``status`` is succeeded, or busy or not_due where nothing was run."""

    job: str
    status: str
    run_id: int | None = None
    rows: int | None = None
    seconds: float | None = None
    details: dict[str, Any] | None = None


async def publish(pools: Pools, jobs: tuple[PeriodicJob, ...] = registry.JOBS) -> None:
    """Tell the database the registry; jobs that are not in it any more are forgotten, their history stays."""
    zone = pools.settings.jobs_time_zone
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="registering the jobs") as trusted:
        try:
            await trusted.execute("SELECT timezone(%(zone)s, now())", {"zone": zone})
        except psycopg.errors.InvalidParameterValue:
            raise UsageError(
                f"OUTREACHDB_JOBS_TIME_ZONE: no time zone {zone!r}", hint="such as Europe/Berlin"
            ) from None
        for job in sorted(jobs, key=lambda each: each.name):
            await trusted.execute(Q.publish_job, _published(job, pools.settings))
        await trusted.execute(Q.forget_jobs, {"names": [job.name for job in jobs]})


def _published(job: PeriodicJob, settings: Settings) -> dict[str, Any]:
    return job.fields() | {
        "name": job.name,
        "description": job.description,
        "schedule": job.schedule,
        "time_zone": settings.jobs_time_zone,
        "lock": job.lock or job.name,
        "limit_seconds": job.limit,
        "statement": job.statement(settings),
    }


async def due(pools: Pools) -> list[str]:
    """Names of the jobs that are due now, those that wait longest first."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="asking what is due") as trusted:
        return [row["job"] for row in await trusted.all(Q.due_jobs)]


async def scheduled(pools: Pools) -> list[Row]:
    """Every periodic job with its schedule, last run, and whether it is due or running."""
    await publish(pools)
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="listing jobs") as trusted:
        return await trusted.all(Q.list_scheduled)


async def history(pools: Pools, job: str | None = None, *, limit: int = 50) -> list[Row]:
    """The newest runs: job, driver, status, due_at, started_at, finished_at, seconds, rows_affected, error, details."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="reading the history of jobs") as trusted:
        return await trusted.all(Q.history, {"job": job, "limit": limit})


async def report(pools: Pools) -> Row:
    """The latest weekly report; raises NotFound."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="reading the weekly report") as trusted:
        row = await trusted.one(Q.latest_report)
    if row is None:
        raise NotFound("no weekly report yet", hint="write one: outreachdb jobs run weekly_report")
    return row


async def run_now(pools: Pools, name: str) -> Run:
    """Run a job because somebody asks; raises NotFound, Conflict while it runs elsewhere, and the job's own error."""
    job = registry.find(name)
    if job is None:
        hint = did_you_mean(name, [each.name for each in registry.JOBS], "see `outreachdb jobs list`")
        raise NotFound(f"there is no job {name!r}", hint=hint)
    await publish(pools)
    done = await perform(pools, job, driver="command")
    if done.status == "busy":
        raise Conflict(f"{name} runs already, or a job that it must not run beside", hint="outreachdb jobs list")
    return done


async def perform(pools: Pools, job: PeriodicJob, *, driver: Driver, scheduled: bool = False) -> Run:
    """Run a job unless it is running; with ``scheduled`` only if it is due. Its error is noted, then raised."""
    async with _locked(pools, job) as connection:
        if connection is None:
            return Run(job.name, "busy")
        values = {"job": job.name, "driver": driver, "scheduled": scheduled}
        run_id = await _value(connection, Q.open_run, values)
        if run_id is None:
            return Run(job.name, "not_due")
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(job.limit):
                done = await _work(pools, job, connection)
        except BaseException as error:
            await asyncio.shield(_close(connection, run_id, *_ending(error, job)))
            if isinstance(error, TimeoutError):
                raise OutreachDBError(f"{job.name} was stopped after {job.limit} s, its limit") from error
            raise
        await _close(connection, run_id, "succeeded", done=done)
        seconds = round(asyncio.get_running_loop().time() - began, 3)
        return Run(job.name, "succeeded", run_id, done.rows, seconds, done.details)


async def _work(pools: Pools, job: PeriodicJob, connection: Connection) -> Done:
    if job.run is not None:
        return await job.run(pools)
    statement = job.statement(pools.settings)
    assert statement is not None  # noqa: S101  (a job has one or the other)
    # The worker gives up a little later than the server: then the server's own word stands in the history.
    limit = sql.SQL("SET statement_timeout = {}").format(sql.Literal(job.limit * 1000 - 500))
    await connection.execute(limit)
    try:
        return Done(int(await _value(connection, statement) or 0))
    finally:
        if not connection.closed:
            await connection.execute("SET statement_timeout = 0")


def _ending(error: BaseException, job: PeriodicJob) -> tuple[str, str]:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", "stopped before it was done"
    if isinstance(error, TimeoutError):
        return "failed", f"stopped after {job.limit} s, its limit"
    text = str(error) if isinstance(error, OutreachDBError) else f"{type(error).__name__}: {error}"
    return "failed", " ".join(text.split())[:2000]


async def _close(
    connection: Connection, run_id: int, status: str, error: str | None = None, *, done: Done | None = None
) -> None:
    """Note how a run ended; if the server is gone, the next run marks it."""
    values = {
        "run": run_id, "status": status, "error": error, "rows": done.rows if done else None,
        "details": Jsonb(done.details) if done else None,
    }  # fmt: skip
    try:
        await connection.execute(Q.close_run, values)
    except psycopg.Error as problem:
        log.warning("the end of a job could not be noted", run=run_id, status=status, problem=str(problem))


@asynccontextmanager
async def _locked(pools: Pools, job: PeriodicJob) -> AsyncIterator[Connection | None]:
    """The session that holds the job's lock; None where somebody else has it."""
    async with locked(pools, job.lock or job.name) as connection:
        yield connection


@asynccontextmanager
async def locked(pools: Pools, lock: str) -> AsyncIterator[Connection | None]:
    """A session of its own, as the trusted role, that holds a lock of jobs until it is left; None where it is taken."""
    connection = await connect(pools.url("jobs"), autocommit=True, timeout=pools.settings.connect_timeout)
    async with connection:
        try:
            await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(TRUSTED_ROLE)))
            taken = await _value(connection, Q.take_job_lock, {"lock": lock})
        except psycopg.Error as error:
            raise from_database(error, doing="taking the lock of a job") from error
        try:
            yield connection if taken else None
        except psycopg.Error as error:
            raise from_database(error, doing=f"running {lock}") from error
        finally:
            await _give_back(connection)


async def _give_back(connection: Connection) -> None:
    """Release the lock before the session ends: the server notices a closed connection a moment later.

    Without it whoever asked at once found the job busy; a session that is gone has given its locks back.
    """
    with suppress(psycopg.Error):
        await connection.execute("SELECT pg_advisory_unlock_all()")


async def _value(connection: Connection, query: str, values: dict[str, Any] | None = None) -> Any:
    row = await (await connection.execute(query.encode(), values)).fetchone()
    return next(iter(row.values())) if row else None
