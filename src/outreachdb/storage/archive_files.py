"""Parquet files of archived partitions: written whole or not at all, and read back with every checksum looked at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from outreachdb.config import Settings
from outreachdb.errors import Cancelled, InvalidInput, NotFound
from outreachdb.progress import Progress, silent
from outreachdb.storage import columns as mapping
from outreachdb.storage.columns import Column
from outreachdb.storage.fingerprints import Fingerprint

KEY = b"outreachdb"
CONTENT = "outreachdb.content"
FORMAT = 1
# A column with fewer distinct values than this share of its rows is kept as a dictionary and numbers.
DICTIONARY_SHARE = 0.1
LEVEL = 1
# Tables that become one row group: read back in groups half as large, a file takes a third longer.
TABLES = 2
# Threads that read a file, each its own row groups: more than two would wait for Python.
READERS = 2


@dataclass(frozen=True, slots=True)
class Folder:
    """Where archives lie; only its owner reads them."""

    path: Path

    @classmethod
    def of(cls, settings: Settings, given: Path | None = None) -> Folder:
        """The folder of the settings, or another one."""
        return cls(given or settings.archive_folder or settings.home / "archives")

    def place(self, file: str) -> Path:
        """Where a file lies; its name in the database is relative to the folder."""
        return self.path / file

    def prepare(self, file: str) -> Path:
        """Make the folders of a file; its path."""
        path = self.place(file)
        try:
            # The home's own mode is its server's affair.
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, path.parent):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"archives can't be put in {self.path}: {error.strerror}", hint="set OUTREACHDB_ARCHIVE_FOLDER"
            ) from None
        return path


def write(
    path: Path,
    tables: Iterator[pa.Table],
    columns: Sequence[Column],
    about: dict[str, Any],
    content: Callable[[], dict[str, Any]] = dict,
    progress: Progress = silent,
) -> int:
    """Write a file that appears when it is whole and on disk; its size in bytes.

    ``about`` is written into its schema, ``content`` asked for at its end: what the rows should say by another source.
    Whatever stood at the path, or was left half written for it, is replaced: the caller knows it for unfinished.
    """
    part = path.with_name(f".{path.name}.part")
    with suppress(FileNotFoundError):
        part.unlink()
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            _fill(file, tables, columns, about, content, progress)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)
    return path.stat().st_size


def _fill(
    file: Any, tables: Iterator[pa.Table], columns: Sequence[Column], about: dict[str, Any],
    content: Callable[[], dict[str, Any]], progress: Progress,
) -> None:  # fmt: skip
    rows = 0
    writer: parquet.ParquetWriter | None = None
    try:
        for table in _grouped(tables):
            if writer is None:
                writer = _writer(file, table, columns, about)
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            rows += table.num_rows
            progress("archived", rows)
        if writer is None:
            writer = _writer(file, mapping.schema(list(columns)).empty_table(), columns, about)
        writer.add_key_value_metadata({CONTENT: json.dumps(content())})
        writer.close()
    finally:
        if writer is not None and writer.is_open:
            with suppress(OSError, pa.ArrowException):  # its finaliser would find the file closed
                writer.close()


def _grouped(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    while some := list(islice(tables, TABLES)):
        yield pa.concat_tables(some)


def _writer(file: Any, first: pa.Table, columns: Sequence[Column], about: dict[str, Any]) -> parquet.ParquetWriter:
    metadata = about | {"format": FORMAT, "columns": [column.document() for column in columns]}
    schema = mapping.schema(list(columns), {KEY.decode(): json.dumps(metadata, default=str)})
    repeated = [
        name
        for name, column in zip(first.column_names, first.columns, strict=True)
        if first.num_rows and pc.count_distinct(column).as_py() < DICTIONARY_SHARE * first.num_rows
    ]
    return parquet.ParquetWriter(
        file, schema, compression="zstd", compression_level=LEVEL, use_dictionary=repeated, write_statistics=True,
        write_page_checksum=True,
    )  # fmt: skip


def sync(folder: Path) -> None:
    """The name of a file is on disk when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_file(path: Path, *, dictionaries: Sequence[str] = ()) -> parquet.ParquetFile:
    """Open an archive; raises NotFound, or InvalidInput where it is no archive of ours or damaged."""
    try:
        file = parquet.ParquetFile(path, page_checksum_verification=True, read_dictionary=list(dictionaries))
    except FileNotFoundError:
        raise NotFound(f"the archive {path} is missing", hint="bring it back from a backup") from None
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"the archive {path} can't be read: {_line(error)}") from None
    if KEY not in (file.schema_arrow.metadata or {}):
        raise InvalidInput(f"{path} is not an archive of OutreachDB")
    return file


