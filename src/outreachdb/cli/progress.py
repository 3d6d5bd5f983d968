"""A progress bar on stderr, for work that takes over a second."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from outreachdb import progress
from outreachdb.cli.context import options


@contextmanager
def bar(title: str) -> Iterator[progress.Progress]:
    """A callback that draws; where stderr is no terminal, or JSON is asked for, it draws nothing."""
    if options.json or not sys.stderr.isatty():
        yield progress.silent
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        yield _Bar(drawn, title)


class _Bar:
    """One line per phase; the rate is of the whole phase, so that it is calm."""

    def __init__(self, drawn: Progress, title: str) -> None:
        self._drawn = drawn
        self._title = title
        self._phase: str | None = None
        self._task = drawn.add_task(title, total=None, rate="")

    def __call__(self, phase: str, done: int, total: int | None = None) -> None:
        if phase != self._phase:
            self._phase = phase
            self._drawn.reset(self._task, description=f"{self._title}: {phase}", total=total)
        elapsed = self._drawn.tasks[0].elapsed or 0
        rate = f"{done / elapsed:,.0f}/s" if elapsed > 0.5 and done else ""
        self._drawn.update(self._task, completed=done, total=total, rate=rate)
