"""Server settings fitted to a machine and a workload, each with its reason and where the reason comes from.

The embedded server starts with them and ``outreachdb tune`` offers them for any server; so the computing stands on the
ground floor. Sources, by the words in brackets behind a reason:

- [resource] https://www.postgresql.org/docs/current/runtime-config-resource.html
- [wal] https://www.postgresql.org/docs/current/runtime-config-wal.html
- [query] https://www.postgresql.org/docs/current/runtime-config-query.html
- [statistics] https://www.postgresql.org/docs/current/runtime-config-statistics.html
- [connection] https://www.postgresql.org/docs/current/runtime-config-connection.html
- [vacuum] https://www.postgresql.org/docs/current/runtime-config-vacuum.html
- [pgtune] https://github.com/le0pard/pgtune (its formulas, read and compared; none of its code)
- [timescaledb-tune] https://github.com/timescale/timescaledb-tune (likewise)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from outreachdb.db.machine import Machine

KB, MB, GB = 1024, 1024**2, 1024**3
MAX_CONNECTIONS = 100

Workload = Literal["mixed", "web", "analytics"]
WORKLOADS: tuple[Workload, ...] = get_args(Workload)
# Times the even share of memory that one sort or hash table may take, and its ceiling.
WORK_MEM = {"web": (0.5, 32 * MB), "mixed": (1.0, 64 * MB), "analytics": (2.0, 256 * MB)}
PER_GATHER = {"web": 2, "mixed": 4, "analytics": 8}


@dataclass(frozen=True, slots=True)
class Situation:
    """What settings are computed from; ``alone`` when nothing else needs the machine's memory.

    ``connections`` is how many clients the server has to take, ``compression`` the fast method that it can
    compress WAL with, off where it has none.
    """

    machine: Machine
    major: int = 18
    workload: Workload = "mixed"
    connections: int = MAX_CONNECTIONS
    alone: bool = False
    compression: str = "off"


@dataclass(frozen=True, slots=True)
class Fitted:
    """One setting: its value as a configuration file has it, and why."""

    name: str
    value: str
    why: str


def fit(given: Situation) -> tuple[Fitted, ...]:
    """The settings for a situation, in the order in which people look for them."""
    return (*_memory(given), *_parallel(given), *_wal(given), *_disk(given), *_others(given))


def shared_buffers(given: Situation) -> int:
    """Bytes of the server's own cache."""
    ceiling = given.machine.memory_bytes if given.alone else 4 * GB
    return _clamp(given.machine.memory_bytes // 4, 32 * MB, ceiling)


def _memory(given: Situation) -> Iterator[Fitted]:
    memory, shared = given.machine.memory_bytes, shared_buffers(given)
    factor, ceiling = WORK_MEM[given.workload]
    cache = memory * 3 // 4 if given.alone else memory // 2
    yield Fitted(
        "max_connections",
        str(given.connections),
        "the four pools need 55; a pooler queues the rest for less than a backend costs [connection]",
    )
    yield Fitted(
        "shared_buffers",
        size(shared),
        "a quarter of the memory"
        + (" [resource]" if given.alone else ", at most 4 GB where others live on the machine [resource]"),
    )
    yield Fitted(
        "effective_cache_size",
        size(max(cache, shared)),
        f"what caches of server and system hold together: {'three quarters' if given.alone else 'half'} of the memory;"
        " only the planner reads it [query]",
    )
    # Each connection may use it several times over.
    share = int(factor * (memory - shared) / (3 * given.connections))
    yield Fitted(
        "work_mem",
        size(_clamp(share, 1 * MB, ceiling)),
        f"a third of what is left, by {given.connections} connections, times {factor:g} for the workload"
        " [resource, pgtune]",
    )
    yield Fitted(
        "maintenance_work_mem",
        size(_clamp(memory // 16, 16 * MB, 1 * GB)),
        "a sixteenth of the memory, at most 1 GB: each of three autovacuum workers may take it, and before"
        " PostgreSQL 17 VACUUM uses no more [resource]",
    )


def _parallel(given: Situation) -> Iterator[Fitted]:
    cores = given.machine.cores
    helpers = min(cores // 2, PER_GATHER[given.workload])
    yield Fitted(
        "max_worker_processes",
        str(max(8, cores + 4)),
        "a worker for each core beside those of replication and extensions [resource]",
    )
    yield Fitted("max_parallel_workers", str(cores), "one for each core; more only wait for each other [resource]")
    yield Fitted(
        "max_parallel_workers_per_gather",
        str(helpers),
        f"half of the cores, at most {PER_GATHER[given.workload]}: one query must not take them all [resource]",
    )
    yield Fitted(
        "max_parallel_maintenance_workers",
        str(min(cores // 2, 4)),
        "half of the cores, at most 4: an index is built beside the work of the day [resource]",
    )


def _wal(given: Situation) -> Iterator[Fitted]:
    room = given.machine.disk_bytes // 10 if given.machine.disk_bytes else 16 * GB
    wanted = _clamp(given.machine.memory_bytes // 4, 1 * GB, 8 * GB if given.alone else 4 * GB)
    largest = max(min(wanted, room // MB * MB), 256 * MB)
    yield Fitted(
        "max_wal_size",
        size(largest),
        "checkpoints by the clock, not by the amount written, also while an import runs; at most a tenth of the disk"
        " [wal]",
    )
    yield Fitted(
        "min_wal_size",
        size(min(largest // 2, 2 * GB)),
        "files kept for the next burst: made anew, each is written once more; at most half of max_wal_size [wal]",
    )
    yield Fitted(
        "wal_buffers",
        size(_clamp(given.machine.memory_bytes // 256, 16 * MB, 64 * MB)),
        "room for what an import writes until the WAL writer comes round: inserting 100,000 leads took 3.1 s, and 3.4 s"
        " with the 16 MB that PostgreSQL takes by itself [wal]",
    )
    yield Fitted(
        "wal_compression",
        "pglz" if given.compression == "off" and given.machine.disk == "hdd" else given.compression,
        "images of whole pages are most of what is written after a checkpoint; lz4 or zstd where this server was built"
        " with them: pglz, the only other, takes longer than a solid-state disk takes to write the page [wal]",
    )
    yield Fitted(
        "checkpoint_timeout", "15min", "fewer images of whole pages; recovery after a crash takes longer [wal]"
    )
    yield Fitted("checkpoint_completion_target", "0.9", "writes are spread over the time between two checkpoints [wal]")


def _disk(given: Situation) -> Iterator[Fitted]:
    kind = given.machine.disk
    assumed = "; not known here, taken for solid state" if kind == "unknown" else ""
    if kind == "hdd":
        yield Fitted("random_page_cost", "4", "a disk that turns pays for each jump [query]")
    else:
        yield Fitted(
            "random_page_cost", "1.1", f"solid state: a jump costs hardly more than the next page{assumed} [query]"
        )
    if given.major < 18:  # from 18 on it steers asynchronous reads, and its default suits
        yield Fitted(
            "effective_io_concurrency",
            "2" if kind == "hdd" else "200",
            f"pages that a bitmap scan asks for ahead{assumed} [resource, pgtune]",
        )
    yield Fitted(
        "autovacuum_vacuum_cost_limit",
        "200" if kind == "hdd" else "1000",
        f"autovacuum keeps up with imports and events; the default is of the time of turning disks{assumed} [vacuum]",
    )


def _others(_given: Situation) -> Iterator[Fitted]:
    yield Fitted("jit", "off", "compiling costs more than these queries take [query, pgtune]")
    yield Fitted("track_io_timing", "on", "tells waiting for the disk from computing [statistics]")


def size(number: int) -> str:
    """Bytes as a configuration file has them, in whole megabytes from 16 MB on: the server counts in pages of 8 kB."""
    if number < 16 * MB:
        return f"{number // KB}kB"
    whole = number // MB
    return f"{whole // 1024}GB" if whole % 1024 == 0 else f"{whole}MB"


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
