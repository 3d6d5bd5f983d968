"""kill -9 of a whole server, for tests."""

from __future__ import annotations

import contextlib
import signal

import psutil

from outreachdb.db.embedded import EmbeddedServer


def kill_and_start(server: EmbeddedServer, *, with_backends: bool = True) -> None:
    """Kill the postmaster, and unless told otherwise all its children, then start the server again."""
    pid = int((server.home / "data" / "postmaster.pid").read_text().split()[0])
    postmaster = psutil.Process(pid)
    victims = [postmaster, *(postmaster.children() if with_backends else [])]
    for each in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.send_signal(signal.SIGKILL)
    psutil.wait_procs(victims, timeout=10)
    server.start()
