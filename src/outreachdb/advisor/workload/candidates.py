"""Indexes that queries would like: equality first, then a range or the order; partial, covering, BRIN, GIN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from outreachdb.advisor.catalogue import Catalogue, Column
from outreachdb.advisor.fixes import quoted
from outreachdb.advisor.workload.queries import Access, Query

MOST_KEYS = 4
RARE = 0.2  # share of the rows below which a partial index pays
ORDERED = 0.95  # correlation from which BRIN skips well
INCLUDED = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """One index: ``columns`` as they stand in CREATE INDEX, ``keys`` as the queries name them."""

    relation: int
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    using: str = "btree"
    where: str | None = None
    include: tuple[str, ...] = ()

    def fix(self) -> dict[str, object]:
        """What :mod:`outreachdb.advisor.fixes` writes."""
        return {
            "kind": "create_index",
            "columns": list(self.columns),
            "keys": list(self.keys),
            "using": self.using,
            "where": self.where,
            "include": list(self.include),
        }

    def definition(self, table: str) -> str:
        """What follows ``CREATE INDEX ON``."""
        text = f"{table} USING {self.using} ({', '.join(self.columns)})"
        if self.include:
            text += f" INCLUDE ({', '.join(self.include)})"
        return text + (f" WHERE {self.where}" if self.where else "")


def candidates(queries: Iterable[Query], known: Catalogue) -> list[Candidate]:
    """All that the queries would like and that is not there yet, without repetition, the costliest query's first."""
    found: dict[Candidate, None] = {}
    for query in queries:
        for access in query.accesses:
            for made in _of_access(access, query, known):
                if not _there(made, known):
                    found.setdefault(made)
    return list(found)


def _of_access(access: Access, query: Query, known: Catalogue) -> Iterator[Candidate]:
    columns = known.columns.get(access.relation.oid, {})
    equal = _by_selectivity([*access.equal, *(access.joined - set(access.equal))], columns)[:MOST_KEYS]
    ranges = sorted(access.ranges - set(equal))
    sort = [(key, down) for key, down in access.sort if key not in equal]
    oid = access.relation.oid
    for keys in (equal, *([key] for key in equal), *([*equal, key] for key in ranges), *([key] for key in ranges)):
        if keys:
            yield from _shapes(oid, tuple(keys), (), access, query, columns)
    if sort and query.limited and len({down for _, down in sort}) >= 1:
        yield from _shapes(oid, tuple(equal), tuple(sort[: MOST_KEYS - min(len(equal), 2)]), access, query, columns)
    for key in ranges:
        details = columns.get(key)
        if details is not None and abs(details.correlation or 0) >= ORDERED:
            yield Candidate(oid, (key,), (_sql(key),), "brin")
    for key, operator in access.contains.items():
        if operator != "= ANY":
            yield Candidate(oid, (key,), (_sql(key),), "gin")
    for key in access.patterns:
        if known.trgm_schema:
            yield Candidate(oid, (key,), (f"{_sql(key)} {known.trgm_schema}.gin_trgm_ops",), "gin")


def _shapes(
    oid: int,
    keys: tuple[str, ...],
    sort: tuple[tuple[str, bool], ...],
    access: Access,
    query: Query,
    columns: dict[str, Column],
) -> Iterator[Candidate]:
    """A plain index, one that covers the query, and partial ones where a condition is rare."""
    parts = (*map(_sql, keys), *(f"{_sql(key)}{' DESC' if down else ''}" for key, down in sort))
    names = (*keys, *(key for key, _ in sort))
    if len(names) > MOST_KEYS:
        return
    yield Candidate(oid, names, parts)
    rest = sorted(access.columns - set(names))
    if (
        not access.every_column
        and not query.writes
        and 0 < len(rest) <= INCLUDED
        and all("(" not in key for key in names)
    ):
        yield Candidate(oid, names, parts, include=tuple(map(quoted, rest)))
    for condition, key in _rare(access, columns):
        left = [(part, name) for part, name in zip(parts, names, strict=True) if name != key]
        if left:
            yield Candidate(oid, tuple(name for _, name in left), tuple(part for part, _ in left), where=condition)


def _rare(access: Access, columns: dict[str, Column]) -> Iterator[tuple[str, str]]:
    """Conditions that few rows meet, and their column."""
    for key, literal in access.equal.items():
        details = columns.get(key)
        if details is None or literal is None:
            continue
        share = details.common.get(literal.strip("'").replace("''", "'"), details.common.get(literal[0]))
        if share is not None and share <= RARE and (details.n_distinct or 0) > 0:
            yield f"{quoted(key)} = {literal}", key
    for key, is_null in access.nulls.items():
        details = columns.get(key)
        if details is None or details.null_frac is None:
            continue
        if (details.null_frac if is_null else 1 - details.null_frac) <= RARE:
            yield f"{quoted(key)} IS {'' if is_null else 'NOT '}NULL", key


def _by_selectivity(keys: list[str], columns: dict[str, Column]) -> list[str]:
    """Among equal conditions the order changes nothing for this query; few distinct values first serve more others."""

    def distinct(key: str) -> float:
        value = columns[key].n_distinct if key in columns else None
        return 0.0 if value is None else value if value > 0 else 1e9 * -value

    return sorted(dict.fromkeys(keys), key=lambda key: (distinct(key), key))


def _there(made: Candidate, known: Catalogue) -> bool:
    """Whether an index of that kind begins with the same columns already."""
    for index in known.indexes.get(made.relation, ()):
        same = index.method == made.using and index.predicate in ("", f"({made.where})")
        if same and not made.include and index.keys[: len(made.keys)] == made.keys:
            return True
    return False


def _sql(key: str) -> str:
    return key if "(" in key else quoted(key)
