"""The commands of the pooler."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Group
from rich.text import Text

from outreachdb import pooling
from outreachdb.cli.context import options, run, settings
from outreachdb.cli.output import emit, table
from outreachdb.errors import ServerError
from outreachdb.pooling import PoolFolder, PoolStatus, Written

FolderOption = Annotated[Path | None, typer.Option(help="Folder of the pooler's files; default HOME/pooling.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    pool = typer.Typer(no_args_is_help=True, help="PgBouncer: one pool for each workload in front of the server.")
    pool.command("config")(config)
    pool.command("start")(start)
    pool.command("stop")(stop)
    pool.command("status")(status)
    app.add_typer(pool, name="pool")


def config(
    folder: FolderOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 6432,
    listen: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    auth: Annotated[
        Literal["list", "query"],
        typer.Option(
            help="How PgBouncer knows logins: from a list, or by asking the server (an administrator prepares it)."
        ),
    ] = "list",
) -> None:
    """Write PgBouncer's configuration: four pools, sized by what the server can take."""
    written = run(pooling.configure(settings(), _folder(folder), port=port, listen=listen, auth=auth))
    emit(written.document(), _written(written))


def start(
    folder: FolderOption = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Become the pooler; for systemd and containers.")
    ] = False,
) -> None:
    """Start the pooler as written by `pool config`; one that runs loads its configuration anew."""
    place = _folder(folder)
    if foreground:
        pooling.run_in_foreground(place)
    pooling.start(place)
    _show(run(pooling.status(settings(), place)), f"the pooler runs; URLs of its pools: {place.environment}")


def stop(
    folder: FolderOption = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds that clients get to end what they do.")] = 10.0,
) -> None:
    """Stop the pooler; the server and its data are left alone."""
    place = _folder(folder)
    stopped = pooling.stop(place, wait)
    emit(
        {"stopped": stopped, "folder": str(place.path)}, "the pooler is stopped" if stopped else "no pooler was running"
    )


def status(folder: FolderOption = None) -> None:
    """Show the pools: clients, who waits, server connections; exit 1 where a configured pooler does not answer."""
    found = run(pooling.status(settings(), _folder(folder)))
    if found.configured and not found.running:
        if options.json:
            _show(found, "")
        raise ServerError(str(found.reason), hint=found.hint)
    _show(found, f"PgBouncer {found.version} runs" if found.running else f"{found.reason}; {found.hint} configures one")


def _folder(given: Path | None) -> PoolFolder:
    return PoolFolder.of_home(settings().home, given)


def _show(found: PoolStatus, text: str) -> None:
    columns = ("pool", "mode", "size", "clients", "waiting", "longest wait", "servers busy", "idle", "use %")
    rows = [
        (each.pool, each.mode, each.size, each.clients, each.waiting, each.longest_wait_seconds, each.servers_active,
         each.servers_idle, each.utilization)
        for each in found.pools
    ]  # fmt: skip
    emit(found.document(), Group(Text(text), table("", columns, rows)) if rows else text)


def _written(written: Written) -> Group:
    columns = ("pool", "mode", "connections", "of", "database", "server", "for")
    rows = [
        (
            each["workload"],
            each["mode"],
            each["size"],
            each["wanted"],
            each["database"],
            each["server"],
            each["purpose"],
        )
        for each in written.pools
    ]
    lines = [
        *(f"note: {each}" for each in written.warnings),
        f"written to {written.folder}; start it: outreachdb pool start",
        f"then use it: set -a; . {written.environment}; set +a",
    ]
    return Group(table("", columns, rows), *(Text(line) for line in lines))
