"""pg_cron as the driver of the jobs that SQL alone can run: for servers without a worker, or beside one.

Whether a job is due is asked of the database at each call, so pg_cron may ask more often than the schedule says: jobs
that run less than once an hour are asked for every hour, at their own minute. That way a tick that fell into a downtime
is caught up, once, and one that failed is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import errors as pg
from psycopg import sql

from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row
from outreachdb.errors import DatabaseUnsupported, from_database
from outreachdb.jobs import runs
from outreachdb.jobs.registry import JOBS, PeriodicJob

Q = Queries("outreachdb.jobs", "pg_cron.sql")
MARK = "outreachdb "


@dataclass(frozen=True, slots=True)
class Installed:
    """The jobs that pg_cron runs from now on, and those that need a worker (`outreachdb worker`)."""

    installed: list[str]
    needs_worker: list[str]


async def install(pools: Pools) -> Installed:
    """Have pg_cron run what it can; the same call again brings its entries up to date. Raises DatabaseUnsupported."""
    await runs.publish(pools)
    ours = [job for job in JOBS if job.pg_cron]
    async with await _connected(pools) as connection:
        await _ensure_extension(connection)
        try:
            for job in ours:
                await connection.execute(
                    Q.schedule, {"name": MARK + job.name, "schedule": asked_at(job), "command": _command(job)}
                )
            await _remove(connection, keep=[MARK + job.name for job in ours])
        except psycopg.Error as error:
            raise from_database(error, doing="giving jobs to pg_cron") from error
    return Installed([job.name for job in ours], [job.name for job in JOBS if job.run is not None])


async def remove(pools: Pools) -> list[str]:
    """Take all our jobs from pg_cron; their names."""
    async with await _connected(pools) as connection:
        if not await (await connection.execute(Q.extension)).fetchone():
            return []
        try:
            return await _remove(connection, keep=[])
        except psycopg.Error as error:
            raise from_database(error, doing="taking jobs from pg_cron") from error


async def listed(pools: Pools) -> list[Row]:
    """Our entries in pg_cron: name, schedule, command, active."""
    async with await _connected(pools) as connection:
        if not await (await connection.execute(Q.extension)).fetchone():
            return []
        return await (await connection.execute(Q.entries, {"mark": MARK})).fetchall()


def asked_at(job: PeriodicJob) -> str:
    """When pg_cron asks for a job: by its schedule, or every hour at its minute."""
    minutes, hours, *_ = job.schedule.split()
    return job.schedule if hours == "*" and len(job.fields()["hours"]) == 24 else f"{minutes} * * * *"


def _command(job: PeriodicJob) -> str:
    call = sql.SQL("SELECT outreach.run_job({})").format(sql.Literal(job.name))
    return sql.SQL("SET statement_timeout = {}; {}").format(sql.Literal(f"{job.limit}s"), call).as_string()


async def _remove(connection: Connection, *, keep: list[str]) -> list[str]:
    rows = await (await connection.execute(Q.entries, {"mark": MARK})).fetchall()
    gone = [row["name"] for row in rows if row["name"] not in keep]
    for name in gone:
        await connection.execute(Q.unschedule, {"name": name})
    return [name.removeprefix(MARK) for name in gone]


async def _ensure_extension(connection: Connection) -> None:
    database = connection.info.dbname
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_cron")
        await connection.execute("SELECT FROM cron.job LIMIT 0")
    except (pg.UndefinedFile, pg.FeatureNotSupported) as error:
        raise DatabaseUnsupported(
            "the server has no extension pg_cron", hint="install it, or run `outreachdb worker` instead"
        ) from error
    except pg.InsufficientPrivilege as error:
        login = connection.info.user
        raise DatabaseUnsupported(
            f"the login {login} may not use pg_cron",
            hint=f"as an administrator: CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO {login}",
        ) from error
    except psycopg.Error as error:
        # Not preloaded, or another database is its home: pg_cron says which in its own words.
        reason = (error.diag.message_primary or str(error)).splitlines()[0]
        raise DatabaseUnsupported(
            f"pg_cron can't be used in {database}: {reason}",
            hint=f"shared_preload_libraries = 'pg_cron', cron.database_name = '{database}', then restart the server",
        ) from error


async def _connected(pools: Pools) -> Connection:
    return await connect(pools.url("admin"), autocommit=True, timeout=pools.settings.connect_timeout)
