"""The partition manager: which tables are partitioned and how, partitions ahead of time, detaches finished."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

import psycopg

from outreachdb.config import Settings
from outreachdb.db import revision
from outreachdb.db.pools import Connection, connect
from outreachdb.db.queries import Queries
from outreachdb.errors import NotFound, OutreachDBError, from_database
from outreachdb.progress import Progress, silent
from outreachdb.storage import adopting, detaching, partman
from outreachdb.storage.adopting import Adopted, Adoption

Q = Queries("outreachdb.storage", "partitions.sql")
Interval = Literal["day", "week", "month", "quarter"]
Backend = Literal["native", "partman"]
State = Literal["past", "current", "future", "expired", "detaching", "default"]


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered table; ``retention_months`` None keeps its rows for ever, else months and days add up."""

    table: str
    interval: Interval
    ahead: int
    retention_months: int | None
    retention_days: int
    archive: bool
    backend: Backend

    @property
    def retention(self) -> str:
        """The retention in words."""
        if self.retention_months is None:
            return "for ever"
        parts = ((self.retention_months, "months"), (self.retention_days, "days"))
        return " ".join(f"{number} {unit}" for number, unit in parts if number)


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition: its range (None where it is open, both in a default one), estimated rows, bytes with indexes."""

    table: str
    name: str
    range_from: datetime | None
    range_to: datetime | None
    rows: int
    bytes: int
    state: State

    def document(self) -> dict[str, Any]:
        """For JSON: ``table, name, from, to, rows, bytes, state``."""
        return {
            "table": self.table,
            "name": self.name,
            "from": self.range_from,
            "to": self.range_to,
            "rows": self.rows,
            "bytes": self.bytes,
            "state": self.state,
        }


@dataclass(slots=True)
class Maintained:
    """What a run did to one table: detaches it finished, partitions it made, partitions past their retention."""

    table: str
    backend: Backend
    finalized: list[str] = field(default_factory=list)
    created: int = 0
    expired: list[str] = field(default_factory=list)
    error: str | None = None


class PartitionManager:
    """Works from the registry (``ops.partitioned_tables``) alone; make one with :func:`get_partition_manager`.

    Every call opens a connection of its own and closes it: detaching needs a session to itself.
    """

    def __init__(self, url: str, settings: Settings | None = None) -> None:
        self.url = url
        self.settings = settings or Settings.load(database_url=url)

    async def tables(self, table: str | None = None) -> list[Registered]:
        """The registered tables, or one of them; raises NotFound when that one is not registered."""
        async with self._session() as connection:
            return [_registered(row) for row in await _rows(connection, table)]

    async def register(
        self,
        table: str,
        *,
        interval: Interval = "month",
        ahead: int = 3,
        retention: str | None = "12 months",
        archive: bool = True,
    ) -> Registered:
        """Register a partitioned table of any schema, or change what is registered, and create what lies ahead.

        ``retention`` is an interval as PostgreSQL writes it, in whole days or months; None keeps rows for ever. Raises
        InvalidInput where the table is not partitioned by RANGE over one timestamptz, timestamp or date column.
        """
        given = {"table": table, "interval": interval, "ahead": ahead, "retention": retention, "archive": archive}
        async with self._session("registering a partitioned table") as connection:
            async with connection.transaction():
                row = await (await connection.execute(Q.register, given)).fetchone()
                name = str(row["registered"]) if row else table
                await connection.execute(Q.create_ahead, {"table": name})
            return _registered((await _rows(connection, name))[0])

    async def unregister(self, table: str) -> None:
        """Forget a table; its partitions stay as they are."""
        async with self._session("forgetting a partitioned table") as connection:
            await _rows(connection, table)
            await connection.execute(Q.unregister, {"table": table})

    async def partitions(self, table: str | None = None) -> list[Partition]:
        """The partitions of a registered table, or of all, oldest first."""
        async with self._session("listing partitions") as connection:
            rows = await (await connection.execute(Q.partitions, {"table": table})).fetchall()
        return [
            Partition(
                row["table_name"],
                row["partition_name"],
                row["range_from"],
                row["range_to"],
                row["row_estimate"],
                row["bytes"],
                row["state"],
            )
            for row in rows
        ]

    async def performance(self, table: str) -> list[dict[str, Any]]:
        """What ``outreach.analyze_partition_performance`` says of each partition, oldest first."""
        async with self._session("looking at partitions") as connection:
            return await (await connection.execute(Q.performance, {"table": table})).fetchall()

    async def ensure_partitions(self, table: str, first: datetime, last: datetime) -> int:
        """Create what a range of rows needs; how many partitions were made."""
        async with self._session("creating partitions") as connection:
            given = {"table": table, "first": first, "last": last}
            row = await (await connection.execute(Q.create, given)).fetchone()
        return int(row["made"]) if row else 0

    async def detach(self, table: str, partition: str) -> str:
        """Detach a partition with its rows; see :func:`outreachdb.storage.detaching.detach` for when it may leave."""
        async with self._session("detaching a partition") as connection:
            return await detaching.detach(connection, table, partition)

    async def maintain(self, table: str) -> Maintained:
        """Finish interrupted detaches, create what lies ahead, and name what is past its retention."""
        async with self._session("maintaining partitions") as connection:
            row = (await _rows(connection, table))[0]
            return await _maintain(connection, _registered(row))

    async def maintain_all_partitions(self, *, backend: Backend | None = None) -> list[Maintained]:
        """Maintain every registered table; one that fails is reported with its error and holds up no other.

        ``backend`` hands all tables over first: to ``partman`` (the extension pg_partman) or back to ``native``.
        """
        done: list[Maintained] = []
        for each in await self.tables():
            try:
                if backend is not None and backend != each.backend:
                    await self.hand_over(each.table, backend)
                done.append(await self.maintain(each.table))
            except OutreachDBError as error:
                done.append(Maintained(each.table, backend or each.backend, error=str(error)))
        return done

    async def hand_over(self, table: str, backend: Backend) -> None:
        """Let pg_partman create the partitions of a table from now on, or take it back."""
        async with self._session("changing who makes partitions") as connection, connection.transaction():
            each = _registered((await _rows(connection, table))[0])
            await (partman.hand_over if backend == "partman" else partman.take_back)(connection, each.table)
            await connection.execute(Q.backend, {"table": each.table, "backend": backend})

    async def adopt(self, plan: Adoption, progress: Progress = silent) -> Adopted:
        """Turn a table into a partitioned one while others write to it; see :mod:`outreachdb.storage.adopting`."""
        async with self._session("taking over a table") as connection:
            return await adopting.adopt(connection, plan, progress)

    async def cancel_adoption(self, table: str) -> bool:
        """Take back what an unfinished adoption made; False where there is none."""
        async with self._session("cancelling the adoption of a table") as connection:
            return await adopting.cancel(connection, table)

    @asynccontextmanager
    async def _session(self, doing: str = "reading the partition registry") -> AsyncIterator[Connection]:
        """An autocommit connection as the login, which is a member of the owners; errors of our own tree."""
        connection = await connect(self.url, autocommit=True, timeout=self.settings.connect_timeout)
        async with connection:
            try:
                # Periods are told as they are divided, and psycopg reads no other date style.
                await connection.execute("SET timezone = 'UTC'")
                await connection.execute("SET datestyle = 'ISO'")
                yield connection
            except psycopg.Error as error:
                raise from_database(error, doing=doing) from error


async def get_partition_manager(database_url: str | None = None) -> PartitionManager:
    """The partition manager of a database, checked to answer and to have this version's schema.

    Without a URL the settings' own. Raises DatabaseUnavailable, or MigrationError where it has no schema of ours.
    """
    settings = Settings.load(database_url=database_url)
    url = database_url or settings.url("admin")
    if url is None:
        raise OutreachDBError("no database URL", hint="give one or set OUTREACHDB_DATABASE_URL")
    await revision.check(url)
    return PartitionManager(url, settings)


async def _maintain(connection: Connection, each: Registered) -> Maintained:
    done = Maintained(each.table, each.backend)
    done.finalized = await detaching.finalize_pending(connection, each.table)
    if each.backend == "partman":
        done.created = await partman.maintain(connection, each.table)
    else:
        row = await (await connection.execute(Q.create_ahead, {"table": each.table})).fetchone()
        done.created = int(row["made"]) if row else 0
    rows = await (await connection.execute(Q.partitions, {"table": each.table})).fetchall()
    done.expired = [row["partition_name"] for row in rows if row["state"] == "expired"]
    return done


async def _rows(connection: Connection, table: str | None) -> Sequence[dict[str, Any]]:
    rows = await (await connection.execute(Q.tables, {"table": table})).fetchall()
    if table is not None and not rows:
        raise NotFound(f"no registered partitioned table named {table}", hint="see `outreachdb partitions list`")
    return rows


def _registered(row: dict[str, Any]) -> Registered:
    return Registered(
        row["table_name"],
        cast("Interval", row["interval"]),
        row["ahead"],
        row["retention_months"],
        row["retention_days"],
        row["archive"],
        cast("Backend", row["backend"]),
    )
