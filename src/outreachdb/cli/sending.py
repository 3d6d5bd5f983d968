"""Commands of the room ``sending``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from outreachdb.cli import context
from outreachdb.cli.output import emit, table
from outreachdb.cli.progress import bar
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch

commands = typer.Typer(help="Sending: hand out due sends and deliver them by SMTP.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(commands, name="send")
    commands.callback()(_group)


def _group() -> None:
    """Keeps `run` a command of its own: Typer would fold a single one into its group."""


@commands.command()
def run(
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is due; else run until stopped.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Sends to claim at a time.")] = 500,
    connections: Annotated[int, typer.Option(min=1, max=100, help="Connections to each mailbox's server.")] = 4,
) -> None:
    """Deliver what is due; start as many of these as you like."""
    keyring = Keyring.load(context.settings())
    with bar("send") as progress:
        report = context.tenant_call(
            lambda tenant: dispatch.run(
                tenant, keyring, once=once, batch=batch, connections=connections, progress=progress
            )
        )
    names = ("sent", "failed", "deferred", "suppressed", "unknown", "seconds")
    emit(dataclasses.asdict(report), table("", names, [tuple(getattr(report, name) for name in names)]))
    for address, problem in report.problems.items():
        typer.echo(f"outreachdb: mailbox {address} was given up: {problem}", err=True)
    if report.problems and not report.sent:
        raise typer.Exit(1)
