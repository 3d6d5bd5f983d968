"""Taking an import back: before-images return, what it created goes, and what others have touched since stays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from outreachdb.db.foreign_keys import asked_at_once
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Session, Tenant
from outreachdb.errors import Conflict, NotFound, OutreachDBError
from outreachdb.leads.importing import policy, runs
from outreachdb.leads.importing.merging import M, page_step
from outreachdb.progress import Progress, silent

U = Queries("outreachdb.leads.importing", "undo.sql")
WORK_MEM = "128MB"
LARGE = 20_000  # leads after which the planner's statistics are worth renewing
SAMPLES = 10  # ids shown for each reason
REFUSED = {
    "undone": ("it is undone already", "to have its leads again, import the file again"),
    "running": ("it is still running", "wait until it has ended, or stop it: then it leaves nothing behind"),
}
NAMED = 5  # later imports that are named
INSTEAD = "import a file that says what is right, or change its leads by outreachdb segment apply"
LEFT_NOTHING = ("it changed nothing", "there is nothing to undo")


@dataclass(frozen=True, slots=True)
class Kept:
    """Leads that stay as they are, for one reason; ``sample`` holds some of their ids, in order."""

    reason: str
    leads: int
    sample: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What an undo did: leads ``restored`` and ``removed``, companies removed with them, and what was ``kept``."""

    import_id: int
    restored: int
    removed: int
    companies_removed: int
    kept: tuple[Kept, ...]
    seconds: float

    def document(self) -> dict[str, Any]:
        """The report for JSON."""
        kept = [{"reason": each.reason, "leads": each.leads, "sample": list(each.sample)} for each in self.kept]
        counts = {name: getattr(self, name) for name in ("import_id", "restored", "removed", "companies_removed")}
        return {**counts, "kept": kept, "seconds": round(self.seconds, 3)}


async def undo(
    tenant: Tenant, import_id: int, *, keep_changed: bool = False, progress: Progress = silent
) -> UndoReport:
    """Undo a finished import in one transaction; leads written or used since stay and are reported.

    Where later imports changed its leads, these are to be undone first, from the newest on; ``keep_changed`` leaves
    such leads as they are instead, for good. Suppressions that the file asked for stay, and so does the status of leads
    that are unsubscribed or bounced by now. Stopped or killed it has done nothing, and can be repeated.
    Raises NotFound, or Conflict for an import that is undone already, never ended well, was followed by others, or
    whose history is pruned.
    """
    started = time.monotonic()
    try:
        async with tenant.trusted(doing=f"undoing import {import_id}") as session:
            work = _Undo(session, tenant, import_id, progress, keep_changed=keep_changed)
            await work.begin()
            removed, restored, companies = await work.run()
            kept = await work.finish()
    except asyncio.CancelledError:
        raise asyncio.CancelledError(await _stopped(tenant, import_id)) from None
    if removed + restored >= LARGE:
        await runs.renew_statistics(tenant)
    return UndoReport(import_id, restored, removed, companies, kept, time.monotonic() - started)


async def _stopped(tenant: Tenant, import_id: int) -> str:
    """What is true of the import after its undo was stopped."""
    try:
        async with asyncio.timeout(runs.NOTE_SECONDS):
            status = (await runs.find(tenant, import_id))["status"]
    except (OutreachDBError, TimeoutError):
        return f"the undo was stopped; outreachdb imports show {import_id} tells whether it was done"
    if status == "undone":
        return f"import {import_id} was undone before it could be stopped"
    return f"the undo of import {import_id} was stopped; nothing was undone"


