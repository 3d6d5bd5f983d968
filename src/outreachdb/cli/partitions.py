"""Commands of partitions: list, maintain, register, adopt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, TypeVar, cast

import typer

from outreachdb.app import embedded_url
from outreachdb.cli import archives
from outreachdb.cli.context import run, settings
from outreachdb.cli.output import emit, table
from outreachdb.cli.progress import bar
from outreachdb.errors import UsageError
from outreachdb.storage.adopting import Adoption
from outreachdb.storage.partitions import (
    Backend,
    Interval,
    Partition,
    PartitionManager,
    Registered,
    get_partition_manager,
)

T = TypeVar("T")
commands = typer.Typer(help="Tables divided by time: what is there, what lies ahead.", no_args_is_help=True)
INTERVALS = ("day", "week", "month", "quarter")
BACKENDS = ("native", "partman")

IntervalOption = Annotated[str, typer.Option(help="day, week, month or quarter; in UTC, weeks from Monday.")]
AheadOption = Annotated[int, typer.Option(min=3, help="How many partitions are kept ahead of the current one.")]
RetentionOption = Annotated[
    str | None, typer.Option(help='How long rows stay, such as "12 months" or "90 days"; "forever" keeps them.')
]
ArchiveOption = Annotated[bool, typer.Option(help="Whether a partition is archived before it is dropped.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    archives.extend(commands)
    app.add_typer(commands, name="partitions")


@commands.command("list")
def listed(
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="One registered table.")] = None,
    analyze: Annotated[bool, typer.Option(help="How each partition fares, and what to do.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List empty partitions one by one.")] = False,
) -> None:
    """List partitions with their ranges, estimated rows and size; empty neighbours stand in one line."""
    if analyze:
        _analyzed(name)
        return
    found = _on_manager(lambda manager: manager.partitions(name))
    rows = [_line(run_of) for run_of in _runs(found, everything=everything)]
    columns = ("table", "partition", "from", "to", "rows (estimate)", "bytes", "state")
    emit({"partitions": [each.document() for each in found]}, table("", columns, rows))


@commands.command()
def maintain(
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="One registered table.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="Hand the tables to partman (the extension pg_partman), or back to native.")
    ] = None,
) -> None:
    """Finish interrupted detaches, create what lies ahead, tell what is past its retention."""
    chosen = cast("Backend | None", _one_of("--backend", backend, BACKENDS))

    async def work(manager: PartitionManager) -> list[dict[str, object]]:
        if name is None:
            return [asdict(each) for each in await manager.maintain_all_partitions(backend=chosen)]
        if chosen is not None and (await manager.tables(name))[0].backend != chosen:
            await manager.hand_over(name, chosen)
        return [asdict(await manager.maintain(name))]

    done = _on_manager(work)
    rows = [
        (
            each["table"],
            each["backend"],
            each["created"],
            _lines(each["finalized"]),
            _lines(each["expired"]),
            each["error"],
        )
        for each in done
    ]
    columns = ("table", "backend", "created", "detached at last", "past retention", "error")
    emit({"tables": done}, table("", columns, rows))
    if any(each["error"] for each in done):
        raise typer.Exit(1)


@commands.command("register")
def registered(
    name: Annotated[
        str, typer.Argument(metavar="TABLE", help="A partitioned table: NAME (in outreach) or SCHEMA.NAME.")
    ],
    interval: Annotated[
        str | None, typer.Option(help="day, week, month (default) or quarter; in UTC, weeks from Monday.")
    ] = None,
    ahead: Annotated[
        int | None, typer.Option(min=3, help="How many partitions are kept ahead of the current one; 3 by default.")
    ] = None,
    retention: Annotated[
        str | None, typer.Option(help='How long rows stay, "12 months" by default, or "90 days"; "forever" keeps them.')
    ] = None,
    archive: Annotated[
        bool | None, typer.Option("--archive/--no-archive", help="Archive a partition before it is dropped (default).")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Who makes its partitions: native or partman.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the table instead; its partitions stay.")] = False,
) -> None:
    """Let the partition manager care for a partitioned table, or change how: what is not said stays as it was."""
    chosen = cast("Backend | None", _one_of("--backend", backend, BACKENDS))
    every = cast("Interval | None", _one_of("--interval", interval, INTERVALS))

    async def work(manager: PartitionManager) -> dict[str, object]:
        if forget:
            await manager.unregister(name)
            return {"table": name, "registered": False}
        known = await _known(manager, name)
        made = await manager.register(
            name,
            interval=every or known.interval,
            ahead=ahead or known.ahead,
            retention=_kept(retention or known.retention),
            archive=known.archive if archive is None else archive,
        )
        if chosen is not None and made.backend != chosen:
            await manager.hand_over(made.table, chosen)
            made = (await manager.tables(made.table))[0]
        return asdict(made) | {"retention": made.retention, "registered": True}

    done = _on_manager(work)
    text = (
        f"{done['table']}: a partition each {done['interval']}, {done['ahead']} ahead, rows stay {done['retention']}"
        if done["registered"]
        else f"{name} is no longer cared for"
    )
    emit(done, text)


@commands.command()
def adopt(  # noqa: PLR0913, PLR0917 - one option each
    name: Annotated[
        str, typer.Argument(metavar="TABLE", help="An unpartitioned table: NAME (in public) or SCHEMA.NAME.")
    ],
    column: Annotated[str, typer.Option(help="The timestamp or date column to divide by.")] = "created_at",
    interval: IntervalOption = "month",
    ahead: AheadOption = 3,
    retention: RetentionOption = None,
    archive: ArchiveOption = True,
    widen_key: Annotated[
        bool, typer.Option("--widen-key", help="Let unique keys without the column get it as their last one.")
    ] = False,
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Drop the old table after the exchange.")] = False,
    block_seconds: Annotated[float, typer.Option(min=0.5, help="How long a writer may be held up at most.")] = 1.0,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for other transactions.")] = 600.0,
    cancel: Annotated[bool, typer.Option("--cancel", help="Remove what an unfinished adoption made.")] = False,
) -> None:
    """Turn a table into a partitioned one while others write to it; the same command goes on after an interruption."""
    if cancel:
        was = _on_manager(lambda manager: manager.cancel_adoption(name))
        emit({"table": name, "cancelled": was}, "cancelled" if was else f"nothing is adopting {name}")
        return
    plan = Adoption(
        name,
        column,
        str(_one_of("--interval", interval, INTERVALS)),
        ahead,
        _kept(retention),
        archive,
        widen_key,
        drop_old,
        block_seconds,
        patience,
    )
    with bar("adopt") as progress:
        done = _on_manager(lambda manager: manager.adopt(plan, progress))
    old = f"; the old table is kept as {done.old_table}" if done.old_table else ""
    emit(
        asdict(done),
        f"{done.table}: {done.rows:,} rows in {done.partitions} partitions after {done.seconds:,.1f} s, "
        f"locked for {done.locked_seconds * 1000:,.0f} ms{old}",
    )


def _runs(found: list[Partition], *, everything: bool) -> list[list[Partition]]:
    """Partitions one by one, but neighbours of one state without rows together."""
    runs: list[list[Partition]] = []
    for each in found:
        last = runs[-1][-1] if runs else None
        alike = last is not None and (last.table, last.state, last.rows) == (each.table, each.state, each.rows)
        if not everything and alike and last is not None and each.rows == 0 and last.range_to == each.range_from:
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs


def _line(run_of: list[Partition]) -> tuple[object, ...]:
    first, last = run_of[0], run_of[-1]
    name = first.name if first is last else f"{len(run_of)} empty"
    size = sum(each.bytes for each in run_of)
    return first.table, name, first.range_from, last.range_to, first.rows, size, first.state


def _analyzed(name: str | None) -> None:
    if name is None:
        raise UsageError("which table?", hint="outreachdb partitions list TABLE --analyze")
    found = _on_manager(lambda manager: manager.performance(name))
    columns = (
        "partition_name",
        "bytes",
        "row_estimate",
        "dead_rows",
        "sequential_scans",
        "index_scans",
        "pruned",
        "advice",
    )
    rows = [tuple(each[column] for column in columns) for each in found]
    emit({"partitions": found}, table("", tuple(column.replace("_", " ") for column in columns), rows))


def _on_manager(work: Callable[[PartitionManager], Awaitable[T]]) -> T:
    """Run work with the administrator's URL, else the embedded server's."""
    given = settings()

    async def with_manager() -> T:
        return await work(await get_partition_manager(given.url("admin") or await embedded_url(given)))

    return run(with_manager())


def _one_of(option: str, value: str | None, words: tuple[str, ...]) -> str | None:
    if value is not None and value not in words:
        raise UsageError(f"{option} must be one of {', '.join(words)}, not {value!r}")
    return value


async def _known(manager: PartitionManager, name: str) -> Registered:
    """What is registered of the table, else the defaults."""
    plain = name.removeprefix("outreach.")
    found = [each for each in await manager.tables() if each.table in {name, plain}]
    return found[0] if found else Registered(plain, "month", 3, 12, 0, archive=True, backend="native")


def _kept(retention: str | None) -> str | None:
    return None if retention is None or retention in {"forever", "for ever"} else retention


def _lines(values: object) -> str:
    return "\n".join(str(each) for each in cast("list[str]", values))
