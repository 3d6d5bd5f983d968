"""Commands of the room ``tenancy``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from outreachdb.cli.context import database_call
from outreachdb.cli.output import emit, table
from outreachdb.tenancy import workspaces

commands = typer.Typer(help="Workspaces: tenants that can't see each other.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="workspace")


@commands.command()
def create(name: Annotated[str, typer.Argument(help="Letters, digits, dots and dashes.")]) -> None:
    """Create a workspace."""
    made = database_call(lambda pools: workspaces.create(pools, name))
    emit(dataclasses.asdict(made), f"workspace {made.name} created")


@commands.command("list")
def list_() -> None:
    """List the workspaces."""
    found = database_call(workspaces.listed)
    rows = [(each.name, each.id, each.created_at) for each in found]
    emit({"workspaces": [dataclasses.asdict(each) for each in found]}, table("", ("name", "id", "created"), rows))


@commands.command()
def show(name: str) -> None:
    """Show a workspace."""
    found = database_call(lambda pools: workspaces.show(pools, name))
    emit(
        dataclasses.asdict(found),
        table(
            "",
            ("name", "id", "created", "read limit, ms"),
            [(found.name, found.id, found.created_at, found.read_limit_ms)],
        ),
    )


@commands.command()
def limit(
    name: str,
    milliseconds: Annotated[int, typer.Argument(min=0, help="0 is no limit.")],
) -> None:
    """Limit how long one statement of a search or a segment may run."""
    found = database_call(lambda pools: workspaces.limit(pools, name, milliseconds))
    told = f"{found.read_limit_ms:,} ms" if found.read_limit_ms else "no limit"
    emit(dataclasses.asdict(found), f"workspace {found.name}: searches and segments, {told} for each statement")
