"""Commands of the room ``analytics``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from outreachdb.analytics import reports, rollups, views
from outreachdb.analytics.reports import Period, Report
from outreachdb.cli.context import database_call, options, tenant_call
from outreachdb.cli.output import cell, emit, plain_value, table
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput
from outreachdb.words import counted

commands = typer.Typer(help="What happened, exact as of now.", no_args_is_help=True)

# What a count is a share of.
BASES = {
    "sent": "scheduled",
    "delivered": "sent",
    "unique_opened": "delivered",
    "unique_clicked": "delivered",
    "replied": "delivered",
    "bounced": "sent",
    "complained": "delivered",
    "unsubscribed": "delivered",
}
# What a terminal has room for, of reports by something; JSON and CSV have it all.
SHOWN = (
    *("sent", "delivered", "unique_opened", "unique_clicked", "replied", "hard_bounced", "open_rate", "click_rate"),
    *("reply_rate", "bounce_rate"),
)
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 30
Since = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day (UTC).")]
Until = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day (UTC).")]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write the rows to this file; - for standard output.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many rows at most.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="Bring the view up to date first.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="stats")


@commands.command()
def campaign(
    name: Annotated[str, typer.Argument(metavar="NAME|ID")],
    by: Annotated[str | None, typer.Option(help=f"One row for each: {', '.join(reports.CAMPAIGN_BY)}.")] = None,
    since: Since = None,
    until: Until = None,
    target: Csv = None,
) -> None:
    """Show the counts and rates of a campaign."""
    _tell(lambda tenant, by: reports.campaign(tenant, name, by=by, period=_period(since, until)), by, target)


@commands.command()
def workspace(
    by: Annotated[str | None, typer.Option(help=f"One row for each: {', '.join(reports.WORKSPACE_BY)}.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = reports.BUSIEST,
    target: Csv = None,
) -> None:
    """Show the counts and rates of the workspace; of campaigns, mailboxes and domains the busiest."""
    _tell(lambda tenant, by: reports.workspace(tenant, by=by, period=_period(since, until), limit=limit), by, target)


@commands.command()
def deliverability(
    by: Annotated[str, typer.Option(help=f"One row for each: {', '.join(reports.DELIVERABILITY_BY)}.")] = "mailbox",
    since: Since = None,
    until: Until = None,
    limit: Limit = reports.BUSIEST,
    target: Csv = None,
) -> None:
    """Show bounces, complaints and reputation of the last 30 days."""
    period = _period(since, until) if since or until else None
    report = tenant_call(lambda tenant: reports.deliverability(tenant, by=by, period=period, limit=limit))
    _emit(report, target, _table(report))


@commands.command()
def growth(since: Since = None, until: Until = None, refresh: Refresh = False, target: Csv = None) -> None:
    """Show how many leads came, day by day."""
    report = tenant_call(lambda tenant: reports.growth(tenant, period=_period(since, until), refresh=refresh))
    chart = _sparkline("new leads", report.rows, "new_leads")
    _emit(report, target, Group(_table(report), chart))


@commands.command()
def engagement(limit: Limit = reports.BUSIEST, refresh: Refresh = False, target: Csv = None) -> None:
    """Show how many leads are hot, engaged, warm and cold, and the highest scores."""
    report = tenant_call(lambda tenant: reports.engagement(tenant, limit=limit, refresh=refresh))
    levels = report.totals["levels"]
    most = max(levels.values(), default=0) or 1
    rows = [(level, leads, "█" * round(WIDTH * leads / most)) for level, leads in levels.items()]
    _emit(report, target, Group(table(_title(report), ("level", "leads", ""), rows), _table(report)))


@commands.command()
def refresh(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Some of: {', '.join(views.SCHEDULES)}; none: all.")
    ] = None,
) -> None:
    """Bring the materialised views up to date, as the worker does on their schedules."""

    async def work(pools: Any) -> list[views.Refreshed]:
        return [await views.refresh(pools, name) for name in names or views.SCHEDULES]

    done = database_call(work)
    rows = [(each.view, each.rows, each.seconds) for each in done]
    emit({"refreshed": [each.document() for each in done]}, table("", ("view", "rows", "seconds"), rows))


@commands.command()
def reconcile(
    days: Annotated[
        int, typer.Option(min=1, max=10_000, help="Days to compare; those seen longest ago.")
    ] = rollups.DAYS,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
) -> None:
    """Compare rollups with a recount of the events that are still there; exit status 1 where they differ."""
    found = tenant_call(lambda tenant: rollups.reconcile(tenant, days=days, repair=repair))
    mended = ", mended" if repair and found.drifted else ""
    compared = f"{counted(found.days, 'day')}, {counted(found.buckets, 'bucket')} compared"
    text = f"{compared}; not equal: {found.drifted:,}{mended}"
    emit(found.document() | {"repaired": repair}, text)
    if found.drifted and not repair:
        raise typer.Exit(1)


def _tell(
    work: Callable[[Tenant, str | None], Coroutine[Any, Any, Report]], by: str | None, target: Path | None
) -> None:
    """Totals with their rates and a line of days; or a table by something."""
    plain = by is None and not options.json and target is None

    async def read(tenant: Tenant) -> Report:
        return await work(tenant, "day" if plain else by)

    report = tenant_call(read)
    if not plain:
        _emit(report, target, _table(report))
        return
    counts = {name: report.totals[name] for name in reports.KEPT_COUNTS}
    rows = [(name.replace("_", " "), count, _rate(name, count, counts)) for name, count in counts.items()]
    lines = [_sparkline(name, report.rows, name) for name in ("sent", "opened", "clicked", "replied")]
    emit({}, Group(table(_title(report), ("what", "count", "rate"), rows), *lines))


def _emit(report: Report, target: Path | None, text: RenderableType) -> None:
    if target is None:
        emit(report.document(), text)
        return
    with _opened(target) as file:
        written = csv.writer(file)
        rows = report.rows or [report.totals]
        names = list(rows[0]) if rows else report.columns
        written.writerow(names)
        written.writerows([_plain(row[name]) for name in names] for row in rows)
    if str(target) != "-":
        emit(
            {"rows": len(rows), "file": str(target), "as_of": report.as_of}, f"{counted(len(rows), 'row')} in {target}"
        )


@contextmanager
def _opened(target: Path) -> Iterator[TextIO]:
    if str(target) == "-":
        yield sys.stdout
        return
    try:
        with target.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise InvalidInput(f"can't write {target}: {error.strerror}", hint="name another file") from error


def _plain(value: Any) -> Any:
    return plain_value(value) if isinstance(value, datetime | date) else value


def _period(since: datetime | None, until: datetime | None) -> Period:
    return Period(since.date() if since else None, until.date() if until else None)


def _title(report: Report) -> str:
    period = f", {report.since or '...'} to {report.until or '...'}" if report.since or report.until else ""
    return f"{report.title}{period} (as of {cell(report.as_of)})"


def _table(report: Report) -> RenderableType:
    known = {*reports.KEPT_COUNTS, *reports.RATES}
    wide = known <= set(report.columns)
    shown = [name for name in report.columns if not wide or name in SHOWN or name not in known]
    heads = [name.replace("_", " ") for name in shown]
    return table(_title(report), heads, [[_shown(name, row[name]) for name in shown] for row in report.rows])


def _shown(name: str, value: Any) -> Any:
    if name.endswith("_rate"):
        return "" if value is None else f"{value:.2%}"
    return value


def _sparkline(label: str, rows: Sequence[dict[str, Any]], name: str) -> Text:
    """The last days as bars, each as high as its share of the highest."""
    values = [row[name] for row in rows][-60:]
    most = max(values, default=0)
    bars = "".join(BARS[min(7, value * 8 // most)] if value else " " for value in values) if most else ""
    days = f"{rows[-len(values)]['day']} to {rows[-1]['day']}, at most {most:,} a day" if bars else "none"
    return Text(f"  {label:<10}{bars}  {days}")


def _rate(name: str, count: int, counts: dict[str, int]) -> str:
    base = BASES.get(name, "")
    return f"{count / counts[base]:.1%} of {base}" if counts.get(base) else ""
