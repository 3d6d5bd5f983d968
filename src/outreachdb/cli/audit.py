"""Commands for the audit log."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from outreachdb.cli.context import tenant_call
from outreachdb.cli.output import emit, table
from outreachdb.tenancy import audit

commands = typer.Typer(help="Who changed what in a workspace, and when.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="audit")


@commands.callback()
def group() -> None:
    """Keep `search` a command of its own while it is the only one."""


@commands.command()
def search(
    action: Annotated[
        str | None,
        typer.Option(help="Only this: key.create, key.rotate, key.revoke, key.renew, key.expire, key.forget."),
    ] = None,
    before: Annotated[int | None, typer.Option(help="Go on after the last id of a page.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
) -> None:
    """List changes, latest first."""
    found = tenant_call(lambda tenant: audit.search(tenant, action=action, before=before, limit=limit))
    columns = ("id", "created_at", "actor", "action", "object_type", "object_id", "details")
    rows = [[getattr(each, column) for column in columns] for each in found]
    emit({"entries": [asdict(each) for each in found]}, table("", columns, rows))
