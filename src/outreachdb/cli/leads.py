"""Commands of the room ``leads``: import files, look at imports, suppress addresses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from outreachdb.cli.background import Background, queued
from outreachdb.cli.context import tenant_call
from outreachdb.cli.import_summary import COUNTS, summary
from outreachdb.cli.output import emit, table
from outreachdb.cli.progress import bar
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import UsageError
from outreachdb.leads import importing, suppression
from outreachdb.leads.importing import mappings
from outreachdb.leads.importing.policy import OnConflict
from outreachdb.words import counted

imports = typer.Typer(help="Imports: what they did, what they rejected.", no_args_is_help=True)
suppress = typer.Typer(help="Addresses and domains that are never mailed.", no_args_is_help=True)
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("import")(import_)
    app.add_typer(imports, name="imports")
    app.add_typer(suppress, name="suppress")


def import_(  # noqa: PLR0913, PLR0917 - each is an option of its own, with a default
    file: Annotated[Path, typer.Argument(help="The file, its columns named by a header; - is standard input.")],
    maps: Annotated[list[str] | None, typer.Option("--map", help="COLUMN=FIELD, or COLUMN=custom.NAME.")] = None,
    saved_mapping: Annotated[
        str, typer.Option("--mapping", help="A saved mapping; auto: the one saved for these columns; none.")
    ] = mappings.BY_HEADER,
    save_mapping: Annotated[
        str | None, typer.Option("--save-mapping", metavar="NAME", help="Keep how the columns were mapped.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="A column to leave out.")] = None,
    on_conflict: Annotated[OnConflict, typer.Option(help="What happens to leads that are there already.")] = "update",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")] = False,
    encoding: Annotated[str | None, typer.Option(help="Its encoding, such as cp1250; else detected.")] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="comma, semicolon, tab, pipe, or the character itself; else detected.")
    ] = None,
    background: Background = False,
) -> None:
    """Import leads from a file: CSV and its kin, a workbook, JSON lines, Parquet, compressed or not."""
    mapping = dict(_pair(given) for given in maps or [])
    if background:
        if dry_run:
            raise UsageError("a dry run changes nothing; it runs at once")
        from outreachdb.jobs import requests  # others start without it

        queued(
            tenant_call(
                lambda tenant: requests.import_file(
                    tenant,
                    file,
                    mapping=mapping,
                    ignore=ignore or (),
                    on_conflict=on_conflict,
                    saved_mapping=saved_mapping,
                    save_mapping=save_mapping,
                    encoding=encoding,
                    delimiter=delimiter,
                )
            )
        )
        return
    with bar("import") as progress:
        report = tenant_call(
            lambda tenant: importing.import_file(
                tenant,
                file,
                mapping=mapping,
                ignore=ignore or (),
                on_conflict=on_conflict,
                dry_run=dry_run,
                progress=progress,
                saved_mapping=saved_mapping,
                save_mapping=save_mapping,
                encoding=encoding,
                delimiter=delimiter,
            )
        )
    emit(report.document(), summary(report))


@imports.command("mappings")
def list_mappings(
    forget: Annotated[str | None, typer.Option("--forget", metavar="NAME", help="Delete this one.")] = None,
) -> None:
    """List the saved mappings of columns, or delete one."""
    if forget is not None:
        tenant_call(lambda tenant: mappings.delete(tenant, forget))
        emit({"forgotten": forget}, f"mapping {forget} is forgotten")
        return
    rows = tenant_call(mappings.listed)
    columns = ("name", "columns", "updated_at")
    shown = [[row["name"], ", ".join(row["header"]), row["updated_at"]] for row in rows]
    emit({"mappings": rows}, table("", columns, shown))


@imports.command("list")
def list_imports(limit: Limit = 50) -> None:
    """List the newest imports; one with a history_pruned_at can't be undone any more."""
    rows = tenant_call(lambda tenant: importing.listed(tenant, limit))
    columns = ("id", "file_name", "status", *COUNTS, "started_at", "history_pruned_at")
    emit({"imports": rows}, table("", columns, [[row[column] for column in columns] for row in rows]))


