"""What kind of file it is: encoding, delimiter, header line."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

from charset_normalizer import from_bytes

from outreachdb.errors import InvalidInput

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_BYTES = 1 << 18
CHUNK_BYTES = 1 << 20
MAX_COLUMNS = 400  # a staging row must fit a page even when each cell is stored out of line

# https://en.wikipedia.org/wiki/List_of_file_signatures
_SIGNATURES = {
    b"PK\x03\x04": "a ZIP or Excel file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"\x1f\x8b": "a gzip file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF file",
    b"SQLite format 3\x00": "a SQLite database",
}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1a\x1b"))
_UNDEFINED_IN_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_DATA_CELL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|https?://\S+", re.IGNORECASE)
_NUMBER_CELL = re.compile(r"[\d\s.,:/()+%$€£-]*\d[\d\s.,:/()+%$€£-]*")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read the file; ``header_line`` counts lines from 1, ``sha256`` is of the bytes."""

    path: Path
    encoding: str
    delimiter: str
    header_line: int
    header: tuple[str, ...]
    sha256: bytes
    size: int


def inspect(path: Path) -> Dialect:
    """Look at the file, reading all of it once; raises InvalidInput for one that can't be imported."""
    try:
        size = _size(path)
        with path.open("rb") as file:
            head = file.read(SAMPLE_BYTES)
        _refuse_binary(path, head)
        encoding, sha256 = _encoding(path, head)
        sample = _decode_sample(path, encoding, whole=size <= SAMPLE_BYTES)
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from None
    delimiter = _delimiter(sample)
    header_line, header = _header(path, sample, delimiter)
    return Dialect(path, encoding, delimiter, header_line, header, sha256, size)


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


def _refuse_binary(path: Path, head: bytes) -> None:
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            raise InvalidInput(f"{path} is {kind}, not CSV", hint="export it as CSV")
    if any(head.startswith(bom) for bom, _ in _BOMS):
        return
    controls = len(head) - len(head.translate(None, _CONTROLS))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        limit = 0.3  # a stray NUL here and there only costs its row
    except UnicodeDecodeError:
        limit = 0.01
    if controls > limit * len(head):
        raise InvalidInput(f"{path} is binary, not CSV", hint="export it as CSV in UTF-8")


def _encoding(path: Path, head: bytes) -> tuple[str, bytes]:
    """The encoding that reads every byte of the file, and the hash, in one pass."""
    named = next((name for bom, name in _BOMS if head.startswith(bom)), None)
    decoder = codecs.getincrementaldecoder(named or "utf-8")()
    digest, broken = hashlib.sha256(), False
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            broken = broken or not _decodes(decoder, chunk)
    broken = broken or not _decodes(decoder, b"", final=True)
    if not broken:
        return named or "utf-8", digest.digest()
    if named:
        raise InvalidInput(f"{path} starts as {named.upper()} but is not", hint="export it as CSV in UTF-8")
    return _single_byte(path), digest.digest()


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True


def _single_byte(path: Path) -> str:
    """Western Windows, or Latin-1 where the file has bytes that Windows leaves undefined."""
    telling = bytearray()
    undefined = False
    with path.open("rb") as file:
        for line in file:
            if not line.isascii():
                telling += line[:1000]
                undefined = undefined or bool(_UNDEFINED_IN_CP1252.search(line))
            if len(telling) > 1 << 16:
                break
        undefined = undefined or any(_UNDEFINED_IN_CP1252.search(line) for line in file)
    encoding = "latin_1" if undefined else "cp1252"
    if from_bytes(bytes(telling[: 1 << 16]), cp_isolation=[encoding], threshold=0.6).best() is None:
        raise InvalidInput(f"the encoding of {path} can't be told", hint="export it as CSV in UTF-8")
    return encoding


def _decode_sample(path: Path, encoding: str, *, whole: bool) -> str:
    with path.open(encoding=encoding, newline="") as file:
        text = file.read(SAMPLE_BYTES)
    # A cut last line would look ragged.
    return text if whole or "\n" not in text else text[: text.rindex("\n") + 1]


def _delimiter(sample: str) -> str:
    """The delimiter that gives the most rows as many cells as the header has, then the most cells."""
    scores = {delimiter: _score(sample, delimiter) for delimiter in DELIMITERS}
    return max(DELIMITERS, key=lambda delimiter: scores[delimiter])


def _score(sample: str, delimiter: str) -> tuple[float, int]:
    try:
        widths = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row]
    except csv.Error:
        return 0.0, 0
    if not widths or widths[0] < 2:
        return 0.0, 0
    return round(widths.count(widths[0]) / len(widths), 1), widths[0]


def _header(path: Path, sample: str, delimiter: str) -> tuple[int, tuple[str, ...]]:
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    before = 0
    try:
        for row in reader:
            cells = tuple(cell.replace("\x00", "").strip() for cell in row)
            if any(cells):
                _check_header(path, cells)
                return before + 1, cells
            before = reader.line_num
    except csv.Error as error:
        raise InvalidInput(f"{path} has no readable header: {error}") from None
    raise InvalidInput(f"{path} holds no text")


def _check_header(path: Path, cells: tuple[str, ...]) -> None:
    filled = [cell for cell in cells if cell]
    data = next((cell for cell in filled if _DATA_CELL.fullmatch(cell)), None)
    if data is None and all(_NUMBER_CELL.fullmatch(cell) for cell in filled):
        data = filled[0]
    if data is not None:
        shown = data if len(data) <= 60 else data[:57] + "..."
        raise InvalidInput(
            f"{path} has no header: its first row holds data ({shown})", hint="add a first line that names the columns"
        )
    if len(cells) > MAX_COLUMNS:
        raise InvalidInput(f"{path} has {len(cells)} columns; at most {MAX_COLUMNS} can be imported")
