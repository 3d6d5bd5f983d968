"""A table's rows out of PostgreSQL into Arrow, in portions, each column of a portion as one value on the wire.

PostgreSQL joins a column's values as they lie in Arrow's memory: whole numbers, floats, instants and dates by their own
binary form, texts and bytes one behind the other with their lengths beside them. Nothing is quoted, printed as digits
or parsed; memory stays the same however many rows there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
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
from outreachdb.storage.fingerprints import Fingerprint, Layers, of_told

# Bytes of the table's pages in one portion. Three are under way at a time and share the processor's cache: of 1, 4, 8
# and 16 MB, all but the smallest were about equal.
PORTION = 8 * 1024 * 1024
PAGE = 8192
SIZES = """
    SELECT pg_relation_size(c.oid) / 8192 AS pages, coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toasted
    FROM pg_class AS c WHERE c.oid = %s::regclass
"""
# What PostgreSQL counts from, as Unix time.
EPOCHS = {"instant": 946_684_800_000_000, "date": 10_957}
# Years 1 to 9999, in microseconds and days since 1970; all else stands in ``_exact``.
ENDS = mapping.FIRST, mapping.AFTER_LAST
LIMITS = {
    "instant": [np.datetime64(each, "us").astype(np.int64) for each in ENDS],
    "date": [np.datetime64(each, "D").astype(np.int64) for each in ENDS],
}
# Bytes of one value, of types whose values are all of one size.
SIZED = {
    "bool": 1,
    "int2": 2,
    "int4": 4,
    "int8": 8,
    "float4": 4,
    "float8": 8,
    "timestamp": 8,
    "timestamptz": 8,
    "date": 4,
}

Stop = Callable[[], bool]
Valid = npt.NDArray[np.bool_]
Values = list[bytes | None]
Range = tuple[int, int]


def table_out(
    connections: Sequence[psycopg.Connection[Any]],
    qualified: sql.Composable,
    columns: Sequence[Column],
    told: Fingerprint,
    *,
    portion: int = PORTION,
    stop: Stop = bool,
) -> Generator[pa.Table]:
    """All rows of a table that nobody changes meanwhile, as Arrow tables of about ``portion`` bytes of its pages.

    Each connection makes a portion while others are worked on. ``told`` takes in what PostgreSQL says of the rows, as
    :func:`fingerprints.of_table` does: each value is read, and made a text, once for both.
    """
    kept = list(columns)
    if any(column.ranged for column in columns):
        kept.append(Column(EXACT, "text", "text"))
    schema = mapping.schema(list(columns))
    statement, numbers = _statement(columns, qualified), len(columns) * 2 + 2
    pages = _Pages(connections[0], qualified, portion, stop)
    with closing(_in_turn([partial(_portion, each, statement) for each in connections], pages)) as portions:
        for values in portions:
            part = of_told(values[:numbers], columns)
            told.take(part)
            if part.rows:
                yield _table(part.rows, values[numbers:], kept, schema)


class _Pages:
    """Ranges of pages, one after the other; they can be made smaller on the way."""

    def __init__(
        self, connection: psycopg.Connection[Any], qualified: sql.Composable, portion: int, stop: Stop
    ) -> None:
        sizes = connection.execute(SIZES, [qualified.as_string(connection)]).fetchone()
        self._pages, toasted = (int(sizes["pages"]), int(sizes["toasted"])) if sizes else (0, 0)
        # What lies out of line may be compressed.
        self._step = max(1, portion // (PAGE + (toasted * 4 // self._pages if self._pages else 0)))
        self._next, self._stop = 0, stop

    def take(self) -> Range | None:
        """The next range; None at the end."""
        if self._stop():
            raise Cancelled("stopped; what was committed stays")
        if self._next >= self._pages:
            return None
        first, self._next = self._next, min(self._next + self._step, self._pages)
        return first, self._next

    def halved(self, pages: Range) -> list[Range]:
        """A range in two, and those that follow half as long."""
        first, last = pages
        if last - first == 1:
            raise OutreachDBError("the rows of one page are too long to be read at once")
        half = (last - first) // 2
        self._step = min(self._step, half)
        return [(first, first + half), (first + half, last)]


def _in_turn(sources: Sequence[Callable[[Range], Values]], pages: _Pages) -> Generator[Values]:
    """The portions in the order of their pages, the next ones under way.

    Who closes it waits for those, as a connection serves one statement at a time.
    """
    with ExitStack() as stack:
        hands = [(source, stack.enter_context(ThreadPoolExecutor(1))) for source in sources]
        coming: deque[tuple[int, Range, Future[Values]]] = deque()

        def begin(hand: int) -> None:
            if (some := pages.take()) is not None:
                source, thread = hands[hand]
                coming.append((hand, some, thread.submit(source, some)))

        for hand in range(len(hands)):
            begin(hand)
        while coming:
            hand, some, future = coming.popleft()
            try:
                found = future.result()
            except pg.ProgramLimitExceeded:
                yield from _halves(hands[hand][0], some, pages)
                begin(hand)
            else:
                begin(hand)
                yield found


def _halves(source: Callable[[Range], Values], some: Range, pages: _Pages) -> Iterator[Values]:
    """A portion in which a column is too long for one value, or all are for one message."""
    for half in pages.halved(some):
        try:
            values = source(half)
        except pg.ProgramLimitExceeded:
            yield from _halves(source, half, pages)
        else:
            yield values


def _statement(columns: Sequence[Column], qualified: sql.Composable) -> sql.Composed:
    """What is told of the rows of a range, and their columns; the condition is still missing."""
    layers = Layers(columns)
    beside, joined = mapping.sent(list(columns))
    told = [sql.SQL("({})::text").format(each) for each in layers.told]
    return sql.SQL("SELECT {} FROM (SELECT v.*, {} FROM (SELECT {} FROM {} AS r").format(
        *(sql.SQL(", ").join(each) for each in (told + joined, layers.hashes, layers.values + beside)), qualified
    )


def _portion(connection: psycopg.Connection[Any], statement: sql.Composed, some: Range) -> Values:
    """One row in binary, as it came."""
    # Not as parameters: a column's name may have a percent sign.
    of_range = sql.SQL("{} WHERE r.ctid >= {}::tid AND r.ctid < {}::tid OFFSET 0) AS v OFFSET 0) AS h").format(
        statement, *(sql.Literal(f"({page},0)") for page in some)
    )
    with connection.transaction(), connection.cursor() as cursor:
        result = cursor.execute(of_range, binary=True).pgresult
        assert result is not None  # noqa: S101  (an aggregate gives a row)
        return [result.get_value(0, number) for number in range(result.nfields)]


def _table(rows: int, values: Values, columns: Sequence[Column], schema: pa.Schema) -> pa.Table:
    """The values of each column, each with what says which of them are NULL."""
    told = iter([each or b"" for each in values])
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
    there = np.frombuffer(data, f">i{size}").astype(f"=i{size}")
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
