"""The command ``outreachdb``: global options anywhere on the line, one clear line on stderr when something fails."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import typer
from typer.exceptions import TyperException

from outreachdb import logs
from outreachdb.cli.context import options, settings
from outreachdb.cli.output import fail
from outreachdb.errors import Cancelled, OutreachDBError, UsageError, plain_message
from outreachdb.version import __version__

WITH_VALUE = {"-d": "database_url", "--database-url": "database_url", "-w": "workspace", "--workspace": "workspace"}


class Entry(NamedTuple):
    """The file that has a command, and the command's line on the first help page."""

    file: str
    help: str


# A command's own imports are enough to run it, and none are needed to list them: all together take seconds. What a line
# says stands at its command as well, for the command's own help; a test compares.
COMMANDS = {
    "advise": Entry(
        "advise", "Look at a database, change nothing, and say what to mend, with the statements and their way back."
    ),
    "audit": Entry("audit", "Who changed what in a workspace, and when."),
    "backup": Entry(
        "backup",
        "Back up the database into a new folder, with a manifest of what is in it. The secret key is not part of it.",
    ),
    "bench": Entry("bench", "Measure on a scratch database: ours, the limit and the ratio, all from this run."),
    "campaign": Entry("campaigns", "Campaigns: a segment, a sequence of messages, mailboxes."),
    "constraints": Entry("migrate", "The rules of tables that had rows before the rules came."),
    "demo": Entry("demo", "Take generated leads the whole path: import, segment, launch, SMTP, webhooks, analytics."),
    "down": Entry(
        "server",
        "Stop the embedded PostgreSQL server; the data stays, and it stays down until `outreachdb up`.",
    ),
    "events": Entry("events", "Delivery events from providers."),
    "health": Entry("health", "What keeps well, what gets tight, what is wrong; in green, yellow and red."),
    "import": Entry(
        "leads", "Import leads from a file: CSV and its kin, a workbook, JSON lines, Parquet, compressed or not."
    ),
    "imports": Entry("leads", "Imports: what they did, what they rejected."),
    "inbox": Entry("events", "Mailboxes of your own, read for replies and reports."),
    "jobs": Entry("jobs", "Periodic jobs and background jobs: list, run, history."),
    "key": Entry("keys", "API keys of a workspace."),
    "leads": Entry("search", "Leads: search, show, why."),
    "metrics": Entry(
        "health", "Print the metrics in Prometheus' text format, as /metrics of `outreachdb serve` gives them."
    ),
    "migrate": Entry("migrate", "Bring the database's schema up to date."),
    "partitions": Entry("partitions", "Tables divided by time: what is there, what lies ahead."),
    "pool": Entry("pool", "PgBouncer: one pool for each workload in front of the server."),
    "restore": Entry(
        "backup",
        "Restore a backup into a database that is not there yet or empty; a copy of a cluster into a new home.",
    ),
    "retention": Entry("retention", "How long rows stay, and letting the old ones leave."),
    "segment": Entry("segments", "Segments: leads that meet a definition."),
    "send": Entry("sending", "Sending: hand out due sends and deliver them by SMTP."),
    "serve": Entry("serve", "Serve webhooks and /health over HTTP until stopped."),
    "stats": Entry("stats", "What happened, exact as of now."),
    "status": Entry("server", "Show whether the embedded PostgreSQL server runs, and its URL."),
    "suppress": Entry("leads", "Addresses and domains that are never mailed."),
    "tune": Entry(
        "tune",
        "Fit the server's settings to its machine: as they are, as they should be, why; tried before they are shown.",
    ),
    "up": Entry("server", "Start the embedded PostgreSQL server; nothing happens if it runs already."),
    "webhook": Entry("events", "Addresses to which providers report."),
    "worker": Entry(
        "jobs", "Run periodic and background jobs until stopped (Ctrl-C, SIGTERM); start as many of these as you like."
    ),
    "workspace": Entry("workspaces", "Workspaces: tenants that can't see each other."),
}


def build(command: str | None = None) -> typer.Typer:
    """The application with one command, or with all of them."""
    app = _application()
    files = {COMMANDS[command].file} if command is not None else {entry.file for entry in COMMANDS.values()}
    for file in sorted(files):
        importlib.import_module(f"outreachdb.cli.{file}").register(app)
    return app


def outline() -> typer.Typer:
    """The application by the names of its commands alone: for the first help page and for a name that is none."""
    app = _application()
    for name, entry in COMMANDS.items():
        app.command(name, help=entry.help)(_not_loaded)
    return app


def _application() -> typer.Typer:
    app = typer.Typer(
        name="outreachdb",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        help="The PostgreSQL data engine for cold outreach.",
        epilog="-d, -w and --json may stand anywhere on the line.",
    )
    app.callback()(root)
    return app


def _not_loaded() -> None:
    """Stands for a command on the help page; one that is called is loaded."""


def _chosen(name: str | None) -> typer.Typer:
    """What a line needs that begins with ``name``; a shell that asks how to complete one may need any command."""
    if "_OUTREACHDB_COMPLETE" in os.environ:
        return build()
    return build(name) if name in COMMANDS else outline()


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


def _run(rest: Sequence[str]) -> int:
    """Run the command; Typer's own errors become ours, which are one line, wherever it is printed."""
    try:
        status = _chosen(rest[0] if rest else None)(rest, prog_name="outreachdb", standalone_mode=False)
    except TyperException as error:
        message = plain_message(error.format_message()).strip()
        if not message:  # the help page was asked for by giving nothing, and is printed
            return error.exit_code
        context = getattr(error, "ctx", None)
        hint = f"see: {context.command_path} --help" if context is not None else None
        raise UsageError(message[0].lower() + message[1:].removesuffix("."), hint=hint) from None
    except typer.Abort:
        raise Cancelled("not confirmed; nothing was done") from None
    return status if isinstance(status, int) else 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    options.json, options.workspace, options.database_url = False, None, None
    try:
        rest = take_globals(sys.argv[1:] if arguments is None else arguments)
        if rest[:1] == ["--version"]:
            sys.stdout.write(f"outreachdb {__version__}\n")
            sys.exit(0)
        logs.configure(settings())
        sys.exit(_run(rest))
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