def about(file: parquet.ParquetFile) -> dict[str, Any]:
    """What the file says of itself: table, partition, range, revision, columns."""
    document: dict[str, Any] = json.loads(file.schema_arrow.metadata[KEY])
    return document


def columns_of(document: dict[str, Any]) -> list[Column]:
    """The columns of a file, by what it says of itself."""
    return [Column(each["name"], each["type"], each["kind"]) for each in document["columns"]]


def tables(
    path: Path, file: parquet.ParquetFile, stop: Any = bool, groups: Iterable[int] | None = None
) -> Iterator[pa.Table]:
    """The row groups (or some of them) one after the other; raises InvalidInput where one is damaged."""
    for group in range(file.num_row_groups) if groups is None else groups:
        if stop():
            raise Cancelled("stopped; what was committed stays")
        try:
            yield file.read_row_group(group, use_threads=groups is None)
        except (pa.ArrowException, OSError) as error:
            raise InvalidInput(f"the archive {path} is damaged in row group {group}: {_line(error)}") from None


def fingerprint(
    path: Path, columns: Sequence[Column] | None = None, progress: Progress = silent, stop: Any = bool
) -> Fingerprint:
    """Read a file from start to end and tell its content."""
    with open_file(path) as plain:
        said = list(columns or columns_of(about(plain)))
        share = partial(_share, path, said, _dictionaries(plain), _Count(progress, plain.metadata.num_rows), stop)
    found = Fingerprint(said)
    with ThreadPoolExecutor(READERS) as readers:
        for part in readers.map(share, range(READERS)):
            found.take(part)
    return found


def _share(
    path: Path, columns: list[Column], repeated: list[str], count: _Count, stop: Any, reader: int
) -> Fingerprint:
    """What one of the readers reads: every second row group where there are two of them."""
    found = Fingerprint(columns)
    with open_file(path, dictionaries=repeated) as file:
        for table in tables(path, file, stop, range(reader, file.num_row_groups, READERS)):
            found.add(table)
            count.add(table.num_rows)
    return found


class _Count:
    """Rows that several threads have read."""

    def __init__(self, progress: Progress, rows: int) -> None:
        self._progress, self._rows, self._done, self._alone = progress, rows, 0, Lock()

    def add(self, rows: int) -> None:
        with self._alone:
            self._done += rows
            self._progress("verified", self._done, self._rows)


def _dictionaries(file: parquet.ParquetFile) -> list[str]:
    """Text columns that lie as dictionaries: each of their words is hashed once."""
    if not file.num_row_groups:
        return []
    group = file.metadata.row_group(0)
    schema = file.schema_arrow
    return [
        schema.names[index]
        for index in range(group.num_columns)
        if "RLE_DICTIONARY" in group.column(index).encodings and pa.types.is_string(schema.types[index])
    ]


def has_values(path: str | Path, name: str) -> bool:
    """Whether a column holds anything but NULL, by the statistics of its row groups."""
    with open_file(Path(path)) as file:
        if name not in file.schema_arrow.names:
            return False
        index = file.schema_arrow.names.index(name)
        groups = [file.metadata.row_group(number).column(index) for number in range(file.num_row_groups)]
        return any(group.statistics is None or group.statistics.num_values for group in groups)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
