"""The commands ``health``, ``metrics``."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from outreachdb.app import embedded_url
from outreachdb.cli.context import database_call, options, run, settings
from outreachdb.cli.output import emit, stdout, table
from outreachdb.config import Settings
from outreachdb.errors import UsageError
from outreachdb.health import alerts, configuration, history, report
from outreachdb.health.metrics import Figures, exposition
from outreachdb.health.metrics import look as figures_of
from outreachdb.health.report import Report, Result

COLORS = {"green": "green", "yellow": "yellow", "red": "bold red"}
EXIT = {"green": 0, "yellow": 10, "red": 20}

commands = typer.Typer(help="What keeps well, what gets tight, what is wrong; in green, yellow and red.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="health")
    app.command()(metrics)


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
            settings=_with_pooler(),
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


@commands.command()
def trends(
    days: Annotated[int, typer.Option(min=2, help="Days of history for growth.")] = 30,
    times: Annotated[float, typer.Option(min=1, help="How much slower a query must be, week over week.")] = 1.5,
    min_calls: Annotated[int, typer.Option(min=1, help="Calls in each week that a query needs.")] = 20,
) -> None:
    """Show what grows, when something is full, which queries got slower, and indexes that nobody used."""

    async def look() -> history.Trends:
        url = await _url()
        return await history.trends(
            url, days=days, times=times, min_calls=min_calls, timeout=settings().connect_timeout
        )

    found = run(look())
    emit(dataclasses.asdict(found), _trends(found))


@commands.command("alerts")
def show_alerts(
    everything: Annotated[bool, typer.Option("--all", help="Also the checks that are well.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send a test message to every channel.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file; default OUTREACHDB_HEALTH_FILE.")] = None,
) -> None:
    """Show which alerts fire, or try whether the channels reach you."""
    wanted = alerts.alerting(configuration.load(config or settings().health_file))
    if test:
        if not wanted.channels:
            raise UsageError("no channel is configured", hint="add [[alerts.channels]] to OUTREACHDB_HEALTH_FILE")
        answers = run(alerts.try_channels(wanted))
        rows = [(name, "failed" if problem else "sent", problem or "") for name, problem in answers.items()]
        emit({"channels": answers}, table("", ("channel", "message", "why"), rows))
        if any(answers.values()):
            raise typer.Exit(1)
        return
    found = database_call(lambda pools: alerts.listed(pools, everything=everything))
    columns = ("check_name", "state", "level", "since", "notified_at")
    emit({"alerts": list(found)}, table("", columns, [[row[key] for key in columns] for row in found]))


def metrics(
    config: Annotated[Path | None, typer.Option(help="TOML file; default OUTREACHDB_HEALTH_FILE.")] = None,
) -> None:
    """Print the metrics in Prometheus' text format, as /metrics of `outreachdb serve` gives them."""
    chosen = configuration.load(config or settings().health_file)

    async def look() -> Figures:
        return await figures_of(await _url(), chosen, _with_pooler())

    text = exposition(run(look())).decode()
    emit({"metrics": text}, text.rstrip("\n"))


def _with_pooler() -> Settings | None:
    """The settings, unless another database was named than they do: a pooler of ours is not in front of that one."""
    return None if options.database_url and not settings().pool_console_url else settings()


async def _url() -> str:
    found = settings().url("admin") or await embedded_url(settings())
    assert found is not None  # noqa: S101  (one of the two is there)
    return found


async def _watch(look: Callable[[], Awaitable[Report]], every: float) -> None:
    """Draw the table anew at each look, below the last one where nobody watches a terminal; Ctrl-C ends it well."""
    console = stdout()
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as screen:
        try:
            while True:
                drawn = terminal(await look())
                if screen is None:
                    console.print(drawn)
                    console.file.flush()
                else:
                    screen.update(drawn, refresh=True)
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


def _trends(found: history.Trends) -> RenderableType:
    growth = [
        (
            each.kind,
            each.name,
            _size(each.kind, each.value),
            f"{_size(each.kind, each.per_month)} a month",
            each.runs_out_on,
        )
        for each in found.growth
    ]
    slower = [
        (
            f"{each.mean_ms_before:.1f} ms",
            f"{each.mean_ms:.1f} ms",
            f"{each.times:.1f}",
            " ".join((each.query or "").split())[:100],
        )
        for each in found.slower
    ]
    unused = [
        (f"{each.schema_name}.{each.index_name}", _size("table", each.index_bytes), each.since)
        for each in found.unused_indexes
    ]
    parts = [
        table("growth", ("kind", "name", "now", "grows by", "full on"), growth),
        table("queries slower than the week before", ("before", "now", "times", "query"), slower),
        table("indexes that nobody used", ("index", "size", "since"), unused),
    ]
    return Group(*parts)


def _size(kind: str, value: float) -> str:
    if kind == "sequence":
        return f"{value:,.0f}"
    return decimal(int(value)) if value >= 0 else f"-{decimal(int(-value))}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:,.2f}"
