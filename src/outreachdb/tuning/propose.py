"""What a server's settings are, what they should be, and why; beside the fixed values that the sources name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from outreachdb.db.fitting import MAX_CONNECTIONS, Fitted, Situation, Workload, fit
from outreachdb.db.machine import Disk, Machine
from outreachdb.db.pools import Connection, connect, describe
from outreachdb.db.queries import Queries
from outreachdb.errors import UsageError
from outreachdb.pooling.sizes import POOLS, SPARE
from outreachdb.tuning.units import in_unit

Q = Queries("outreachdb.tuning")
PRELOAD = "shared_preload_libraries"
STATEMENTS = "pg_stat_statements"
# The values that R2 sets on every machine alike, and why ours may differ.
SOURCES = {
    "max_connections": ("200", "500 clients share 55 connections by the pooler; more would share the same cores"),
    "shared_buffers": ("512MB", "fits a machine of 2 GB"),
    "effective_cache_size": ("2GB", "fits a machine of 4 GB"),
    "maintenance_work_mem": ("128MB", "fits a machine of 2 GB"),
    "max_parallel_workers": ("8", "fits a machine of 8 cores"),
}


@dataclass(frozen=True, slots=True)
class Given:
    """What a person says of the server; None is "find out"."""

    memory_bytes: int | None = None
    cores: int | None = None
    disk: Disk | None = None
    workload: Workload = "mixed"
    connections: int | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: as it is, as it should be, why, and whether that needs a restart; ``fixed`` by the command line.

    ``waiting`` is another value than the present that the next restart brings, as the files have it. ``sources`` is
    the value that the sources set for every machine, ``sources_why`` why ours may differ from it.
    """

    name: str
    now: str
    proposed: str
    changes: bool
    restart: bool
    why: str
    fixed: bool = False
    waiting: str | None = None
    sources: str | None = None
    sources_why: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """The settings of one server, and what they were computed from."""

    url: str
    identifier: str
    version: int
    local: bool
    situation: Situation
    rows: tuple[Row, ...]

    @property
    def changing(self) -> tuple[Row, ...]:
        """The rows that would change something and can."""
        return tuple(row for row in self.rows if row.changes and not row.fixed)

    @property
    def waiting(self) -> tuple[Row, ...]:
        """The rows that are as they should be once the server was restarted."""
        return tuple(row for row in self.rows if row.waiting is not None and not row.changes)

    def values(self) -> dict[str, str]:
        """All proposed values by name."""
        return {row.name: row.proposed for row in self.rows}

    def document(self) -> dict[str, Any]:
        """For JSON: ``server, machine, settings``."""
        machine = self.situation.machine
        return {
            "server": {"url": describe(self.url), "version": self.version, "local": self.local},
            "machine": {
                "memory_bytes": machine.memory_bytes,
                "cores": machine.cores,
                "disk": machine.disk,
                "workload": self.situation.workload,
                "connections": self.situation.connections,
                "alone": self.situation.alone,
            },
            "settings": [asdict(row) for row in self.rows],
        }


async def propose(url: str, given: Given, *, timeout: int = 5) -> Proposal:
    """Look at a server and compute its settings; UsageError where it is elsewhere and nobody said what it runs on."""
    connection = await connect(url, autocommit=True, timeout=timeout)
    async with connection:
        server = await (await connection.execute(Q.server)).fetchone()
        assert server is not None  # noqa: S101  (one row by its form)
        names = [*(each.name for each in fit(Situation(Machine(1 << 30, 1), 15))), PRELOAD]
        now = await _settings_now(connection, names, sees_files=server["sees_files"])
    local = _is_here(server["address"], server["data_folder"])
    machine = _machine(given, Path(server["data_folder"]) if local else None, describe(url))
    situation = Situation(
        machine,
        major=server["version"] // 10000,
        workload=given.workload,
        connections=given.connections or _connections(int(now["max_connections"]["setting"])),
        alone=given.alone or not local,
        compression=_compression(now["wal_compression"]["enumvals"] or []),
    )
    rows = tuple(_row(each, now[each.name]) for each in fit(situation) if each.name in now)
    libraries = tuple(_libraries(now.get(PRELOAD), has_statements=server["has_statements"]))
    return Proposal(url, server["identifier"], server["version"], local, situation, (*rows, *libraries))


