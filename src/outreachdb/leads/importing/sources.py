"""Where a file's bytes come from: the file itself, what is decompressed from it, or what was piped in."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import sys
import tempfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import zstandard

from outreachdb.errors import InvalidInput

STDIN = Path("-")
STEP = 1 << 12  # bytes decompressed at a time: a bomb unpacks to some 64 MB at worst before it is read on
BUFFER = 1 << 18
COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
SUFFIXES = {None: "", "gzip": ".gz", "zstd": ".zst"}
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)


def compression(head: bytes) -> str | None:
    """``gzip``, ``zstd`` or ``None``, from a file's first bytes."""
    return next((name for signature, name in COMPRESSED.items() if head.startswith(signature)), None)


def is_stream(path: Path) -> bool:
    """Whether it can be read only once: ``-`` or a named pipe."""
    return path == STDIN or (path.exists() and stat.S_ISFIFO(path.stat().st_mode))


def spool(path: Path) -> Path:
    """Write a stream to a file in a new folder, as files are read more than once; the caller removes both."""
    folder = Path(tempfile.mkdtemp(prefix="outreachdb-"))
    target = folder / ("stdin" if path == STDIN else path.name)
    try:
        with target.open("wb") as out:
            if path == STDIN:
                shutil.copyfileobj(sys.stdin.buffer, out, BUFFER)
            else:
                with path.open("rb") as pipe:
                    shutil.copyfileobj(pipe, out, BUFFER)
    except BaseException:
        unspool(target)
        raise
    return target


def unspool(path: Path) -> None:
    """Remove what :func:`spool` wrote."""
    shutil.rmtree(path.parent, ignore_errors=True)


class ByteFile:
    """The decompressed bytes of a file; ``position`` is how far the file itself has been read."""

    def __init__(self, path: Path, packed: str | None) -> None:
        self._file = path.open("rb")
        self.stream: BinaryIO | io.BufferedReader = self._file
        if packed == "gzip":
            self.stream = io.BufferedReader(gzip.GzipFile(fileobj=self._file), BUFFER)
        elif packed == "zstd":
            self.stream = io.BufferedReader(_Zstd(self._file), BUFFER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def text(self, encoding: str) -> io.TextIOWrapper:
        """The content as text, line ends untouched; bytes that can't be decoded become half surrogates."""
        return io.TextIOWrapper(self.stream, encoding=encoding, errors="surrogateescape", newline="")

    def position(self) -> int:
        """Bytes read of the file as it is stored."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self.stream.close()
        self._file.close()


def as_bytes_shown(text: str) -> str:
    r"""The text, bytes that could not be decoded written as ``\xf0``: it can be stored, and nothing of it is lost."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Zstd(io.RawIOBase):
    """Zstandard frames one after the other; unlike the library's own reader it notices one that is cut off."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._new()
        self._begun = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            data = self._file.read(STEP)
            if self._frame.eof:
                data = self._frame.unused_data + data
                self._frame, self._begun = self._new(), False
            if not data:
                if self._begun:
                    raise EOFError("the file is cut off")
                return 0
            self._begun = True
            self._ready = memoryview(self._frame.decompress(data))
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def damaged(path: Path, packed: str | None, error: Exception) -> InvalidInput:
    """The error for a compressed file that does not decompress to its end."""
    return InvalidInput(
        f"{path} is a {packed} file that can't be decompressed: {error}",
        hint="it is damaged or cut off; fetch it again",
    )
