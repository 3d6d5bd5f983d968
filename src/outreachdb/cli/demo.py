"""The command ``demo``."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from outreachdb.cli.context import options, run, settings
from outreachdb.cli.output import emit, table
from outreachdb.cli.progress import bar
from outreachdb.demo import story


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(demo)


def demo(
    leads: Annotated[int, typer.Option(min=1000, max=5_000_000, help="How many leads to generate.")] = 100_000,
) -> None:
    """Take generated leads the whole path: import, segment, launch, SMTP, webhooks, analytics."""
    if options.json or (sys.stdout.isatty() and sys.stderr.isatty()):
        with bar("demo") as progress:
            told = run(story.tell(settings(), leads=leads, progress=progress))
        emit(told.document(), Group(_path(told), *_end(told)))
        return
    told = run(story.tell(settings(), leads=leads, ended=_line))
    emit(told.document(), Group(Text(f"{told.seconds:.1f} s in all"), *_end(told)))


def _line(chapter: story.Chapter) -> None:
    """Tell of a chapter at once: a file or a pipe, which shows no bar, is read while the demo goes on."""
    rate = f", {chapter.rate:,.0f} {chapter.unit}/s" if chapter.rate else ""
    counts = "; ".join(f"{what} {count:,}" for what, count in chapter.counts)
    sys.stdout.write(f"{chapter.title} ({chapter.seconds:.2f} s{rate}){': ' if counts else ''}{counts}\n")
    sys.stdout.flush()


def _path(told: story.Story) -> Table:
    rows: list[tuple[object, ...]] = []
    counts: list[tuple[str | None, int | None]]
    for chapter in told.chapters:
        rate = f"{chapter.rate:,.0f} {chapter.unit}/s" if chapter.rate else None
        counts = [*chapter.counts] or [(None, None)]
        first, *rest = counts
        rows.append((chapter.title, f"{chapter.seconds:.2f} s", rate, *first))
        rows += [(None, None, None, *count) for count in rest]
    title = f"The path of the leads, {told.seconds:.1f} s in all"
    return table(title, ("step", "time", "rate", "what", "count"), rows)


def _end(told: story.Story) -> tuple[Table, Text]:
    """What must balance, and where to look on."""
    balances = [
        (what, " = ".join(f"{value:,}" for value in values), "yes" if len(set(values)) == 1 else "NO")
        for what, values in told.balances
    ]
    # `make demo` runs it from .venv, which need not be on the PATH.
    program = "outreachdb" if shutil.which("outreachdb") else sys.argv[0]
    where = Text(
        f"All of it is in the workspace {told.workspace}, the files in {told.folder}. Look around:\n"
        f"  {program} -w {told.workspace} imports list\n"
        f"  {program} -w {told.workspace} segment count growth\n"
        f"  {program} -w {told.workspace} campaign show spring\n"
        f"  {program} -w {told.workspace} stats campaign spring\n"
        f"Stop the server with: {program} down"
    )
    return table("What must balance", ("what", "values", "holds"), balances), where
