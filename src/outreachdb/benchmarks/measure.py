"""What every benchmark shares: a scratch database, the shape of a result, and what machine it ran on."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from psycopg import conninfo, sql

from outreachdb.db.pools import check_server, connect


@dataclass(frozen=True, slots=True)
class Result:
    """One figure; ``ratio`` is value / limit (limit / value where more is better): at most 1 while the limit holds."""

    name: str
    value: float
    unit: str
    source_target: str | None = None
    limit: float | None = None
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How much of the limit is used."""
        if not self.limit or not self.value:
            return None
        return self.limit / self.value if self.more_is_better else self.value / self.limit

    def document(self) -> dict[str, Any]:
        """For JSON: ``name, value, unit, source_target, limit, ratio``."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "source_target": self.source_target,
            "limit": self.limit,
            "ratio": self.ratio,
        }


@asynccontextmanager
async def scratch_database(url: str, purpose: str) -> AsyncIterator[str]:
    """URL of a new database on the same server, dropped at the end."""
    name = f"outreachdb_bench_{purpose}_{os.getpid()}"
    connection = await connect(url, autocommit=True)
    try:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield conninfo.make_conninfo(url, dbname=name)
        finally:
            await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    finally:
        await connection.close()


async def machine(url: str) -> dict[str, Any]:
    """Cores, memory, versions and the day, to read the figures by."""
    version = await check_server(url)
    return {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1024**3, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "postgresql": f"{version // 10000}.{version % 10000}",
        "date": datetime.now(UTC).date().isoformat(),
    }


async def checkpoint(url: str) -> None:
    """So that none pays for the writes of what ran before it."""
    async with await connect(url, autocommit=True) as connection:
        await connection.execute("CHECKPOINT")


def peak_mb() -> float:
    """The most memory that this process has had, in MB.

    Linux keeps ``ru_maxrss`` over an exec: a small process tells that of the large one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        kilobytes = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:")).split()[1]
        return int(kilobytes) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
