"""Tries indexes where they harm nobody: hypothetical ones by hypopg, or real ones on a sampled copy of the tables."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from psycopg import sql

from outreachdb.advisor.catalogue import Catalogue, Relation
from outreachdb.advisor.fixes import qualified
from outreachdb.advisor.migration.clone import cloned
from outreachdb.advisor.workload.candidates import Candidate

SAMPLE = 200_000  # rows of one table that are copied
REPEATS = 3
LIMIT_MS = 10_000
LARGE = (
    256 * 1024**2
)  # bytes of a table from which whole pages are sampled: rows by themselves would mean reading it all
# For each statement in the database that is looked at: it is somebody's at work.
LIMITS = "SET statement_timeout = '60s'; SET lock_timeout = '1s'"
COLUMNS = """
    SELECT a.attname FROM pg_attribute AS a
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ORDER BY a.attnum
"""


class Trial(Protocol):
    """A place to plan queries with some of the candidates in force."""

    how: str

    def use(self, chosen: Sequence[Candidate]) -> None:
        """Exactly these are there from now on."""

    def cost(self, query: str) -> float | None:
        """The planner's total cost; None where it can't plan the query."""

    def size(self, candidate: Candidate) -> int:
        """Bytes of the index on the whole table."""


class Hypothetical:
    """hypopg in the database itself: nothing is built, nothing is written. It knows B-tree, BRIN and hash."""

    how = "planned with hypopg"

    def __init__(self, connection: psycopg.Connection[Any], schema: str, known: Catalogue) -> None:
        self._connection = connection
        self._schema = schema
        self._known = known
        self._made: dict[Candidate, int] = {}

    def use(self, chosen: Sequence[Candidate]) -> None:
        """Make them anew."""
        self._connection.execute(f"SELECT {self._schema}.hypopg_reset()".encode())
        self._made = {}
        for each in chosen:
            relation = self._known.relations[each.relation]
            statement = f"CREATE INDEX ON {each.definition(qualified(relation.schema, relation.name))}"
            row = self._connection.execute(
                f"SELECT indexrelid FROM {self._schema}.hypopg_create_index(%s)".encode(),  # noqa: S608  (a quoted name)
                [statement],
            ).fetchone()
            self._made[each] = int(row[0]) if row else 0

    def cost(self, query: str) -> float | None:
        """See Trial."""
        return _cost(self._connection, query)

    def size(self, candidate: Candidate) -> int:
        """Hypopg's estimate."""
        row = self._connection.execute(
            f"SELECT {self._schema}.hypopg_relation_size(%s::oid)".encode(), [self._made[candidate]]
        ).fetchone()
        return int(row[0]) if row else 0


