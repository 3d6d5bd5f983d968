"""Background jobs through a worker: done, cancelled, failed, tried again, stopped and gone on with."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import dataclasses
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from launched import launch

from outreachdb import jobs, segments
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound, UsageError
from outreachdb.jobs import doing, queue, requests
from outreachdb.jobs.worker import WorkerOptions, work
from outreachdb.leads import importing
from outreachdb.progress import silent
from outreachdb.secrets import Keyring
from outreachdb.segments import Action
from outreachdb.tenancy import workspaces

EVERYONE = {"field": "email", "op": "is_set"}
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
async def ours(own_pools: Pools) -> Tenant:
    """A workspace in a database of the test's own: workers take whatever waits in a database."""
    await workspaces.create(own_pools, "acme")
    return await workspaces.tenant(own_pools, "acme")


@contextlib.asynccontextmanager
async def working(pools: Pools, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """A worker in this process."""
    task = asyncio.create_task(work(pools, WorkerOptions(**options)))
    try:
        yield task
    finally:
        task.cancel()
        await task


def write(path: Path, rows: int) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("email", "first name", "company"))
        writer.writerows((f"p{row}@firm{row % 97}.example", f"Name{row}", f"Firm {row % 97}") for row in range(rows))
    return path


async def ended(tenant: Tenant, job_id: int, seconds: float = 60) -> jobs.Background:
    async with asyncio.timeout(seconds):
        while (found := await jobs.find(tenant, job_id)).status in {"queued", "running"}:
            await asyncio.sleep(0.05)
    return found


async def test_each_kind_is_done(ours: Tenant, keyring: Keyring, tmp_path: Path) -> None:
    file = write(tmp_path / "list.csv", 500)
    await segments.create(ours, "all", EVERYONE)
    made = await launch(ours, keyring, leads=3)
    asked = [
        await requests.import_file(ours, file),
        await requests.export(ours, "all", tmp_path / "out.csv"),
        await requests.action(ours, EVERYONE, Action("add_tags", tags=["vip"]), by="ann"),
    ]
    assert [each.status for each in asked] == ["queued"] * 3
    assert not (tmp_path / "out.csv").exists()
    async with working(ours.pools, concurrency=1):
        done = [await ended(ours, each.id) for each in asked]
    assert [(each.kind, each.status, each.error) for each in done] == [
        (kind, "succeeded", None) for kind in ("import", "export", "action")
    ]
    imported, exported, changed = (each.result or {} for each in done)
    assert (imported["rows_read"], imported["inserted"]) == (500, 500)
    assert exported["leads"] == changed["changed"] == 503
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 504
    assert (await segments.actions(ours))[0]["action"]["by"] == f"ann, job {asked[2].id}"
    assert [each.id for each in await jobs.listed(ours)] == [each.id for each in reversed(asked)]
    with pytest.raises(Conflict, match="launched already"):
        await requests.launch(ours, made.name)


async def test_an_action_that_begins_again_finds_what_it_has_done(ours: Tenant) -> None:
    """However many came after it, and whoever has a name like its mark."""
    async with ours.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email) VALUES (%s, 'a@x.example')", [ours.workspace_id]
        )
    tag = Action("add_tags", tags=["vip"])
    asked_at = datetime.now(UTC)
    arguments = {"segment": EVERYONE, "action": {"kind": "add_tags", "tags": ["vip"]}, "by": "ann"}
    task = doing.Task(ours, 7, arguments, 1, asked_at, asked_at, silent)
    first = await doing.do("action", task)
    await segments.apply(ours, EVERYONE, tag, by="ann, job 77")
    async with ours.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.imports (workspace_id, file_name, format, mapping, status, started_at)"
            " SELECT %s, 'segment', 'segment', '{\"by\": \"bob\"}', 'done', now() + interval '1 hour'"
            " FROM generate_series(1, 1100)",
            [ours.workspace_id],
        )
    again = await doing.do("action", dataclasses.replace(task, attempt=2))
    assert again == {key: first[key] for key in ("action_id", "matched", "changed")} | {"changed": 1}
    other = await doing.do("action", dataclasses.replace(task, background_id=8, attempt=2))
    assert (other["action_id"] != first["action_id"], other["changed"]) == (True, 0)


async def test_what_can_t_be_done_is_refused_or_fails_in_words(ours: Tenant, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="standard input"):
        await requests.import_file(ours, "-")
    with pytest.raises(InvalidInput, match="not there"):
        await requests.import_file(ours, tmp_path / "none.csv")
    with pytest.raises(UsageError, match="csv or parquet"):
        await requests.export(ours, EVERYONE, tmp_path / "out.xlsx")
    with pytest.raises(InvalidInput, match="no folder"):
        await requests.export(ours, EVERYONE, tmp_path / "nowhere" / "out.csv")
    with pytest.raises(NotFound):
        await requests.launch(ours, "nothing")
    with pytest.raises(NotFound):
        await jobs.find(ours, 999)
    bad = tmp_path / "bad.csv"
    bad.write_text("1,2\n3,4\n")
    failing = await requests.import_file(ours, bad)
    async with working(ours.pools):
        failed = await ended(ours, failing.id)
        assert failed.status == "failed"
        assert "has no header" in (failed.error or "")
        write(bad, 5)
        await jobs.retry(ours, failing.id)
        again = await ended(ours, failing.id)
    assert (again.status, (again.result or {})["inserted"], again.attempts) == ("succeeded", 5, 2)
    with pytest.raises(Conflict, match="only what failed"):
        await jobs.retry(ours, failing.id)
    with pytest.raises(Conflict, match="succeeded already"):
        await jobs.cancel(ours, failing.id)


