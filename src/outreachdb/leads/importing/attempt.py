"""One attempt at an import, from the open file to the counts.

The import's row is committed first, in a transaction of its own; all the rest (staging tables, leads, before-images,
rejects, counts, the status "done") is one transaction. Whatever is killed at whatever moment: either all of it is
there or nothing is, and no staging table stays. That transaction holds a lock on the import's row, so a row that says
"running" and is not locked belongs to a process that is gone.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from psycopg import sql

from outreachdb.db.tenant import Session, Tenant
from outreachdb.errors import InvalidInput, OutreachDBError
from outreachdb.leads.importing import runs
from outreachdb.leads.importing.detection import Dialect
from outreachdb.leads.importing.fields import ColumnMap
from outreachdb.leads.importing.merging import Counts, Merge, Plan, Staging
from outreachdb.leads.importing.policy import OnConflict
from outreachdb.leads.importing.reading import Block, RowReader
from outreachdb.leads.importing.runs import Claim, Source
from outreachdb.leads.importing.settling import settle, settling
from outreachdb.progress import Progress

log = structlog.get_logger(__name__)
REJECTS_SHOWN = 10  # rows, of a rehearsal
LARGE = 20_000  # changed rows that make the planner's statistics worth renewing
WAITING = 1_000  # changed rows whose entries of GIN indexes every search would read until autovacuum comes


@dataclass(frozen=True, slots=True)
class Work:
    """What to import, and how."""

    tenant: Tenant
    dialect: Dialect
    source: Source
    columns: ColumnMap
    on_conflict: OnConflict
    progress: Progress


class Attempt:
    """One run over an open reader; ``resumes`` is the import that it goes on with."""

    def __init__(self, work: Work, resumes: int | None = None) -> None:
        self._work = work
        self._resumes = resumes
        self._now = datetime.now(UTC)

    async def run(self, reader: RowReader, first: Block) -> tuple[Claim, Counts]:
        """Import for good."""
        claim = await self._claim_whole()
        try:
            async with self._trusted() as session:
                await runs.hold(session, self._work.tenant, claim)
                counts = await self._stored(session, claim, reader, first)
        except asyncio.CancelledError:
            raise asyncio.CancelledError(await self._note_cancelled(claim)) from None
        except BaseException as error:
            await self._note_failure(claim, error)
            raise
        await self._follow_up(counts.inserted + counts.updated)
        return claim, counts

    async def _follow_up(self, changed: int) -> None:
        """What makes searches and plans fit the new rows.

        The import is committed: a step that fails is told in the log and fails no import. A job learns the words, and
        autovacuum does the rest.
        """
        tenant = self._work.tenant
        # Words also where nothing changed: an import that was killed before may wait for it.
        steps: list[Coroutine[Any, Any, Any]] = [runs.learn_words(tenant)]
        if changed >= LARGE:
            steps.append(runs.renew_statistics(tenant))
        if changed >= WAITING:
            steps.append(settle(tenant))
        for ended in await asyncio.gather(*steps, return_exceptions=True):
            if isinstance(ended, OutreachDBError):
                log.warning("a step after the import failed", reason=ended.detail)
            elif isinstance(ended, BaseException):
                raise ended

    async def rehearse(self, reader: RowReader, first: Block) -> Counts:
        """Do everything, then take all of it back."""
        async with self._trusted() as session:
            claim = await self._begin(session)
            counts = await self._stored(session, claim, reader, first, rehearsal=True)
            rejects = await runs.first_rejects(session, self._work.tenant, claim, self._described(), REJECTS_SHOWN)
            await (await session.connection()).rollback()
        return dataclasses.replace(counts, details={**counts.details, "rejects": rejects})

    def _trusted(self) -> AbstractAsyncContextManager[Session]:
        return self._work.tenant.trusted(doing=f"importing {self._work.source.name}")

    async def _claim_whole(self) -> Claim:
        """The claim; who is stopped while it is committed notes that, as the import may be on record by then."""
        claiming = asyncio.create_task(self._claim())
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await asyncio.wait([claiming], timeout=runs.NOTE_SECONDS)
            if claiming.cancel() or claiming.cancelled() or claiming.exception():
                raise
            raise asyncio.CancelledError(await self._note_cancelled(claiming.result())) from None

    async def _claim(self) -> Claim:
        """The number to import under: the given one, that of the same import where it stopped, or a new one."""
        work = self._work
        async with self._trusted() as session:
            if self._resumes is not None:
                return await runs.resume(session, work.tenant, self._resumes, work.source, self._now)
            described = self._described()
            found = await runs.take_up(session, work.tenant, described)
            await runs.end_dead(session, work.tenant, self._now)
            return found or await runs.begin(session, work.tenant, described)

    async def _begin(self, session: Session) -> Claim:
        return await runs.begin(session, self._work.tenant, self._described())

    def _described(self) -> runs.Described:
        work = self._work
        return runs.Described(work.dialect, work.source, work.columns, work.on_conflict, self._now)

    async def _stored(
        self, session: Session, claim: Claim, reader: RowReader, first: Block, *, rehearsal: bool = False
    ) -> Counts:
        work = self._work
        staging = Staging(claim.import_id)
        plan = Plan(
            work.tenant.workspace_id,
            claim.import_id,
            work.columns,
            work.dialect.delimiter,
            work.on_conflict,
            self._now,
            rehearsal,
        )
        await session.execute(staging.statement("take_memory"))
        await session.execute(staging.statement("leave_entries_pending"))
        await session.execute(staging.statement("notice_dead_client"))
        await self._stage(session, staging, reader, first)
        work.source.check_unchanged()
        async with settling(work.tenant):
            counts = await Merge(session, staging, plan).run(work.progress)
        await session.execute(staging.drop())
        await runs.finish(session, work.tenant, claim, counts)
        return counts

    async def _stage(self, session: Session, staging: Staging, reader: RowReader, block: Block | None) -> None:
        """COPY the cells; the next block is read while PostgreSQL takes the last one."""
        work = self._work
        names = (sql.Identifier(f"c{place + 1}") for place in range(len(work.columns.columns)))
        cells = sql.SQL(", ").join(sql.SQL("{} text").format(name) for name in names)
        await session.execute(staging.statement("create_raw", cells=cells))
        connection = await session.connection()
        async with connection.cursor() as cursor, cursor.copy(staging.statement("copy_raw")) as copy:
            while block is not None:
                following = asyncio.create_task(asyncio.to_thread(reader.block))
                try:
                    await copy.write(block.text)
                finally:  # the thread can't be stopped, and the reader is closed after it
                    await asyncio.wait([following])
                    following.exception()
                # Rows, of as many as the bytes read so far let expect.
                expected = block.rows * work.dialect.size // max(1, block.position)
                work.progress("reading", block.rows, max(block.rows, expected))
                block = following.result()

    async def _note_cancelled(self, claim: Claim) -> str:
        """What is true of the import now, for whoever stopped it."""
        status = await self._note(claim, "stopped by a person; nothing was stored", cancelled=True)
        if status == "cancelled":
            what = "was stopped; nothing of it is stored"
            return f"import {claim.import_id} {what} (to do it after all: outreachdb imports resume {claim.import_id})"
        if status == "done":
            return f"import {claim.import_id} was done before it could be stopped (to take it back: imports undo)"
        return f"import {claim.import_id} was stopped; outreachdb imports show {claim.import_id} tells how it ended"

    async def _note_failure(self, claim: Claim, error: BaseException) -> None:
        reason = error.detail if isinstance(error, OutreachDBError) else f"{type(error).__name__}: {error}"
        await self._note(claim, reason)
        if isinstance(error, OutreachDBError) and not isinstance(error, InvalidInput):
            way = f"to go on: outreachdb imports resume {claim.import_id}"
            error.hint = f"{error.hint}; {way}" if error.hint else way
            error.context.setdefault("import_id", claim.import_id)

    async def _note(self, claim: Claim, reason: str, *, cancelled: bool = False) -> str | None:
        """Best effort; the status since. If the database is gone, the next import or list marks the unlocked row."""
        try:
            async with asyncio.timeout(runs.NOTE_SECONDS):
                try:
                    return await runs.fail(self._work.tenant, claim, reason, cancelled=cancelled)
                except OutreachDBError:  # the request to cancel what ran before may come late and meet the note
                    return await runs.fail(self._work.tenant, claim, reason, cancelled=cancelled)
        except (OutreachDBError, TimeoutError):
            return None
