"""Queries on partitioned tables that read every partition.

title: Query that can't prune partitions
severity: warning
group: workload
weigh: size
why: Nothing in the query limits the partition key, so every partition is planned, locked and read, old months included.
fix: Add the key to the condition (the period that is meant), or divide the table by what its queries know.
sources: https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITION-PRUNING
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from outreachdb.advisor.catalogue import Catalogue
from outreachdb.advisor.workload.queries import totals, understood
from outreachdb.advisor.workload.source import Statement, Workload


def find(workload: Workload, known: Catalogue) -> Iterator[dict[str, Any]]:
    """One row per table."""
    found: dict[int, list[Statement]] = defaultdict(list)
    for query in understood(workload, known):
        for access in query.accesses:
            key = access.relation.partition_key
            if key and not access.filters & set(key):
                found[access.relation.oid].append(query.statement)
    for oid, evidence in totals(found).items():
        relation = known.relations[oid]
        count = len(known.leaves(oid))
        yield {
            "relation": oid,
            "schema": None,
            "columns": list(relation.partition_key),
            "object": None,
            "severity": None,
            "evidence": {
                "summary": f"{evidence['queries']} queries don't limit {', '.join(relation.partition_key)}: they read "
                f"all {count} partitions",
                "partitions": count,
            }
            | evidence,
            "fix": None,
        }
