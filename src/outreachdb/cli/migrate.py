"""Commands of the schema: migrate, its way back, its verification, and the validation of constraints."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from outreachdb.app import embedded_url
from outreachdb.cli.context import options, run, settings
from outreachdb.cli.output import emit, table
from outreachdb.cli.progress import bar
from outreachdb.config import Settings
from outreachdb.db import catalogue, constraints, migrate
from outreachdb.db.constraints import Finding
from outreachdb.db.migrate import MigrationRun, OnStep, StepReport
from outreachdb.db.migrating.sampling import SAMPLING_MS
from outreachdb.errors import Cancelled, OutreachDBError, UsageError

T = TypeVar("T")


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
        _show(_stepwise(lambda url, given, on_step: migrate.upgrade(url, to, settings=given, on_step=on_step)))


def rollback(
    steps: Annotated[int, typer.Option(min=1, help="How many revisions to take back.")] = 1,
    to: Annotated[str | None, typer.Option(help="Revision to go back to; `base` removes the schema.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove the whole schema without asking.")] = False,
) -> None:
    """Take revisions back, newest first; data in what they made is lost."""
    if not yes and (to == "base" or steps >= len(migrate.history())):
        _confirm_removal()
    _show(_stepwise(lambda url, given, on_step: migrate.rollback(url, steps, to=to, settings=given, on_step=on_step)))


def _confirm_removal() -> None:
    """Ask a person before the whole schema goes; where none sits there, say how to mean it."""
    what = "this removes the whole schema with all workspaces, leads, sends and events"
    if options.json or not sys.stdin.isatty():
        raise UsageError(what, hint="give --yes if that is meant")
    if not typer.confirm(f"{what[0].upper()}{what[1:]}. Go on?", err=True):
        raise Cancelled("nothing was taken back")


def verify() -> None:
    """Compare the live catalogue with what its revision promises; exit 1 and a line for each difference."""
    differences = _on_database(lambda url, given: catalogue.verify(url, settings=given))
    lines = [str(item) for item in differences] or ["the catalogue is as its revision promises"]
    emit({"differences": [asdict(item) for item in differences]}, "\n".join(lines))
    if differences:
        raise typer.Exit(1)


def validate() -> None:
    """Validate NOT VALID constraints; list the rows that break one. Exit 1 while something remains."""
    findings = _on_database(lambda url, given: constraints.validate(url, settings=given))
    remaining = [item for item in findings if item.state != "validated"]
    document = {"constraints": [_document(item) for item in findings], "remaining": len(remaining)}
    emit(document, _findings(findings) if findings else "every constraint is validated")
    if remaining:
        raise typer.Exit(1)


def _constraints() -> None:
    """The rules of tables that had rows before the rules came."""


def _on_database(work: Callable[[str, Settings], Awaitable[T]]) -> T:
    """Run work on the administrator's URL, else the embedded server's; the schema need not be there yet."""
    given = settings()

    async def with_url() -> T:
        url = given.url("admin") or await embedded_url(given)
        return await work(str(url), given)

    return run(with_url())


def _stepwise(work: Callable[[str, Settings, OnStep], Awaitable[MigrationRun]]) -> MigrationRun:
    """Run steps. A table tells each at the end; where none comes, in JSON and after an error, stderr does."""
    ended: list[StepReport] = []
    with bar("migrate") as progress:

        def on_step(step: StepReport) -> None:
            ended.append(step)
            progress(f"{step.revision} {step.direction}", len(ended))
            if options.json:
                _tell(step)

        try:
            return _on_database(lambda url, given: work(url, given, on_step))
        except OutreachDBError:
            for step in () if options.json else ended:
                _tell(step)
            raise


def _tell(step: StepReport) -> None:
    sys.stderr.write(f"{step.revision} {step.direction} {step.seconds:.1f} s\n")


def _show(done: MigrationRun) -> None:
    emit(
        asdict(done), _steps(done) if done.steps or done.routines else f"nothing to do, the database is at {done.after}"
    )


def _steps(done: MigrationRun) -> RenderableType:
    rows = [
        (
            step.revision,
            step.direction,
            step.seconds,
            f"{step.writer_blocked_ms:.0f} ms" if step.blocked_table else f"< {step.sampling_ms} ms",
            step.blocked_table,
            step.attempts,
        )
        for step in done.steps
    ]
    lines = [f"The database is at {done.after or 'no revision'}."]
    if done.routines:
        lines.append(f"Routines replayed: {', '.join(done.routines)}.")
    if rows:
        lines.append(f"Locks were sampled every {SAMPLING_MS} ms; a time is up to two samples too long.")
    columns = ("revision", "", "seconds", "writers blocked at most", "table", "attempts")
    steps = [table("", columns, rows)] if rows else []
    return Group(*steps, *(Text(line) for line in (*lines, *done.notices)))


def _findings(findings: Sequence[Finding]) -> RenderableType:
    rows: list[tuple[object, ...]] = []
    for item in findings:
        rows.append((item.table, item.constraint, item.state, item.rows or None, None, None))
        rows += [(None, None, None, None, _pairs(row.key), _pairs(row.values)) for row in item.offenders]
    return table("", ("table", "constraint", "state", "rows", "key", "values"), rows)


def _document(finding: Finding) -> dict[str, Any]:
    """The finding with values that JSON has no form for (bytes, ranges ...) as text."""
    document: dict[str, Any] = json.loads(json.dumps(asdict(finding), default=str))
    return document


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
