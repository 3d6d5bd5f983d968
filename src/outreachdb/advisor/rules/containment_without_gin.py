"""Queries that look into arrays and documents without an index that can.

title: Containment asked of a column without GIN
severity: warning
group: workload
weigh: size
why: @>, && and ? look into every row's array or document unless a GIN (or GiST) index holds its elements. `value = ANY
  (column)` can't use one at all: write `column @> ARRAY[value]`.
fix: Build GIN; jsonb_path_ops is smaller where only @> is asked.
sources: https://www.postgresql.org/docs/current/gin.html https://github.com/HypoPG/hypopg/issues/97
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from outreachdb.advisor.catalogue import Catalogue
from outreachdb.advisor.fixes import quoted
from outreachdb.advisor.workload.queries import totals, understood
from outreachdb.advisor.workload.source import Statement, Workload

TYPES = ("jsonb", "tsvector", "hstore")


def find(workload: Workload, known: Catalogue) -> Iterator[dict[str, Any]]:
    """One row per column."""
    found: dict[tuple[int, str, str], list[Statement]] = defaultdict(list)
    for query in understood(workload, known):
        for access in query.accesses:
            for column, operator in access.contains.items():
                details = known.columns.get(access.relation.oid, {}).get(column)
                if details is None or not (details.category == "A" or details.type in TYPES):
                    continue
                if not _served(known, access.relation.oid, column):
                    found[access.relation.oid, column, operator].append(query.statement)
    told = totals(found)
    for (oid, column, operator), evidence in told.items():
        any_only = operator == "= ANY"
        yield {
            "relation": oid,
            "schema": None,
            "columns": [column],
            "object": None,
            "severity": None,
            "evidence": {
                "summary": f"{evidence['queries']} queries ask {column} by {operator}, and no GIN index holds them"
                + (f"; write {column} @> ARRAY[...] as well" if any_only else ""),
                "operator": operator,
            }
            | evidence,
            "fix": {"kind": "create_index", "columns": [quoted(column)], "using": "gin"},
        }


def _served(known: Catalogue, oid: int, column: str) -> bool:
    return any(
        index.method in {"gin", "gist"} and column in index.keys and not index.predicate
        for index in known.indexes.get(oid, ())
    )
