"""Importing a file or an application's own rows, and going on with an import that stopped."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, InvalidInput, UsageError
from outreachdb.leads.importing import mappings, policy, runs, streams
from outreachdb.leads.importing.attempt import Attempt, Work
from outreachdb.leads.importing.detection import Dialect, Said, inspect
from outreachdb.leads.importing.fields import CUSTOM, REJECT_COLUMNS, ColumnMap, unique_names
from outreachdb.leads.importing.merging import Counts
from outreachdb.leads.importing.policy import OnConflict
from outreachdb.leads.importing.reading import RowReader
from outreachdb.leads.importing.report import ImportReport
from outreachdb.leads.importing.runs import Source
from outreachdb.leads.importing.streams import Rows
from outreachdb.progress import Progress, silent


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What a caller may say about an import; see :func:`import_file`."""

    mapping: Mapping[str, str] | None = None
    ignore: Collection[str] = ()
    on_conflict: OnConflict = "update"
    dry_run: bool = False
    progress: Progress = silent
    saved: str = mappings.BY_HEADER
    save_as: str | None = None


async def import_file(  # noqa: PLR0913 - each is a choice of its own, all but two have a default
    tenant: Tenant,
    path: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    on_conflict: OnConflict = "update",
    dry_run: bool = False,
    progress: Progress = silent,
    saved_mapping: str = mappings.BY_HEADER,
    save_mapping: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> ImportReport:
    """Import a file of leads (``-`` is standard input); the report's counts balance.

    ``mapping`` gives columns their field (or "custom.NAME"), ``ignore`` leaves columns out; the others are mapped by
    their header, unknown ones become custom fields. ``on_conflict`` says what happens to leads that are there: "update"
    takes every filled cell, "fill" only what the lead lacks, "skip" leaves them. ``dry_run`` changes nothing.
    ``saved_mapping`` names the saved mapping to read the file by: "auto" takes the one that was saved for exactly these
    columns, if any, "none" takes none; ``mapping`` and ``ignore`` go before it. ``save_mapping`` keeps how the columns
    were mapped under that name; a dry run keeps nothing. ``encoding`` and ``delimiter`` say what would be detected.
    The same call again after it was stopped goes on with the import that it began.
    Raises InvalidInput for a file that can't be imported, UsageError for a wrong mapping, encoding or delimiter.
    """
    started = time.monotonic()
    policy.check(on_conflict)
    said = Said.of(encoding, delimiter)
    source = Source.of(Path(path))
    dialect = await asyncio.to_thread(inspect, Path(path), said)
    options = Options(mapping, ignore, on_conflict, dry_run, progress, saved_mapping, save_mapping)
    return await _import(tenant, dialect, dataclasses.replace(source, name=dialect.path.name), options, started)


async def import_rows(
    tenant: Tenant,
    rows: Rows,
    *,
    name: str = "rows",
    mapping: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    on_conflict: OnConflict = "update",
    dry_run: bool = False,
    progress: Progress = silent,
) -> ImportReport:
    """Import an application's own rows as :func:`import_file` does a file; ``name`` is for the list of imports.

    ``rows`` are dicts from an iterator or an async iterator, Arrow record batches from one, or anything that gives an
    Arrow stream (a table or record batch reader of pyarrow, a frame of polars or pandas). They are written to a
    temporary file first: memory stays flat, and rows that can't all be read leave nothing behind.
    """
    started = time.monotonic()
    policy.check(on_conflict)
    options = Options(mapping, ignore, on_conflict, dry_run, progress)
    async with streams.spooled(rows, progress) as path:
        dialect = await asyncio.to_thread(inspect, path)
        return await _import(tenant, dialect, Source(name), options, started)


async def resume(
    tenant: Tenant, import_id: int, path: str | Path | None = None, *, progress: Progress = silent
) -> ImportReport:
    """Go on with an import that was stopped or killed; the end is that of an import that never was.

    It begins anew, as a stopped import has stored nothing, with the mapping and policy on record. ``path`` says where
    the file is now, or brings what came through a pipe once more. An import that is done gives its report.
    Raises NotFound; Conflict if it is undone, or somebody works on it; InvalidInput if the file is another one.
    """
    started = time.monotonic()
    found = await runs.find(tenant, import_id)
    if found["status"] == "done":
        return _finished(found)
    runs.check_resumable(found)
    given = Path(path) if path is not None else runs.recorded_path(found)
    source = Source.of(given)
    dialect = await asyncio.to_thread(_inspected_as, given, Said(found["encoding"], found["delimiter"]))
    columns = _recorded_columns(found, dialect)
    source = dataclasses.replace(source, name=found["file_name"] if source.path is None else given.name)
    work = Work(tenant, dialect, source, columns, found["on_conflict"], progress)
    try:
        claim, counts = await _attempt(work, resumes=import_id)
    except runs.DoneMeanwhile:
        return _finished(await runs.find(tenant, import_id))
    return _report(work, counts, claim.import_id, started)


async def _import(
    tenant: Tenant, dialect: Dialect, source: Source, options: Options, started: float
) -> ImportReport:  # fmt: skip
    header = [name for name in unique_names(dialect.header) if name not in REJECT_COLUMNS]
    saved = await mappings.find(tenant, options.saved, header)
    columns = mappings.mapped(dialect.header, dialect.sample, saved, options.mapping or {}, options.ignore)
    _check_columns(dialect, columns)
    if options.save_as is not None and not options.dry_run:
        await mappings.save(tenant, options.save_as, columns)
    work = Work(tenant, dialect, source, columns, options.on_conflict, options.progress)
    if options.dry_run:
        with RowReader(dialect) as reader:
            counts = await Attempt(work).rehearse(reader, await _first(dialect, reader))
        return _report(work, counts, None, started, saved)
    claim, counts = await _attempt(work)
    return _report(work, counts, claim.import_id, started, saved)


async def _attempt(work: Work, resumes: int | None = None) -> tuple[runs.Claim, Counts]:
    with RowReader(work.dialect) as reader:
        return await Attempt(work, resumes).run(reader, await _first(work.dialect, reader))


async def _first(dialect: Dialect, reader: RowReader) -> Any:
    """The first block, read before anything is begun in the database."""
    first = await asyncio.to_thread(reader.block)
    if first is None:
        raise InvalidInput(f"{dialect.path} has a header but no rows")
    return first


def _check_columns(dialect: Dialect, columns: ColumnMap) -> None:
    """A file without any known column is either no contact list or has no header."""
    if all(target is None or target.startswith(CUSTOM) for target in columns.targets):
        shown = ", ".join(columns.columns[:8])
        raise InvalidInput(
            f"no column of {dialect.path} is known: {shown}",
            hint="if these are column names, map one with --map COLUMN=FIELD; if they are data, add a header line",
        )


def _inspected_as(path: Path, recorded: Said) -> Dialect:
    """The file as it was read before; another one as it is, so that the hash tells them apart."""
    try:
        return inspect(path, recorded)
    except (InvalidInput, UsageError):
        return inspect(path)


def _recorded_columns(found: Mapping[str, Any], dialect: Dialect) -> ColumnMap:
    """The mapping on record, for the very file that it was made for."""
    if dialect.sha256.hex() != found["file_sha256"]:
        raise InvalidInput(
            f"{dialect.path} is not the file that import {found['id']} began with, or has changed since",
            hint="import it by itself: outreachdb import FILE",
        )
    columns = ColumnMap(tuple(found["mapping"]), tuple(found["mapping"].values()))
    described = dialect.described()
    if {name: found[name] for name in described} != described:
        raise Conflict(
            f"import {found['id']} was begun by another version, which read {dialect.path} differently",
            hint="import it by itself: outreachdb import FILE",
        )
    return columns


def _report(
    work: Work, counts: Counts, import_id: int | None, started: float, saved: mappings.SavedMapping | None = None
) -> ImportReport:
    dialect, columns = work.dialect, work.columns
    return ImportReport(
        import_id,
        counts.rows_read,
        counts.inserted,
        counts.updated,
        counts.skipped,
        counts.rejected,
        time.monotonic() - started,
        dialect.format,
        **dialect.described(),
        mapping=columns.document(),
        dry_run=import_id is None,
        preview=columns.preview(dialect.sample),
        details=counts.details,
        saved_mapping=saved.name if saved else None,
        sheets_left_out=dialect.sheets_left_out,
    )


def _finished(found: Mapping[str, Any]) -> ImportReport:
    """The report of an import that is done, from its row."""
    names = ("rows_read", "inserted", "updated", "skipped", "rejected", "format", "encoding", "delimiter",
             "header_line", "mapping")  # fmt: skip
    seconds = (found["finished_at"] - found["started_at"]).total_seconds()
    return ImportReport(import_id=found["id"], seconds=seconds, **{name: found[name] for name in names})