class Sampled:
    """Real indexes on a copy: all are built once, and taken in and out by their validity."""

    how = "measured on a sampled copy"

    def __init__(self, connection: psycopg.Connection[Any], known: Catalogue, shares: dict[int, float]) -> None:
        self._connection = connection
        self._known = known
        self._shares = shares
        self._built: dict[Candidate, str] = {}

    def build(self, wanted: Sequence[Candidate]) -> list[Candidate]:
        """Build all of them; those that can be built."""
        for number, each in enumerate(wanted):
            relation = self._known.relations[each.relation]
            definition = each.definition(qualified(relation.schema, relation.name))
            with contextlib.suppress(psycopg.Error):
                self._connection.execute(f"CREATE INDEX advisor_trial_{number} ON {definition}".encode())
                self._built[each] = f"{qualified(relation.schema, f'advisor_trial_{number}')}"
        self._connection.execute("VACUUM ANALYZE")  # visibility, for indexes that answer alone
        return list(self._built)

    def use(self, chosen: Sequence[Candidate]) -> None:
        """See Trial; an index that is not valid is not planned with."""
        self._connection.execute(
            "UPDATE pg_index SET indisvalid = (indexrelid = ANY (%(use)s::regclass[])) "
            "WHERE indexrelid = ANY (%(all)s::regclass[])",
            {"use": [self._built[each] for each in chosen], "all": list(self._built.values())},
        )

    def cost(self, query: str) -> float | None:
        """See Trial."""
        return _cost(self._connection, query)

    def milliseconds(self, query: str) -> float | None:
        """The best of some runs; None for what has parameters, writes, fails or takes too long."""
        best: float | None = None
        try:
            with self._connection.transaction(force_rollback=True):
                self._connection.execute("SET TRANSACTION READ ONLY")
                self._connection.execute(f"SET LOCAL statement_timeout = {LIMIT_MS}".encode())
                for _ in range(REPEATS):
                    row = self._connection.execute(
                        f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}".encode()
                    ).fetchone()
                    took = _json(row)[0]["Execution Time"]
                    best = took if best is None else min(best, took)
        except psycopg.Error:
            return None
        return best

    def size(self, candidate: Candidate) -> int:
        """The built size, scaled to the whole table."""
        row = self._connection.execute("SELECT pg_relation_size(%s::regclass)", [self._built[candidate]]).fetchone()
        return round((int(row[0]) if row else 0) / self._shares[candidate.relation])

    def write_ms(self, candidate: Candidate, rows: int = 5000) -> float:
        """Extra milliseconds per inserted row: the same rows into a bare table, without and with the index."""
        relation = self._known.relations[candidate.relation]
        table = qualified(relation.schema, relation.name)
        took = []
        for indexed in (False, True):
            with self._connection.transaction(force_rollback=True):
                self._connection.execute(f"CREATE TABLE advisor_writes (LIKE {table} INCLUDING DEFAULTS)".encode())
                if indexed:
                    self._connection.execute(f"CREATE INDEX ON {candidate.definition('advisor_writes')}".encode())
                began = time.perf_counter()
                insert = f"INSERT INTO advisor_writes SELECT * FROM {table} LIMIT {rows}"  # noqa: S608  (a quoted name)
                done = self._connection.execute(insert.encode())
                took.append((time.perf_counter() - began) * 1000 / max(done.rowcount, 1))
        return max(took[1] - took[0], 0.0)


@contextmanager
def sampled(url: str, known: Catalogue, relations: Sequence[Relation]) -> Iterator[Sampled]:
    """A throw-away server with the schema and a sample of these tables."""
    with cloned(url) as target, psycopg.connect(url) as source, psycopg.connect(target, autocommit=True) as copy:
        source.read_only = True
        source.execute(LIMITS)
        copy.execute("SET session_replication_role = replica")
        shares = {each.oid: _copy(source, copy, each) for each in relations}
        copy.prepare_threshold = None
        yield Sampled(copy, known, shares)


def _copy(source: psycopg.Connection[Any], copy: psycopg.Connection[Any], relation: Relation) -> float:
    """Copy at most SAMPLE rows; which share that is."""
    table = qualified(relation.schema, relation.name)
    share = min(1.0, SAMPLE / relation.rows) if relation.rows else 1.0
    columns = sql.SQL(", ").join(sql.Identifier(row[0]) for row in source.execute(COLUMNS, [table]).fetchall())
    method = "SYSTEM" if relation.bytes > LARGE else "BERNOULLI"
    sample = f" TABLESAMPLE {method} ({share * 100:.6f}) REPEATABLE (1)" if share < 1 else ""
    reading = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT").format(columns, sql.SQL(table), sql.SQL(sample))
    writing = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.SQL(table), columns)
    with source.cursor().copy(reading) as rows, copy.cursor().copy(writing) as target:
        for block in rows:
            target.write(block)
    return share


def _cost(connection: psycopg.Connection[Any], query: str) -> float | None:
    """By a generic plan where the query has parameters."""
    try:
        with connection.transaction(force_rollback=True):
            if "$1" not in query:
                return float(
                    _json(connection.execute(f"EXPLAIN (FORMAT JSON) {query}".encode()).fetchone())[0]["Plan"][
                        "Total Cost"
                    ]
                )
            connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            connection.execute(f"PREPARE advisor_trial AS {query}".encode())
            try:
                row = connection.execute(
                    "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'advisor_trial'"
                ).fetchone()
                nulls = ", ".join(["NULL"] * (int(row[0]) if row else 0))
                plan = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE advisor_trial ({nulls})".encode()).fetchone()
                return float(_json(plan)[0]["Plan"]["Total Cost"])
            finally:
                connection.execute("DEALLOCATE advisor_trial")
    except psycopg.Error:
        with contextlib.suppress(psycopg.Error):
            connection.execute("DEALLOCATE advisor_trial")
        return None


def _json(row: Any) -> Any:
    return row[0] if isinstance(row[0], list) else json.loads(row[0])
