"""A table's rows out of PostgreSQL into Arrow, in portions, each column of a portion as one value on the wire.

PostgreSQL joins a column's values as they lie in Arrow's memory: whole numbers, floats, instants and dates by their own
binary form, texts and bytes one behind the other with their lengths beside them. Nothing is quoted, printed as digits
or parsed; memory stays the same however many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import errors as pg
from psycopg import sql

from outreachdb.errors import Cancelled, OutreachDBError
from outreachdb.storage import columns as mapping
from outreachdb.storage.columns import EXACT, Column

# Of the table's pages in one portion. Two are under way at a time.
PORTION = 8 * 1024 * 1024
PAGE = 8192
SIZES = """
    SELECT pg_relation_size(c.oid) / 8192 AS pages, coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toasted
    FROM pg_class AS c WHERE c.oid = %s::regclass
"""
# What PostgreSQL counts from, as Unix time.
EPOCHS = {"instant": 946_684_800_000_000, "date": 10_957}
# Years 1 to 9999, in microseconds and days since 1970; all else stands in ``_exact``.
UNITS = {"instant": "us", "date": "D"}
LIMITS = {
    form: tuple(np.datetime64(each, unit).astype(np.int64) for each in (mapping.FIRST, mapping.AFTER_LAST))
    for form, unit in UNITS.items()
}
# By form and size of one value: how it lies in Arrow's memory.
SIZED = {"bool": 1, "int2": 2, "int4": 4, "int8": 8, "float4": 4, "float8": 8, "timestamp": 8, "timestamptz": 8, "date": 4}

Stop = Callable[[], bool]
Valid = npt.NDArray[np.bool_]
Values = list[bytes]


def table_out(
    connection: psycopg.Connection[Any],
    qualified: sql.Composable,
    columns: Sequence[Column],
    *,
    portion: int = PORTION,
    stop: Stop = bool,
) -> Generator[pa.Table]:
    """All rows of a table that nobody changes meanwhile, as Arrow tables of about ``portion`` bytes of its pages.

    While one is worked on, PostgreSQL makes the next.
    """
    kept = list(columns)
    if any(column.ranged for column in columns):
        kept.append(Column(EXACT, "text", "text"))
    schema = mapping.schema(list(columns))
    with closing(_ahead(_ranges(connection, qualified, columns, portion, stop))) as coming:
        for values in coming:
            yield _table(values, kept, schema)


def _ahead(items: Iterator[Values]) -> Generator[Values]:
    """The same, the next one fetched meanwhile; who closes it waits for that, as a connection serves one at a time."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item


def _ranges(
    connection: psycopg.Connection[Any], qualified: sql.Composable, columns: Sequence[Column], portion: int, stop: Stop
) -> Iterator[Values]:
    """Ranges of pages; one whose columns would be too long for one value, or together for one message, is halved."""
    sizes = connection.execute(SIZES, [qualified.as_string(connection)]).fetchone()
    pages, toasted = (int(sizes["pages"]), int(sizes["toasted"])) if sizes else (0, 0)
    # What lies out of line may be compressed.
    step = max(1, portion // (PAGE + (toasted * 4 // pages if pages else 0)))
    joined = mapping.joined(list(columns), qualified)
    first = 0
    while first < pages:
        if stop():
            raise Cancelled("stopped; what was committed stays")
        last = min(first + step, pages)
        statement = sql.SQL("{} WHERE r.ctid >= {}::tid AND r.ctid < {}::tid OFFSET 0) AS v").format(
            joined, sql.Literal(f"({first},0)"), sql.Literal(f"({last},0)")
        )
        try:
            with connection.transaction():
                values = _values(connection, statement)
        except pg.ProgramLimitExceeded:
            if step == 1:
                raise
            step = max(1, step // 2)
            continue
        if int.from_bytes(values[0], "big"):
            yield values
        first = last


def _values(connection: psycopg.Connection[Any], statement: sql.Composed) -> Values:
    """One row in binary, as it came."""
    with connection.cursor() as cursor:
        result = cursor.execute(statement, binary=True).pgresult
        assert result is not None  # noqa: S101  (an aggregate gives a row)
        return [result.get_value(0, number) or b"" for number in range(result.nfields)]


def _table(values: Values, columns: Sequence[Column], schema: pa.Schema) -> pa.Table:
    """The count of rows comes first, then the values of each column, each with what says which of them are NULL."""
    rows, told = int.from_bytes(values[0], "big"), iter(values[1:])
    try:
        arrays = [
            _lengthy(column, rows, next(told), next(told))
            if column.kind not in SIZED
            else _sized(column, rows, next(told), next(told) if column.nullable else None)
            for column in columns
        ]
    except ValueError as error:
        raise OutreachDBError(f"rows can't be read: {error}") from None
    return pa.Table.from_arrays(arrays, schema=schema)


def _lengthy(column: Column, rows: int, data: bytes, lengths: bytes) -> pa.Array:
    """Texts and bytes; a NULL has the length -1."""
    told = np.frombuffer(lengths, ">i4").astype(np.int32)
    valid = told >= 0
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(np.maximum(told, 0), out=offsets[1:])
    if offsets[-1] != len(data):
        raise ValueError(f"column {column.name} has {len(data)} bytes instead of {offsets[-1]}")
    return _array(column.arrow, rows, valid, [pa.py_buffer(offsets), pa.py_buffer(data)])


def _sized(column: Column, rows: int, data: bytes, present: bytes | None) -> pa.Array:
    """Values that are of the same size; those that are NULL are not among them."""
    size = SIZED[column.kind]
    there = np.frombuffer(data, f">i{size}").astype(f"<i{size}")
    valid = np.ones(rows, np.bool_) if present is None else np.frombuffer(present, np.bool_)
    if len(there) != np.count_nonzero(valid):
        raise ValueError(f"column {column.name} has {len(there)} values instead of {np.count_nonzero(valid)}")
    if len(there) == rows:
        values = there
    else:
        values = np.zeros(rows, there.dtype)
        values[valid] = there
    if column.ranged:
        first, after = LIMITS[column.form]
        # Before the epoch is moved: infinity is the largest number.
        epoch = EPOCHS[column.form]
        valid = valid & (values >= first - epoch) & (values < after - epoch)
        values = np.where(valid, values, 0) + values.dtype.type(epoch)
    if column.kind == "bool":
        values = np.packbits(values.view(np.bool_), bitorder="little")
    return _array(column.arrow, rows, valid, [pa.py_buffer(values)])


def _array(kind: pa.DataType, rows: int, valid: Valid, buffers: list[pa.Buffer]) -> pa.Array:
    missing = rows - int(np.count_nonzero(valid))
    bits = pa.py_buffer(np.packbits(valid, bitorder="little")) if missing else None
    return pa.Array.from_buffers(kind, rows, [bits, *buffers], missing)
