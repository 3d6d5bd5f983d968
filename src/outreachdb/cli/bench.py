"""The command ``bench``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from outreachdb.app import embedded_url
from outreachdb.benchmarks import (
    advice,
    advisor,
    analytics,
    archive,
    estimates,
    events,
    fillfactor,
    imports,
    indexes,
    migration,
    partitions,
    pools,
    population,
    search,
    segments,
    sending,
    server,
    soak,
    tuning,
)
from outreachdb.benchmarks.measure import Result, machine
from outreachdb.cli.context import run, settings
from outreachdb.cli.output import emit, table
from outreachdb.cli.progress import bar
from outreachdb.errors import UsageError
from outreachdb.progress import Progress
from outreachdb.words import did_you_mean

Benchmark = Callable[[str, int, Progress], Awaitable[list[Result]]]
# Name -> benchmark and how many leads (EVENTS: stored events) it takes where none are given.
BENCHMARKS: dict[str, tuple[Benchmark, int]] = {
    "advice": (advice.run, 2_000_000),
    "advisor": (advisor.run, 0),
    "analytics": (analytics.run, 50_000_000),
    "archive": (archive.run, 5_000_000),
    "estimates": (estimates.run, 200_000),
    "events": (events.run, 5_000_000),
    "fillfactor": (fillfactor.run, 200_000),
    "import": (imports.run, 1_000_000),
    "import-scale": (imports.run_scale, 5_000_000),
    "indexes": (indexes.run, 0),
    "migration": (migration.run, 2_000_000),
    "partitions": (partitions.run, 5_000_000),
    "pools": (pools.run_pools, 0),
    "search": (search.run, 2_000_000),
    "segments": (segments.run, 2_000_000),
    "sending": (sending.run, 1_000_000),
    "server": (server.run, 0),
    "soak": (soak.run, soak.MINUTES),
    "tuning": (tuning.run, 200_000),
}
# Runs for minutes whatever the machine: only where it is named.
BY_MINUTES = {"soak"}
# These count events (a month of `partitions` rows), not leads.
BY_EVENTS = {"analytics", "archive", "events", "partitions"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the command line says of sizes."""

    leads: int | None = None
    events: int | None = None
    minutes: int | None = None

    def of(self, name: str) -> int | None:
        """The size that a benchmark takes."""
        if name in BY_MINUTES:
            return self.minutes
        return self.events if name in BY_EVENTS else self.leads


# These ask the same people, who are loaded once where both are wanted.
SHARED = {"search": search.measured, "segments": segments.measured}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(bench)


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Some of: {', '.join(BENCHMARKS)}; none means all.")
    ] = None,
    leads: Annotated[int | None, typer.Option(min=1000, help="How many leads; each benchmark has a default.")] = None,
    events: Annotated[
        int | None,
        typer.Option(
            min=1000,
            help="Events stored before `analytics`, `events` are measured; rows of a month: `archive`, `partitions`.",
        ),
    ] = None,
    minutes: Annotated[int | None, typer.Option(min=1, help="How long `soak` runs; 10 by default.")] = None,
) -> None:
    """Measure on a scratch database: ours, the limit and the ratio, all from this run."""
    unknown = set(names or ()) - set(BENCHMARKS)
    if unknown:
        hint = did_you_mean(min(unknown), BENCHMARKS, f"there are: {', '.join(BENCHMARKS)}")
        raise UsageError(f"no benchmark named {', '.join(sorted(unknown))}", hint=hint)
    wanted = names or [name for name in BENCHMARKS if name not in BY_MINUTES]
    with bar("bench") as progress:
        about, results = run(_all(wanted, Sizes(leads, events, minutes), progress))
    rows = [(each.name, each.value, each.unit, each.limit, each.ratio, each.source_target) for each in results]
    title = ", ".join(f"{name} {value}" for name, value in about.items())
    emit(
        {"machine": about, "results": [each.document() for each in results]},
        table(title, ("what", "value", "unit", "limit", "ratio", "sources"), rows),
    )


async def _all(names: list[str], sizes: Sizes, progress: Progress) -> tuple[dict[str, Any], list[Result]]:
    configuration = settings()
    url = configuration.url("admin") or await embedded_url(configuration)
    assert url is not None  # noqa: S101  (one of the two is there)
    results: list[Result] = []
    together = SHARED if SHARED.keys() <= set(names) else {}
    for name in names:
        benchmark, default = BENCHMARKS[name]
        if name not in together:
            results += await benchmark(url, sizes.of(name) or default, progress)
    if together:
        async with population.scratch(url, sizes.leads or BENCHMARKS["search"][1], progress) as people:
            for measured in together.values():
                results += await measured(people, progress)
    return await machine(url), results
