"""Taking an import back: before-images return, what it created goes, and what others have touched since stays."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Session, Tenant
from outreachdb.errors import Conflict, NotFound
from outreachdb.leads.importing import policy
from outreachdb.leads.importing.merging import M

U = Queries("outreachdb.leads.importing", "undo.sql")
WORK_MEM = "128MB"
SAMPLES = 10  # ids shown for each reason
REFUSED = {
    "undone": ("it is undone already", "to have its leads again, import the file again"),
    "running": ("it is still running", "wait until it has ended, or stop it: then it leaves nothing behind"),
}
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


async def undo(tenant: Tenant, import_id: int) -> UndoReport:
    """Undo a finished import in one transaction; leads written or used since stay and are reported.

    Suppressions that the file asked for stay, and so does the status of leads that are unsubscribed or bounced by now.
    Raises NotFound, or Conflict for an import that is undone already or never ended well.
    """
    started = time.monotonic()
    async with tenant.trusted(doing=f"undoing import {import_id}") as session:
        work = _Undo(session, tenant, import_id)
        await work.begin()
        removed, restored, companies = await work.run()
        kept = await work.finish()
    return UndoReport(import_id, restored, removed, companies, kept, time.monotonic() - started)


class _Undo:
    """One undo; its locks are taken in the order of a merge: import, workspace, leads by id."""

    def __init__(self, session: Session, tenant: Tenant, import_id: int) -> None:
        self._session = session
        self._tenant = tenant
        self._table = sql.Identifier("staging", f"undo_{import_id}")
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
        self._found = found
        self._values |= {name: found[name] for name in ("started_at", "first_lead_id", "last_lead_id")}
        await self._session.execute(M.lock_workspace, self._values)
        await self._session.execute(sql.SQL("SET LOCAL work_mem = {}").format(sql.Literal(WORK_MEM)))

    async def run(self) -> tuple[int, int, int]:
        """Judge, remove, restore; how many leads were removed, leads restored, companies removed."""
        await self._do("create_undo")
        self._listed = await self._do("list_created")
        await self._do("list_updated")
        await self._session.execute(sql.SQL("ANALYZE {}").format(self._table))
        await self._do("lock_leads")
        await self._do("judge_leads")
        for table in await self._session.all(U.tables_of_leads):
            await self._do("keep_used", table=_named(table), reason=sql.Literal(f"used in {table['name']}"))
        removed = await self._do("remove_created")
        await self._do("keep_where_taken")
        restored = await self._do("restore_updated", assignments=_assignments())
        return removed, restored, await self._remove_companies()

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

    async def _do(self, step: str, **parts: sql.Composable) -> int:
        return (await self._session.execute(self._statement(step, **parts), self._values)).rowcount


def _text(step: str) -> LiteralString:
    text: LiteralString = getattr(U, step)
    return text


def _named(table: Row) -> sql.Identifier:
    return sql.Identifier(table["schema"], table["name"])


def _assignments() -> sql.Composed:
    """The fields that an import writes, from the before-image ``b``; the other three have rules of their own."""
    plain = [field for field in policy.CHANGED if field not in {"company_id", "status"}]
    return sql.SQL(", ").join(sql.SQL("{f} = b.{f}").format(f=sql.Identifier(field)) for field in plain)
