"""Saved segments: create, list, count, look inside."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import InvalidInput, NotFound
from outreachdb.segments import definition as definitions

Q = Queries("outreachdb.segments")
MAX_NAME = 200

NameOrDefinition = str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Segment:
    """A saved segment; ``last_count`` is what the last count found, at ``last_counted_at``."""

    id: int
    name: str
    definition: dict[str, Any]
    version: int
    last_count: int | None
    last_counted_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """How many leads a segment holds."""

    count: int
    estimated: bool
    seconds: float


async def create(tenant: Tenant, name: str, definition: Mapping[str, Any]) -> Segment:
    """Save a segment; raises InvalidInput where the definition is wrong, Conflict when the name is taken."""
    name = check_name(name, "segment")
    checked = Jsonb(definitions.check(dict(definition)))
    async with tenant.session(doing=f"creating the segment {name}") as session:
        await session.execute(Q.check_definition, {"definition": checked})
        row = await session.one(
            Q.create_segment, {"workspace_id": tenant.workspace_id, "name": name, "definition": checked}
        )
    assert row is not None  # noqa: S101  (INSERT ... RETURNING gives a row or raises)
    return Segment(**row)


async def find(tenant: Tenant, name: str) -> Segment:
    """A saved segment; raises NotFound."""
    async with tenant.session(doing=f"looking up the segment {name}") as session:
        row = await session.one(Q.find_segment, {"workspace_id": tenant.workspace_id, "name": name})
    if row is None:
        raise NotFound(f"no segment named {name!r}", hint="outreachdb segment list")
    return Segment(**row)


async def listed(tenant: Tenant) -> list[Segment]:
    """All saved segments, by name."""
    async with tenant.session(doing="listing segments") as session:
        return [Segment(**row) for row in await session.all(Q.list_segments, {"workspace_id": tenant.workspace_id})]


async def count(tenant: Tenant, segment: NameOrDefinition) -> SegmentCount:
    """Count the leads of a saved segment or of a definition, exactly."""
    definition = Jsonb(await resolve(tenant, segment))
    started = time.perf_counter()
    async with tenant.session("analytics", doing="counting the segment") as session:
        found: int = await session.value(Q.count_leads, {"definition": definition})
        seconds = time.perf_counter() - started
        if isinstance(segment, str):
            noted = {"name": segment, "definition": definition, "count": found, "counted_at": datetime.now(UTC)}
            await session.execute(Q.note_count, noted | {"workspace_id": tenant.workspace_id})
    return SegmentCount(found, estimated=False, seconds=round(seconds, 4))


async def preview(tenant: Tenant, segment: NameOrDefinition, *, rows: int = 20, after: int = 0) -> list[Row]:
    """The first leads of a segment by id, those after the id ``after``; id, names, company, status and tags of each."""
    definition = Jsonb(await resolve(tenant, segment))
    async with tenant.session(doing="looking into the segment") as session:
        return await session.all(Q.preview_leads, {"definition": definition, "rows": rows, "after": after})


async def resolve(tenant: Tenant, segment: NameOrDefinition) -> dict[str, Any]:
    """The definition behind a name, or the definition itself, checked."""
    if isinstance(segment, str):
        return (await find(tenant, segment)).definition
    return definitions.check(dict(segment))


def check_name(name: str, kind: str) -> str:
    """A name as people type it: not empty, one line, trimmed."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput(f"{name[:40]!r} can't name a {kind}", hint=f"1 to {MAX_NAME} printable characters")
    return name
