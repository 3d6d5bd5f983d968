"""Saved segments and what can be asked of a segment: count, look inside, break down."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Session, Tenant
from outreachdb.db.texts import check_text
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.segments import cost, plans
from outreachdb.segments import definition as definitions
from outreachdb.words import did_you_mean

Q = Queries("outreachdb.segments")
MAX_NAME = 200
SAMPLE = {"blocks": 100, "rows": 50}
FACETS = ("status", "country", "industry", "engagement")
MAX_ROWS = 10_000  # of a page
MAX_TOP = 1000
BIGGEST_ID = 2**63 - 1
NOTED_EVERY = timedelta(minutes=1)  # as often is enough to know when a segment was used

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
    last_used_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """How many leads a segment holds; an estimate is made from a sample."""

    count: int
    estimated: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A custom ``field`` that no lead has, and the one that may be ``meant``."""

    field: str
    meant: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a segment is used by: campaigns (id, name, run, status, launched_at) and segments (id, name)."""

    campaigns: list[Row]
    segments: list[Row]


async def create(
    tenant: Tenant,
    name: str,
    definition: Mapping[str, Any],
    *,
    by: str = "",
    note: str | None = None,
    confirmed: bool = False,
) -> Segment:
    """Save a segment as version 1, written by ``by``.

    Raises InvalidInput where the definition is wrong, Conflict when the name is taken, TooCostly over the budget.
    """
    name = check_name(name, "segment")
    _check_words(by, note)
    checked = Jsonb(definitions.check(dict(definition)))
    values = {"workspace_id": tenant.workspace_id, "name": name, "definition": checked, "by": by, "note": note}
    async with tenant.reading(doing=f"creating the segment {name}") as session:
        await session.execute(Q.check_segment, values | {"id": None})
        await cost.guard(session, tenant, checked, confirmed=confirmed)
        return await _saved(session, Q.create_segment, values)


async def update(
    tenant: Tenant,
    name: str,
    definition: Mapping[str, Any],
    *,
    by: str = "",
    note: str | None = None,
    confirmed: bool = False,
) -> Segment:
    """Give a segment a new definition, as its next version; the same definition again changes nothing.

    Raises NotFound, InvalidInput (also where the segment would be made of itself, or another one no longer make sense),
    TooCostly over the budget.
    """
    check_text("the name of the segment", name)
    _check_words(by, note)
    checked = Jsonb(definitions.check(dict(definition)))
    async with tenant.reading(doing=f"changing the segment {name}") as session:
        found = await _locked(session, tenant, name)
        if found.definition == checked.obj:
            return found
        values = {"workspace_id": tenant.workspace_id, "id": found.id, "name": found.name, "definition": checked}
        await session.execute(Q.check_segment, values)
        await cost.guard(session, tenant, checked, confirmed=confirmed)
        changed = await _saved(session, Q.update_segment, values | {"by": by, "note": note, "now": datetime.now(UTC)})
        await session.execute(Q.check_users, values)
        return changed


async def delete(tenant: Tenant, name: str) -> Segment:
    """Delete a segment with its history; raises NotFound, and Conflict while a campaign or a segment uses it."""
    check_text("the name of the segment", name)
    async with tenant.session(doing=f"deleting the segment {name}") as session:
        found = await _locked(session, tenant, name)
        used = await _usage(session, tenant, found)
        users = [f"campaign {each['name']}" for each in used.campaigns] + [
            f"segment {each['name']}" for each in used.segments
        ]
        if users:
            some = ", ".join(users[:5]) + (", ..." if len(users) > 5 else "")
            raise Conflict(f"the segment {name} is used by {some}", hint="change or delete these first")
        await session.execute(Q.delete_segment, {"workspace_id": tenant.workspace_id, "id": found.id})
    return found


async def usage(tenant: Tenant, name: str) -> Usage:
    """Which campaigns and segments use a segment; raises NotFound."""
    found = await find(tenant, name)
    async with tenant.session(doing=f"looking for users of the segment {name}") as session:
        return await _usage(session, tenant, found)


async def find(tenant: Tenant, name: str) -> Segment:
    """A saved segment; raises NotFound, InvalidInput where nothing can have that name."""
    check_text("the name of the segment", name)
    async with tenant.session(doing=f"looking up the segment {name}") as session:
        return await _one(session, tenant, name)


async def listed(tenant: Tenant) -> list[Segment]:
    """All saved segments, by name."""
    async with tenant.session(doing="listing segments") as session:
        return [Segment(**row) for row in await session.all(Q.list_segments, {"workspace_id": tenant.workspace_id})]


async def count(
    tenant: Tenant, segment: NameOrDefinition, *, estimate: bool = False, confirmed: bool = False
) -> SegmentCount:
    """Count the leads of a saved segment or of a definition: exactly, or from a sample where ``estimate`` allows it.

    Raises TooCostly where an exact count would take longer than the budget and is not ``confirmed``.
    """
    definition = Jsonb(await resolve(tenant, segment))
    async with tenant.reading("analytics", doing="counting the segment") as session:
        if estimate:
            return await estimated(session, tenant, definition)
        await cost.guard(session, tenant, definition, confirmed=confirmed)
        started = time.perf_counter()
        found: int = await session.value(Q.count_leads, {"definition": definition})
        seconds = time.perf_counter() - started
        if isinstance(segment, str):
            noted = {"name": segment, "definition": definition, "count": found, "counted_at": datetime.now(UTC)}
            await session.execute(Q.note_count, noted | {"workspace_id": tenant.workspace_id})
    return SegmentCount(found, estimated=False, seconds=round(seconds, 4))


async def preview(tenant: Tenant, segment: NameOrDefinition, *, rows: int = 20, after: int = 0) -> list[Row]:
    """The newest leads of a segment, each with all its fields; ``after`` is the id of the last one of the page before.

    Raises InvalidInput where no lead has that id, and for more than :data:`MAX_ROWS` ``rows``.
    """
    _check_number("rows", rows, 1, MAX_ROWS)
    _check_number("after", after, 0, BIGGEST_ID)
    definition = Jsonb(await resolve(tenant, segment))
    async with tenant.reading(doing="looking into the segment") as session:
        return await session.all(Q.preview_leads, {"definition": definition, "rows": rows, "after": after})


async def breakdown(
    tenant: Tenant, segment: NameOrDefinition, *, top: int = 10, confirmed: bool = False
) -> dict[str, Any]:
    """``count`` of the segment's leads, and by status, country, industry and engagement the ``top`` values.

    Each is a list of ``{"value", "leads"}``, the most first; None is the empty value. Raises TooCostly like a count,
    InvalidInput unless ``top`` is 1 to :data:`MAX_TOP`.
    """
    _check_number("top", top, 1, MAX_TOP)
    definition = Jsonb(await resolve(tenant, segment))
    async with tenant.reading("analytics", doing="breaking the segment down") as session:
        await cost.guard(session, tenant, definition, confirmed=confirmed)
        rows = await session.all(Q.breakdown, {"definition": definition, "top": top})
    found: dict[str, Any] = {"count": sum(row["leads"] for row in rows if row["kind"] == "all")}
    for facet in FACETS:
        found[facet] = [{"value": row["value"], "leads": row["leads"]} for row in rows if row["kind"] == facet]
    return found


async def unknown_fields(tenant: Tenant, segment: NameOrDefinition) -> list[UnknownField]:
    """Custom fields that a segment asks for and no lead has: what a slip of the pen looks like."""
    definition = await resolve(tenant, segment)
    if not any(str(name).startswith("custom") or isinstance(name, list) for name in _fields(definition)):
        return []
    async with tenant.reading(doing="looking for the segment's custom fields") as session:
        rows = await session.all(Q.unknown_custom_fields, {"definition": Jsonb(definition)})
    return [UnknownField(**row) for row in rows]


def _fields(node: Mapping[str, Any]) -> list[Any]:
    """The fields that a definition names."""
    parts = [*node.get("all", ()), *node.get("any", ()), *([node["not"]] if "not" in node else ())]
    return [*([node["field"]] if "field" in node else ()), *(name for part in parts for name in _fields(part))]


async def resolve(tenant: Tenant, segment: NameOrDefinition) -> dict[str, Any]:
    """The definition behind a name, which is used by that, or the definition itself, checked."""
    if not isinstance(segment, str):
        return definitions.check(dict(segment))
    check_text("the name of the segment", segment)
    async with tenant.session(doing=f"looking up the segment {segment}") as session:
        found = await _one(session, tenant, segment)
        if found.last_used_at is None or found.last_used_at < datetime.now(UTC) - NOTED_EVERY:
            await note_use(session, tenant, segment)
    return found.definition


async def note_use(session: Session, tenant: Tenant, name: str) -> None:
    """Remember that a saved segment was used now; where somebody is changing it, this waits for nobody."""
    now = datetime.now(UTC)
    values = {"workspace_id": tenant.workspace_id, "name": name, "now": now, "noted_before": now - NOTED_EVERY}
    await session.execute(Q.note_use, values)


def check_name(name: str, kind: str) -> str:
    """A name as people type it: not empty, one line, trimmed."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput(f"{name[:40]!r} can't name a {kind}", hint=f"1 to {MAX_NAME} printable characters")
    return name


