"""Server settings fitted to the machine, with its container's limits taken into account."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

KB, MB, GB = 1024, 1024**2, 1024**3
MAX_CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class Machine:
    """What the server may use: bytes of memory and of /dev/shm (None: no such folder), and processor cores."""

    memory_bytes: int
    cores: int
    shm_bytes: int | None = None

    @classmethod
    def here(cls) -> Machine:
        """This machine, or the container's share of it."""
        memory = min([psutil.virtual_memory().total, *_cgroup_memory_limits()])
        return cls(memory, _cores(), _shm_bytes())


def settings_for(
    memory_bytes: int,
    cores: int,
    *,
    shm_bytes: int | None = None,
    libraries: Sequence[str] = (),
    durable: bool = True,
) -> dict[str, str]:
    """The server's settings for a machine; ``durable=False`` is for data that may be lost, such as a test's.

    ``libraries`` are the preloaded ones, named by the caller because only it knows which the installation has.
    """
    shared = _clamp(memory_bytes // 4, 32 * MB, 4 * GB)  # others live on this machine: half of the usual ceiling
    parallel = min(cores // 2, 4)
    settings = {
        "max_connections": str(MAX_CONNECTIONS),
        "shared_buffers": _size(shared),
        "effective_cache_size": _size(max(memory_bytes // 2, shared)),
        # Each connection may use it several times over; a third of what is left, all connections busy.
        "work_mem": _size(_clamp((memory_bytes - shared) // (3 * MAX_CONNECTIONS), 1 * MB, 64 * MB)),
        "maintenance_work_mem": _size(_clamp(memory_bytes // 16, 16 * MB, 1 * GB)),
        "max_wal_size": _size(_clamp(memory_bytes // 4, 1 * GB, 4 * GB)),
        "min_wal_size": "256MB",
        "wal_compression": "pglz",  # the wheel has neither lz4 nor zstd
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "max_worker_processes": str(max(8, cores + 4)),
        "max_parallel_workers": str(cores),
        "max_parallel_workers_per_gather": str(parallel),
        "max_parallel_maintenance_workers": str(parallel),
        "random_page_cost": "1.1",  # solid-state disks
        "jit": "off",  # compiling costs more than these queries take
        "track_io_timing": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %u@%d ",
        "password_encryption": "scram-sha-256",
        "shared_preload_libraries": ",".join(libraries),
    }
    if shm_bytes is not None and shm_bytes < 256 * MB:
        settings["dynamic_shared_memory_type"] = "mmap"  # parallel queries fail in a container's 64 MB /dev/shm
    if "auto_explain" in libraries:
        settings["auto_explain.log_min_duration"] = "10s"
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return settings


def render(settings: dict[str, str]) -> str:
    """The settings as a configuration file."""
    head = "# Rewritten at each start; change settings in data/postgresql.conf or by ALTER SYSTEM: both win.\n"
    quoted = {name: value.replace("'", "''") for name, value in settings.items()}
    return head + "".join(f"{name} = '{value}'\n" for name, value in quoted.items())


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def _size(size: int) -> str:
    return f"{size // KB}kB"


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


def _shm_bytes() -> int | None:
    try:
        return psutil.disk_usage("/dev/shm").total  # noqa: S108 - asked for its size only
    except OSError:
        return None