async def _settings_now(connection: Connection, names: list[str], *, sees_files: bool) -> dict[str, dict[str, Any]]:
    """Settings by name; ``waiting`` is what the next restart brings where that is another value and may be known."""
    found = await (await connection.execute(Q.settings_now, {"names": names})).fetchall()
    files: dict[str, str] = {}
    pending = [row["name"] for row in found if row["pending_restart"]]
    if pending and sees_files:
        rows = await (await connection.execute(Q.waiting, {"names": pending})).fetchall()
        files = {row["name"]: row["setting"] for row in rows}
    for row in found:
        # What stands in no file any more goes back to the server's own default.
        known = row["name"] in pending and sees_files
        row["waiting"] = files.get(row["name"], row["boot_val"]) if known else None
    return {row["name"]: row for row in found}


def _connections(now: int) -> int:
    """As many as now where the pools fit into them: to take connections away may shut somebody out."""
    needed = sum(pool.size for pool in POOLS) + SPARE + 3  # PostgreSQL keeps three for administrators
    return now if now >= needed else MAX_CONNECTIONS


def _is_here(address: str | None, data_folder: str | None) -> bool:
    """Whether the server runs on this machine: a tunnel also ends at a loopback address, so its data must be here."""
    if data_folder is None or (address is not None and not ip_address(address).is_loopback):
        return False
    try:
        return Path(data_folder).exists()
    except PermissionError:
        return True


def _machine(given: Given, data: Path | None, name: str) -> Machine:
    if data is None and (given.memory_bytes is None or given.cores is None):
        raise UsageError(
            f"{name} is on another machine, or hides where it is", hint="say what it runs on: --memory 16GB --cores 4"
        )
    here = Machine.here(data) if data else None
    return Machine(
        given.memory_bytes or (here.memory_bytes if here else 0),
        given.cores or (here.cores if here else 0),
        None,
        given.disk or (here.disk if here else "unknown"),
        here.disk_bytes if here else None,
    )


def _compression(methods: list[str]) -> str:
    return next((method for method in ("lz4", "zstd") if method in methods), "off")


def _row(fitted: Fitted, now: dict[str, Any]) -> Row:
    value, why = SOURCES.get(fitted.name, (None, None))
    return Row(
        fitted.name,
        now["shown"],
        fitted.value,
        changes=_differs(fitted.value, now),
        restart=now["context"] == "postmaster",
        why=fitted.why,
        fixed=now["source"] == "command line",
        waiting=now["waiting"],
        sources=value,
        sources_why=why,
    )


def _differs(value: str, now: dict[str, Any]) -> bool:
    """Where another value waits for a restart, the one that runs will not stay: what waits is compared, if known."""
    if now["waiting"] is not None:
        return in_unit(value, now["unit"]) != in_unit(now["waiting"], now["unit"])
    return in_unit(value, now["unit"]) != in_unit(now["setting"], None) or now["pending_restart"]


def _libraries(now: dict[str, Any] | None, *, has_statements: bool) -> Iterator[Row]:
    """pg_stat_statements is needed by health and the advisor; what is loaded already stays, in its order."""
    if now is None or not has_statements:
        return
    loaded = split_list(now["setting"] if now["waiting"] is None else now["waiting"])
    wanted = loaded if STATEMENTS in loaded else [*loaded, STATEMENTS]
    yield Row(
        PRELOAD,
        now["shown"],
        ", ".join(wanted),
        changes=wanted != loaded,
        restart=True,
        why="the slowest and the most frequent queries are known only with pg_stat_statements",
        fixed=now["source"] == "command line",
        waiting=now["waiting"],
    )


def split_list(text: str) -> list[str]:
    """The elements of a list setting; quotes around one are dropped."""
    return [each.strip().strip('"') for each in text.split(",") if each.strip()]
