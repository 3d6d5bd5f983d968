"""A process that takes people out of archives, and is killed (SIGKILL, by its own hand) at a given point."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from archive_child import deadly

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.storage import archive_files, erasing
from outreachdb.storage.archive_files import Folder

POINTS: dict[str, tuple[Any, str, str]] = {
    "file begun": (archive_files, "_writer", "after"),
    "file written, not renamed": (Path, "replace", "before"),
    "file there": (archive_files, "write", "after"),
    "compared": (erasing._Rewriting, "_write", "after"),
    "recorded, the old one is there": (erasing._Rewriting, "_remove", "before"),
    "the old one is gone": (erasing._Rewriting, "_remove", "after"),
}


async def main(url: str, folder: str, point: str) -> None:
    module, name, when = POINTS[point]
    setattr(module, name, deadly(getattr(module, name), when))
    async with Pools(Settings.load({}, database_url=url)) as pools:
        await erasing.finish(pools, folder=Folder(Path(folder)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
