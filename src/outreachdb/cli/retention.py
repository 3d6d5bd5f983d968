"""Commands of retention: plan, run, legal holds and policies of workspaces."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from outreachdb.cli.context import app_call, options, settings
from outreachdb.cli.output import emit, table
from outreachdb.cli.progress import bar
from outreachdb.errors import UsageError
from outreachdb.storage import holds, retention
from outreachdb.storage.archive_files import Folder

commands = typer.Typer(help="How long rows stay, and letting the old ones leave.", no_args_is_help=True)
hold = typer.Typer(help="Legal holds: what must not leave, why and by whose word.", no_args_is_help=True)
policy = typer.Typer(help="Workspaces that keep rows for longer or shorter than the rest.", no_args_is_help=True)

Table = Annotated[str | None, typer.Argument(metavar="[TABLE]", help="One registered table.")]
FOREVER = {"forever", "for ever"}


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="retention")
    commands.add_typer(hold, name="hold")
    commands.add_typer(policy, name="policy")


@commands.command()
def plan(
    name: Table = None,
    everything: Annotated[bool, typer.Option("--all", help="List empty partitions one by one.")] = False,
) -> None:
    """Show what `retention run` would do: rows and bytes freed, what stays and why, reports affected (none)."""
    found = app_call(lambda db: retention.plan(db.pools, name))
    emit(found.document, _plan(found, everything=everything))


@commands.command("run")
def run_(name: Table = None) -> None:
    """Let everything leave that may: archived where the table says so, each file compared before a drop."""
    place = Folder.of(settings())
    with bar("retention") as progress:
        done = app_call(lambda db: retention.run(db.pools, name, folder=place, progress=progress))
    lines = [
        f"{len(done.archived)} partitions archived ({sum(each.rows for each in done.archived):,} rows)",
        f"{len(done.dropped)} dropped without an archive ({done.rows_dropped:,} rows)",
        f"{done.rows_deleted:,} rows deleted by policies of workspaces",
        f"{len(done.kept)} partitions stay though they are old",
    ]
    emit(asdict(done), "; ".join(lines))
    for line in done.waiting:
        typer.echo(f"outreachdb: {line}; the next run goes on", err=True)
    for line in done.failed:
        typer.echo(f"outreachdb: {line}", err=True)
    if done.failed:
        raise typer.Exit(1)


@hold.command("add")
def add_hold(
    reason: Annotated[str, typer.Option("--reason", help="The case, so that somebody can release it one day.")],
    name: Annotated[str | None, typer.Option("--table", help="Only this table; default all.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only rows from this instant (UTC) on.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only rows before this instant (UTC).")] = None,
    who: Annotated[str | None, typer.Option("--by", help="Who ordered it; default your login.")] = None,
) -> None:
    """Hold rows back from retention; of one workspace with -w, else of all."""
    first, last = _utc(since), _utc(until)
    made = app_call(
        lambda db: holds.add(
            db.pools, reason, table=name, workspace=options.workspace, since=first, until=last, who=who
        )
    )
    emit(asdict(made), f"hold {made.id} stands")


@hold.command("list")
def list_holds(
    released: Annotated[bool, typer.Option("--all", help="Those that were released too.")] = False,
) -> None:
    """List the legal holds."""
    found = app_call(lambda db: holds.listed(db.pools, released=released))
    rows = [
        (each.id, each.table_name or "all", each.workspace_id or "all", each.range_start, each.range_end, each.reason,
         each.created_by, each.created_at, each.released_at)
        for each in found
    ]  # fmt: skip
    columns = ("id", "table", "workspace id", "from", "to", "reason", "by", "since", "released")
    emit({"holds": found}, table("", columns, rows))


@hold.command("remove")
def remove_hold(
    hold_id: Annotated[int, typer.Argument(help="See `retention hold list`.")],
    who: Annotated[str | None, typer.Option("--by", help="Who released it; default your login.")] = None,
) -> None:
    """Release a hold; the record of it stays."""
    gone = app_call(lambda db: holds.release(db.pools, hold_id, who=who))
    emit(asdict(gone), f"hold {gone.id} is released")


@policy.command("set")
def set_policy(
    name: Annotated[str, typer.Argument(metavar="TABLE")],
    months: Annotated[str, typer.Argument(help='How many months, or "forever".')],
) -> None:
    """Let the workspace (-w) keep its rows of a table for longer or shorter than the table says."""
    workspace = _workspace()
    number = None if months.lower() in FOREVER else _months(months)
    app_call(lambda db: holds.set_policy(db.pools, workspace, name, number))
    emit(
        {"workspace": workspace, "table": name, "retention_months": number},
        f"{workspace} keeps {name} {'for ever' if number is None else f'for {number} months'}",
    )


@policy.command("list")
def list_policies() -> None:
    """List the policies of workspaces."""
    found = app_call(lambda db: holds.policies(db.pools))
    rows = [(each.workspace, each.table_name, each.retention_months or "for ever") for each in found]
    emit({"policies": found}, table("", ("workspace", "table", "months"), rows))


@policy.command("remove")
def remove_policy(name: Annotated[str, typer.Argument(metavar="TABLE")]) -> None:
    """Let the workspace (-w) keep its rows of a table as long as everybody."""
    workspace = _workspace()
    app_call(lambda db: holds.drop_policy(db.pools, workspace, name))
    emit({"workspace": workspace, "table": name, "removed": True}, "removed")


def _plan(found: retention.Plan, *, everything: bool) -> RenderableType:
    empty = Counter(each.table for each in found.steps if each.empty and not everything)
    rows = [
        (each.action, each.partition, each.workspace_id, each.rows, each.bytes, "\n".join(each.reasons))
        for each in found.steps
        if everything or not each.empty
    ]
    lines: list[RenderableType] = []
    if rows:
        columns = ("action", "partition", "workspace id", "rows", "bytes", "why it stays, or notes")
        lines.append(table("", columns, rows))
    if empty:
        tables = ", ".join(f"{name} {count}" for name, count in empty.items())
        lines.append(f"{empty.total()} empty partitions would be dropped ({tables}); --all lists them")
    leaving = [each for each in found.steps if each.action != "keep"]
    summary = (
        f"{sum(each.rows for each in leaving):,} rows and "
        f"{sum(each.bytes for each in leaving) / 2**20:,.1f} MB would leave; "
        "reports affected: none (they read rollups, which stay)"
    )
    return Group(*lines, summary)


def _workspace() -> str:
    name = settings().workspace
    if not name:
        raise UsageError("which workspace?", hint="give -w NAME or set OUTREACHDB_WORKSPACE")
    return str(name)


def _months(text: str) -> int:
    if not text.isdigit():
        raise UsageError(f"{text!r} is no number of months", hint='write 6, or "forever"')
    return int(text)


def _utc(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=instant.tzinfo or UTC) if instant else None
