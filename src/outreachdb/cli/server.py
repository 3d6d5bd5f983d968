"""Commands of the embedded server: up, down, status."""

from __future__ import annotations

import typer

from outreachdb.cli.context import options
from outreachdb.cli.output import emit
from outreachdb.config import Settings
from outreachdb.db.embedded import EmbeddedServer, Status
from outreachdb.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up() -> None:
    """Start the embedded PostgreSQL server; nothing happens if it runs already."""
    _show(_server().start())


def down() -> None:
    """Stop the embedded PostgreSQL server; the data stays, and it stays down until `outreachdb up`."""
    state = _server().stop(until_asked=True)
    emit(state.document(), f"PostgreSQL is stopped; its data stays in {state.home}. Start it again: outreachdb up")


def status() -> None:
    """Show whether the embedded PostgreSQL server runs, and its URL."""
    _show(_server().status())


def _server() -> EmbeddedServer:
    if options.database_url is not None:
        raise UsageError(
            "-d names a server that outreachdb does not run", hint="leave it out: this is about the embedded server"
        )
    return EmbeddedServer(Settings.load().home)


def _show(state: Status) -> None:
    name = f"PostgreSQL {state.version}" if state.version else "PostgreSQL"
    text = f"{name} runs: {state.url}" if state.running else f"{name} is not running; start it: outreachdb up"
    emit(state.document(), text)
