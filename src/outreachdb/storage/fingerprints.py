"""The content of a table and of its archive as numbers that are the same only when the content is.

Each value has a 64-bit hash (PostgreSQL's own), each row one made of its values'. A fingerprint is how many rows there
are, the sum of the rows' hashes, and of each column how many values are not NULL and the sum of their hashes. Sums
don't depend on the order of rows; the rows' hashes tell when values changed places between rows; the columns' sums tell
where to look.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from outreachdb.storage import hashing
from outreachdb.storage.columns import Column, hashed

# numpy lets go of the interpreter while it works on many values.
THREADS = 2


@dataclass(slots=True)
class Fingerprint:
    """Rows, the sum of their hashes, and per column (values that are not NULL, the sum of their hashes)."""

    columns: list[Column]
    rows: int = 0
    row_sum: int = 0
    sums: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """A new one has seen nothing."""
        self.sums = self.sums or [(0, 0)] * len(self.columns)

    def add(self, table: pa.Table | pa.RecordBatch) -> None:
        """Take in rows as they lie in a file."""
        with ThreadPoolExecutor(THREADS) as threads:
            numbered = enumerate(self.columns, start=1)
            parts = list(threads.map(lambda each: hashing.column_hashes(each[1], each[0], table), numbered))
        for index, (hashes, valid) in enumerate(parts):
            count, total = self.sums[index]
            self.sums[index] = (count + int(valid.sum()), total + hashing.total(hashes[valid]))
        self.row_sum += hashing.total(hashing.combined(parts, table.num_rows))
        self.rows += table.num_rows

    @property
    def sha256(self) -> bytes:
        """One hash of everything in it."""
        return sha256(json.dumps(self.document(), separators=(",", ":")).encode()).digest()

    def document(self) -> dict[str, Any]:
        """For the database and the file's metadata; sums as text, as JSON's numbers end at 2^53."""
        columns = [
            {"name": column.name, "type": column.type, "values": count, "sum": str(total)}
            for column, (count, total) in zip(self.columns, self.sums, strict=True)
        ]
        return {"rows": self.rows, "sum": str(self.row_sum), "columns": columns}

    def differences(self, other: Fingerprint) -> list[str]:
        """What is not the same, in words."""
        found = [] if self.rows == other.rows else [f"{self.rows} rows against {other.rows}"]
        for column, mine, theirs in zip(self.columns, self.sums, other.sums, strict=True):
            if mine[0] != theirs[0]:
                found.append(f"column {column.name}: {mine[0]} values against {theirs[0]}")
            elif mine != theirs:
                found.append(f"column {column.name}: other values")
        if not found and self.row_sum != other.row_sum:
            found.append("values stand in other rows")
        return found


def of_document(document: dict[str, Any], columns: Sequence[Column]) -> Fingerprint:
    """A fingerprint that was stored."""
    sums = [(int(each["values"]), int(each["sum"])) for each in document["columns"]]
    return Fingerprint(list(columns), int(document["rows"]), int(document["sum"]), sums)


def of_table(connection: psycopg.Connection[Any], qualified: sql.Composable, columns: Sequence[Column]) -> Fingerprint:
    """The fingerprint of a table, computed by PostgreSQL; the session must have the settings of :mod:`columns`."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        row = cursor.execute(_statement(qualified, columns)).fetchone()
    assert row is not None  # noqa: S101  (an aggregate gives a row)
    numbers = [int(each or 0) for each in row]
    sums = [(numbers[index], numbers[index + 1]) for index in range(2, len(numbers), 2)]
    return Fingerprint(list(columns), numbers[0], numbers[1], sums)


def _statement(qualified: sql.Composable, columns: Sequence[Column]) -> sql.Composed:
    """Three layers, kept apart by OFFSET 0 so that no value is made, and no hash computed, twice."""
    pairs = [hashed(column, number) for number, column in enumerate(columns, start=1)]
    names = [sql.Identifier(f"h{number}") for number in range(1, len(pairs) + 1)]
    hashes = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(expression, name) for (_, expression), name in zip(pairs, names, strict=True)
    )
    # A NULL has no hash: the function is strict, but for a number, whose value is the seed.
    mixed = sql.SQL(" # ").join(
        sql.SQL("coalesce({}, {}::bigint)").format(name, sql.Literal(number))
        for number, name in enumerate(names, start=1)
    )
    sums = sql.SQL("").join(sql.SQL(", count({n}), sum({n})").format(n=name) for name in names)
    return sql.SQL(
        "SELECT count(*), sum(hashtextextended('', {mixed})){sums} FROM (SELECT {hashes} FROM ("
        "SELECT {values} FROM {table} AS r OFFSET 0) AS v OFFSET 0) AS h"
    ).format(
        mixed=mixed, sums=sums, hashes=hashes, table=qualified, values=sql.SQL(", ").join(value for value, _ in pairs)
    )
