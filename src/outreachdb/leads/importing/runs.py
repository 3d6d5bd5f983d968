"""The imports of a workspace: begun, finished, failed, found."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import psycopg
from psycopg.types.json import Jsonb

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Row, Session, Tenant
from outreachdb.db.tenant import session as trusted_session
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.leads.importing.detection import Dialect
from outreachdb.leads.importing.fields import REJECT_COLUMNS, ColumnMap
from outreachdb.leads.importing.merging import Counts
from outreachdb.leads.importing.records import NOT_JSON
from outreachdb.leads.importing.sources import STDIN, is_stream

Q = Queries("outreachdb.leads")
PAGE = 5000
# The server needs some seconds to notice that a client was killed; until then its transaction holds the row.
WAIT_FOR_IMPORT = "SET LOCAL lock_timeout = '10s'"
NOTE_SECONDS = 5  # how long stopped work tries to say so; without a note the unlocked row tells


@dataclass(frozen=True, slots=True)
class Source:
    """What the list of imports calls it, and where the rows can be read again; ``path`` is None for a pipe."""

    name: str
    path: Path | None = None
    stamp: tuple[int, int] | None = None

    @classmethod
    def of(cls, path: Path) -> Source:
        """The source that a path names, as it is now."""
        if is_stream(path) or not path.is_file():
            return cls(path.name)
        return cls(path.name, path.absolute(), _stamp(path))

    def check_unchanged(self) -> None:
        """Raise InvalidInput for a file that was written to while it was read: the hash on record would not be its."""
        if self.path is not None and _stamp(self.path) != self.stamp:
            raise InvalidInput(f"{self.path} was changed while it was imported; nothing was stored", hint="try again")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Described:
    """What goes on record of an import that begins."""

    dialect: Dialect
    source: Source
    columns: ColumnMap
    on_conflict: str
    now: datetime

    def values(self, tenant: Tenant) -> dict[str, Any]:
        """The columns of its row."""
        dialect, path = self.dialect, self.source.path
        return {
            "workspace_id": tenant.workspace_id,
            "file_name": self.source.name,
            "source_path": str(path) if path else None,
            "file_sha256": dialect.sha256,
            "format": dialect.format,
            **dialect.described(),
            "mapping": Jsonb(self.columns.pairs()),
            "on_conflict": self.on_conflict,
            "now": self.now,
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on an import, until somebody else claims it: the number of the attempt tells."""

    import_id: int
    attempt: int


class DoneMeanwhile(Conflict):
    """The import was finished by another process."""


async def begin(session: Session, tenant: Tenant, described: Described) -> Claim:
    """Note that an import runs."""
    return _claim(await session.one(Q.begin_import, described.values(tenant)))


async def take_up(session: Session, tenant: Tenant, described: Described) -> Claim | None:
    """Claim the same import where it was stopped, if there is one."""
    row = await session.one(Q.take_up_import, described.values(tenant))
    return _claim(row) if row else None


async def resume(session: Session, tenant: Tenant, import_id: int, source: Source, now: datetime) -> Claim:
    """Claim an import that stopped; raises Conflict while somebody works on it."""
    values = {
        "workspace_id": tenant.workspace_id, "import_id": import_id, "now": now, "file_name": source.name,
        "source_path": str(source.path) if source.path else None,
    }  # fmt: skip
    await session.execute(WAIT_FOR_IMPORT)
    try:
        row = await session.one(Q.resume_import, values)
    except psycopg.errors.LockNotAvailable:
        raise _busy(import_id) from None
    if row is None:
        raise DoneMeanwhile(f"import {import_id} was finished by another process")
    return _claim(row)


async def hold(session: Session, tenant: Tenant, claim: Claim) -> None:
    """Lock the import's row for the rest of the transaction; raises Conflict if somebody else claimed it."""
    values = {"workspace_id": tenant.workspace_id, "import_id": claim.import_id, "attempts": claim.attempt}
    if await session.one(Q.hold_import, values) is None:
        raise _busy(claim.import_id)


async def end_dead(session: Session, tenant: Tenant, now: datetime) -> None:
    """Mark the imports whose process died."""
    await session.execute(Q.end_dead_imports, {"workspace_id": tenant.workspace_id, "now": now})


