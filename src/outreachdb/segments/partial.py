"""A file that appears when it is whole; what a killed process has left of one goes with the next."""

from __future__ import annotations

import contextlib
import fcntl
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

KEPT = 40  # characters of a file's name in that of its part: a name may have 255 bytes


@contextlib.contextmanager
def partial(path: Path) -> Iterator[Path]:
    """A new file beside ``path``, of nobody else's, to be written: becomes ``path`` at the end, goes on any error."""
    part, held = _claimed(path)
    try:
        with held:
            _sweep(path)
            yield part
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _claimed(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        part = path.with_name(f".{path.name[:KEPT]}.{secrets.token_hex(8)}.part")
        held = part.open("xb")
        with contextlib.suppress(OSError):  # a file system without locks: then nothing is swept either
            fcntl.flock(held, fcntl.LOCK_EX)
        if part.exists():
            return part, held
        held.close()  # swept between the two


def _sweep(path: Path) -> None:
    """Remove parts that nobody holds: their process is dead."""
    ours = re.compile(re.escape(f".{path.name[:KEPT]}.") + r"[0-9a-f]{16}\.part")
    for each in path.absolute().parent.iterdir():
        if ours.fullmatch(each.name):
            with contextlib.suppress(OSError), each.open("rb") as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                each.unlink()
