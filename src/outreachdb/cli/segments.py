"""Commands of the room ``segments``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from outreachdb.cli.context import tenant_call
from outreachdb.cli.output import emit, table
from outreachdb.errors import UsageError
from outreachdb.segments import definition, segments

commands = typer.Typer(help="Segments: leads that meet a definition.", no_args_is_help=True)

WHERE_HELP = "The definition as JSON, or @FILE."
Name = Annotated[str | None, typer.Argument(help="A saved segment.")]
Where = Annotated[str | None, typer.Option("--where", help=WHERE_HELP)]
PREVIEW = ("id", "email", "first_name", "last_name", "company_name", "country", "status")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="segment")


@commands.command()
def create(name: str, where: Annotated[str, typer.Option("--where", help=WHERE_HELP)]) -> None:
    """Save a definition under a name."""
    given = definition.load(where)
    made = tenant_call(lambda tenant: segments.create(tenant, name, given))
    emit(dataclasses.asdict(made), f"segment {made.name} created")


@commands.command("list")
def list_() -> None:
    """List the saved segments."""
    found = tenant_call(segments.listed)
    rows = [(each.name, each.last_count, each.last_counted_at, each.created_at) for each in found]
    emit(
        {"segments": [dataclasses.asdict(each) for each in found]},
        table("", ("name", "leads", "counted", "created"), rows),
    )


@commands.command()
def count(name: Name = None, where: Where = None) -> None:
    """Count the leads of a segment."""
    segment = _chosen(name, where)
    found = tenant_call(lambda tenant: segments.count(tenant, segment))
    emit(dataclasses.asdict(found), f"{found.count:,} leads ({found.seconds * 1000:,.0f} ms)")


@commands.command()
def preview(
    name: Name = None,
    where: Where = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=1000, help="How many leads.")] = 20,
    after: Annotated[int, typer.Option("--after", min=0, help="Start after this lead's id.")] = 0,
) -> None:
    """Show the first leads of a segment."""
    segment = _chosen(name, where)
    found = tenant_call(lambda tenant: segments.preview(tenant, segment, rows=rows, after=after))
    emit({"leads": found}, table("", PREVIEW, [tuple(lead[column] for column in PREVIEW) for lead in found]))


def _chosen(name: str | None, where: str | None) -> segments.NameOrDefinition:
    if (name is None) == (where is None):
        raise UsageError("give a segment's NAME or --where, not both", hint="outreachdb segment list")
    return name if name is not None else definition.load(where or "")
