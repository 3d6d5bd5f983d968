"""Where queries come from: pg_stat_statements, or a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from pglast import parser

from outreachdb.advisor.catalogue import Catalogue
from outreachdb.db.pools import Connection
from outreachdb.errors import InvalidInput

MOST = 1000  # queries of one run, the costliest by total time
STATEMENTS = """
    SELECT
        s.query, sum(s.calls)::float8 AS calls, sum(s.total_exec_time)::float8 AS total_ms,
        sum(s.rows)::float8 AS rows
    FROM {schema}.pg_stat_statements AS s
    WHERE s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    GROUP BY s.query
    ORDER BY total_ms DESC
    LIMIT {most}
"""


@dataclass(frozen=True, slots=True)
class Statement:
    """One query with how often it ran and how long in all; parameters may stand as ``$1``."""

    text: str
    calls: float = 1.0
    total_ms: float = 1.0
    rows: float = 0.0


@dataclass(frozen=True, slots=True)
class Workload:
    """The queries, the costliest first, and where they come from."""

    statements: tuple[Statement, ...] = ()
    origin: str = "nowhere"
    left_out: int = field(default=0)


async def from_server(connection: Connection, known: Catalogue, notes: list[str]) -> Workload:
    """What pg_stat_statements knows of this database; empty, with a note, where it is not there."""
    if known.statements_schema is None:
        notes.append("pg_stat_statements is not installed here: no query was looked at (or give a file of them)")
        return Workload()
    try:
        async with connection.transaction():
            found = await connection.execute(STATEMENTS.format(schema=known.statements_schema, most=MOST).encode())
            rows = await found.fetchall()
    except psycopg.Error as error:
        notes.append(f"pg_stat_statements can't be read, no query was looked at: {str(error).splitlines()[0]}")
        return Workload()
    made = [Statement(row["query"], row["calls"], row["total_ms"], row["rows"]) for row in rows]
    seen = [each for each in made if each.text != "<insufficient privilege>"]
    if len(seen) < len(made):
        notes.append(f"the text of {len(made) - len(seen)} queries of other roles is hidden (GRANT pg_read_all_stats)")
    return Workload(tuple(seen), "pg_stat_statements")


def from_file(path: Path) -> Workload:
    """Queries of a file: SQL separated by semicolons, or JSON lines ``{"query", "calls", "total_ms"}``.

    InvalidInput says which line can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} can't be read: {error}") from error
    if text.lstrip().startswith("{"):
        made = list(_json_lines(path, text))
    else:
        try:
            made = [Statement(part) for part in parser.split(text) if part.strip()]
        except parser.ParseError as error:
            raise InvalidInput(
                f"{path} is not SQL: {error.args[0]}", hint="one query after the other, each ended by ;"
            ) from error
    made.sort(key=lambda each: -each.total_ms)
    return Workload(tuple(made[:MOST]), path.name, max(len(made) - MOST, 0))


def _json_lines(path: Path, text: str) -> Iterable[Statement]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            item: dict[str, Any] = json.loads(line)
            yield Statement(
                str(item["query"]),
                float(item.get("calls", 1)),
                float(item.get("total_ms", 1)),
                float(item.get("rows", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{path}, line {number}: not a query in JSON", hint='{"query": "...", "calls": 1, "total_ms": 1}'
            ) from error
