"""The file's rows as blocks of COPY text.

Rows of the right width pass through C code only (csv.reader, str.strip, str.join, and csv.writer where a cell needs
escaping); a block that holds a ragged row, a NUL, an oversized cell, bytes that can't be decoded or a quote that is not
closed is parsed again row by row, so that the odd rows keep their text and get a reason.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self, TextIO

from outreachdb.db.texts import is_whole
from outreachdb.leads.importing import encodings, quotes
from outreachdb.leads.importing.detection import Dialect, open_table
from outreachdb.leads.importing.records import Record
from outreachdb.leads.importing.sources import ByteFile, as_bytes_shown
from outreachdb.words import counted

# Small enough for the processor's cache: a million rows took 7.4 s to stage; 8.4 s with 2,000, 11.3 s with 10,000.
ROWS = 500
BLOCK_CHARS = 1 << 20  # fewer rows per block where rows are long, so that memory stays flat
# Not white space to Unicode, and not to be seen either: soft hyphens, zero-width characters, direction marks.
SOFT_HYPHEN = "\u00ad"  # the only one in Latin-1
INVISIBLE = re.compile(f"[{SOFT_HYPHEN}\u180e\u200b-\u200f\u2060\ufeff]")
EDGES = "".join(
    character for code in range(0x3001) if (character := chr(code)).isspace() or INVISIBLE.match(character)
) + "\ufeff"  # fmt: skip
NUL_SHOWN = "\u2400"  # PostgreSQL's text can't hold NUL: the row is kept with the symbol for it


@dataclass(frozen=True, slots=True)
class Block:
    """Rows as COPY text; ``rows`` counts those read so far in the whole file, ``position`` is the byte reached."""

    text: bytes
    rows: int
    position: int


class RowReader:
    """Iterates over the blocks of a file; blank lines are no rows, row 1 is the first one after the header.

    A COPY line holds the cells, the row's number and what is wrong with it. Of a row that can't be taken as it is,
    the first cell holds the row's text. Cells are trimmed and in Unicode NFC; an empty one stands for NULL.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._width = len(dialect.header)
        self._number = 0
        self._size = ROWS
        self._lines: list[str] = []
        self._ahead: deque[str] = deque()  # lines that are to be read again
        self._ended = False
        self._table = open_table(dialect)
        self._records: Iterator[Record] = iter(())

    def __enter__(self) -> Self:
        if self._table is not None:
            self._records = self._table.rows()
            return self
        self._bytes = ByteFile(self._dialect.path, self._dialect.compression)
        self._file = self._bytes.text(self._dialect.encoding)
        self._go_on_with([])
        begins = 1
        for _ in self._reader:
            if begins == self._dialect.header_line:
                break
            begins = self._reader.line_num + 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._table is None:
            self._file.close()
            self._bytes.close()

    def block(self) -> Block | None:
        """The next block, or ``None`` at the end."""
        if self._table is not None:
            return self._record_block(self._table.done)
        while True:
            self._lines.clear()
            rows = self._rows()
            if not self._lines:
                return None
            self._adapt()
            text = self._fast(rows) if rows is not None else None
            if text is None:
                text = self._slow()
            if text:
                return Block(text, self._number, self._bytes.position())

    def _record_block(self, done: float) -> Block | None:
        """Rows of a file that is not CSV."""
        records = list(islice(self._records, ROWS))
        if not records:
            return None
        text = self._written(records)
        if "\x00" in text or not is_whole(text):
            text = self._written([_refused(record) for record in records])
        self._number += len(records)
        return Block(_composed(text).encode(), self._number, int(done * self._dialect.size))

    def _written(self, records: Sequence[Record]) -> str:
        out = io.StringIO(newline="")
        _writer(out).writerows(
            [*map(strip, cells), number, problem or ""]
            for number, (cells, problem) in enumerate(records, start=self._number + 1)
        )
        return out.getvalue()

    def _go_on_with(self, lines: Sequence[str]) -> None:
        """Read these lines before the rest of the file."""
        self._ahead.extendleft(reversed(lines))
        self._ended = False
        self._reader = csv.reader(self._recorded(), delimiter=self._dialect.delimiter)

    def _recorded(self) -> Iterator[str]:
        """The file's lines, remembered until the block is done."""
        remember = self._lines.append
        while self._ahead:
            line = self._ahead.popleft()
            remember(line)
            yield line
        for line in self._file:
            remember(line)
            yield line
        self._ended = True

    def _rows(self) -> list[list[str]] | None:
        """The next rows, or ``None`` where some of them have to be looked at one by one."""
        try:
            rows = list(islice(self._reader, self._size))
        except csv.Error:
            return None
        # A quote that is not closed makes one row of several lines, or ends with the file.
        several = len(self._lines) > len(rows) or self._ended
        return None if several and quotes.fault(self._lines, self._dialect.delimiter) else rows

    def _adapt(self) -> None:
        length = sum(map(len, self._lines)) // self._size + 1
        self._size = max(1, min(ROWS, BLOCK_CHARS // length))

    def _fast(self, rows: list[list[str]]) -> bytes | None:
        """The block's text, or ``None`` if it needs the slow way."""
        widths = set(map(len, rows))
        if 0 in widths:
            rows = [row for row in rows if row]
        if not widths <= {0, self._width}:
            return None
        text = self._joined(rows) or self._stripped(rows, str.strip)
        if _hides(text):
            text = self._stripped(rows, strip)
        if "\x00" in text:
            return None
        try:
            encoded = _composed(text).encode()
        except UnicodeEncodeError:
            return None
        self._number += len(rows)
        return encoded

    def _joined(self, rows: list[list[str]]) -> str | None:
        """The rows as COPY text in a third of csv.writer's time, or ``None`` where a cell needs escaping."""
        numbered = enumerate(rows, start=self._number + 1)
        text = "".join(["\t".join(map(str.strip, row)) + f"\t{number}\t\r\n" for number, row in numbered])
        ends = {"\r": len(rows), "\n": len(rows), "\t": len(rows) * (self._width + 1), "\\": 0}
        return text if all(text.count(character) == count for character, count in ends.items()) else None

    def _stripped(self, rows: list[list[str]], how: Callable[[str], str]) -> str:
        out = io.StringIO(newline="")
        _writer(out).writerows([*map(how, row), place, ""] for place, row in enumerate(rows, start=self._number + 1))
        return out.getvalue()

    def _slow(self) -> bytes:
        """Each row of the remembered lines by itself, to the end of the last one."""
        out = io.StringIO(newline="")
        writer = _writer(out)
        self._go_on_with(self._lines)
        while self._ahead:
            self._lines.clear()
            row, problem = self._next()
            if not row:
                continue
            self._number += 1
            if problem is None:
                writer.writerow([*map(strip, row), self._number, ""])
            else:
                raw = as_bytes_shown("".join(self._lines).rstrip("\r\n").replace("\x00", NUL_SHOWN))
                writer.writerow([raw, *[""] * (self._width - 1), self._number, problem])
        return _composed(out.getvalue()).encode()

    def _next(self) -> tuple[list[str], str | None]:
        """The next row and what is wrong with it; its lines are remembered."""
        failed = None
        try:
            row = next(self._reader)
        except StopIteration:
            return [], None
        except csv.Error as error:
            row, failed = [""], f"{error}; {quotes.OPEN}?"
        if self._ended:
            failed = f"unexpected end of data; {quotes.OPEN}"
        delimiter = self._dialect.delimiter
        suspect = failed is not None or (len(self._lines) > 1 and quotes.fault(self._lines, delimiter))
        if suspect and quotes.swallows(self._lines, self._width, delimiter):
            behind = self._lines[1:]
            del self._lines[1:]
            self._go_on_with(behind)
            return row, quotes.OPEN
        return row, failed or self._problem(row)

    def _problem(self, row: Sequence[str]) -> str | None:
        if not all(map(is_whole, row)):
            return f"not {encodings.shown(self._dialect.encoding)}"
        if row and len(row) != self._width:
            cells = counted(len(row), "cell")
            return f"{cells}, but the header has {self._width}"
        if any("\x00" in cell for cell in row):
            return "holds a NUL character"
        return None


def strip(cell: str) -> str:
    """The cell without white space and invisible characters around it."""
    return cell.strip(EDGES) if not cell.isascii() else cell.strip()


def _refused(record: Record) -> Record:
    """The record, with a reason where a cell can't be stored."""
    cells, problem = record
    text = _as_csv(cells)
    shown = text.replace("\x00", NUL_SHOWN).encode("utf-8", "replace").decode()
    if "\x00" in text:
        problem = problem or "holds a NUL character"
    elif shown != text:
        problem = problem or "holds half of a surrogate pair"
    else:
        return record
    return [shown, *[""] * (len(cells) - 1)], problem


def _as_csv(cells: Sequence[str]) -> str:
    """The cells as a line, each in its place, so that the rejected row can be corrected."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def _writer(out: TextIO) -> csv._writer:  # type: ignore[name-defined]
    """Writes COPY's text format: no quotes, a backslash before what would end a cell or a row, or is one itself."""
    return csv.writer(
        out, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, escapechar="\\", lineterminator="\r\n"
    )


def _is_latin(text: str) -> bool:
    """Whether all its characters are of Latin-1, of which NFC leaves all alone; a copy of bytes, so hardly a cost."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _hides(text: str) -> bool:
    """Whether it holds an invisible character."""
    return SOFT_HYPHEN in text if _is_latin(text) else INVISIBLE.search(text) is not None


def _composed(text: str) -> str:
    """NFC; composing whole blocks is safe, as neither tab nor line end nor backslash takes part in it."""
    if _is_latin(text) or unicodedata.is_normalized("NFC", text):
        return text
    return unicodedata.normalize("NFC", text)
