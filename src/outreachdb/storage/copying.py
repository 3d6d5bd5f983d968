"""Rows between PostgreSQL and Arrow as CSV, in portions: memory stays the same however many rows there are."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import pq, sql
from pyarrow import csv

from outreachdb.errors import OutreachDBError
from outreachdb.storage import columns as mapping
from outreachdb.storage.columns import EXACT, Column
from outreachdb.storage.hashing import exceptions

# Bytes of text in one portion; one is parsed while the next is taken up.
PORTION = 8 * 1024 * 1024
Stop = Callable[[], bool]


def copy_out(
    connection: psycopg.Connection[Any],
    source: sql.Composable,
    columns: Sequence[Column],
    *,
    portion: int = PORTION,
    stop: Stop = bool,
) -> Iterator[pa.Table]:
    """Rows of ``source``, a FROM clause of rows called ``r``: Arrow tables of about ``portion`` bytes of text."""
    statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv)").format(
        mapping.outgoing(list(columns)), source
    )
    yield from _parsed(_rows(connection, statement.as_bytes(connection), portion, stop), columns)


def _parsed(texts: Iterator[bytes], columns: Sequence[Column]) -> Iterator[pa.Table]:
    with ThreadPoolExecutor(1) as parser:
        waiting: Future[pa.Table] | None = None
        for text in texts:
            parsed = parser.submit(_parse, text, columns)
            if waiting is not None:
                yield waiting.result()
            waiting = parsed
        if waiting is not None:
            yield waiting.result()


def _rows(connection: psycopg.Connection[Any], statement: bytes, portion: int, stop: Stop) -> Iterator[bytes]:
    """CSV in portions that end with a row, by libpq's own calls: through ``cursor.copy`` a row costs twice as much."""
    pgconn = connection.pgconn
    result = pgconn.exec_(statement)
    if result.status != pq.ExecStatus.COPY_OUT:
        raise OutreachDBError(f"rows can't be read: {result.get_error_message()}")
    rows: list[memoryview] = []
    size = 0
    while True:
        length, data = pgconn.get_copy_data(1)
        if length > 0:
            rows.append(data)
            size += length
            if size >= portion:
                yield b"".join(rows)
                rows, size = [], 0
        elif length == 0:
            if stop():
                pgconn.get_cancel().cancel()
            select.select([pgconn.socket], [], [], 1.0)
            pgconn.consume_input()
        else:
            break
    ended = pgconn.get_result()
    while pgconn.get_result() is not None:
        pass
    if ended is None or ended.status != pq.ExecStatus.COMMAND_OK:
        raise OutreachDBError(f"rows can't be read: {ended.get_error_message() if ended else 'the connection broke'}")
    if rows:
        yield b"".join(rows)


def _parse(text: bytes, columns: Sequence[Column]) -> pa.Table:
    types = mapping.carried(list(columns))
    parsed = csv.read_csv(
        pa.BufferReader(text),
        # One block: a portion ends with a row, and is as large as its largest row.
        read_options=csv.ReadOptions(column_names=list(types), block_size=len(text) + 1, use_threads=True),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    arrays = [_arrived(column, parsed.column(column.name)) for column in columns]
    if EXACT in types:
        arrays.append(parsed.column(EXACT))
    return pa.Table.from_arrays(arrays, schema=mapping.schema(list(columns)))


def _arrived(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.form == "instant":
        return values.cast(column.arrow)
    return (
        pa.chunked_array([_from_hex(each) for each in values.chunks], pa.binary()) if column.form == "bytes" else values
    )


def _from_hex(array: pa.Array) -> pa.Array:
    """All values at once: what lies between two offsets is hexadecimal digits only."""
    validity, places, digits = array.buffers()
    offsets = np.frombuffer(places, np.int32)[array.offset : array.offset + len(array) + 1]
    data = bytes.fromhex(str(digits[offsets[0] : offsets[-1]].to_pybytes(), "ascii")) if digits is not None else b""
    halves = ((offsets - offsets[0]) // 2).astype(np.int32)
    if array.offset and validity is not None:
        return pa.array([None if each is None else bytes.fromhex(each) for each in array.to_pylist()], pa.binary())
    return pa.Array.from_buffers(pa.binary(), len(array), [validity, pa.py_buffer(halves), pa.py_buffer(data)])


def copy_in(
    connection: psycopg.Connection[Any], target: sql.Composable, columns: Sequence[Column], tables: Iterator[pa.Table]
) -> int:
    """Write rows as they lie in a file into a table; how many."""
    stored = [column for column in columns if not column.generated]
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in stored)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(target, names)
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    rows = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for table in tables:
            sink = pa.BufferOutputStream()
            arrays = [_departing(column, table) for column in stored]
            csv.write_csv(pa.Table.from_arrays(arrays, names=[column.name for column in stored]), sink, options)
            copy.write(sink.getvalue())
            rows += table.num_rows
    return rows


def _departing(column: Column, table: pa.Table) -> pa.ChunkedArray | pa.Array:
    values = table.column(column.name)
    if column.form == "bytes":
        return pa.array([None if each is None else "\\x" + each.hex() for each in values.to_pylist()], pa.string())
    if column.form == "instant" and column.kind == "timestamptz":
        values = values.cast(pa.timestamp("us"))  # the session's zone is UTC
    special = exceptions(column.name, table)
    if special:
        texts = values.cast(pa.string()).to_pylist()
        for row, text in special:
            texts[row] = text
        return pa.array(texts, pa.string())
    return values
