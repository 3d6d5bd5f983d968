"""The imports of a workspace: begun, finished, failed, found."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Session, Tenant
from outreachdb.errors import InvalidInput, NotFound
from outreachdb.leads.importing.detection import Dialect
from outreachdb.leads.importing.fields import REJECT_COLUMNS, ColumnMap
from outreachdb.leads.importing.merging import Counts

Q = Queries("outreachdb.leads")
PAGE = 5000


async def begin(
    session: Session, tenant: Tenant, dialect: Dialect, columns: ColumnMap, on_conflict: str, now: datetime
) -> int:
    """Note that an import runs; its id. Imports of the workspace whose process died are marked first."""
    await session.execute(Q.end_dead_imports, {"workspace_id": tenant.workspace_id, "now": now})
    found: int = await session.value(
        Q.begin_import,
        {
            "workspace_id": tenant.workspace_id,
            "file_name": dialect.path.name,
            "file_sha256": dialect.sha256,
            "format": dialect.format,
            "encoding": dialect.encoding,
            "delimiter": dialect.delimiter,
            "header_line": dialect.header_line,
            "mapping": Jsonb(columns.pairs()),
            "on_conflict": on_conflict,
            "now": now,
        },
    )
    return found


async def hold(session: Session, tenant: Tenant, import_id: int) -> None:
    """Lock the import's row for the rest of the transaction."""
    await session.execute(Q.hold_import, {"workspace_id": tenant.workspace_id, "import_id": import_id})


async def finish(session: Session, tenant: Tenant, import_id: int, counts: Counts) -> None:
    """Store the counts; the transaction that holds the data commits them."""
    await session.execute(
        Q.finish_import,
        {
            "workspace_id": tenant.workspace_id,
            "import_id": import_id,
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


async def fail(tenant: Tenant, import_id: int, error: str, *, cancelled: bool = False) -> None:
    """Mark an import as failed or cancelled, with the reason."""
    status = "cancelled" if cancelled else "failed"
    values = {"workspace_id": tenant.workspace_id, "import_id": import_id, "status": status, "error": error}
    async with tenant.trusted(doing="noting that the import failed") as session:
        await session.execute(Q.fail_import, values | {"finished_at": datetime.now(UTC)})


async def renew_statistics(tenant: Tenant) -> None:
    """Tell the planner what a large import brought: until autovacuum comes by it would plan for the old table."""
    async with tenant.trusted(doing="renewing statistics") as session:
        await session.execute(Q.refresh_statistics)


async def learn_words(tenant: Tenant, import_id: int) -> None:
    """Learn the words of an import's leads, among which a misspelt search finds its like."""
    async with tenant.trusted(doing="learning the words of names and companies") as session:
        await session.execute(Q.learn_search_words, {"import_id": import_id})


async def listed(tenant: Tenant, limit: int = 50) -> list[Row]:
    """The newest imports; one whose process died shows as failed."""
    async with tenant.trusted(doing="looking for dead imports") as session:
        await session.execute(Q.end_dead_imports, {"workspace_id": tenant.workspace_id, "now": datetime.now(UTC)})
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


async def write_rejects(tenant: Tenant, import_id: int, path: Path) -> int:
    """Write the rejected rows as CSV under the file's own columns; returns how many.

    The last three columns tell row, column and reason; an import leaves them out, so the file can be corrected and
    imported again. Cells that a row has beyond the header are joined in its last column.
    """
    found = await find(tenant, import_id)
    columns, delimiter = list(found["mapping"]), found["delimiter"] or ","
    count = 0
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*columns, *REJECT_COLUMNS])
            async for row in rejects(tenant, import_id):
                cells = _fitted(row["raw"], delimiter, len(columns))
                writer.writerow([*cells, row["row_number"], row["column_name"], row["reason"]])
                count += 1
    except OSError as error:
        raise InvalidInput(f"{path} can't be written: {error.strerror}") from None
    return count


def _fitted(raw: str, delimiter: str, width: int) -> list[str]:
    try:
        cells = next(csv.reader(io.StringIO(raw, newline=""), delimiter=delimiter), [])
    except csv.Error:
        cells = [raw]
    if len(cells) > width:
        cells[width - 1 :] = [delimiter.join(cells[width - 1 :])]
    return [*cells, *[""] * (width - len(cells))]


async def rejects(tenant: Tenant, import_id: int) -> AsyncIterator[Row]:
    """Rejected rows in file order: row_number, column_name, reason, raw; raises NotFound for an unknown import."""
    await find(tenant, import_id)
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
