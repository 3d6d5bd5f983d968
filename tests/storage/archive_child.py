"""A process that archives or restores, and is killed (SIGKILL, by its own hand) when it comes to a given point."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.storage import archive_files, archiving, detaching, fingerprints, restoring
from outreachdb.storage.archive_files import Folder

# Point -> where it lies: module, function, before or after it.
ARCHIVE: dict[str, tuple[Any, str, str]] = {
    "recorded": (archiving, "_begin", "after"),
    "rollups frozen": (archiving, "freeze", "after"),
    "about to detach": (detaching, "detach", "before"),
    "detached": (detaching, "detach", "after"),
    "renamed": (archiving, "_detach", "after"),
    "file begun": (archive_files, "_writer", "after"),
    "file written, not renamed": (Path, "replace", "before"),
    "file renamed, folder not synced": (archive_files, "sync", "before"),
    "file there": (archive_files, "write", "after"),
    "content told": (archiving, "_tell", "after"),
    "about to compare": (archiving, "_compare", "before"),
    "compared": (archiving, "_compare", "after"),
    "about to drop": (archiving, "drop", "before"),
    "dropped, not committed": (archiving, "drop", "after"),
    "said, not committed": (archiving, "_say_dropped", "after"),
    "done": (archiving, "_leave", "after"),
}
RESTORE: dict[str, tuple[Any, str, str]] = {
    "about to load": (restoring, "copy_in", "before"),
    "loaded": (restoring, "copy_in", "after"),
    "compared": (fingerprints, "of_document", "after"),
    "apart": (restoring, "_load", "after"),
    "about to attach": (restoring, "_attach", "before"),
    "attached, not committed": (restoring, "_attach", "after"),
    "said, not committed": (restoring, "_restored", "after"),
    "done": (restoring, "_take_place", "after"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(found: Callable[..., Any], when: str) -> Callable[..., Any]:
    """The function, and the end before or after it."""
    if inspect.iscoroutinefunction(found):

        async def waiting(*args: Any, **kwargs: Any) -> Any:
            if when == "before":
                die()
            result = await found(*args, **kwargs)
            die()
            return result

        return waiting

    def plain(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        result = found(*args, **kwargs)
        die()
        return result

    return plain


async def main(work: str, url: str, folder: str, table: str, partition: str, point: str) -> None:
    module, name, when = (ARCHIVE if work == "archive" else RESTORE)[point]
    setattr(module, name, deadly(getattr(module, name), when))
    async with Pools(Settings.load({}, database_url=url)) as pools:
        if work == "archive":
            await archiving.archive(pools, table, partition, folder=Folder(Path(folder)))
        else:
            await restoring.restore(pools, table, partition, folder=Folder(Path(folder)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
