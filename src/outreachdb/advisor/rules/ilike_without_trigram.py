"""Queries that look for text inside text without trigrams.

title: Search inside text without a trigram index
severity: warning
group: workload
weigh: size
why: ILIKE, and LIKE with a leading %, compare every row's text: a B-tree knows only beginnings. A trigram index
  (pg_trgm) finds the rows that can match. Patterns that are parameters are not known; LIKE with one is reported only
  where no index serves its beginning either.
fix: Build GIN over the column with gin_trgm_ops.
sources: https://www.postgresql.org/docs/current/pgtrgm.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from outreachdb.advisor.catalogue import Catalogue
from outreachdb.advisor.fixes import quoted
from outreachdb.advisor.workload.queries import totals, understood
from outreachdb.advisor.workload.source import Statement, Workload


def find(workload: Workload, known: Catalogue) -> Iterator[dict[str, Any]]:
    """One row per column."""
    found: dict[tuple[int, str], list[Statement]] = defaultdict(list)
    how: dict[tuple[int, str], tuple[str, str | None]] = {}
    for query in understood(workload, known):
        for access in query.accesses:
            for key, (operator, pattern) in access.patterns.items():
                if _needs(known, access.relation.oid, key, operator, pattern):
                    found[access.relation.oid, key].append(query.statement)
                    how.setdefault((access.relation.oid, key), (operator, pattern))
    for (oid, key), evidence in totals(found).items():
        operator, pattern = how[oid, key]
        asked = f"{operator} {pattern!r}" if pattern is not None else f"{operator} with a pattern that is a parameter"
        yield {
            "relation": oid,
            "schema": None,
            "columns": [key],
            "object": None,
            "severity": None if pattern is not None or operator == "ILIKE" else "info",
            "evidence": {"summary": f"{asked} reads every row's {key}", "operator": operator} | evidence,
            "fix": _fix(known, key),
        }


def _needs(known: Catalogue, oid: int, key: str, operator: str, pattern: str | None) -> bool:
    if operator == "LIKE" and pattern is not None and not pattern.startswith(("%", "_")):
        return False
    return not any(
        key in index.keys
        and not index.predicate
        and (
            "trgm" in index.classes[index.keys.index(key)]
            or (operator == "LIKE" and pattern is None and "pattern_ops" in index.classes[index.keys.index(key)])
        )
        for index in known.indexes.get(oid, ())
    )


def _fix(known: Catalogue, key: str) -> list[dict[str, Any]]:
    column = key if "(" in key else quoted(key)
    schema = known.trgm_schema
    index = {
        "kind": "create_index",
        "columns": [f"{column} {schema}.gin_trgm_ops" if schema else f"{column} gin_trgm_ops"],
        "keys": [key],
        "using": "gin",
    }
    extension = {
        "kind": "statement",
        "do": ["CREATE EXTENSION IF NOT EXISTS pg_trgm"],
        "undo": [],
    }
    return [index] if schema else [extension, index]
