"""The database as the advisor knows it: relations with their partitions, the names taken, who is asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from outreachdb.db import headed
from outreachdb.db.pools import Connection
from outreachdb.db.queries import Queries

Q = Queries("outreachdb.advisor", "catalogue.sql")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or partition; ``bytes`` and ``rows`` of a partitioned table are those of all its partitions."""

    oid: int
    root: int
    schema: str
    name: str
    kind: str
    rows: float
    bytes: int
    parent: int | None
    readable: bool
    filtered: bool
    partition_key: tuple[str, ...]
    inserted: int
    updated: int
    hot: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column with the planner's statistics where the role may see them."""

    name: str
    type: str
    category: str
    not_null: bool
    null_frac: float | None
    n_distinct: float | None
    correlation: float | None
    avg_width: int | None
    common: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Index:
    """A valid index; ``keys`` are columns or expressions as PostgreSQL prints them."""

    oid: int
    relation: int
    name: str
    method: str
    unique: bool
    keys: tuple[str, ...]
    classes: tuple[str, ...]
    predicate: str


@dataclass(slots=True)
class Catalogue:
    """One reading; columns and indexes are there after :meth:`read_details`."""

    database: str
    version: str
    server_version: int
    as_of: datetime
    role: str
    standby: bool
    reads_statistics: bool
    statistics_days: int | None
    statements_schema: str | None
    hypopg_schema: str | None
    trgm_schema: str | None
    hidden_sequences: int
    relations: dict[int, Relation]
    names: set[tuple[str, str]]
    columns: dict[int, dict[str, Column]] = field(default_factory=dict)
    indexes: dict[int, list[Index]] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether OutreachDB's own schema is there."""
        return {("ops", "alembic_version"), ("ops", "routine_files")} <= self.names

    def table_of(self, oid: int) -> Relation:
        """The relation that people know: a partition's root."""
        found = self.relations[oid]
        return self.relations.get(found.root, found)

    def children(self, oid: int) -> list[Relation]:
        """Direct partitions, in order of name."""
        found = [each for each in self.relations.values() if each.parent == oid]
        return sorted(found, key=lambda each: (each.schema, each.name))

    def leaves(self, oid: int) -> list[Relation]:
        """The tables that hold the rows: the relation itself, or its partitions down to the last level."""
        relation = self.relations[oid]
        if relation.kind != "p":
            return [relation]
        return [leaf for child in self.children(oid) for leaf in self.leaves(child.oid)]

    def find(self, name: str, schema: str | None = None) -> Relation | None:
        """A table by its name; without a schema it must be the only one, or stand in ``public``."""
        found = [
            each
            for each in self.relations.values()
            if each.name == name and each.kind in "rpm" and schema in (None, each.schema)
        ]
        if len(found) > 1:
            found = [each for each in found if each.schema == "public"]
        return found[0] if len(found) == 1 else None


async def read(connection: Connection) -> Catalogue:
    """Read what every rule needs."""
    about: dict[str, Any] = (
        await (await connection.execute(headed.with_shared(["reset"], Q.about).encode())).fetchone()
    ) or {}
    rows = await (await connection.execute(Q.relations.encode())).fetchall()
    names = await (await connection.execute(Q.taken_names.encode())).fetchall()
    about.pop("has_statements")
    relations = {row["oid"]: Relation(**(row | {"partition_key": tuple(row["partition_key"])})) for row in rows}
    return Catalogue(
        **about,
        server_version=connection.info.server_version,
        relations=_summed(relations),
        names={(row["schema"], row["name"]) for row in names},
    )


async def read_details(connection: Connection, catalogue: Catalogue) -> None:
    """Read columns with their statistics, and indexes: for what is judged by queries."""
    for row in await (await connection.execute(Q.columns.encode())).fetchall():
        relation = row.pop("relation")
        values, frequencies = row.pop("common_values") or (), row.pop("common_frequencies") or ()
        common = dict(zip(values, frequencies, strict=False))
        catalogue.columns.setdefault(relation, {})[row["name"]] = Column(**row, common=common)
    for row in await (await connection.execute(Q.indexes.encode())).fetchall():
        made = Index(**(row | {"keys": tuple(row["keys"]), "classes": tuple(row["classes"])}))
        catalogue.indexes.setdefault(made.relation, []).append(made)


def _summed(relations: dict[int, Relation]) -> dict[int, Relation]:
    """Partitioned tables with the size and the activity of their partitions."""
    totals: dict[int, list[float]] = {}
    for each in relations.values():
        parent = each.parent
        while parent is not None and parent in relations:
            sums = totals.setdefault(parent, [0.0] * 6)
            leaf = each.kind != "p"
            for place, value in enumerate(
                (each.rows, each.bytes, each.inserted, each.updated, each.hot, each.deleted) if leaf else ()
            ):
                sums[place] += value
            parent = relations[parent].parent
    for oid, (rows, size, inserted, updated, hot, deleted) in totals.items():
        old = relations[oid]
        relations[oid] = Relation(
            old.oid, old.root, old.schema, old.name, old.kind, rows, int(size), old.parent, old.readable, old.filtered,
            old.partition_key, int(inserted), int(updated), int(hot), int(deleted),
        )  # fmt: skip
    return relations
