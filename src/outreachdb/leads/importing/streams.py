"""An application's own rows, written to a temporary file so that they are imported as any file is."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from outreachdb.errors import InvalidInput
from outreachdb.leads.importing.records import EXTRA, as_text
from outreachdb.progress import Progress

BATCH = 2000  # rows between two looks at what else there is to do


class ArrowStream(Protocol):
    """Whatever speaks the Arrow PyCapsule interface: pyarrow, polars, pandas, DuckDB.

    https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
    """

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A stream of record batches."""


Row = Mapping[str, Any]
Rows = ArrowStream | Iterable[Row] | AsyncIterable[Row] | Iterable[Any] | AsyncIterable[Any]


@asynccontextmanager
async def spooled(rows: Rows, progress: Progress) -> AsyncIterator[Path]:
    """The path of a file that holds the rows, gone at the end; JSON Lines of dicts, Parquet of Arrow data."""
    folder = Path(tempfile.mkdtemp(prefix="outreachdb-"))
    try:
        path = folder / "rows"
        if hasattr(rows, "__arrow_c_stream__"):
            await asyncio.to_thread(_write_stream, path, rows)
        else:
            await _write_each(path, _each(rows), progress)
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _each(rows: Any) -> AsyncIterator[Any]:
    if hasattr(rows, "__aiter__"):
        async for row in rows:
            yield row
        return
    if not hasattr(rows, "__iter__") or isinstance(rows, str | bytes | Mapping):
        raise InvalidInput(f"rows are an iterable of dicts or Arrow batches, not {type(rows).__name__}")
    for number, row in enumerate(rows):
        if number % BATCH == 0:
            await asyncio.sleep(0)
        yield row


async def _write_each(path: Path, rows: AsyncIterator[Any], progress: Progress) -> None:
    first = await anext(rows, None)
    if first is None:
        raise InvalidInput("there are no rows to import")
    if hasattr(first, "__arrow_c_array__"):
        await _write_batches(path, first, rows)
        return
    with path.open("w", encoding="ascii") as file:
        file.write(_line(first, 1))
        number = 1
        async for row in rows:
            number += 1
            file.write(_line(row, number))
            if number % BATCH == 0:
                progress("taking rows", number)


def _line(row: Any, number: int) -> str:
    if not isinstance(row, Mapping):
        raise InvalidInput(f"row {number} is no dict but {type(row).__name__}")
    return json.dumps(dict(row), default=as_text) + "\n"


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise InvalidInput("these are Arrow data; reading them needs pyarrow", hint=EXTRA) from None
    return pa, parquet


def _write_stream(path: Path, rows: Any) -> None:
    pa, parquet = _arrow()
    try:
        with pa.RecordBatchReader.from_stream(rows) as reader, parquet.ParquetWriter(path, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    except pa.ArrowException as error:
        raise InvalidInput(f"the Arrow data can't be read: {str(error).splitlines()[0]}") from None


async def _write_batches(path: Path, first: Any, rest: AsyncIterator[Any]) -> None:
    pa, parquet = _arrow()
    number = 1
    try:
        batch = pa.record_batch(first)
        with parquet.ParquetWriter(path, batch.schema) as writer:
            await asyncio.to_thread(writer.write_batch, batch)
            async for each in rest:
                number += 1
                await asyncio.to_thread(writer.write_batch, pa.record_batch(each))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidInput(f"Arrow batch {number} can't be read: {str(error).splitlines()[0]}") from None
