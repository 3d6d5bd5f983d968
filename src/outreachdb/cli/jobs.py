"""Commands of the room ``jobs``: what runs when, what ran, what waits, and the worker that does it."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Group

from outreachdb import jobs
from outreachdb.cli.context import database_call, settings, tenant_call
from outreachdb.cli.output import cell, emit, table
from outreachdb.errors import UsageError
from outreachdb.jobs import pg_cron, runs
from outreachdb.jobs.background import Background
from outreachdb.words import counted

commands = typer.Typer(help="Periodic jobs and background jobs: list, run, history.", no_args_is_help=True)
JobId = Annotated[int, typer.Argument(metavar="ID", help="See `jobs list`.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show.")]
PgCron = Annotated[bool, typer.Option("--pg-cron", help="The only driver that is installed.")]
PERIODIC = ("name", "schedule", "state", "last_run", "last_status", "last_seconds", "description")
BACKGROUND = ("id", "kind", "title", "status", "progress", "created_at", "finished_at")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="jobs")
    app.command()(worker)


def worker(
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Jobs at the same time.")] = 4,
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is left to do.")] = False,
    stop_seconds: Annotated[
        float, typer.Option(min=0, help="Told to stop, how long to wait for jobs under way.")
    ] = 20.0,
) -> None:
    """Run periodic and background jobs until stopped (Ctrl-C, SIGTERM); start as many of these as you like."""
    from outreachdb.jobs.worker import WorkerOptions, work

    wanted = WorkerOptions(concurrency, once, stop_seconds)
    database_call(lambda pools: work(pools, wanted))
    emit({"stopped": True}, "worker stopped")


@commands.command("list")
def list_jobs(limit: Limit = 20) -> None:
    """List the periodic jobs, and the workspace's background jobs where one is named."""
    periodic = database_call(jobs.scheduled)
    named = bool(settings().workspace)
    background = tenant_call(lambda tenant: jobs.listed(tenant, limit=limit)) if named else []
    rows = [[_state(row) if name == "state" else row[name] for name in PERIODIC] for row in periodic]
    parts = [table("periodic", PERIODIC, rows)]
    if named:
        parts.append(table("background", BACKGROUND, [_row(each) for each in background]))
    emit({"periodic": periodic, "background": [each.document() for each in background]}, Group(*parts))


@commands.command()
def show(job_id: JobId) -> None:
    """Show a background job: how far it is, or how it ended."""
    _shown(tenant_call(lambda tenant: jobs.find(tenant, job_id)))


@commands.command()
def cancel(job_id: JobId) -> None:
    """Stop a background job; what it has committed stays."""
    found = tenant_call(lambda tenant: jobs.cancel(tenant, job_id))
    word = "is being stopped" if found.status == "running" else f"is {found.status}"
    emit(found.document(), f"job {job_id} {word}")


@commands.command()
def retry(job_id: JobId) -> None:
    """Put a background job that failed or was cancelled into the queue again."""
    emit(tenant_call(lambda tenant: jobs.retry(tenant, job_id)).document(), f"job {job_id} waits for a worker")


@commands.command()
def run(name: Annotated[str, typer.Argument(metavar="NAME", help="A periodic job, see `jobs list`.")]) -> None:
    """Run a periodic job now, whatever its schedule says; not beside itself."""
    done = database_call(lambda pools: runs.run_now(pools, name))
    emit(dataclasses.asdict(done), f"{name}: {done.rows:,} in {done.seconds:.2f} s")


@commands.command()
def history(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only of this job.")] = None, limit: Limit = 50
) -> None:
    """List the newest runs of periodic jobs, with time, rows and error."""
    rows = database_call(lambda pools: jobs.history(pools, name, limit=limit))
    columns = ("id", "job", "driver", "status", "started_at", "seconds", "rows_affected", "error")
    emit({"runs": rows}, table("", columns, [[row[column] for column in columns] for row in rows]))


@commands.command()
def report() -> None:
    """Print the latest weekly report: slow queries, growth, partitions, failed jobs."""
    row = database_call(runs.report)
    document = row["document"]
    queries = [
        (each["mean_ms"], each["calls"], " ".join(each["query"].split())[:90]) for each in document["slow_queries"]
    ]
    tables = [
        (each["table"], each["rows"], _mb(each["bytes"]), _mb(each["grown_bytes"])) for each in document["tables"]
    ]
    parts = [(each["table"], each["partitions"], each["first"], each["last"]) for each in document["partitions"] or []]
    failed = [(each["job"], each["failures"], each["error"]) for each in document["failed_jobs"]]
    slow = (
        "slow queries (mean over 100 ms)" if document["slow_queries_known"] else "slow queries: no pg_stat_statements"
    )
    emit(
        {"report_id": row["id"]} | document,
        Group(
            table(f"as of {cell(datetime.fromisoformat(document['as_of']))}", ("database MB",),
                  [(_mb(document["database_bytes"]),)]),
            table(slow, ("mean ms", "calls", "query"), queries),
            table("largest tables", ("table", "rows", "MB", "grown MB"), tables),
            table("partitions", ("table", "months", "first", "last"), parts),
            table("jobs that failed", ("job", "failures", "error"), failed),
        ),
    )  # fmt: skip


@commands.command()
def install(with_pg_cron: PgCron = False) -> None:
    """Have the server's pg_cron run the jobs that SQL alone can do."""
    _need(with_pg_cron)
    done = database_call(pg_cron.install)
    text = f"pg_cron runs {counted(len(done.installed), 'job')}; a worker is needed for {', '.join(done.needs_worker)}"
    emit(dataclasses.asdict(done), text)


@commands.command()
def remove(with_pg_cron: PgCron = False) -> None:
    """Take the jobs from pg_cron."""
    _need(with_pg_cron)
    gone = database_call(pg_cron.remove)
    emit({"removed": gone}, f"{counted(len(gone), 'job')} taken from pg_cron")


def _need(with_pg_cron: bool) -> None:
    if not with_pg_cron:
        raise UsageError("which driver?", hint="--pg-cron; procrastinate needs no more than `outreachdb worker`")


def _state(row: dict[str, Any]) -> str:
    return "running" if row["running"] else "due" if row["due"] else ""


def _row(job: Background) -> list[Any]:
    progress = ""
    if job.status == "running" and job.phase:
        progress = f"{job.phase} {job.done:,}" + (f" of {job.total:,}" if job.total else "")
    shown = dataclasses.asdict(job) | {"progress": progress or job.error or ""}
    return [shown[name] for name in BACKGROUND]


def _shown(job: Background) -> None:
    lines = [(name, None if value is None else str(value)) for name, value in job.document().items()]
    emit(job.document(), table("", ("what", "value"), lines))


def _mb(count: int | None) -> float | None:
    return None if count is None else round(count / 1_048_576, 1)
