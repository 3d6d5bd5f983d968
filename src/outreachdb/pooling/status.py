"""What the pooler says of its pools, by its own console."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from outreachdb.config import Settings
from outreachdb.pooling.folder import CONSOLE, PoolFolder

PERCENT = 100


@dataclass(frozen=True, slots=True)
class PoolUse:
    """One pool: clients at work and waiting, server connections at work and idle, the longest wait in seconds."""

    pool: str
    mode: str
    size: int
    clients: int
    waiting: int
    servers_active: int
    servers_idle: int
    longest_wait_seconds: float

    @property
    def utilization(self) -> float:
        """Percent of the pool's server connections that serve a client."""
        return round(PERCENT * self.servers_active / self.size, 1) if self.size else 0.0


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The pooler; ``running`` is False and the rest empty where its console does not answer, ``reason`` tells why.

    ``configured`` is False where there is no pooler to ask: neither a folder of ours nor a console URL. ``wanted`` is
    whether it should run: it was started and not stopped, or the settings name its console. ``hint`` tells what to do.
    """

    configured: bool
    running: bool
    version: str | None = None
    pid: int | None = None
    pools: tuple[PoolUse, ...] = ()
    reason: str | None = None
    wanted: bool = False
    hint: str | None = None

    @property
    def down(self) -> bool:
        """Whether it should run and does not answer."""
        return self.wanted and not self.running

    def document(self) -> dict[str, Any]:
        """For JSON: ``configured, running, version, pid, pools, reason, wanted, hint``."""
        return asdict(self) | {"pools": [asdict(each) | {"utilization": each.utilization} for each in self.pools]}


async def status(settings: Settings, folder: PoolFolder | None = None) -> PoolStatus:
    """Ask the console: that of the settings, else that of the folder (the home's where none is given); never raises.

    Takes at most the connection timeout of the settings.
    """
    try:
        folder = folder or PoolFolder.of_home(settings.home)
        own = folder.console_url()
        url = settings.pool_console_url or own
        ours = url is not None and str(url) == own
        wanted = folder.wanted() if ours else url is not None
        pid = process.pid if (process := folder.process()) else None
    except Exception as error:  # noqa: BLE001  (health asks also where there is nothing to ask)
        return PoolStatus(configured=False, running=False, reason=str(error))
    if url is None:
        return PoolStatus(
            configured=False, running=False, reason="no pooler is configured", hint="outreachdb pool config"
        )
    try:
        return await _asked(str(url), settings.connect_timeout, pid)
    except psycopg.Error as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
    reason, hint = f"the pooler's console does not answer: {said}", f"see {folder.log}"
    if not ours:
        hint = "does OUTREACHDB_POOL_CONSOLE_URL lead to it?"
    elif pid is None and wanted:
        reason, hint = (
            "the pooler was started and runs no more",
            f"outreachdb pool start; {folder.log} tells why it ended",
        )
    elif pid is None:
        reason, hint = "a pooler is configured and not started", "outreachdb pool start"
    wanted = wanted or pid is not None
    return PoolStatus(configured=True, running=False, pid=pid, reason=reason, wanted=wanted, hint=hint)


async def _asked(url: str, timeout: int, pid: int | None) -> PoolStatus:
    # The console knows the simple protocol only, and no transactions.
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=timeout, row_factory=dict_row, prepare_threshold=None
    )
    async with connection:
        version = await (await connection.execute("SHOW VERSION")).fetchone()
        databases = await (await connection.execute("SHOW DATABASES")).fetchall()
        pools = await (await connection.execute("SHOW POOLS")).fetchall()
    used = [_use(each, [row for row in pools if row["database"] == each["name"]]) for each in databases]
    name = str((version or {}).get("version", "")).removeprefix("PgBouncer ")
    return PoolStatus(
        configured=True,
        running=True,
        version=name,
        pid=pid,
        pools=tuple(each for each in used if each.pool != CONSOLE),
        wanted=True,
    )


def _use(database: dict[str, Any], pools: list[dict[str, Any]]) -> PoolUse:
    """One of our pools: PgBouncer keeps one for each login."""

    def total(*names: str) -> int:
        return sum(int(pool.get(name) or 0) for pool in pools for name in names)

    waits = [float(pool["maxwait"]) + float(pool.get("maxwait_us") or 0) / 1e6 for pool in pools]
    return PoolUse(
        pool=str(database["name"]),
        mode=str(database.get("pool_mode") or (pools[0]["pool_mode"] if pools else "session")),
        size=int(database["pool_size"]),
        clients=total("cl_active", "cl_waiting"),
        waiting=total("cl_waiting"),
        servers_active=total("sv_active", "sv_login", "sv_tested"),
        servers_idle=total("sv_idle", "sv_used"),
        longest_wait_seconds=max(waits, default=0.0),
    )
