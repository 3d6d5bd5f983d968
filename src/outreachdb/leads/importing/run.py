"""One import, from the file to the report.

The import's row is committed first, in a transaction of its own; all the rest (staging tables, leads, before-images,
rejects, counts, the status "done") is one transaction. Whatever is killed at whatever moment: either all of it is
there or nothing is, and no staging table stays. That transaction holds a lock on the import's row, so a row that says
"running" and is not locked belongs to a process that is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

from psycopg import sql

from outreachdb.db.tenant import Session, Tenant
from outreachdb.errors import InvalidInput, OutreachDBError
from outreachdb.leads.importing import policy, runs
from outreachdb.leads.importing.detection import Dialect, inspect
from outreachdb.leads.importing.fields import CUSTOM, ColumnMap, map_columns
from outreachdb.leads.importing.merging import Counts, Merge, Plan, Staging
from outreachdb.leads.importing.policy import OnConflict
from outreachdb.leads.importing.reading import Block, RowReader
from outreachdb.leads.importing.report import ImportReport
from outreachdb.progress import Progress, silent

WORK_MEM = "128MB"
LARGE = 20_000  # changed rows that make the planner's statistics worth renewing


async def import_file(
    tenant: Tenant,
    path: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    on_conflict: OnConflict = "update",
    dry_run: bool = False,
    progress: Progress = silent,
) -> ImportReport:
    """Import a CSV file of leads; the report's counts balance.

    ``mapping`` gives columns their field (or "custom.NAME"), ``ignore`` leaves columns out; the others are mapped by
    their header, unknown ones become custom fields. ``on_conflict`` says what happens to leads that are there: "update"
    takes every filled cell, "fill" only what the lead lacks, "skip" leaves them. ``dry_run`` changes nothing.
    Raises InvalidInput for a file that can't be imported, UsageError for a wrong mapping.
    """
    started = time.monotonic()
    policy.check(on_conflict)
    dialect = await asyncio.to_thread(inspect, Path(path))
    columns = map_columns(dialect.header, given=mapping, ignore=ignore, sample=dialect.sample)
    _check_columns(dialect, columns)
    now = datetime.now(UTC)
    with RowReader(dialect) as reader:
        first = await asyncio.to_thread(reader.block)
        if first is None:
            raise InvalidInput(f"{dialect.path} has a header but no rows")
        work = _Import(tenant, dialect, columns, on_conflict, now, progress)
        import_id, counts = await (work.rehearse(reader, first) if dry_run else work.run(reader, first))
    return ImportReport(
        import_id,
        counts.rows_read,
        counts.inserted,
        counts.updated,
        counts.skipped,
        counts.rejected,
        time.monotonic() - started,
        dialect.format,
        dialect.encoding,
        dialect.delimiter,
        dialect.header_line,
        columns.document(),
        dry_run,
        columns.preview(dialect.sample),
    )


def _check_columns(dialect: Dialect, columns: ColumnMap) -> None:
    """A file without any known column is either no contact list or has no header."""
    if all(target is None or target.startswith(CUSTOM) for target in columns.targets):
        shown = ", ".join(columns.columns[:8])
        raise InvalidInput(
            f"no column of {dialect.path} is known: {shown}",
            hint="if these are column names, map one with --map COLUMN=FIELD; if they are data, add a header line",
        )


class _Import:
    """One run over an open reader."""

    def __init__(
        self, tenant: Tenant, dialect: Dialect, columns: ColumnMap, on_conflict: OnConflict, now: datetime,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._tenant = tenant
        self._dialect = dialect
        self._columns = columns
        self._on_conflict = on_conflict
        self._now = now
        self._progress = progress

    async def run(self, reader: RowReader, first: Block) -> tuple[int, Counts]:
        """Import for good."""
        async with self._trusted() as session:
            import_id = await self._begin(session)
        try:
            async with self._trusted() as session:
                counts = await self._work(session, import_id, reader, first)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
            reason = error.detail if isinstance(error, OutreachDBError) else type(error).__name__
            await self._note_failure(import_id, reason, cancelled=cancelled)
            raise
        if counts.inserted + counts.updated >= LARGE:
            await runs.renew_statistics(self._tenant)
        if counts.inserted + counts.updated:
            await runs.learn_words(self._tenant, import_id)
        return import_id, counts

    async def rehearse(self, reader: RowReader, first: Block) -> tuple[None, Counts]:
        """Do everything, then take all of it back."""
        async with self._trusted() as session:
            import_id = await self._begin(session)
            counts = await self._work(session, import_id, reader, first)
            await (await session.connection()).rollback()
        return None, counts

    def _trusted(self) -> AbstractAsyncContextManager[Session]:
        return self._tenant.trusted(doing=f"importing {self._dialect.path.name}")

    async def _begin(self, session: Session) -> int:
        return await runs.begin(session, self._tenant, self._dialect, self._columns, self._on_conflict, self._now)

    async def _work(self, session: Session, import_id: int, reader: RowReader, first: Block) -> Counts:
        staging = Staging(import_id)
        plan = Plan(
            self._tenant.workspace_id, import_id, self._columns, self._dialect.delimiter, self._on_conflict, self._now
        )
        await runs.hold(session, self._tenant, import_id)
        await session.execute(sql.SQL("SET LOCAL work_mem = {}").format(sql.Literal(WORK_MEM)))
        await session.execute(staging.statement("notice_dead_client"))
        await self._stage(session, staging, reader, first)
        counts = await Merge(session, staging, plan).run(self._progress)
        await session.execute(staging.drop())
        await runs.finish(session, self._tenant, import_id, counts)
        return counts

    async def _stage(self, session: Session, staging: Staging, reader: RowReader, block: Block | None) -> None:
        """COPY the cells; the next block is read while PostgreSQL takes the last one."""
        names = (sql.Identifier(f"c{place + 1}") for place in range(len(self._columns.columns)))
        cells = sql.SQL(", ").join(sql.SQL("{} text").format(name) for name in names)
        await session.execute(staging.statement("create_raw", cells=cells))
        connection = await session.connection()
        async with connection.cursor() as cursor, cursor.copy(staging.statement("copy_raw")) as copy:
            while block is not None:
                await copy.write(block.text)
                self._progress("reading", block.position, self._dialect.size)
                block = await asyncio.to_thread(reader.block)

    async def _note_failure(self, import_id: int, reason: str, *, cancelled: bool) -> None:
        """Best effort: if the database is gone, the next import or list finds the row unlocked and marks it."""
        try:
            await runs.fail(self._tenant, import_id, reason, cancelled=cancelled)
        except OutreachDBError:
            return