def check_resumable(found: Row) -> None:
    """Raise Conflict for an import that was undone."""
    if found["status"] == "undone":
        raise Conflict(
            f"import {found['id']} can't be resumed: it was done and is undone",
            hint="to have its leads again, import the file again",
        )


def recorded_path(found: Row) -> Path:
    """Where the rows were; raises Conflict where they can't be read again, InvalidInput where the file is gone."""
    way = f"outreachdb imports resume {found['id']} FILE"
    if found["source_path"] is None:
        raise Conflict(
            f"import {found['id']} can't be resumed by itself: its rows came through a pipe or from an application",
            hint=f"give the same data once more: {way}",
        )
    path = Path(found["source_path"])
    if not path.exists():
        raise InvalidInput(f"{path} is not there any more", hint=f"if it was moved: {way}")
    return path


def _claim(row: Row | None) -> Claim:
    assert row is not None  # noqa: S101  (an INSERT ... RETURNING has a row)
    return Claim(row["id"], row["attempts"])


def _busy(import_id: int) -> Conflict:
    return Conflict(
        f"another process works on import {import_id}", hint="wait until it has ended, or stop it: then resume"
    )


async def finish(session: Session, tenant: Tenant, claim: Claim, counts: Counts) -> None:
    """Store the counts; the transaction that holds the data commits them."""
    await session.execute(
        Q.finish_import,
        {
            "workspace_id": tenant.workspace_id,
            "import_id": claim.import_id,
            "rows_read": counts.rows_read,
            "inserted": counts.inserted,
            "updated": counts.updated,
            "skipped": counts.skipped,
            "rejected": counts.rejected,
            "first_lead_id": counts.first_lead_id,
            "last_lead_id": counts.last_lead_id,
            "finished_at": datetime.now(UTC),
        },
    )


async def fail(tenant: Tenant, claim: Claim, error: str, *, cancelled: bool = False) -> str:
    """Mark an attempt as failed or cancelled, with the reason; the import's status since."""
    values = {"workspace_id": tenant.workspace_id, "import_id": claim.import_id, "attempts": claim.attempt}
    ended = {"status": "cancelled" if cancelled else "failed", "error": error, "finished_at": datetime.now(UTC)}
    async with tenant.trusted(doing="noting that the import failed") as session:
        await session.execute(Q.fail_import, values | ended)
        status: str = await session.value(Q.status_of_import, values)
        return status


async def renew_statistics(tenant: Tenant) -> None:
    """Tell the planner what a large import brought: until autovacuum comes by it would plan for the old table."""
    async with tenant.trusted(doing="renewing statistics") as session:
        await session.execute(Q.refresh_statistics)


async def learn_words(tenant: Tenant) -> int:
    """Learn the words of leads that imports brought, among which a misspelt search finds its like; how many are new.

    An import that was killed before it came to this is made up for.
    """
    async with tenant.trusted(doing="learning the words of names and companies") as session:
        added: int = await session.value(Q.learn_pending_words)
    return added


async def learn_all_words(pools: Pools) -> int:
    """Make up, in every workspace, for imports that were killed before their words were learned; how many are new.

    For a job; the next import of a workspace does it as well.
    """
    async with trusted_session(
        pools, role=TRUSTED_ROLE, workload="jobs", doing="looking for words to learn"
    ) as session:
        waiting = await session.all(Q.workspaces_with_pending_words)
    return sum([await learn_words(Tenant(pools, row["id"], row["name"])) for row in waiting])


async def listed(tenant: Tenant, limit: int = 50) -> list[Row]:
    """The newest imports; one whose process died shows as failed."""
    async with tenant.trusted(doing="looking for dead imports") as session:
        await end_dead(session, tenant, datetime.now(UTC))
    async with tenant.session(doing="listing imports") as session:
        return await session.all(Q.list_imports, {"workspace_id": tenant.workspace_id, "limit": limit})


