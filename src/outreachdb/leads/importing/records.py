"""Files whose rows are not lines of CSV: JSON Lines, workbooks, Parquet.

Each gives its columns and its rows as cells of text. Dates and times become ISO 8601, whole numbers lose their ``.0``,
booleans become ``true`` and ``false``, lists of plain values are joined with commas (in double quotes what holds one,
as in CSV), anything nested becomes JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from outreachdb.db.texts import is_whole
from outreachdb.errors import InvalidInput
from outreachdb.leads.importing.headers import SAMPLE_ROWS, header_place
from outreachdb.leads.importing.sources import ByteFile, as_bytes_shown

EXTRA = "pip install 'outreachdb[formats]'"
BATCH = 2000
NOT_JSON = ("not JSON", "not a JSON object")  # how the reasons of such lines begin
WHOLE = 1e15  # a float below this that has no fraction is a whole number
Record = tuple[list[str], str | None]  # the cells; or the row's text in the first one and what is wrong with it


class Table(Protocol):
    """Columns and rows of a file; ``done`` is the part of it that has been read, from 0 to 1."""

    header: tuple[str, ...]
    header_line: int
    done: float
    sheets_left_out: tuple[str, ...]

    def rows(self) -> Iterator[Record]:
        """Rows after the header; blank ones are left out."""


class JsonLines:
    """One JSON object per line; the columns are the keys of all of them, in the order of first sight."""

    header_line = 1
    sheets_left_out: tuple[str, ...] = ()

    def __init__(self, path: Path, packed: str | None, encoding: str, header: Sequence[str] | None = None) -> None:
        self._path, self._packed, self._encoding = path, packed, encoding
        self._size = max(1, path.stat().st_size)
        self.done = 0.0
        self.header = tuple(header) if header is not None else self._keys()

    def rows(self) -> Iterator[Record]:
        """One record per line that is not blank."""
        for line, found in self._parsed():
            if isinstance(found, dict):
                yield [as_text(found.get(name)) for name in self.header], None
            else:
                yield [as_bytes_shown(line.strip()), *[""] * (len(self.header) - 1)], found

    def _keys(self) -> tuple[str, ...]:
        keys: dict[str, None] = {}
        for _, found in self._parsed():
            if isinstance(found, dict):
                keys.update(dict.fromkeys(found))
        return tuple(keys)

    def _parsed(self) -> Iterator[tuple[str, dict[str, Any] | str]]:
        """Each line with its object, or with what is wrong with it."""
        with ByteFile(self._path, self._packed) as file, file.text(self._encoding) as text:
            for line in text:
                if not line.strip():
                    continue
                self.done = file.position() / self._size
                yield line, _object(line)


def _object(line: str) -> dict[str, Any] | str:
    if not is_whole(line):
        return "not JSON: bytes that can't be decoded"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}" if isinstance(error, ValueError) else "not JSON: nested too deeply"
    return found if isinstance(found, dict) else "not a JSON object"


class Workbook:
    """The first visible sheet that holds anything, of an Excel or OpenDocument workbook; it is held in memory.

    ``sheets_left_out`` names the other visible ones that hold something.
    """

    def __init__(self, path: Path) -> None:
        try:
            import python_calamine as calamine  # noqa: PLC0415 - optional
        except ImportError:
            raise _missing(path, "a workbook", "python-calamine") from None
        try:
            book = calamine.CalamineWorkbook.from_path(str(path))
            shown = [
                sheet.name
                for sheet in book.sheets_metadata
                if sheet.visible == calamine.SheetVisibleEnum.Visible and sheet.typ == calamine.SheetTypeEnum.WorkSheet
            ]
            sheets = ((name, book.get_sheet_by_name(name)) for name in shown)
            self._sheet = next((sheet for _, sheet in sheets if sheet.height), None)
            self.sheets_left_out = tuple(name for name, sheet in sheets if sheet.height)
        except calamine.PasswordError:
            raise InvalidInput(f"{path} is protected by a password", hint="save it without one") from None
        except (calamine.CalamineError, OSError) as error:
            raise InvalidInput(
                f"{path} is a ZIP or Excel file, not CSV, and no workbook that can be read: {error}",
                hint="export it as CSV",
            ) from None
        if self._sheet is None:
            raise InvalidInput(f"{path} holds no rows")
        first = [_cells(row) for row in islice(self._sheet.iter_rows(), SAMPLE_ROWS)]
        self._place = header_place(first)
        self.header = tuple(cell.strip() for cell in first[self._place])
        self.header_line = self._place + 1
        self.done = 0.0

    def rows(self) -> Iterator[Record]:
        """Rows after the header that hold anything."""
        height = max(1, self._sheet.height)  # type: ignore[union-attr]
        for number, row in enumerate(self._sheet.iter_rows()):  # type: ignore[union-attr]
            if number > self._place and any(cell not in {"", None} for cell in row):
                yield _cells(row), None
            self.done = number / height


class ParquetFile:
    """The columns and rows of a Parquet file, read batch by batch."""

    header_line = 1
    sheets_left_out: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 - optional
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError:
            raise _missing(path, "a Parquet file", "pyarrow") from None
        self._errors = (pa.ArrowException, OSError)
        try:
            self._file = parquet.ParquetFile(path)
        except self._errors as error:
            raise InvalidInput(f"{path} is no readable Parquet file: {str(error).splitlines()[0]}") from None
        self._path = path
        self.header = tuple(self._file.schema_arrow.names)
        self.done = 0.0

    def rows(self) -> Iterator[Record]:
        """Every row, blank ones left out."""
        total, seen = max(1, self._file.metadata.num_rows), 0
        try:
            for batch in self._file.iter_batches(batch_size=BATCH, use_threads=False):
                columns = [map(as_text, column.to_pylist()) for column in batch.columns]
                for row in zip(*columns, strict=True):
                    if any(row):
                        yield list(row), None
                seen += batch.num_rows
                self.done = seen / total
        except self._errors as error:
            raise InvalidInput(f"{self._path} is damaged: {str(error).splitlines()[0]}") from None


def _missing(path: Path, what: str, package: str) -> InvalidInput:
    return InvalidInput(f"{path} is {what}; reading it needs {package}", hint=EXTRA)


def _cells(row: Sequence[Any]) -> list[str]:
    return [as_text(cell) for cell in row]


def as_text(value: Any) -> str:
    """A typed value as the text of a cell."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float | Decimal):
        return _number(value)
    return _nested(value)


def _number(value: float | Decimal) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    whole = math.isfinite(value) and abs(value) < WHOLE and value.is_integer()
    return str(int(value)) if whole else repr(value)


def _quoted(text: str) -> str:
    special = text.startswith(('"', "* ")) or any(mark in text for mark in (",", ";", "|", ":::"))
    return '"' + text.replace('"', '""') + '"' if special else text


def _nested(value: Any) -> str:
    if isinstance(value, list | tuple):
        if not any(isinstance(each, list | tuple | dict) for each in value):
            return ", ".join(_quoted(as_text(each)) for each in value)
        return json.dumps(value, ensure_ascii=False, default=as_text)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=as_text)
    return str(value)
