"""The command ``outreachdb``: global options anywhere on the line, one clear line on stderr when something fails."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from outreachdb import logs
from outreachdb.cli.context import options, settings
from outreachdb.cli.output import fail
from outreachdb.errors import OutreachDBError, UsageError
from outreachdb.version import __version__

WITH_VALUE = {"-d": "database_url", "--database-url": "database_url", "-w": "workspace", "--workspace": "workspace"}


# Which file has a command: a command's own imports are enough to run it (all of them take a second).
COMMANDS = {
    "advise": "advise",
    "audit": "audit",
    "backup": "backup",
    "bench": "bench",
    "campaign": "campaigns",
    "constraints": "migrate",
    "demo": "demo",
    "down": "server",
    "events": "events",
    "health": "health",
    "import": "leads",
    "imports": "leads",
    "inbox": "events",
    "jobs": "jobs",
    "key": "keys",
    "leads": "search",
    "metrics": "health",
    "migrate": "migrate",
    "partitions": "partitions",
    "pool": "pool",
    "restore": "backup",
    "retention": "retention",
    "segment": "segments",
    "send": "sending",
    "serve": "serve",
    "stats": "stats",
    "status": "server",
    "suppress": "leads",
    "tune": "tune",
    "up": "server",
    "webhook": "events",
    "worker": "jobs",
    "workspace": "workspaces",
}


def build(command: str | None = None) -> typer.Typer:
    """The application with one command, or with all where none is known by that name (for help and its errors)."""
    app = typer.Typer(
        name="outreachdb",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        help="The PostgreSQL data engine for cold outreach.",
        epilog="-d, -w and --json may stand anywhere on the line.",
    )
    app.callback()(root)
    modules = {COMMANDS[command]} if command in COMMANDS else set(COMMANDS.values())
    for module in sorted(modules):
        importlib.import_module(f"outreachdb.cli.{module}").register(app)
    return app


def root(
    _database_url: Annotated[
        str | None, typer.Option("--database-url", "-d", help="PostgreSQL URL; without one, the embedded server.")
    ] = None,
    _workspace: Annotated[str | None, typer.Option("--workspace", "-w", help="Workspace to work in.")] = None,
    _json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    _version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Global options; `take_globals` has read them already, they stand here for the help page."""


def take_globals(arguments: Sequence[str]) -> list[str]:
    """Move the global options into :data:`options`, wherever they stand, and return the rest of the line."""
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if argument == "--":
            rest += [argument, *waiting]
        elif argument == "--json":
            options.json = True
        elif argument[:2] in {"-d", "-w"} and len(argument) > 2 and not equals:
            setattr(options, WITH_VALUE[argument[:2]], argument[2:])
        elif name in WITH_VALUE and (equals or name == argument):
            given = value if equals else next(waiting, None)
            if not given:
                raise UsageError(f"{name} needs a value")
            setattr(options, WITH_VALUE[name], given)
        else:
            rest.append(argument)
    return rest


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    options.json, options.workspace, options.database_url = False, None, None
    try:
        rest = take_globals(sys.argv[1:] if arguments is None else arguments)
        if rest[:1] == ["--version"]:
            sys.stdout.write(f"outreachdb {__version__}\n")
            sys.exit(0)
        logs.configure(settings())
        build(rest[0] if rest else None)(rest, standalone_mode=True)
    except OutreachDBError as error:
        sys.exit(fail(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            raise
        hint = "OUTREACHDB_LOG_LEVEL=debug shows where"
        sys.exit(fail(OutreachDBError(f"{type(error).__name__}: {error}", hint=hint)))


if __name__ == "__main__":
    main()
