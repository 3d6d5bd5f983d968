"""Commands of the schema: migrate, its way back, its verification, and the validation of constraints."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table

from outreachdb.cli.output import emit
from outreachdb.config import Settings
from outreachdb.db import catalogue, constraints, migrate
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.migrate import MigrationRun, StepReport
from outreachdb.db.migrating.sampling import SAMPLING_MS


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    migrations = typer.Typer(invoke_without_command=True, help="Bring the database's schema up to date.")
    migrations.callback()(upgrade)
    migrations.command("rollback")(rollback)
    migrations.command("verify")(verify)
    app.add_typer(migrations, name="migrate")
    rules = typer.Typer(no_args_is_help=True, help="The rules of tables that had rows before the rules came.")
    # Without a callback Typer would make the only command the group itself.
    rules.callback()(_constraints)
    rules.command("validate")(validate)
    app.add_typer(rules, name="constraints")


def upgrade(
    context: typer.Context,
    to: Annotated[str, typer.Option(help="Revision to stop at.")] = "head",
) -> None:
    """Bring the database's schema up to date, and tell what each step cost."""
    if context.invoked_subcommand is None:
        settings = Settings.load()
        _show(asyncio.run(migrate.upgrade(_url(settings), to, settings=settings, on_step=_tell)))


def rollback(
    steps: Annotated[int, typer.Option(min=1, help="How many revisions to take back.")] = 1,
    to: Annotated[str | None, typer.Option(help="Revision to go back to; `base` removes the schema.")] = None,
) -> None:
    """Take revisions back, newest first; data in what they made is lost."""
    settings = Settings.load()
    _show(asyncio.run(migrate.rollback(_url(settings), steps, to=to, settings=settings, on_step=_tell)))


def verify() -> None:
    """Compare the live catalogue with what its revision promises; exit 1 and a line for each difference."""
    settings = Settings.load()
    differences = asyncio.run(catalogue.verify(_url(settings), settings=settings))
    lines = [str(item) for item in differences] or ["the catalogue is as its revision promises"]
    emit({"differences": [asdict(item) for item in differences]}, "\n".join(lines))
    if differences:
        raise typer.Exit(1)


def validate() -> None:
    """Validate NOT VALID constraints; list the rows that break one. Exit 1 while something remains."""
    settings = Settings.load()
    findings = asyncio.run(constraints.validate(_url(settings), settings=settings))
    remaining = [item for item in findings if item.state != "validated"]
    document = {"constraints": [asdict(item) for item in findings], "remaining": len(remaining)}
    emit(document, _findings(findings) if findings else "every constraint is validated")
    if remaining:
        raise typer.Exit(1)


def _constraints() -> None:
    """The rules of tables that had rows before the rules came."""


def _url(settings: Settings) -> str:
    """The administrator's URL, else the embedded server's."""
    url = settings.url("admin") or EmbeddedServer(settings.home).start().url
    return str(url)


def _tell(step: StepReport) -> None:
    """One line per step on stderr: a long run should not look dead."""
    Console(stderr=True).print(f"{step.revision} {step.direction} {step.seconds:.1f} s", style="dim")


def _show(run: MigrationRun) -> None:
    emit(asdict(run), _steps(run) if run.steps or run.routines else f"nothing to do, the database is at {run.after}")


def _steps(run: MigrationRun) -> RenderableType:
    table = Table("revision", "", "seconds", "writers blocked at most", "table", "what")
    for step in run.steps:
        blocked = f"{step.writer_blocked_ms:.0f} ms" if step.blocked_table else f"< {step.sampling_ms} ms"
        tries = f" ({step.attempts} attempts)" if step.attempts > 1 else ""
        table.add_row(
            step.revision, step.direction, f"{step.seconds:.2f}{tries}", blocked, step.blocked_table or "", step.title
        )
    lines = [
        f"The database is at {run.after or 'no revision'}.",
        f"Locks were sampled every {SAMPLING_MS} ms; a time is up to two samples too long.",
    ]
    if run.routines:
        lines.insert(1, f"Routines replayed: {', '.join(run.routines)}.")
    return Group(table, *lines, *run.notices)


def _findings(findings: Sequence[constraints.Finding]) -> RenderableType:
    table = Table("table", "constraint", "state", "rows", "key", "values")
    for item in findings:
        table.add_row(item.table, item.constraint, item.state, str(item.rows) if item.rows else "")
        for row in item.offenders:
            table.add_row("", "", "", "", _pairs(row.key), _pairs(row.values))
    return table


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
