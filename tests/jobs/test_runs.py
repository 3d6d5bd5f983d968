"""One run at a time, however many ask: overlap, failure, death, time limit, history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outreachdb.db.pools import Pools, connect
from outreachdb.errors import Conflict, NotFound, OutreachDBError
from outreachdb.jobs import JOBS, PeriodicJob, history, perform, publish, runs
from outreachdb.jobs.outcome import Done


class Gate:
    """A job that runs until it is let go."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.runs = 0

    async def run(self, _pools: Pools) -> Done:
        self.runs += 1
        self.began.set()
        await self.go.wait()
        return Done(7, {"note": "done"})


async def test_every_job_of_the_registry_runs(
    own_pools: Pools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a row of the registry names is there, in the database or in Python, and does its work on an empty schema."""
    monkeypatch.setitem(own_pools.settings.values, "home", tmp_path)  # type: ignore[arg-type]
    # One month leaves, not all that are old.
    async with own_pools.connection("admin") as connection:
        await connection.execute(
            "UPDATE ops.partitioned_tables SET retention_months = CASE table_name WHEN 'audit_log' THEN 19 END"
        )
    await publish(own_pools)
    for job in JOBS:
        if job.run is not None:
            assert (await perform(own_pools, job, driver="worker")).status == "succeeded", job.name
        if job.sql is not None:
            only_sql = PeriodicJob(job.name, job.schedule, job.description, job.limit, sql=job.sql, lock=job.lock)
            assert (await perform(own_pools, only_sql, driver="worker")).status == "succeeded", job.name
    seen = {row["job"]: row for row in await history(own_pools, limit=100)}
    assert set(seen) == {job.name for job in JOBS}
    for row in seen.values():
        assert row["status"] == "succeeded"
        assert row["seconds"] >= 0
        assert row["rows_affected"] is not None


async def test_a_job_never_runs_beside_itself_or_its_kin(own_pools: Pools) -> None:
    gate, kin = Gate(), Gate()
    job = PeriodicJob("one", "* * * * *", "x", 60, run=gate.run, lock="family")
    other = PeriodicJob("two", "* * * * *", "x", 60, run=kin.run, lock="family")
    await publish(own_pools, (job, other))
    first = asyncio.create_task(perform(own_pools, job, driver="worker"))
    await gate.began.wait()
    assert [(await perform(own_pools, each, driver="worker")).status for each in (job, other)] == ["busy", "busy"]
    (row,) = await history(own_pools)
    assert (row["status"], row["finished_at"]) == ("running", None)
    gate.go.set()
    done = await first
    assert (done.status, done.rows, done.details) == ("succeeded", 7, {"note": "done"})
    assert (gate.runs, kin.runs) == (1, 0)
    kin.go.set()
    assert (await perform(own_pools, other, driver="worker")).status == "succeeded"


async def test_two_drivers_at_one_tick_run_it_once(own_pools: Pools, ask_own: Callable[..., Any]) -> None:
    """pg_cron's call and the worker's at the same instant, many times over."""
    job = PeriodicJob("both", "* * * * *", "x", 60, sql="SELECT count(*) FROM pg_class")
    await publish(own_pools, (job,))
    for _ in range(8):
        await ask_own("DELETE FROM ops.maintenance_runs")
        await ask_own("UPDATE ops.scheduled_jobs SET registered_at = now() - interval '1 hour'")
        answers = await asyncio.gather(
            perform(own_pools, job, driver="worker", scheduled=True),
            ask_own("SELECT outreach.run_job('both')"),
            perform(own_pools, job, driver="worker", scheduled=True),
            ask_own("SELECT outreach.run_job('both')"),
        )
        said = [each.status if isinstance(each, runs.Run) else each[0][0] for each in answers]
        ran = await ask_own(
            "SELECT count(*) AS runs, count(DISTINCT due_at) AS ticks FROM ops.maintenance_runs"
            " WHERE status = 'succeeded'"
        )
        # The minute may have turned between two calls: then both ticks had their run.
        assert ran[0][0] == ran[0][1] >= 1
        assert set(said) <= {"succeeded", "done", "busy", "not_due", "not due"}


async def test_a_failure_is_told_and_tried_again(own_pools: Pools, ask_own: Callable[..., Any]) -> None:
    async def fail(_pools: Pools) -> Done:
        raise OutreachDBError("the disk is full", hint="make room")

    jobs = (
        PeriodicJob("python", "0 2 * * *", "x", 60, run=fail),
        PeriodicJob("sql", "0 2 * * *", "x", 60, sql="SELECT 1 / 0"),
    )
    await publish(own_pools, jobs)
    await ask_own("UPDATE ops.scheduled_jobs SET registered_at = now() - interval '9 days'")
    for job, words in zip(jobs, ("disk is full", "division by zero"), strict=True):
        with pytest.raises(OutreachDBError, match=words):
            await perform(own_pools, job, driver="worker", scheduled=True)
        (row,) = await history(own_pools, job.name)
        assert row["status"] == "failed"
        assert words in row["error"]
    assert (await ask_own("SELECT outreach.run_job('sql')"))[0][0].startswith("failed: division by zero")
    assert await runs.due(own_pools) == [], "not at once"
    await ask_own("UPDATE ops.maintenance_runs SET finished_at = finished_at - interval '6 minutes'")
    assert await runs.due(own_pools) == ["python", "sql"]
    await ask_own(
        "INSERT INTO ops.maintenance_runs (job, status, due_at, finished_at)"
        " SELECT job, status, due_at, finished_at FROM ops.maintenance_runs, generate_series(1, 2)"
    )
    assert await runs.due(own_pools) == [], "three failures are enough for one tick"


async def test_a_time_limit_ends_python_and_sql(own_pools: Pools) -> None:
    gate = Gate()
    jobs = (
        PeriodicJob("python", "0 2 * * *", "x", 1, run=gate.run),
        PeriodicJob("sql", "0 2 * * *", "x", 1, sql="SELECT 1 FROM pg_sleep(30)"),
    )
    await publish(own_pools, jobs)
    for job in jobs:
        with pytest.raises(OutreachDBError, match=r"stopped after 1 s|statement timeout"):
            await perform(own_pools, job, driver="worker")
        (row,) = await history(own_pools, job.name)
        assert row["status"] == "failed"
        assert row["seconds"] < 25, "half a minute is what they would take"


async def test_a_dead_run_is_marked_by_the_next(own_pools: Pools, ask_own: Callable[..., Any]) -> None:
    job = PeriodicJob("mortal", "0 2 * * *", "x", 60, sql="SELECT 1")
    await publish(own_pools, (job,))
    await ask_own("UPDATE ops.scheduled_jobs SET registered_at = now() - interval '9 days'")
    dead = await connect(own_pools.url("jobs"), autocommit=True)
    await dead.execute("SET ROLE outreachdb_trusted")
    await dead.execute(runs.Q.take_job_lock, {"lock": "mortal"})
    await dead.execute(runs.Q.open_run, {"job": "mortal", "driver": "worker", "scheduled": True})
    assert (await perform(own_pools, job, driver="worker", scheduled=True)).status == "busy"
    assert await runs.due(own_pools) == [], "it runs"
    pid = dead.info.backend_pid
    async with await connect(own_pools.url("admin"), autocommit=True) as admin:
        await admin.execute("SELECT pg_terminate_backend(%s, 60000)", (pid,))
    assert await runs.due(own_pools) == ["mortal"], "its process is gone, its work is not done"
    assert (await perform(own_pools, job, driver="worker", scheduled=True)).status == "succeeded"
    newest, oldest = await history(own_pools, "mortal")
    assert newest["status"] == "succeeded"
    assert oldest["status"] == "failed"
    assert "ended before it was done" in oldest["error"]
    with pytest.raises(psycopg.OperationalError):
        await dead.execute("SELECT 1")


async def test_a_stopped_run_is_cancelled_and_stays_due(own_pools: Pools, ask_own: Callable[..., Any]) -> None:
    gate = Gate()
    job = PeriodicJob("long", "0 2 * * *", "x", 60, run=gate.run)
    await publish(own_pools, (job,))
    await ask_own("UPDATE ops.scheduled_jobs SET registered_at = now() - interval '9 days'")
    running = asyncio.create_task(perform(own_pools, job, driver="worker", scheduled=True))
    await gate.began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [row["status"] for row in await history(own_pools, "long")] == ["cancelled"]
    assert await runs.due(own_pools) == ["long"]


async def test_running_by_name(own_pools: Pools) -> None:
    with pytest.raises(NotFound, match="no job 'nothing'"):
        await runs.run_now(own_pools, "nothing")
    async with runs.locked(own_pools, "weekly_report") as held:
        assert held is not None
        with pytest.raises(Conflict, match="runs already"):
            await runs.run_now(own_pools, "weekly_report")
    with pytest.raises(NotFound, match="no weekly report yet"):
        await runs.report(own_pools)
    assert (await runs.run_now(own_pools, "weekly_report")).status == "succeeded"
    document = (await runs.report(own_pools))["document"]
    assert {each["table"] for each in document["partitions"]} >= {"outreach.email_sends", "outreach.email_events"}
    assert document["tables"][0]["bytes"] > 0
    assert document["tables"][0]["grown_bytes"] is None, "there was no report before"
    await runs.run_now(own_pools, "weekly_report")
    second = (await runs.report(own_pools))["document"]
    assert all(each["grown_bytes"] is not None for each in second["tables"])


async def test_parents_of_partitions_get_statistics(own_database_url: str) -> None:
    """Autovacuum never analyses them, and counts nothing that was written for them."""
    with psycopg.connect(own_database_url, autocommit=True) as connection:

        def rows(statement: str) -> tuple[Any, ...] | None:
            return connection.execute(statement.encode()).fetchone()

        def renewed() -> tuple[Any, ...] | None:
            connection.execute("SELECT pg_stat_force_next_flush()")
            return rows("SELECT outreach.analyze_hot_tables() > 0")

        parent = "SELECT reltuples FROM pg_class WHERE oid = 'outreach.measured'::regclass"
        rows("SELECT outreach.analyze_hot_tables()")
        connection.execute("CREATE TABLE outreach.measured (id int, kind text) PARTITION BY RANGE (id)")
        connection.execute("CREATE TABLE parts.measured_1 PARTITION OF outreach.measured FOR VALUES FROM (0) TO (4000)")
        connection.execute(
            "CREATE TABLE parts.measured_2 PARTITION OF outreach.measured FOR VALUES FROM (4000) TO (9000)"
        )
        for table in ("outreach.measured", "parts.measured_1", "parts.measured_2"):
            connection.execute(f"ALTER TABLE {table} OWNER TO outreachdb_owner".encode())
        connection.execute("INSERT INTO outreach.measured SELECT n, 'x' FROM generate_series(0, 4799) AS n")
        assert (renewed(), rows(parent)) == ((False,), (-1,)), "too few to matter"
        connection.execute("INSERT INTO outreach.measured SELECT n, 'x' FROM generate_series(4800, 7999) AS n")
        assert (renewed(), rows(parent)) == ((True,), (8000,))
        assert rows(
            "SELECT n_distinct FROM pg_stats WHERE tablename = 'measured' AND attname = 'kind' AND inherited"
        ) == (1,)
        assert renewed() == (False,), "once"
        connection.execute("DELETE FROM outreach.measured WHERE id >= 2000")
        assert (renewed(), rows(parent)) == ((True,), (2000,))
