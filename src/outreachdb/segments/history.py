"""The versions of a segment: who changed what and when, and the way back to one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.errors import NotFound
from outreachdb.segments import segments
from outreachdb.segments.segments import Segment

Q = Queries("outreachdb.segments")


@dataclass(frozen=True, slots=True)
class Change:
    """What one version changed at a JSON pointer; ``before`` or ``after`` is None where nothing was or is there."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Version:
    """A definition that a segment had or has, and how it differs from the version before."""

    version: int
    definition: dict[str, Any]
    changed_by: str
    note: str | None
    changed_at: datetime
    changes: list[Change]


async def history(tenant: Tenant, name: str) -> list[Version]:
    """All versions of a segment, the newest first; raises NotFound."""
    found = await segments.find(tenant, name)
    async with tenant.session(doing=f"reading the history of the segment {name}") as session:
        rows = await session.all(Q.segment_history, {"workspace_id": tenant.workspace_id, "id": found.id})
    older = [row["definition"] for row in rows[1:]] + [None]
    return [
        Version(**row, changes=[] if before is None else list(difference(before, row["definition"])))
        for row, before in zip(rows, older, strict=True)
    ]


async def revert(tenant: Tenant, name: str, version: int, *, by: str = "", confirmed: bool = False) -> Segment:
    """Give a segment the definition of an earlier version again, as a new version; raises NotFound."""
    wanted = [each for each in await history(tenant, name) if each.version == version]
    if not wanted:
        raise NotFound(f"the segment {name} has no version {version}", hint=f"outreachdb segment history {name}")
    note = f"back to version {version}"
    return await segments.update(tenant, name, wanted[0].definition, by=by, note=note, confirmed=confirmed)


def difference(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """Where two definitions differ, by JSON pointer."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from difference(
                before.get(key), after.get(key), f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            )
    elif (
        isinstance(before, list) and isinstance(after, list) and any(isinstance(each, dict) for each in before + after)
    ):
        for place in range(max(len(before), len(after))):
            old, new = (side[place] if place < len(side) else None for side in (before, after))
            yield from difference(old, new, f"{path}/{place}")
    elif before != after or isinstance(before, bool) != isinstance(after, bool):
        yield Change(path, before, after)
