"""Which processes are the server's: told from what the kernel says of them, never from a pid file alone."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from outreachdb.errors import ServerError

PROGRAMS = ("postgres", "postmaster")


@dataclass(frozen=True, slots=True)
class PidFile:
    """What ``postmaster.pid`` claims; any of it may be stale."""

    pid: int
    port: int | None
    ready: bool

    @classmethod
    def read(cls, data: Path) -> PidFile | None:
        """The file's claims, or None when there is none or it is only half written."""
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
            # Lines: pid, data folder, start time, port, socket folder, address, shared memory, state.
            port = int(lines[3]) if len(lines) > 3 and lines[3].strip() else None
            return cls(abs(int(lines[0])), port, len(lines) > 7 and lines[7].strip() == "ready")
        except (FileNotFoundError, ValueError, IndexError):
            return None


def postmaster(data: Path) -> psutil.Process | None:
    """The live server process of a data folder, or None when the pid file is missing, stale or somebody else's."""
    claimed = PidFile.read(data)
    if claimed is None:
        return None
    try:
        process = psutil.Process(claimed.pid)
        return process if _is_server(process, data) and not _title(process).startswith("postgres:") else None
    except (psutil.Error, ValueError, OverflowError):
        return None


def alive(process: psutil.Process) -> bool:
    """Whether a process still runs; a zombie, or another process with its number, does not count."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def lives(pid: int) -> bool:
    """Whether a process of that number runs (a zombie does not)."""
    try:
        return alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def orphans(data: Path) -> list[psutil.Process]:
    """Children of a server that was killed: they end by themselves, but one inside a long query does so late."""
    found = []
    for process in psutil.process_iter():
        try:
            if _is_server(process, data) and _title(process).startswith("postgres:"):
                found.append(process)
        except psutil.Error:
            continue
    return found


def end_orphans(data: Path) -> None:
    """Wait for a killed server's children, then end them: while one lives, PostgreSQL rightly refuses to start."""
    for number, seconds in ((None, 1.0), (signal.SIGTERM, 5.0), (signal.SIGQUIT, 5.0)):
        left = orphans(data)
        for process in left if number else []:
            _signal(process, number or 0)
        if wait_until(lambda left=left: not any(map(alive, left)), seconds):  # type: ignore[misc]
            return
    pids = ", ".join(str(process.pid) for process in orphans(data))
    raise ServerError(f"processes of a killed server still run: {pids}", hint="end them, then start again")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look every 10 ms until the condition holds; False when it did not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def drop_stale_pid_file(data: Path) -> None:
    """Remove a pid file whose pid now belongs to a process that is not this server's.

    PostgreSQL itself drops one whose process is gone, but would refuse to start while *any* process of its user has
    that number, as after a reboot or in a new container. The caller holds the home's lock.
    """
    path, claimed = data / "postmaster.pid", PidFile.read(data)
    if claimed is None:
        # Empty after a power cut, which PostgreSQL refuses; a new one may be empty for an instant, while it is written.
        if path.exists() and time.time() - path.stat().st_mtime > 10:
            path.unlink(missing_ok=True)
        return
    try:
        process = psutil.Process(claimed.pid)
        if alive(process) and _is_server(process, data):
            return
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        # Only somebody else's process hides its program from us (or from root), and ours has this folder's owner.
        if process.uids().real == data.stat().st_uid:
            return
    path.unlink(missing_ok=True)


def _is_server(process: psutil.Process, data: Path) -> bool:
    """PostgreSQL works inside its data folder and never leaves it; the kernel tells the folder, nobody can write it."""
    return process.name() in PROGRAMS and alive(process) and Path(process.cwd()).resolve() == data.resolve()


def _title(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)  # psutil refuses when the number has gone to another process since
    except psutil.NoSuchProcess:
        return
