"""A process that runs retention; killed (SIGKILL, by its own hand) where it comes to a given point, if one is given."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from archive_child import deadly

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.storage import archiving, detaching, dropping, retention
from outreachdb.storage.archive_files import Folder

# Point -> where it lies: module, function, before or after it.
POINTS: dict[str, tuple[Any, str, str]] = {
    "rollups frozen": (dropping, "freeze", "after"),
    "said": (detaching, "detach", "before"),
    "half detached": (detaching, "_attempt", "after"),
    "about to finish the detach": (detaching, "_attempt_finalize", "before"),
    "detached": (detaching, "_attempt_finalize", "after"),
    "about to drop": (archiving, "drop", "before"),
    "dropped, not committed": (archiving, "drop", "after"),
    "done": (dropping, "_drop_table", "after"),
}


async def main(url: str, folder: str, table: str, point: str = "") -> None:
    if point:
        module, name, when = POINTS[point]
        setattr(module, name, deadly(getattr(module, name), when))
    async with Pools(Settings.load({}, database_url=url)) as pools:
        await retention.run(pools, table, folder=Folder(Path(folder)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
