"""Counts the rows that break a CHECK which a finding proposes; on large tables on a sample, and says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg

from outreachdb.advisor.catalogue import Catalogue, Relation
from outreachdb.advisor.fixes import qualified
from outreachdb.db.pools import Connection

if TYPE_CHECKING:
    from outreachdb.advisor.advise import Raw

WHOLE = 256 * 1024**2  # bytes of a table that is still read as a whole
SAMPLE = 64 * 1024**2  # bytes that are read of a larger one
LIMIT_MS = 5000  # for one count
BUDGET = 200  # counts of one run


async def count_violations(connection: Connection, known: Catalogue, raw: Sequence[Raw], notes: list[str]) -> list[Raw]:
    """The same findings, with ``violating_rows`` in their evidence where the rows could be read."""
    done, counted = [], 0
    for each in raw:
        checks = [fix for fix in each.fixes if fix["kind"] == "add_check"]
        relation = known.relations.get(each.relation) if each.relation else None
        if not checks or relation is None or not relation.readable:
            done.append(each)
            continue
        counted += 1
        if counted > BUDGET:
            done.append(each)
            continue
        evidence = await _count(connection, relation, str(checks[0]["expression"]))
        done.append(replace(each, evidence=each.evidence | evidence))
    if counted > BUDGET:
        notes.append(f"rows that break a proposed rule were counted for the first {BUDGET} findings only")
    return done


async def _count(connection: Connection, relation: Relation, expression: str) -> dict[str, Any]:
    table = qualified(relation.schema, relation.name)
    whole = relation.bytes <= WHOLE
    share = 1.0 if whole else SAMPLE / relation.bytes
    sample = "" if whole else f" TABLESAMPLE SYSTEM ({share * 100:.6f}) REPEATABLE (1)"
    statement = f"SELECT count(*) AS broken FROM {table}{sample} WHERE NOT ({expression})"  # noqa: S608  (rules' text)
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = {LIMIT_MS}".encode())
            row = await (await connection.execute(statement.encode())).fetchone()
    except psycopg.Error as error:
        return {"violating_rows": None, "not_counted": str(error).splitlines()[0]}
    broken = int(row["broken"]) if row else 0
    if whole:
        return {"violating_rows": broken}
    return {"violating_rows": round(broken / share), "estimated_from_share": round(share, 6)}
