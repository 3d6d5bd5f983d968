"""Commands for API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from outreachdb.cli.context import tenant_call, who
from outreachdb.cli.output import emit, table
from outreachdb.tenancy import keys

commands = typer.Typer(help="API keys of a workspace.", no_args_is_help=True)
KeyId = Annotated[int, typer.Argument(metavar="ID", help="See `key list`.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="key")


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    scopes: Annotated[list[str] | None, typer.Option("--scope", help="read, write or admin; may be repeated.")] = None,
    days: Annotated[int, typer.Option(min=0, max=3650, help="How long it lasts; 0 is for ever.")] = keys.DAYS,
    renew: Annotated[bool, typer.Option("--renew", help="Prolong it while it is in use.")] = False,
) -> None:
    """Make a key; it is shown once."""
    made = tenant_call(
        lambda tenant: keys.create(tenant, name, scopes=scopes or ("read",), days=days or None, renew=renew, by=who())
    )
    emit(made.document(), f"key {made.key.id}; shown only now:\n{made.secret}")


@commands.command("list")
def list_keys() -> None:
    """List the keys by their beginnings, oldest first."""
    found = tenant_call(keys.listed)
    columns = ("id", "name", "prefix", "scopes", "renew", "expires_at", "last_used_at", "revoked_at")
    rows = [
        [", ".join(each.scopes) if column == "scopes" else getattr(each, column) for column in columns]
        for each in found
    ]
    emit({"keys": [each.document() for each in found]}, table("", columns, rows))


@commands.command()
def rotate(
    key_id: KeyId,
    grace_hours: Annotated[int, typer.Option(min=0, max=2160, help="How long the old one goes on.")] = 24,
) -> None:
    """Make a key in place of another; the new one is shown once."""
    made = tenant_call(lambda tenant: keys.rotate(tenant, key_id, grace=timedelta(hours=grace_hours), by=who()))
    emit(made.document(), f"key {made.key.id} in place of {key_id}; shown only now:\n{made.secret}")


@commands.command()
def revoke(key_id: KeyId) -> None:
    """End a key at once."""
    ended = tenant_call(lambda tenant: keys.revoke(tenant, key_id, by=who()))
    emit(ended.document(), f"key {key_id} is revoked")
