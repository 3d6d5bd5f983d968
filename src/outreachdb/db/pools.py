"""One connection pool per workload, opened on first use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from outreachdb.config import Settings, Workload
from outreachdb.errors import DatabaseUnavailable, DatabaseUnsupported, from_database

MINIMUM_VERSION = 150000
Connection = psycopg.AsyncConnection[psycopg.rows.DictRow]
Pool = AsyncConnectionPool[Connection]

# prepare_threshold: named prepared statements do not survive PgBouncer < 1.21 in transaction mode.
CONNECTION_DEFAULTS: dict[str, Any] = {
    "prepare_threshold": None,
    "row_factory": psycopg.rows.dict_row,
    "application_name": "outreachdb",
}


class Pools:
    """Opens and closes the pools; two workloads with the same URL share one.

    ``fallback_url`` is the embedded server's, used where the settings name no URL.
    """

    def __init__(self, settings: Settings, fallback_url: str | None = None) -> None:
        self.settings = settings
        self._fallback_url = fallback_url
        self._pools: dict[str, Pool] = {}
        self._opening = asyncio.Lock()

    def url(self, workload: Workload) -> str:
        """The URL of a workload."""
        url = self.settings.url(workload) or self._fallback_url
        if url is None:
            raise DatabaseUnavailable("no database URL", hint="set OUTREACHDB_DATABASE_URL or run `outreachdb up`")
        return url

    async def pool(self, workload: Workload = "web") -> Pool:
        """The workload's pool, opened and checked on first use."""
        url = self.url(workload)
        if url not in self._pools:
            async with self._opening:  # many may ask at once: one pool, or the others would never be closed
                if url not in self._pools:
                    self._pools[url] = await self._open(url, workload)
        return self._pools[url]

    async def _open(self, url: str, workload: Workload) -> Pool:
        await check_server(url, self.settings.connect_timeout)
        pool: Pool = AsyncConnectionPool(
            url,
            connection_class=Connection,
            kwargs=CONNECTION_DEFAULTS | {"connect_timeout": self.settings.connect_timeout},
            min_size=0,
            max_size=self.settings.pool_max,
            timeout=30,
            open=False,
            name=workload,
        )
        await pool.open()
        return pool

    @asynccontextmanager
    async def connection(self, workload: Workload = "web") -> AsyncIterator[Connection]:
        """A connection in a transaction that commits on leaving and rolls back on an error."""
        pool = await self.pool(workload)
        try:
            async with pool.connection() as connection:
                yield connection
        except PoolTimeout as error:
            raise DatabaseUnavailable(
                f"no free connection in the {workload} pool",
                hint="raise OUTREACHDB_POOL_MAX or look for stuck work",
            ) from error

    async def close(self) -> None:
        """Close all pools."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def connect(url: str, *, autocommit: bool = False, timeout: int = 5) -> Connection:
    """One connection outside the pools, for work that holds a session (migrations, long COPY)."""
    try:
        return await Connection.connect(url, autocommit=autocommit, connect_timeout=timeout, **CONNECTION_DEFAULTS)
    except psycopg.Error as error:
        raise unreachable(url, error) from error


async def check_server(url: str, timeout: int = 5) -> int:
    """The server's version number, e.g. 180001; raises when it does not answer or is older than 15."""
    connection = await connect(url, autocommit=True, timeout=timeout)
    async with connection:
        version = connection.info.server_version
    if version < MINIMUM_VERSION:
        raise DatabaseUnsupported(
            f"PostgreSQL {version // 10000} is too old", hint="OutreachDB needs PostgreSQL 15 to 18"
        )
    return version


def describe(url: str) -> str:
    """The URL without its password, for messages."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return "the given database URL"
    host, port = parts.get("host") or "localhost", parts.get("port") or 5432
    return f"{parts.get('dbname') or 'postgres'} on {host}:{port}"


def unreachable(url: str, error: psycopg.Error) -> DatabaseUnavailable:
    """The error for a connection that could not be made."""
    if isinstance(error, psycopg.ProgrammingError):
        return DatabaseUnavailable(
            "the database URL can't be read", hint="expected postgresql://user@host:port/database"
        )
    known = from_database(error, doing="connecting")
    reason = known.detail.removeprefix("connecting: ").removeprefix("connection failed: ")
    return DatabaseUnavailable(f"no answer from {describe(url)}: {reason}", hint="check the URL and that it runs")
