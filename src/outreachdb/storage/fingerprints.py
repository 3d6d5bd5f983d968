"""The content of a table and of its archive as numbers that are the same only when the content is.

Each value has a 64-bit hash (PostgreSQL's own), each row one made of its values'. A fingerprint is how many rows there
are, the sum of the rows' hashes, and of each column how many values are not NULL and the sum of their hashes. Sums
don't depend on the order of rows; the rows' hashes tell when values changed places between rows; the columns' sums tell
where to look.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from outreachdb.storage import hashing
from outreachdb.storage.columns import Column, hashed


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
        parts = [hashing.column_hashes(column, number, table) for number, column in enumerate(self.columns, start=1)]
        sums = [(int(valid.sum()), hashing.total(hashes[valid])) for hashes, valid in parts]
        row_sum = hashing.total(hashing.combined(parts, table.num_rows))
        self.take(Fingerprint(self.columns, table.num_rows, row_sum, sums))

    def take(self, other: Fingerprint) -> None:
        """Take in what another one has seen."""
        self.rows += other.rows
        self.row_sum += other.row_sum
        self.sums = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(self.sums, other.sums, strict=True)]

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
    layers = Layers(columns)
    # '0' is a constant from the start: with 0, which is cast first, PostgreSQL would not use parallel workers.
    layered = "SELECT {} FROM (SELECT {} FROM (SELECT {} FROM {} AS r OFFSET '0') AS v OFFSET '0') AS h"
    statement = sql.SQL(layered).format(
        *(sql.SQL(", ").join(each) for each in (layers.told, layers.hashes, layers.values)), qualified
    )
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        row = cursor.execute(statement).fetchone()
    assert row is not None  # noqa: S101  (an aggregate gives a row)
    return of_told(row, columns)


def of_told(numbers: Sequence[Any], columns: Sequence[Column]) -> Fingerprint:
    """What :attr:`Layers.told` gives: whole numbers as numbers or digits, and None for the sum of nothing."""
    told = [int(each or 0) for each in numbers]
    sums = [(told[index], told[index + 1]) for index in range(2, len(told), 2)]
    return Fingerprint(list(columns), told[0], told[1], sums)


class Layers:
    """What PostgreSQL is asked for a fingerprint: values of a row ``r``, their hashes, and what is told of all rows.

    Three layers, to be kept apart by OFFSET 0 so that no value is made, and no hash computed, twice.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        pairs = [hashed(column, number) for number, column in enumerate(columns, start=1)]
        names = [sql.Identifier(f"h{number}") for number in range(1, len(pairs) + 1)]
        self.values = [value for value, _ in pairs]
        self.hashes = [
            sql.SQL("{} AS {}").format(expression, name) for (_, expression), name in zip(pairs, names, strict=True)
        ]
        # A NULL has no hash: the function is strict, but for a number, whose value is the seed.
        mixed = sql.SQL(" # ").join(
            sql.SQL("coalesce({}, {}::bigint)").format(name, sql.Literal(number)) if column.nullable else name
            for number, (column, name) in enumerate(zip(columns, names, strict=True), start=1)
        )
        self.told = [sql.SQL("count(*)"), sql.SQL("sum(hashtextextended('', {}))").format(mixed)]
        for column, name in zip(columns, names, strict=True):
            # PostgreSQL counts all rows once, however often it is asked.
            self.told += [
                sql.SQL("count({})").format(name) if column.nullable else sql.SQL("count(*)"),
                sql.SQL("sum({})").format(name),
            ]