@imports.command("show")
def show_import(import_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Show an import: how the file was understood, and what became of its rows."""
    row = tenant_call(lambda tenant: importing.find(tenant, import_id))
    lines = [(name, value) for name, value in row.items() if name != "mapping"]
    lines += [(f"column {column}", target or "left out") for column, target in row["mapping"].items()]
    emit(row, table("", ("what", "value"), [(name, None if value is None else str(value)) for name, value in lines]))


@imports.command("rejects")
def show_rejects(
    import_id: Annotated[int, typer.Argument(metavar="ID")],
    target: Annotated[
        Path | None, typer.Option("--csv", help="Write all of them to this file; - for standard output.")
    ] = None,
    limit: Limit = 100,
) -> None:
    """Show the rows that an import rejected, with row number and reason."""
    if target is not None:
        count = tenant_call(lambda tenant: importing.write_rejects(tenant, import_id, target))
        if str(target) != "-":
            emit(
                {"import_id": import_id, "rejected": count, "file": str(target)},
                f"{counted(count, 'rejected row')} in {target}",
            )
        return
    rows = tenant_call(lambda tenant: _first_rejects(tenant, import_id, limit))
    columns = ("row_number", "column_name", "reason", "raw")
    title = f"rejected rows of import {import_id}"
    emit({"rejects": rows}, table(title, columns, [[row[column] for column in columns] for row in rows]))


@imports.command("resume")
def resume_import(
    import_id: Annotated[int, typer.Argument(metavar="ID")],
    file: Annotated[Path | None, typer.Argument(help="Where the file is now; - for standard input.")] = None,
) -> None:
    """Go on with an import that was stopped or killed, with the mapping and policy that it began with."""
    with bar("import") as progress:
        report = tenant_call(lambda tenant: importing.resume(tenant, import_id, file, progress=progress))
    emit(report.document(), summary(report))


@imports.command("undo")
def undo_import(
    import_id: Annotated[int, typer.Argument(metavar="ID")],
    keep_changed: Annotated[
        bool, typer.Option("--keep-changed", help="Leave leads that later imports changed as they are, for good.")
    ] = False,
) -> None:
    """Undo an import: leads it changed are restored, leads it created go; those in use since stay and are named."""
    with bar("undo") as progress:
        report = tenant_call(
            lambda tenant: importing.undo(tenant, import_id, keep_changed=keep_changed, progress=progress)
        )
    emit(report.document(), _undone(report))


@suppress.command("add")
def add_suppressions(
    targets: Annotated[list[str], typer.Argument(help="ADDRESS, DOMAIN or @FILE with one of them per line.")],
    reason: Annotated[str, typer.Option(help="unsubscribed, bounced, complained, blocked, ... or manual.")] = "manual",
    source: Annotated[str | None, typer.Option(help="Where it comes from, in your words.")] = None,
) -> None:
    """Suppress addresses or whole domains, and set the status of the leads they hit."""
    files = [Path(each[1:]) for each in targets if each.startswith("@")]
    if files and len(targets) > 1:
        raise UsageError("give either one @FILE or addresses and domains")

    async def work(tenant: Tenant) -> suppression.Suppressed:
        if files:
            return await suppression.add_file(tenant, files[0], reason=reason, source=source)
        return await suppression.add(tenant, targets, reason=reason, source=source)

    done = tenant_call(work)
    emit(dataclasses.asdict(done), f"{done.added:,} suppressed; the status of {counted(done.leads, 'lead')} changed")


@suppress.command("list")
def list_suppressions(limit: Limit = 100) -> None:
    """List the newest suppressions."""
    rows = tenant_call(lambda tenant: suppression.listed(tenant, limit))
    columns = ("target", "reason", "source", "expires_at", "created_at")
    emit({"suppressions": rows}, table("", columns, [[row[column] for column in columns] for row in rows]))


@suppress.command("remove")
def remove_suppressions(
    targets: Annotated[list[str], typer.Argument(help="ADDRESS or DOMAIN.")],
) -> None:
    """Lift suppressions; the status of leads stays as it is."""
    lifted = tenant_call(lambda tenant: suppression.remove(tenant, targets))
    emit({"removed": lifted}, f"{len(lifted)} of {len(targets)} lifted")


def _pair(given: str) -> tuple[str, str]:
    column, equals, field = given.rpartition("=")
    if not equals or not column or not field:
        raise UsageError(f"--map takes COLUMN=FIELD, not {given!r}")
    return column, field


def _undone(report: importing.UndoReport) -> str:
    done = f"import {report.import_id} undone: {counted(report.removed, 'lead')} removed, {report.restored:,} restored"
    companies = counted(report.companies_removed, "company", "companies")
    lines = [f"{done}, {companies} removed ({report.seconds:.1f} s)"]
    for each in report.kept:
        some = ", ".join(map(str, each.sample)) + (", ..." if each.leads > len(each.sample) else "")
        lines.append(
            f"  {counted(each.leads, 'lead')} not undone: {each.reason}" + (f" (leads {some})" if each.sample else "")
        )
    return "\n".join(lines)


async def _first_rejects(tenant: Tenant, import_id: int, limit: int) -> list[Row]:
    rows: list[Row] = []
    async for row in importing.rejects(tenant, import_id):
        rows.append(row)
        if len(rows) == limit:
            break
    return rows
