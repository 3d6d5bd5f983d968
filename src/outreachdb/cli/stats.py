"""Commands of the room ``analytics``."""

from __future__ import annotations

from typing import Annotated

import typer

from outreachdb.analytics import stats
from outreachdb.cli.context import tenant_call
from outreachdb.cli.output import cell, emit, table

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


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="stats")


@commands.command()
def campaign(name: Annotated[str, typer.Argument(metavar="NAME|ID")]) -> None:
    """Show the counts and rates of a campaign."""
    found = tenant_call(lambda tenant: stats.campaign(tenant, name))
    _show(found.document(), f"campaign {found.name} (as of {cell(found.as_of)})")


@commands.command()
def workspace() -> None:
    """Show the counts and rates of the workspace."""
    found = tenant_call(stats.workspace)
    _show(found.document(), f"workspace {found.workspace} (as of {cell(found.as_of)})")


def _show(document: dict[str, object], title: str) -> None:
    counts = {name: value for name, value in document.items() if isinstance(value, int) and name != "campaign_id"}
    rows = [(name.replace("_", " "), count, _rate(name, count, counts)) for name, count in counts.items()]
    emit(document, table(title, ("what", "count", "rate"), rows))


def _rate(name: str, count: int, counts: dict[str, int]) -> str:
    base = BASES.get(name, "")
    return f"{count / counts[base]:.1%} of {base}" if counts.get(base) else ""
