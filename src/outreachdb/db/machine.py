"""What a server may use of this machine: memory, cores and disk, with its container's limits taken into account."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

Disk = Literal["ssd", "hdd", "unknown"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Bytes of memory, of /dev/shm (None: no such folder) and of the data's disk, processor cores, kind of disk."""

    memory_bytes: int
    cores: int
    shm_bytes: int | None = None
    disk: Disk = "unknown"
    disk_bytes: int | None = None

    @classmethod
    def here(cls, data: Path | None = None) -> Machine:
        """This machine, or the container's share of it; the disk is the one that ``data`` lies on."""
        memory = min([psutil.virtual_memory().total, *_cgroup_memory_limits()])
        kind: Disk = disk_kind(data) if data else "unknown"
        return cls(memory, _cores(), _size_of(Path("/dev/shm")), kind, _size_of(data) if data else None)  # noqa: S108


def disk_kind(path: Path) -> Disk:
    """Whether the disk below a folder turns, as far as the kernel can tell.

    A virtual machine's disk says that it turns whatever it is made of, so there only "does not turn" is believed.
    """
    queue = _queue(path)
    turns = _numbers(queue / "rotational") if queue else []
    if not turns:
        return "unknown"
    if turns[0] == 0:
        return "ssd"
    return "unknown" if _is_virtual() else "hdd"


def _queue(path: Path) -> Path | None:
    """The kernel's folder about the queue of the disk; None for file systems without one disk."""
    try:
        device = next(parent for parent in (path, *path.parents) if parent.exists()).stat().st_dev
        found = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve(strict=True)
    except (OSError, StopIteration):
        return None
    # A partition's folder lies in its disk's.
    return next((folder / "queue" for folder in (found, found.parent) if (folder / "queue").is_dir()), None)


def _is_virtual() -> bool:
    try:
        return " hypervisor" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _cgroup_folders() -> Iterator[Path]:
    """Folders of this process's control groups, inner ones first; limits of outer ones hold as well."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        base = root / controllers if controllers else root
        inner = base / name.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(base))


def _numbers(path: Path) -> list[int]:
    """The numbers in a control file; "max" and unreadable files are none."""
    try:
        return [int(word) for word in path.read_text().split() if word.lstrip("-").isdigit()]
    except OSError:
        return []


def _cgroup_memory_limits() -> list[int]:
    names = ("memory.max", "memory.limit_in_bytes")
    return [limit for folder in _cgroup_folders() for name in names for limit in _numbers(folder / name) if limit > 0]


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _cgroup_folders():
        quota = _numbers(folder / "cpu.max") or _numbers(folder / "cpu.cfs_quota_us") + _numbers(
            folder / "cpu.cfs_period_us"
        )
        if len(quota) == 2 and quota[0] > 0 and quota[1] > 0:
            cores = min(cores, -(-quota[0] // quota[1]))
    return max(cores, 1)


def _size_of(path: Path) -> int | None:
    try:
        return psutil.disk_usage(str(next(each for each in (path, *path.parents) if each.exists()))).total
    except (OSError, StopIteration):
        return None
