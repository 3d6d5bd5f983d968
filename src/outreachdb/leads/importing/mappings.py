"""Saved mappings: column of a file -> target, under a name, per workspace; found by name or by the same header."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import NotFound, UsageError
from outreachdb.leads.importing.fields import ColumnMap, MappingTarget, Rows, map_columns, normalised, unique_names

Q = Queries("outreachdb.leads")
BY_HEADER = "auto"  # the name that stands for "whichever was saved for this header"
NONE = "none"


@dataclass(frozen=True, slots=True)
class SavedMapping:
    """A mapping as it was saved; ``targets`` maps the columns that it knows."""

    name: str
    targets: Mapping[str, MappingTarget]


def mapped(
    header: Sequence[str],
    sample: Rows,
    saved: SavedMapping | None,
    given: Mapping[str, str],
    ignore: Collection[str],
) -> ColumnMap:
    """Map the columns as said, else as saved, else by themselves; raises as :func:`fields.map_columns` does.

    What is said of a column goes before what was saved, and a field that is given to one column is free in the others.
    """
    names = unique_names(header)
    said = {normalised(name) for name in (*given, *ignore)}
    kept = {
        name: target
        for name, target in (saved.targets.items() if saved else ())
        if name in names and normalised(name) not in said and target not in given.values()
    }
    left_out = [name for name, target in kept.items() if target is None]
    targets = {name: target for name, target in kept.items() if target is not None}
    return map_columns(header, given=targets | dict(given), ignore=[*ignore, *left_out], sample=sample)


async def save(tenant: Tenant, name: str, columns: ColumnMap) -> None:
    """Save a mapping, over one of the same name."""
    if not name.strip() or name in {BY_HEADER, NONE}:
        raise UsageError(f"{name!r} is no name for a mapping")
    values = {"workspace_id": tenant.workspace_id, "name": name}
    values |= {"header": list(columns.columns), "mapping": Jsonb(columns.document())}
    async with tenant.session(doing="saving a mapping") as session:
        await session.execute(Q.save_mapping, values)


async def find(tenant: Tenant, wanted: str, header: Sequence[str]) -> SavedMapping | None:
    """The mapping that a file is read by: ``auto`` is the one saved for its columns, if any; ``none`` is none.

    Raises NotFound for a name that nobody saved.
    """
    if wanted == NONE:
        return None
    values = {"workspace_id": tenant.workspace_id, "name": wanted, "header": list(header)}
    async with tenant.session(doing="looking for a saved mapping") as session:
        row = await session.one(Q.find_mapping_of_header if wanted == BY_HEADER else Q.find_mapping, values)
    if row is None and wanted != BY_HEADER:
        raise NotFound(f"there is no mapping {wanted!r}", hint="see: outreachdb imports mappings")
    return None if row is None else SavedMapping(row["name"], row["mapping"])


async def listed(tenant: Tenant) -> list[Row]:
    """All of a workspace: name, header, mapping, created_at, updated_at."""
    async with tenant.session(doing="listing mappings") as session:
        return await session.all(Q.list_mappings, {"workspace_id": tenant.workspace_id})


async def delete(tenant: Tenant, name: str) -> None:
    """Forget a mapping; raises NotFound."""
    async with tenant.session(doing="deleting a mapping") as session:
        row = await session.one(Q.delete_mapping, {"workspace_id": tenant.workspace_id, "name": name})
    if row is None:
        raise NotFound(f"there is no mapping {name!r}", hint="see: outreachdb imports mappings")
