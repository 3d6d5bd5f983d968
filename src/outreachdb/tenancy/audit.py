"""The audit log: who changed what in a workspace, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput

Q = Queries("outreachdb.tenancy")


@dataclass(frozen=True, slots=True)
class Entry:
    """One change; ``details`` hold the object as it was left, and the database login that did it."""

    id: int
    created_at: datetime
    actor: str
    action: str
    object_type: str | None
    object_id: str | None
    details: dict[str, Any]


async def search(
    tenant: Tenant, *, action: str | None = None, before: int | None = None, limit: int = 100
) -> list[Entry]:
    """Changes, latest first, of one kind where ``action`` names it; page by passing the last one's id as ``before``."""
    if not 0 < limit <= 1000:
        raise InvalidInput("a page has 1 to 1000 entries")
    query = Q.audit_entries if action is None else Q.audit_entries_of_action
    given = {"workspace_id": tenant.workspace_id, "action": action, "before": before, "limit": limit}
    async with tenant.session(doing="reading the audit log") as session:
        return [Entry(**row) for row in await session.all(query, given)]