async def find(tenant: Tenant, import_id: int) -> dict[str, Any]:
    """Everything known of an import; raises NotFound."""
    async with tenant.session(doing="reading an import") as session:
        row = await session.one(Q.find_import, {"workspace_id": tenant.workspace_id, "import_id": import_id})
    if row is None:
        raise NotFound(
            f"there is no import {import_id} in workspace {tenant.name}", hint="see: outreachdb imports list"
        )
    # Stored as pairs: a JSON object would lose the order of the columns.
    return row | {"mapping": dict(row["mapping"])}


def check_history(found: Row, what: str, *, instead: str) -> None:
    """Raise Conflict where ``what`` asks for before-images or rejected rows that are pruned."""
    if (pruned := found["history_pruned_at"]) is not None:
        raise Conflict(
            f"{what}: its history was pruned on {pruned:%Y-%m-%d} (setting import_history_days)", hint=instead
        )


async def _find_rejects(tenant: Tenant, import_id: int) -> dict[str, Any]:
    """The import; Conflict where it rejected rows that are pruned."""
    found = await find(tenant, import_id)
    if found["rejected"]:
        what = f"the rejected rows of import {import_id} are gone ({found['rejected']:,})"
        check_history(found, what, instead="import the file again with --on-conflict skip: it rejects the same rows")
    return found


async def write_rejects(tenant: Tenant, import_id: int, path: Path) -> int:
    """Write the rejected rows as CSV under the file's own columns; returns how many.

    The last three columns tell row, column and reason; an import leaves them out, so the file can be corrected and
    imported again. Cells that a row has beyond the header are joined in its last column; a line that is no JSON stands
    in the first. ``-`` is standard output. Raises NotFound, or Conflict where the rows are pruned.
    """
    found = await _find_rejects(tenant, import_id)
    columns, delimiter = list(found["mapping"]), found["delimiter"] or ","
    count = 0
    try:
        opened: AbstractContextManager[TextIO] = (
            nullcontext(sys.stdout) if path == STDIN else path.open("w", encoding="utf-8", newline="")
        )
        with opened as file:
            writer = csv.writer(file)
            writer.writerow([*columns, *REJECT_COLUMNS])
            async for row in rejects(tenant, import_id):
                cells = _cells(row, delimiter, len(columns))
                writer.writerow([*cells, row["row_number"], row["column_name"], row["reason"]])
                count += 1
    except OSError as error:
        raise InvalidInput(f"{path} can't be written: {error.strerror}") from None
    return count


async def first_rejects(session: Session, tenant: Tenant, claim: Claim, described: Described, limit: int) -> list[Row]:
    """The first rejected rows of an import that is under way, each with the ``value`` of the column in question."""
    columns, delimiter = described.columns.columns, described.dialect.delimiter
    values = {"workspace_id": tenant.workspace_id, "import_id": claim.import_id, "after": 0, "limit": limit}
    rows = await session.all(Q.list_rejects, values)
    for row in rows:
        place = columns.index(row["column_name"]) if row["column_name"] in columns else None
        row["value"] = None if place is None else _cells(row, delimiter, len(columns))[place]
    return rows


def _cells(row: Row, delimiter: str, width: int) -> list[str]:
    """The cells of a rejected row, under the columns of its file."""
    raw = row["raw"]
    if row["reason"].startswith(NOT_JSON):
        return [raw, *[""] * (width - 1)]
    try:
        cells = next(csv.reader(io.StringIO(raw, newline=""), delimiter=delimiter), [])
    except csv.Error:
        cells = [raw]
    if len(cells) > width:
        cells[width - 1 :] = [delimiter.join(cells[width - 1 :])]
    return [*cells, *[""] * (width - len(cells))]


async def rejects(tenant: Tenant, import_id: int) -> AsyncIterator[Row]:
    """Rejected rows in file order: row_number, column_name, reason, raw.

    Raises NotFound for an unknown import, Conflict where they are pruned.
    """
    await _find_rejects(tenant, import_id)
    after = 0
    while True:
        values = {"workspace_id": tenant.workspace_id, "import_id": import_id, "after": after, "limit": PAGE}
        async with tenant.session(doing="reading rejected rows") as session:
            page = await session.all(Q.list_rejects, values)
        for row in page:
            yield row
        if len(page) < PAGE:
            return
        after = page[-1]["row_number"]
