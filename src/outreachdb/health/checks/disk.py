"""The disk under the database's files.

title: Disk in use
group: storage
unit: %
yellow: 80
red: 90
given: size_gb=0
why: When it is full the server stops. PostgreSQL does not tell how large its disk is: where the server runs on this
  machine it is looked up, else size_gb in the configuration tells, and the databases' sizes are held against it.
advice: outreachdb health trends tells when it will be full; look at retention, bloat and replication slots.
sources: https://www.postgresql.org/docs/current/diskusage.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from outreachdb.config import Settings
from outreachdb.db.pools import Connection
from outreachdb.db.queries import Queries
from outreachdb.health.checkbook import Measured

Q = Queries("outreachdb.health", "measures.sql")
GB = 1024**3


async def measure(connection: Connection, given: Mapping[str, float], _settings: Settings | None = None) -> Measured:
    """The share of the disk that is in use."""
    row: dict[str, Any] = await (await connection.execute(Q.storage.encode())).fetchone() or {}
    if given["size_gb"]:
        used, total = int(row["bytes"] or 0), int(given["size_gb"] * GB)
    elif (found := _here(row["folder"], row["started"])) is not None:
        used, total = found
    else:
        return Measured(None, reason="the server is on another machine; tell its disk's size_gb in the configuration")
    evidence = {"summary": f"{used / GB:.1f} of {total / GB:.1f} GB", "used_bytes": used, "total_bytes": total}
    return Measured(100 * used / total, evidence)


def _here(folder: str | None, started: float) -> tuple[int, int] | None:
    """Bytes used and in all where the server's folder is on this machine, and is not only one of the same name."""
    if folder is None:
        return None
    try:
        lines = (Path(folder) / "postmaster.pid").read_text().splitlines()
        usage = psutil.disk_usage(folder)
    except OSError:
        return None
    same = len(lines) > 2 and lines[2].isdigit() and abs(int(lines[2]) - started) < 5
    return (usage.used, usage.used + usage.free) if same else None
