"""Which foreign keys are served by an index, asked of the planner itself: it plans the check's own query.

Independent of the rule: nothing here reads predicates, operator classes, collations or validity. Each index is left
alone with the table (the others are marked invalid in a transaction that is rolled back), sequential scans are switched
off, and the generic plan of the check's query must search the index by the key's columns, the first of it. With all
indexes there, any plan that reads an index, in whatever way, says that the key is not without one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import psycopg

KEYS = """
    SELECT k.oid, k.conname, k.conrelid, k.confrelid, n.nspname, t.relname, t.relkind, k.confkey,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (num, place)
                 JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY place) AS columns,
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (num, place)
                 JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY place) AS parents,
           ARRAY(SELECT format_type(o.oprleft, NULL) FROM unnest(k.conpfeqop) WITH ORDINALITY AS u (op, place)
                 JOIN pg_operator AS o ON o.oid = u.op ORDER BY place) AS types
    FROM pg_constraint AS k
    JOIN pg_class AS t ON t.oid = k.conrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = ANY (%s)
      AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
    ORDER BY n.nspname, t.relname, k.conname
"""
LEAVES = """
    SELECT c.oid::regclass::text AS name, c.oid
    FROM (SELECT p.relid FROM pg_partition_tree(%(table)s::oid) AS p WHERE p.isleaf
          UNION SELECT %(table)s::oid) AS x (oid)
    JOIN pg_class AS c ON c.oid = x.oid AND c.relkind = 'r'
"""
INDEXES = """
    SELECT i.indexrelid, c.relname, m.amname,
           ARRAY(SELECT pg_get_indexdef(i.indexrelid, p, true) FROM generate_series(1, i.indnkeyatts) AS p) AS keys
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS m ON m.oid = c.relam
    WHERE i.indrelid = %s
"""
ALONE = "UPDATE pg_index SET indisvalid = false WHERE indrelid = %s AND indexrelid <> %s"
UNIQUE_PARTS = """
    SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) AS k (num)
                 JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.num) AS columns
    FROM pg_index AS i
    WHERE i.indrelid = %s AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
"""


@dataclass(frozen=True)
class Served:
    """What the planner says of one database."""

    keys: int
    unserved: frozenset[tuple[str, str, str]]  # schema, table, constraint
    without: frozenset[tuple[str, str, str]]  # of them, those without any index plan, however long


def ask(connection: psycopg.Connection[Any], schemas: list[str]) -> Served:
    """Plan the check of every foreign key in these schemas."""
    connection.autocommit, connection.prepare_threshold = False, None
    rows = connection.cursor(row_factory=psycopg.rows.dict_row).execute(KEYS, [schemas]).fetchall()
    connection.execute("SET enable_seqscan = off")
    connection.execute("SET plan_cache_mode = force_generic_plan")
    unserved, without = set(), set()
    for key in rows:
        leaves = connection.execute(LEAVES, {"table": key["conrelid"]}).fetchall()
        connection.commit()
        # A partitioned table without partitions holds nothing to look through.
        if not all(_served(connection, key, name, oid) for name, oid in leaves):
            unserved.add((key["nspname"], key["relname"], key["conname"]))
        if not all(_index_nodes(_plan(connection, key, name)) for name, _ in leaves):
            without.add((key["nspname"], key["relname"], key["conname"]))
        connection.rollback()
    return Served(len(rows), frozenset(unserved), frozenset(without))


def _served(connection: psycopg.Connection[Any], key: dict[str, Any], leaf: str, oid: int) -> bool:
    found = False
    for index, name, method, keys in connection.execute(INDEXES, [oid]).fetchall():
        connection.execute(ALONE, [oid, index])
        for node in _index_nodes(_plan(connection, key, leaf)):
            if node["Index Name"] == name and "Index Cond" in node and method != "brin":
                found |= _leads(connection, key, node["Index Cond"], method, keys)
        connection.rollback()
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.commit()
    return found


def _leads(
    connection: psycopg.Connection[Any], key: dict[str, Any], condition: str, method: str, keys: list[str]
) -> bool:
    bound = [name for name in key["columns"] if f"{_q(name)} = " in condition or f"{_q(name)})::" in condition]
    first = bound if method == "gin" else [name for name in keys[: len(bound)] if name.strip('"') in bound]
    if len(first) < len(bound):
        bound = []
        for name in keys:
            if name.strip('"') not in key["columns"]:
                break
            bound.append(name.strip('"'))
    if set(bound) == set(key["columns"]):
        return True
    parents = {parent for column, parent in zip(key["columns"], key["parents"], strict=True) if column in bound}
    uniques = connection.execute(UNIQUE_PARTS, [key["confrelid"]]).fetchall()
    return any(set(columns) <= parents for (columns,) in uniques)


def _plan(connection: psycopg.Connection[Any], key: dict[str, Any], leaf: str) -> Any:
    conditions = " AND ".join(
        f"${number} OPERATOR(pg_catalog.=) x.{_q(name)}" for number, name in enumerate(key["columns"], 1)
    )
    connection.execute("DEALLOCATE ALL")
    types = ", ".join(key["types"]).replace("anyarray", "text[]")
    connection.execute(
        f"PREPARE fk ({types}) AS SELECT 1 FROM ONLY {leaf} AS x WHERE {conditions} FOR KEY SHARE OF x".encode()
    )
    nulls = ", ".join(["NULL"] * len(key["columns"]))
    row = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE fk ({nulls})".encode()).fetchone()
    assert row is not None
    return row[0] if isinstance(row[0], list) else json.loads(row[0])


def _index_nodes(plan: Any) -> list[dict[str, Any]]:
    """The nodes that read an index."""
    found, waiting = [], [plan[0]["Plan"]]
    while waiting:
        node = waiting.pop()
        if "Index Name" in node:
            found.append(node)
        waiting += node.get("Plans", [])
    return found


def _q(name: str) -> str:
    return name if name.isidentifier() and name == name.lower() else f'"{name}"'