async def test_waiting_and_running_jobs_are_cancelled(
    ours: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask_own: Callable[..., Any]
) -> None:
    began = asyncio.Event()
    logged: dict[str, Any] = {}

    async def slow(*_: Any, progress: Any, **__: Any) -> Any:
        logged.update(structlog.contextvars.get_contextvars())
        progress("reading", 3, 10)
        began.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(importing, "import_file", slow)
    file = write(tmp_path / "list.csv", 5)
    waiting = await requests.import_file(ours, file)
    assert (await jobs.cancel(ours, waiting.id)).status == "cancelled"
    running = await requests.import_file(ours, file)
    async with working(ours.pools):
        await began.wait()
        async with asyncio.timeout(60):
            while (found := await jobs.find(ours, running.id)).phase is None:
                await asyncio.sleep(0.05)
        assert (found.status, found.phase, found.done, found.total) == ("running", "reading", 3, 10)
        assert logged["background_job"] == running.id, "each line of the log names the job"
        await jobs.cancel(ours, running.id)
        assert (await ended(ours, running.id)).status == "cancelled"
        assert (await jobs.find(ours, waiting.id)).status == "cancelled"
    left = await ask_own("SELECT count(*) FROM procrastinate.procrastinate_jobs WHERE task_name = %(name)s",
                         name=queue.BACKGROUND)  # fmt: skip
    assert left == [(0,)], "the queue holds what waits, no history"


async def test_a_worker_told_to_stop_gives_back_what_it_has_not_done(
    ours: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, real = asyncio.Event(), importing.import_file

    async def slow(*_: Any, **__: Any) -> Any:
        began.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(importing, "import_file", slow)
    asked = await requests.import_file(ours, write(tmp_path / "list.csv", 5))
    async with working(ours.pools, stop_seconds=0.1):
        await began.wait()
    assert (await jobs.find(ours, asked.id)).status == "queued"
    monkeypatch.setattr(importing, "import_file", real)
    async with working(ours.pools):
        done = await ended(ours, asked.id)
    assert (done.status, done.attempts, (done.result or {})["inserted"]) == ("succeeded", 2, 5)


async def test_jobs_of_others_are_out_of_reach(tenant: Tenant, other_tenant: Tenant, tmp_path: Path) -> None:
    asked = await requests.import_file(tenant, write(tmp_path / "list.csv", 1))
    assert await jobs.listed(other_tenant) == []
    for call in (jobs.find, jobs.cancel, jobs.retry):
        with pytest.raises(NotFound):
            await call(other_tenant, asked.id)
    assert (await jobs.cancel(tenant, asked.id)).status == "cancelled"


async def test_what_the_queue_lost_is_put_in_again(ours: Tenant, tmp_path: Path, ask_own: Callable[..., Any]) -> None:
    asked = await requests.import_file(ours, write(tmp_path / "list.csv", 5))
    await ask_own("DELETE FROM procrastinate.procrastinate_jobs")
    await ask_own("UPDATE outreach.background_jobs SET created_at = now() - interval '5 minutes'")
    async with working(ours.pools):
        assert (await ended(ours, asked.id)).status == "succeeded"


@pytest.mark.slow
async def test_the_worker_process_runs_what_is_due_and_stops_when_told(
    ours: Tenant, worker: Start, tmp_path: Path, ask_own: Callable[..., Any]
) -> None:
    asked = await requests.import_file(ours, write(tmp_path / "list.csv", 50))
    process = worker(ours.pools.url("jobs"))
    assert (await ended(ours, asked.id, 60)).status == "succeeded"
    async with ours.pools.connection("admin") as connection:
        await connection.execute("UPDATE ops.partitioned_tables SET retention_months = NULL")
    await ask_own("UPDATE ops.scheduled_jobs SET registered_at = now() - interval '1 year'")
    async with queue.opened(ours.pools) as app:
        await queue.tend(app, ours.pools)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        rows = await ask_own("SELECT DISTINCT job FROM ops.maintenance_runs WHERE status = 'succeeded'")
        if len(rows) == len(jobs.JOBS):
            break
        await asyncio.sleep(0.3)
    assert {row[0] for row in rows} == {job.name for job in jobs.JOBS}
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "worker stopped" in (process.stdout.read() if process.stdout else "")
