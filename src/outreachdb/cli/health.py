"""The commands ``health``, ``metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from outreachdb.app import embedded_url
from outreachdb.cli.context import options, run, settings
from outreachdb.cli.output import emit, stdout
from outreachdb.errors import UsageError
from outreachdb.health import configuration, report
from outreachdb.health.report import Report, Result

COLORS = {"green": "green", "yellow": "yellow", "red": "bold red"}
EXIT = {"green": 0, "yellow": 10, "red": 20}

commands = typer.Typer(help="What keeps well, what gets tight, what is wrong; in green, yellow and red.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="health")


@commands.callback(invoke_without_command=True)
def health(
    context: typer.Context,
    check: Annotated[list[str] | None, typer.Option(help="Only this check; may be repeated.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks of --watch.")] = 5,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 0 when green, 10 when yellow, 20 when red.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with thresholds; default OUTREACHDB_HEALTH_FILE.")
    ] = None,
    statement_seconds: Annotated[float, typer.Option(min=0.1, help="Time limit of one check.")] = 5,
) -> None:
    """Look at a database, any PostgreSQL 15 to 18, and say what is green, yellow and red."""
    if context.invoked_subcommand is not None:
        return
    chosen = configuration.load(config or settings().health_file)

    async def look() -> Report:
        return await report.check(
            await _url(),
            chosen,
            only=check or (),
            statement_ms=int(statement_seconds * 1000),
            timeout=settings().connect_timeout,
        )

    if watch:
        if options.json:
            raise UsageError("--watch shows a table", hint="ask again yourself, or scrape /metrics")
        run(_watch(look, every))
        return
    found = run(look())
    emit(found.document(), terminal(found))
    if exit_code:
        raise typer.Exit(EXIT[found.status])


async def _url() -> str:
    found = settings().url("admin") or await embedded_url(settings())
    assert found is not None  # noqa: S101  (one of the two is there)
    return found


async def _watch(look: Callable[[], Awaitable[Report]], every: float) -> None:
    """Draw the table anew at each look; Ctrl-C ends it without an error."""
    with Live(console=stdout(), auto_refresh=False, transient=False) as screen:
        try:
            while True:
                screen.update(terminal(await look()), refresh=True)
                await asyncio.sleep(every)
        except asyncio.CancelledError:
            return


def terminal(found: Report) -> RenderableType:
    """The table: what applies, the worst first within its group; below it, what does not apply and why."""
    drawn = Table(box=box.SIMPLE_HEAD, title_style="bold", pad_edge=False)
    for name, side in (("", "left"), ("check", "left"), ("value", "right"), ("yellow", "right"), ("red", "right")):
        drawn.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    drawn.add_column("seen, and what to do", overflow="fold")
    for each in found.applying:
        drawn.add_row(*_row(each))
    rest = [each for each in found.checks if each.status == "not applicable"]
    parts: list[RenderableType] = [drawn]
    parts += [Text(f"{each.name}: not applicable, {each.summary}", style="dim") for each in rest]
    parts += [Text(f"not seen: {note}", style="yellow") for note in found.notes]
    counts = ", ".join(f"{sum(each.status == level for each in found.checks)} {level}" for level in COLORS)
    parts.append(
        Text.assemble(
            (found.status, COLORS[found.status]),
            f": {found.database}, PostgreSQL {found.version}: {counts}, "
            f"{len(rest)} not applicable ({found.seconds:.1f} s)",
        )
    )
    return Group(*parts)


def _row(each: Result) -> tuple[Text, ...]:
    note = Text(each.summary, style="dim" if each.status == "green" else "")
    if each.status != "green":
        note.append(f"\n{each.advice}", style="bold")
    return (
        Text(each.status, style=COLORS[each.status]),
        Text(each.name),
        Text(f"{_number(each.value)} {each.unit}"),
        Text(_number(each.yellow)),
        Text(_number(each.red)),
        note,
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:,.2f}"
