"""Tenant sessions: every access to a workspace's rows goes through one of these.

A tenant transaction runs as ``outreachdb_app`` (row-level security holds) with the workspace set, by ``SET LOCAL`` so
that nothing leaks to the next client of a transaction pooler. The two settings travel with the first statement in one
pipeline: as separate round trips they cost more than most of our statements do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from outreachdb.config import Workload
from outreachdb.db.pools import Connection, Pools
from outreachdb.errors import from_database

APP_ROLE = "outreachdb_app"
TRUSTED_ROLE = "outreachdb_trusted"

Row = dict[str, Any]
Query = str | sql.SQL | sql.Composed
Params = Mapping[str, Any] | Sequence[Any] | None


class Session:
    """A transaction under one role, with or without a workspace; statements take ``%(name)s`` parameters."""

    def __init__(self, connection: Connection, preamble: Sequence[sql.Composed]) -> None:
        self._connection = connection
        self._preamble = list(preamble)

    async def execute(self, query: Query, params: Params = None) -> psycopg.AsyncCursor[Row]:
        """Run a statement; the first carries the role and the workspace along."""
        if not self._preamble:
            return await self._connection.execute(query, params)
        preamble, self._preamble = self._preamble, []
        async with self._connection.pipeline():
            for setting in preamble:
                await self._connection.execute(setting)
            return await self._connection.execute(query, params)

    async def all(self, query: Query, params: Params = None) -> list[Row]:
        """All rows."""
        return await (await self.execute(query, params)).fetchall()

    async def tuples(self, query: Query, params: Params = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The columns' names and all rows as tuples: a third of the time of :meth:`all` where rows are many."""
        cursor = await self.execute(query, params)
        cursor.row_factory = psycopg.rows.tuple_row  # type: ignore[assignment]
        rows: list[Any] = await cursor.fetchall()
        return [each.name for each in cursor.description or ()], rows

    async def one(self, query: Query, params: Params = None) -> Row | None:
        """The first row, or ``None``."""
        return await (await self.execute(query, params)).fetchone()

    async def value(self, query: Query, params: Params = None) -> Any:
        """The first column of the first row, or ``None``."""
        row = await self.one(query, params)
        return next(iter(row.values())) if row else None

    @asynccontextmanager
    async def as_role(self, role: str, back: str) -> AsyncIterator[None]:
        """Statements within the block run as ``role``, later ones as ``back``; an error ends the transaction."""
        await self.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        yield
        await self.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(back)))

    async def connection(self) -> Connection:
        """The connection itself, role and workspace already set; for ``COPY`` and server-side cursors."""
        if self._preamble:
            await self.execute("SELECT 1")
        return self._connection


@asynccontextmanager
async def session(
    pools: Pools,
    *,
    role: str,
    workspace_id: int | None = None,
    workload: Workload = "web",
    doing: str = "talking to the database",
    limit_ms: int = 0,
) -> AsyncIterator[Session]:
    """A transaction as ``role``; commits on leaving, rolls back on an error, and gives errors of our own tree.

    A statement may run for ``limit_ms`` milliseconds (0: for ever), as a tenant's also no longer than the settings say.
    """
    settings: list[sql.Composed] = [sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role))]
    if workspace_id is not None:
        settings.append(sql.SQL("SET LOCAL app.workspace_id = {}").format(sql.Literal(str(workspace_id))))
    limits = [limit_ms, pools.settings.statement_timeout_ms if role == APP_ROLE else 0]
    limit = min((each for each in limits if each), default=0)
    if limit:
        settings.append(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(limit)))
    try:
        async with pools.connection(workload) as connection:
            yield Session(connection, settings)
    except psycopg.Error as error:
        raise from_database(error, doing=doing) from error


@dataclass(frozen=True, slots=True)
class Tenant:
    """A workspace and the pools to reach it; rooms take one of these.

    ``read_limit_ms`` is how long one statement of a search or a segment may run in this workspace; 0 is no limit.
    """

    pools: Pools
    workspace_id: int
    name: str
    read_limit_ms: int = 30_000

    def session(
        self, workload: Workload = "web", *, doing: str = "reading the workspace"
    ) -> AbstractAsyncContextManager[Session]:
        """A tenant transaction (``async with``): row-level security keeps it inside the workspace."""
        return session(self.pools, role=APP_ROLE, workspace_id=self.workspace_id, workload=workload, doing=doing)

    def reading(
        self, workload: Workload = "web", *, doing: str = "reading the workspace"
    ) -> AbstractAsyncContextManager[Session]:
        """A tenant transaction whose statements end at the workspace's time limit, for what people compose freely."""
        return session(
            self.pools,
            role=APP_ROLE,
            workspace_id=self.workspace_id,
            workload=workload,
            doing=doing,
            limit_ms=self.read_limit_ms,
        )

    def trusted(
        self, workload: Workload = "jobs", *, doing: str = "working on the workspace"
    ) -> AbstractAsyncContextManager[Session]:
        """A transaction as ``outreachdb_trusted`` with the workspace set, for bulk paths (staging, rollups).

        Its policy is ``true``: statements must name ``workspace_id`` themselves.
        """
        return session(self.pools, role=TRUSTED_ROLE, workspace_id=self.workspace_id, workload=workload, doing=doing)
