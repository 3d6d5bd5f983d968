"""The command that serves HTTP."""

from __future__ import annotations

import ipaddress
import sys
from typing import Annotated

import typer

from outreachdb.api.app import create_app, listen
from outreachdb.api.app import serve as serve_app
from outreachdb.app import OutreachDB
from outreachdb.cli.context import app_call
from outreachdb.cli.output import emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
) -> None:
    """Serve webhooks and /health over HTTP until stopped."""
    if not _loopback(host):
        sys.stderr.write(f"outreachdb: {host} can be reached from other machines; put a proxy with TLS before it\n")

    async def serving(db: OutreachDB) -> None:
        with listen(host, port) as listening:
            name = f"[{host}]" if ":" in host else host
            url = f"http://{name}:{listening.getsockname()[1]}"
            emit({"url": url}, f"serving on {url}; Ctrl-C stops")
            sys.stdout.flush()
            await serve_app(create_app(db.pools, db.keyring), listening)

    app_call(serving)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