async def estimated(session: Session, tenant: Tenant, definition: Jsonb) -> SegmentCount:
    """What a sample of the leads says; the planner where it holds no member, the truth where it is all of them."""
    started = time.perf_counter()
    row = await session.one(Q.sample_leads, {"definition": definition, **SAMPLE})
    assert row is not None  # noqa: S101  (the function gives a row or raises)
    whole = row["looked"] >= row["leads"]
    found = row["members"] if whole else round(row["leads"] * row["members"] / max(1, row["looked"]))
    if not whole and row["members"] == 0:
        explained = (await cost.estimate(session, tenant, definition)).explained
        found = round(min(row["leads"] / max(1, row["looked"]), plans.members(explained or {"Plan": {}})))
    return SegmentCount(found, estimated=not whole, seconds=round(time.perf_counter() - started, 4))


def _check_words(by: str, note: str | None) -> None:
    check_text("note", note)
    check_text("by", by)


def _check_number(name: str, given: int, least: int, most: int) -> None:
    if not least <= given <= most:
        raise InvalidInput(f"{name}: must lie between {least} and {most}")


async def _one(session: Session, tenant: Tenant, name: str) -> Segment:
    values = {"workspace_id": tenant.workspace_id, "name": name}
    return await _found(session, tenant, await session.one(Q.find_segment, values), name)


async def _locked(session: Session, tenant: Tenant, name: str) -> Segment:
    values = {"workspace_id": tenant.workspace_id, "name": name}
    return await _found(session, tenant, await session.one(Q.lock_segment, values), name)


async def _saved(session: Session, query: str, values: Mapping[str, Any]) -> Segment:
    row = await session.one(query, values)
    assert row is not None  # noqa: S101  (the statement gives a row or raises)
    return Segment(**row)


async def _usage(session: Session, tenant: Tenant, segment: Segment) -> Usage:
    values = {"workspace_id": tenant.workspace_id, "id": segment.id, "name": segment.name}
    return Usage(await session.all(Q.campaigns_of_segment, values), await session.all(Q.segments_of_segment, values))


async def _found(session: Session, tenant: Tenant, row: Row | None, name: str) -> Segment:
    if row is None:
        names = [each["name"] for each in await session.all(Q.names_of_segments, {"workspace_id": tenant.workspace_id})]
        raise NotFound(f"no segment named {name!r}", hint=did_you_mean(name, names, "outreachdb segment list"))
    return Segment(**row)
