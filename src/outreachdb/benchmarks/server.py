"""How fast the embedded server starts: a new home (initdb included), and one that was stopped."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from outreachdb.benchmarks.measure import Result
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.progress import Progress, silent

START_LIMIT = 2.0  # seconds


async def run(_url: str, _leads: int = 0, progress: Progress = silent) -> list[Result]:
    """Start, stop and start a server of its own; the given one is left alone."""
    return await asyncio.to_thread(_starts, progress)


def _starts(progress: Progress) -> list[Result]:
    folder = Path(tempfile.mkdtemp(prefix="odb-bench-", dir="/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    server = EmbeddedServer(folder / "home")
    try:
        progress("starting", 0, 2)
        new = _timed(server)
        server.stop()
        progress("starting", 1, 2)
        again = _timed(server)
    finally:
        server.destroy()
        folder.rmdir()
    return [
        Result("server: first start, new home", new, "s", limit=START_LIMIT),
        Result("server: start of an old home", again, "s", limit=START_LIMIT),
    ]


def _timed(server: EmbeddedServer) -> float:
    began = time.monotonic()
    server.start()
    return time.monotonic() - began
