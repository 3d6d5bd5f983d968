"""Commands of archived partitions: archive, archives, restore and query, in the group `partitions`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from outreachdb.cli.context import app_call, options, settings, tenant_call, who
from outreachdb.cli.output import emit, table
from outreachdb.cli.progress import bar
from outreachdb.errors import UsageError
from outreachdb.storage.spans import instant_before

if TYPE_CHECKING:  # Arrow and DuckDB, which `partitions list` starts without
    from outreachdb.storage.archive_files import Folder
    from outreachdb.storage.archiving import Left

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="A registered table, see `partitions list`.")]
FolderOption = Annotated[Path | None, typer.Option("--folder", help="Where archives lie; default is the setting.")]


def extend(commands: typer.Typer) -> None:
    """Add the commands to the group."""
    commands.command("archive")(archive)
    commands.command("archives")(archives)
    commands.command("restore")(restore)
    commands.command("query")(query)
    commands.command("erase")(erase)


def archive(
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help="A registered table.")] = None,
    partition: Annotated[str | None, typer.Argument(help="One partition of it.")] = None,
    older_than: Annotated[
        str | None, typer.Option(help='Every partition that ended so long ago: "18 months", "400 days".')
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read the archives that are there, and compare.")] = False,
    folder: FolderOption = None,
) -> None:
    """Take partitions out of the database into Parquet files that are read back and compared before a drop."""
    if verify:
        _verify(name, partition, folder)
        return
    if name is None or (partition is None) == (older_than is None):
        raise UsageError("what is to be archived?", hint="give TABLE PARTITION, or TABLE --older-than '18 months'")
    from outreachdb.storage import archiving

    before = instant_before(older_than) if older_than else None
    with bar("archive") as progress:
        left = app_call(
            lambda db: (
                archiving.archive_older(db.pools, name, before, folder=_place(folder), progress=progress)
                if before
                else _one(archiving.archive(db.pools, name, str(partition), folder=_place(folder), progress=progress))
            )
        )
    rows = [(each.partition, each.rows, each.bytes, each.file, each.file_bytes) for each in left]
    columns = ("partition", "rows", "bytes", "file", "bytes of the file")
    emit({"archived": left}, table("", columns, rows) if left else "nothing is that old")


def archives(
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help="Of one table only.")] = None,
) -> None:
    """List what is archived, with the state of each."""
    from outreachdb.storage import archiving

    found = app_call(lambda db: archiving.archives(db.pools, name))
    rows = [
        (
            each.id,
            each.partition_name,
            each.row_count,
            each.state,
            each.bytes,
            each.verified_at,
            each.file,
            each.problem,
        )
        for each in found
    ]
    columns = ("id", "partition", "rows", "state", "bytes", "verified", "file", "problem")
    emit({"archives": [each.document() for each in found]}, table("", columns, rows))


def restore(
    name: TableName,
    partition: Annotated[str | None, typer.Argument(help="The partition; all its archives come back.")] = None,
    archive_id: Annotated[int | None, typer.Option("--archive", help="One archive by its number.")] = None,
    folder: FolderOption = None,
) -> None:
    """Bring archived partitions back, compared with what was archived, with their constraints and indexes."""
    if (partition is None) == (archive_id is None):
        raise UsageError("what is to come back?", hint="give TABLE PARTITION, or TABLE --archive ID")
    from outreachdb.storage import restoring

    with bar("restore") as progress:
        done = app_call(
            lambda db: restoring.restore(
                db.pools, name, partition, archive_id=archive_id, folder=_place(folder), progress=progress
            )
        )
    rows = [(each.archive_id, each.partition, each.rows, each.there_already, each.seconds) for each in done]
    emit({"restored": done}, table("", ("archive_id", "partition", "rows", "there already", "seconds"), rows))


def query(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT in DuckDB's SQL.")],
    since: Annotated[datetime | None, typer.Option(help="Look only at rows from this instant (UTC) on.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Look only at rows before this instant (UTC).")] = None,
    all_workspaces: Annotated[
        bool, typer.Option("--all-workspaces", help="As the operator: the rows of all workspaces.")
    ] = False,
    folder: FolderOption = None,
) -> None:
    """Ask live and archived rows at once; tables are called as `partitions list` shows them."""
    first, last = (each.replace(tzinfo=each.tzinfo or UTC) if each else None for each in (since, until))
    place = _place(folder)
    if all_workspaces and options.workspace:
        raise UsageError("either -w or --all-workspaces")
    from outreachdb.storage import querying

    if all_workspaces:
        answer = app_call(lambda db: querying.query_all(db.pools, statement, since=first, until=last, folder=place))
    else:
        answer = tenant_call(lambda tenant: querying.query(tenant, statement, since=first, until=last, folder=place))
    note = f"{len(answer.rows):,} rows, from {answer.live_rows:,} live rows and {answer.archives} archives"
    document = {
        "columns": answer.columns,
        "rows": [list(row) for row in answer.rows],
        "live_rows": answer.live_rows,
        "archives": answer.archives,
    }
    emit(document, Group(table("", answer.columns, answer.rows), note))


def erase(
    people: Annotated[list[str], typer.Argument(metavar="ADDRESS|LEAD...", help="Addresses, and numbers of leads.")],
    by: Annotated[str | None, typer.Option("--by", help="Who ordered it; default your login.")] = None,
    folder: FolderOption = None,
) -> None:
    """Erase people of the workspace from its archives: their files are rewritten without them. Live rows stay."""
    from outreachdb.storage import erasing

    leads, addresses = [int(each) for each in people if each.isdigit()], [each for each in people if not each.isdigit()]
    with bar("erase") as progress:
        done = tenant_call(
            lambda tenant: erasing.erase(
                tenant, leads=leads, addresses=addresses, by=by or who(), folder=_place(folder), progress=progress
            )
        )
    lines = [f"{done.rows_removed:,} rows gone from {len(done.rewritten)} archives", *done.waiting]
    emit(asdict(done), "\n".join(lines))


def _verify(name: str | None, partition: str | None, folder: Path | None) -> None:
    from outreachdb.storage import checking

    with bar("verify") as progress:
        checked = app_call(
            lambda db: checking.verify(db.pools, name, partition, folder=_place(folder), progress=progress)
        )
    rows = [(each.archive_id, each.partition, each.rows, each.file, each.problem or "as it was") for each in checked]
    emit({"checked": checked}, table("", ("archive_id", "partition", "rows", "file", "content"), rows))
    if any(each.problem for each in checked):
        raise typer.Exit(1)


async def _one(work: object) -> list[Left]:
    return [await work]  # type: ignore[misc]


def _place(folder: Path | None) -> Folder:
    from outreachdb.storage.archive_files import Folder

    return Folder.of(settings(), folder)