class _Undo:
    """One undo; its locks are taken in the order of a merge: import, workspace, leads by id."""

    def __init__(
        self, session: Session, tenant: Tenant, import_id: int, progress: Progress, *, keep_changed: bool
    ) -> None:
        self._session = session
        self._keep_changed = keep_changed
        self._progress = progress
        self._tenant = tenant
        self._table = sql.Identifier("pg_temp", f"undo_{import_id}")
        self._values: dict[str, Any] = {"workspace_id": tenant.workspace_id, "import_id": import_id}
        self._found: Row = {}

    async def begin(self) -> None:
        """Lock the import, check that it can be undone, and let no other import merge meanwhile."""
        found = await self._session.one(U.lock_import, self._values)
        import_id = self._values["import_id"]
        if found is None:
            raise NotFound(
                f"there is no import {import_id} in workspace {self._tenant.name}", hint="see: outreachdb imports list"
            )
        if found["status"] != "done":
            reason, hint = REFUSED.get(found["status"], LEFT_NOTHING)
            raise Conflict(f"import {import_id} can't be undone: {reason}", hint=hint)
        runs.check_history(found, f"import {import_id} can't be undone any more", instead=INSTEAD)
        self._found = found
        self._values |= {name: found[name] for name in ("started_at", "first_lead_id", "last_lead_id")}
        await self._session.execute(M.lock_workspace, self._values)
        await self._session.execute(sql.SQL("SET LOCAL work_mem = {}").format(sql.Literal(WORK_MEM)))

    async def run(self) -> tuple[int, int, int]:
        """Judge, remove, restore; how many leads were removed, leads restored, companies removed."""
        self._progress("looking", 0, self._found["inserted"] + self._found["updated"])
        await self._do("create_undo")
        self._listed = await self._do("list_created")
        await self._do("list_updated")
        await self._session.execute(sql.SQL("ANALYZE {}").format(self._table))
        await self._do("lock_leads")
        await self._do("judge_leads")
        if not self._keep_changed:
            await self._refuse_after_others()
        if self._listed:
            await self._session.execute(U.hold_references)
            for table in await self._session.all(U.tables_of_leads):
                await self._do("keep_used", table=_named(table), reason=sql.Literal(f"used in {table['name']}"))
        parts = [part async for part in self._parts()]
        removed = await self._remove(parts)
        await self._do("keep_where_taken")
        restored = await self._restore(parts)
        return removed, restored, await self._remove_companies()

    async def _refuse_after_others(self) -> None:
        """Raise Conflict where later imports changed the leads: undone half, this one could never be undone whole."""
        later = await self._session.all(self._statement("written_later_by"), self._values)
        if not later:
            return
        named = [
            f"segment action {row['id']}" if row["format"] == "segment" else f"import {row['id']}" for row in later
        ]
        shown = ", ".join(named[:NAMED]) + (", ..." if len(named) > NAMED else "")
        import_id = self._values["import_id"]
        raise Conflict(
            f"leads of import {import_id} were changed since by {shown}",
            hint=f"undo {named[0]} first; --keep-changed undoes what they left alone, and no more",
            later_imports=[row["id"] for row in later],
        )

    async def _parts(self) -> AsyncIterator[Row]:
        """Parts of the table, so that there is something to tell in between; with the range of ids of each."""
        rows = max(1, self._found["inserted"] + self._found["updated"])
        table = sql.Literal(self._table.as_string())
        pages = await self._session.value(sql.SQL(M.pages).format(table=table))
        step = page_step(pages, rows)
        for first in range(0, pages, step):
            part = {"first_page": f"({first},0)", "next_page": f"({first + step},0)"}
            yield part | (await self._session.one(self._statement("undo_part"), part) or {})

    async def _remove(self, parts: Sequence[Row]) -> int:
        """Delete what nobody uses.

        A delete asks every table that refers to leads, partition by partition and lead by lead: that took twenty times
        as long as the delete. keep_used has asked them all at once, of leads that are locked, so where the login may
        say so the delete doesn't ask again.
        """
        total = await self._unkept("created")
        asked = bool(total) and await self._session.value(U.nothing_else_refers)
        removed = 0
        async with asked_at_once(self._session, asked):
            for part in parts:
                self._progress("removing", removed, total)
                if part["first_created"] is not None:
                    removed += await self._do("remove_created", part)
        self._progress("removing", removed, total)
        return removed

    async def _restore(self, parts: Sequence[Row]) -> int:
        total = await self._unkept("updated")
        restored = 0
        for part in parts if total else ():
            self._progress("restoring", restored, total)
            if part["first_updated"] is not None:
                restored += await self._do("restore_updated", part, assignments=_assignments())
        self._progress("restoring", restored, total)
        return restored

    async def _unkept(self, kind: str) -> int:
        row = await self._session.one(self._statement("count_unkept"))
        count: int = row[kind] if row else 0
        return count

    async def finish(self) -> tuple[Kept, ...]:
        """Mark the import as undone and tell what stays."""
        rows = await self._session.all(self._statement("count_kept"), {"samples": SAMPLES})
        kept = [Kept(row["reason"], row["leads"], tuple(row["sample"])) for row in rows]
        gone = self._found["inserted"] - self._listed
        if gone > 0:
            kept.append(Kept("created by the import, gone since", gone, ()))
        await self._session.execute(sql.SQL("DROP TABLE {}").format(self._table))
        await self._session.execute(U.finish_undo, self._values)
        return tuple(kept)

    async def _remove_companies(self) -> int:
        tables = await self._session.all(U.tables_of_companies)
        unused = [sql.SQL(_text("unused_company")).format(table=_named(table)) for table in tables]
        return await self._do("remove_companies", unused=sql.SQL(" AND ").join(unused))

    def _statement(self, step: str, **parts: sql.Composable) -> sql.Composed:
        return sql.SQL(_text(step)).format(undo=self._table, **parts)

    async def _do(self, step: str, more: Mapping[str, Any] | None = None, **parts: sql.Composable) -> int:
        values = {**self._values, **(more or {})}
        return (await self._session.execute(self._statement(step, **parts), values)).rowcount


def _text(step: str) -> LiteralString:
    text: LiteralString = getattr(U, step)
    return text


def _named(table: Row) -> sql.Identifier:
    return sql.Identifier(table["schema"], table["name"])


def _assignments() -> sql.Composed:
    """The fields that an import writes, from the before-image ``b``; the other three have rules of their own."""
    plain = [field for field in policy.CHANGED if field not in {"company_id", "status"}]
    return sql.SQL(", ").join(sql.SQL("{f} = b.{f}").format(f=sql.Identifier(field)) for field in plain)
