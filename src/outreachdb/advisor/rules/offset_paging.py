"""Queries that page by OFFSET.

title: Paging by OFFSET
severity: info
group: workload
why: OFFSET n reads n rows and throws them away: page 1,000 costs a thousand pages, and rows that come in meanwhile
  shift the rest, so that readers miss some and see others twice.
fix: Remember the last row's sort key and ask for what comes behind it - WHERE (created_at, id) < ($1, $2) ORDER BY
  created_at DESC, id DESC LIMIT n.
sources: https://use-the-index-luke.com/no-offset
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from outreachdb.advisor.catalogue import Catalogue
from outreachdb.advisor.workload.queries import totals, understood
from outreachdb.advisor.workload.source import Statement, Workload


def find(workload: Workload, known: Catalogue) -> Iterator[dict[str, Any]]:
    """One row per table and order."""
    found: dict[tuple[int, tuple[str, ...]], list[Statement]] = defaultdict(list)
    for query in understood(workload, known):
        if query.offset:
            access = max(query.accesses, key=lambda each: len(each.sort))
            found[access.relation.oid, tuple(key for key, _ in access.sort)].append(query.statement)
    for (oid, columns), evidence in totals(found).items():
        order = ", ".join(columns) or "nothing, so that pages are not even defined"
        yield {
            "relation": oid,
            "schema": None,
            "columns": list(columns),
            "object": None,
            "severity": None,
            "evidence": {"summary": f"{evidence['queries']} queries skip rows by OFFSET, sorted by {order}"} | evidence,
            "fix": None,
        }
