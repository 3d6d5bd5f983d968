"""Every index of the catalogue is in the plan of its owner query, on a filled database, as the role that runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from outreachdb.benchmarks.catalogue import ROLES, parameters_of
from outreachdb.config import Settings
from outreachdb.db import index_catalogue
from outreachdb.db.index_catalogue import Entry, OwnedIndex
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import session

PARENTS = """
SELECT child.relname AS child, parent.relname AS parent
FROM pg_inherits AS i
JOIN pg_class AS child ON child.oid = i.inhrelid AND child.relkind = 'i'
JOIN pg_class AS parent ON parent.oid = i.inhparent
"""
ENTRIES = index_catalogue.entries()


@pytest.fixture(scope="module")
def plans(filled: tuple[str, dict[str, Any]]) -> dict[str, set[str]]:
    """Index names in the plan of each entry's query, a partition's index by its parent's name."""
    return asyncio.run(_plans(*filled))


async def _plans(url: str, parameters: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    async with Pools(Settings.load({}, database_url=url)) as pools:
        async with pools.connection() as connection:
            rows = await (await connection.execute(PARENTS)).fetchall()
            parents = {row["child"]: row["parent"] for row in rows}
        for entry in ENTRIES:
            names = await _plan(pools, entry, parameters_of(entry, parameters))
            found[entry.name] = {parents.get(name, name) for name in names}
    return found


async def _plan(pools: Pools, entry: Entry, parameters: dict[str, Any]) -> set[str]:
    role, workspace = ROLES[entry.role], parameters["workspace_id"]
    async with session(pools, role=role, workspace_id=workspace if entry.role == "tenant" else None) as opened:
        plan = await opened.value(f"EXPLAIN (FORMAT JSON) {entry.query}", parameters)
    return set(_index_names(plan))


def _index_names(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _index_names(each)
    elif isinstance(node, dict):
        if "Index Name" in node:
            yield node["Index Name"]
        for each in node.values():
            yield from _index_names(each)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_owner_query_uses_its_index(entry: Entry, plans: dict[str, set[str]]) -> None:
    wanted = entry.index if isinstance(entry, OwnedIndex) else entry.served_by
    assert wanted in plans[entry.name]
