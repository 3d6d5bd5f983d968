"""What kind of file it is: format, compression, encoding, delimiter, header line. The content decides, not the name."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
import re
import weakref
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from outreachdb.db.texts import is_whole
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.leads.importing import encodings, sources
from outreachdb.leads.importing.headers import SAMPLE_ROWS, data_cell, header_place, known_cells, usual_width
from outreachdb.leads.importing.records import JsonLines, ParquetFile, Table, Workbook
from outreachdb.leads.importing.sources import ByteFile

DELIMITERS = (",", ";", "\t", "|")
DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
SAMPLE_BYTES = 1 << 18
MAX_COLUMNS = 400  # a staging row must fit a page even when each cell is stored out of line

# https://en.wikipedia.org/wiki/List_of_file_signatures
_REFUSED = {
    b"%PDF": "a PDF file",
    b"SQLite format 3\x00": "a SQLite database",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"7z\xbc\xaf": "a 7-Zip file",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML file",
}
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_PARQUET = b"PAR1"
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1a\x1b"))
_JSON = re.compile(r"\s*(?:\{|\[\s*\{)")
_SEPARATOR_LINE = re.compile(r"\s*\"?sep=([,;|\t])\"?\s*(?:[\r\n]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Dialect:
    """How to read the file; ``header_line`` counts lines (rows of a sheet) from 1, ``sha256`` is of the stored bytes.

    ``sample`` holds the first rows after the header, for what the mapping can tell from values; ``sheets_left_out``
    names a workbook's filled sheets that are not read.
    """

    path: Path
    encoding: str
    delimiter: str
    header_line: int
    header: tuple[str, ...]
    sha256: bytes
    size: int
    kind: str = "csv"
    compression: str | None = None
    sample: tuple[tuple[str, ...], ...] = ()
    sheets_left_out: tuple[str, ...] = ()
    table: Table | None = field(default=None, compare=False, repr=False)

    @property
    def format(self) -> str:
        """``csv``, ``jsonl``, ``xlsx`` or ``parquet``, with ``.gz`` or ``.zst`` if compressed."""
        return self.kind + sources.SUFFIXES[self.compression]

    def described(self) -> dict[str, Any]:
        """``encoding``, ``delimiter`` and ``header_line`` of the file, each None where its format has no such thing."""
        return {
            "encoding": self.encoding if self.kind in {"csv", "jsonl"} else None,
            "delimiter": self.delimiter if self.kind == "csv" else None,
            "header_line": self.header_line if self.kind in {"csv", "xlsx"} else None,
        }


@dataclass(frozen=True, slots=True)
class Said:
    """What the caller knows of a file of text; None is detected. Raises UsageError for what there is not."""

    encoding: str | None = None
    delimiter: str | None = None

    @classmethod
    def of(cls, encoding: str | None, delimiter: str | None) -> Said:
        """By the names that people use: ``latin1``; ``;`` or ``semicolon``."""
        if delimiter is not None:
            delimiter = DELIMITER_NAMES.get(delimiter, delimiter)
            if delimiter not in DELIMITERS:
                raise UsageError(f"{delimiter!r} is no delimiter", hint=f"there are {', '.join(DELIMITER_NAMES)}")
        return cls(encodings.checked(encoding) if encoding is not None else None, delimiter)


NOTHING_SAID = Said()


def inspect(path: Path, said: Said = NOTHING_SAID) -> Dialect:
    """Look at the file, reading all of it once; raises InvalidInput for one that can't be imported.

    ``-`` and a named pipe are written to a temporary file first, which goes when the result does.
    """
    if not sources.is_stream(path):
        return _inspect(path, said)
    kept = sources.spool(path)
    try:
        dialect = _inspect(kept, said)
    except BaseException:
        sources.unspool(kept)
        raise
    weakref.finalize(dialect, sources.unspool, kept)
    return dialect


def _inspect(path: Path, said: Said) -> Dialect:
    packed = None
    try:
        size = _size(path)
        with path.open("rb") as file:
            head = file.read(SAMPLE_BYTES)
        if (table := _typed(path, head)) is not None:
            kind, rows = table
            if said != NOTHING_SAID:
                raise UsageError(f"{path} is no file of text: it has no encoding and no delimiter")
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").digest()
            return _of_table(path, "utf-8", kind, None, rows, sha256, size)
        packed = sources.compression(head)
        if packed:
            with ByteFile(path, packed) as unpacked:
                head = unpacked.stream.read(SAMPLE_BYTES)
        _refuse_binary(path, head, packed, wide=bool(said.encoding and said.encoding.startswith(("utf-16", "utf-32"))))
        encoding, sha256 = encodings.found(path, packed, head, said.encoding)
        sample = _decode_sample(path, packed, encoding)
        if said.delimiter is None and _JSON.match(sample):
            return _of_table(path, encoding, "jsonl", packed, _json_lines(path, packed, encoding, sample), sha256, size)
    except sources.DAMAGED as error:
        raise sources.damaged(path, packed, error) from None
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from None
    delimiter = said.delimiter or _delimiter(sample)
    header_line, header, first = _header(path, sample, delimiter, encoding)
    return Dialect(path, encoding, delimiter, header_line, header, sha256, size, "csv", packed, first)


def _typed(path: Path, head: bytes) -> tuple[str, Table] | None:
    """A workbook or Parquet file, by its first bytes."""
    if head.startswith(_WORKBOOKS):
        return "xlsx", Workbook(path)
    if head.startswith(_PARQUET):
        return "parquet", ParquetFile(path)
    return None


def open_table(dialect: Dialect) -> Table | None:
    """The rows of a file that is not CSV; ``None`` for one that is."""
    if dialect.kind == "xlsx":
        return dialect.table or Workbook(dialect.path)  # parsing it a second time would cost as much as the first
    if dialect.kind == "parquet":
        return ParquetFile(dialect.path)
    if dialect.kind == "jsonl":
        return JsonLines(dialect.path, dialect.compression, dialect.encoding, dialect.header)
    return None


def _json_lines(path: Path, packed: str | None, encoding: str, sample: str) -> JsonLines:
    if sample.lstrip().startswith("["):
        raise InvalidInput(f"{path} is one JSON array, not JSON Lines", hint="one object per line: jq -c '.[]' FILE")
    table = JsonLines(path, packed, encoding)
    if not table.header:
        raise InvalidInput(f"{path} looks like JSON, but no line is a JSON object", hint="one object per line")
    return table


def _of_table(
    path: Path, encoding: str, kind: str, packed: str | None, table: Table, sha256: bytes, size: int
) -> Dialect:  # fmt: skip
    _check_header(path, table.header)
    sample = tuple(tuple(cells) for cells, problem in islice(table.rows(), SAMPLE_ROWS) if problem is None)
    return Dialect(
        path, encoding, ",", table.header_line, table.header, sha256, size, kind, packed, sample,
        table.sheets_left_out, table,
    )  # fmt: skip


def _size(path: Path) -> int:
    if not path.exists():
        raise InvalidInput(f"no such file: {path}")
    if path.is_dir():
        raise InvalidInput(f"{path} is a directory", hint="give a CSV file")
    if not path.is_file():
        raise InvalidInput(f"{path} is not a regular file", hint="it is read twice; save it first")
    size = path.stat().st_size
    if not size:
        raise InvalidInput(f"{path} is empty")
    if not os.access(path, os.R_OK):
        raise InvalidInput(f"{path} can't be read: no permission")
    return size


def _refuse_binary(path: Path, head: bytes, packed: str | None, *, wide: bool) -> None:
    start = head[:512].lstrip()
    refused = _REFUSED | (
        dict.fromkeys((*_WORKBOOKS, _PARQUET, *sources.COMPRESSED), "a packed file") if packed else {}
    )
    for signature, kind in refused.items():
        if start.lower().startswith(signature.lower()):
            inside = f"holds {kind}" if packed else f"is {kind}"
            raise InvalidInput(f"{path} {inside}, not CSV", hint="export it as CSV")
    if wide or encodings.by_mark(head):
        return
    controls = len(head) - len(head.translate(None, _CONTROLS))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        limit = 0.3  # a stray NUL here and there only costs its row
    except UnicodeDecodeError:
        limit = 0.01
    if controls > limit * len(head):
        raise InvalidInput(f"{path} is binary, not CSV", hint="export it as CSV in UTF-8")


def _decode_sample(path: Path, packed: str | None, encoding: str) -> str:
    with ByteFile(path, packed) as file, file.text(encoding) as content:
        text = content.read(SAMPLE_BYTES)
        whole = not content.read(1)
    # A cut last line would look ragged.
    cut = max(text.rfind("\n"), text.rfind("\r"))
    return text if whole or cut < 0 else text[: cut + 1]


def _delimiter(sample: str) -> str:
    """The one that a line ``sep=;`` names, else the one that makes the best table.

    That is the one that gives a header of the table's width the most names that are known; among those that give as
    many, one whose first row has that width; then the one with the most rows of the same, and of the largest, width.
    """
    if named := _SEPARATOR_LINE.match(sample):
        return named[1]
    scores = {delimiter: _score(sample, delimiter) for delimiter in DELIMITERS}
    return max(DELIMITERS, key=lambda delimiter: scores[delimiter])


def _score(sample: str, delimiter: str) -> tuple[int, bool, float, int]:
    rows = [row for row, _ in _sample_rows(sample, delimiter, limit=None) if row]
    first = [row for row in rows[:SAMPLE_ROWS] if any(row)]
    if not first:
        return 0, False, 0.0, 0
    header, usual = first[header_place(first)], usual_width(first)
    known = known_cells(header) if len(header) == usual and data_cell(header) is None else 0
    width = usual_width(rows)
    if width < 2:
        # The table may be a short one below a long preamble, or the other way round.
        wide = [row for row in rows if len(row) > 1]
        return known, False, 0.5 * len(wide) / len(rows), usual_width(wide)
    return known, len(first[0]) == usual, sum(len(row) == width for row in rows) / len(rows), width


def _sample_rows(sample: str, delimiter: str, limit: int | None) -> list[tuple[list[str], int]]:
    """The first rows with the line that each begins in; those before an error if there is one."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    rows: list[tuple[list[str], int]] = []
    line = 1
    try:
        for row in islice(reader, limit):
            rows.append(([cell.replace("\x00", "").strip() for cell in row], line))
            line = reader.line_num + 1
    except csv.Error:
        return rows
    return rows


def _header(
    path: Path, sample: str, delimiter: str, encoding: str
) -> tuple[int, tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Line and cells of the header, and some rows after it that have its width."""
    rows = _sample_rows(sample, delimiter, SAMPLE_ROWS)
    named = _SEPARATOR_LINE.match(sample)
    rows = rows[1:] if named else rows
    if not any(any(row) for row, _ in rows):
        raise InvalidInput(f"{path} holds no text")
    place = header_place([row for row, _ in rows])
    header, line = rows[place]
    _check_header(path, tuple(header))
    if not all(map(is_whole, header)):
        name = encodings.shown(encoding)
        raise InvalidInput(f"the header of {path} holds bytes that are not {name}", hint="say --encoding NAME")
    fitting = (tuple(row) for row, _ in rows[place + 1 :] if len(row) == len(header))
    return line, tuple(header), tuple(row for row in fitting if all(map(is_whole, row)))


def _check_header(path: Path, cells: tuple[str, ...]) -> None:
    data = data_cell(cells)
    if data is not None:
        shown = data if len(data) <= 60 else data[:57] + "..."
        raise InvalidInput(
            f"{path} has no header: its first row holds data ({shown})", hint="add a first line that names the columns"
        )
    if len(cells) > MAX_COLUMNS:
        raise InvalidInput(f"{path} has {len(cells)} columns; at most {MAX_COLUMNS} can be imported")
