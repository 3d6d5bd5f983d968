"""A partition that leaves without an archive: said first, then detached, then dropped, each step known to the next run.

The record (``ops.partition_drops``) is written before the detach and goes in the transaction of the drop. What it says
holds for one table, by its oid, and only while nobody else touches that table: one that was attached again, detached by
a person, renamed, or is still attached after all, is not dropped on the word of an old record.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import session
from outreachdb.errors import Conflict, from_database
from outreachdb.progress import Progress, silent
from outreachdb.storage import archiving, detaching
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.leaving import Partition, freeze, held

Q = Queries("outreachdb.storage", "dropping.sql")


@dataclass(frozen=True, slots=True)
class Drop:
    """A record and what became of its table: ``half`` detached, ``apart``; else the record is stale, and says why."""

    relation: int
    table_name: str
    partition_name: str
    range_start: datetime
    range_end: datetime
    only_if_empty: bool
    created_at: datetime
    state: str
    rows: int
    bytes: int

    @property
    def under_way(self) -> bool:
        """Whether the table is to be dropped."""
        return self.state in {"half", "apart"}


async def begun(pools: Pools, table: str | None = None) -> list[Drop]:
    """What an earlier run began and did not finish, in the order in which it did."""
    async with session(pools, role=OWNER, workload="admin", doing="looking for drops that were begun") as owner:
        found = [Drop(**row) for row in await owner.all(Q.drops, {"table_name": table, "partition_name": None})]
    return [each for each in found if each.under_way]


async def forget_stale(pools: Pools) -> None:
    """Strike out what no longer holds; by the run that nobody runs beside."""
    async with session(pools, role=OWNER, workload="admin", doing="looking for drops that were begun") as owner:
        found = [Drop(**row) for row in await owner.all(Q.drops, {"table_name": None, "partition_name": None})]
        for each in found:
            if not each.under_way:
                await owner.execute(Q.forget, {"relation": each.relation})


async def reasons_to_keep(pools: Pools, table: str, name: str, start: datetime, end: datetime) -> list[str]:
    """Legal holds and longer policies; they may have come after the drop was begun."""
    async with session(pools, role=OWNER, workload="admin", doing="looking for legal holds") as owner:
        return await held(owner, table, name, start, end)


async def drop(
    pools: Pools, table: str, name: str, start: datetime, end: datetime, *, folder: Folder | None = None,
    progress: Progress = silent,
) -> int | archiving.Left:  # fmt: skip
    """Detach a partition beside writers and drop it, or go on where that was left; how many rows went.

    A partition of an archived table goes only without a row: where one came in the last moment it is archived instead.
    Raises Conflict where something keeps it, or open transactions outlast the patience: the next run goes on.
    """
    await _refuse_kept(pools, table, name, start, end)
    async with _connection(pools, name) as connection:
        found = await _record(connection, table, name)
        if found is None or not found.under_way:
            # Only now: once it is half detached its rows are out of sight, and the rollups would be compared with less.
            await freeze(pools, table, start, end)
        if found is None or found.state != "apart":
            await _detach(connection, pools.url("admin"), table, name)
            found = await _record(connection, table, name)
        if found is None or found.state != "apart":
            raise Conflict(
                f"{name} was touched by somebody else while it was detached", hint="outreachdb retention plan"
            )
    await _refuse_kept(pools, table, name, start, end)
    url, record = pools.url("admin"), found
    rows = await archiving.in_thread(lambda stop: _drop_table(url, record, stop))
    if rows is not None:
        return rows
    there = Partition(name, False, start, end, 1, record.bytes, False)
    begun_archive = await archiving.begin_apart(pools, table, there, folder)
    async with _connection(pools, name) as connection:
        await connection.execute(Q.forget, {"relation": record.relation})
    return await archiving.finish(pools, begun_archive, folder=folder, progress=progress)


async def _detach(connection: Connection, url: str, table: str, name: str) -> None:
    """Say it, then do it; what is refused was never said."""
    await connection.execute(Q.intend, {"table_name": table, "partition_name": name})
    try:
        found = await _record(connection, table, name)
        if found is not None and found.state == "half":
            await detaching.finalize_pending(connection, table)
        else:
            await detaching.detach(connection, table, name, dropping=url)
    except BaseException:
        with suppress(psycopg.Error):
            await _take_back(connection, table, name)
        raise


async def _take_back(connection: Connection, table: str, name: str) -> None:
    await connection.execute(f"SET ROLE {OWNER}")
    found = await _record(connection, table, name)
    if found is not None and not found.under_way:
        await connection.execute(Q.forget, {"relation": found.relation})


async def _record(connection: Connection, table: str, name: str) -> Drop | None:
    await connection.execute(f"SET ROLE {OWNER}")
    row = await (await connection.execute(Q.drops, {"table_name": table, "partition_name": name})).fetchone()
    return Drop(**row) if row else None


def _drop_table(url: str, record: Drop, stop: archiving.Stopping) -> int | None:
    """Count and drop in one transaction with the record; None, and nothing done, where rows came to an empty one."""
    with archiving.opened(url, stop) as work:
        name = sql.SQL(record.partition_name)
        archiving.act_as_owner_of(work, name)
        work.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(name))
        row = work.execute(sql.SQL("SELECT count(*) AS rows FROM {}").format(name)).fetchone()
        rows = int(row["rows"]) if row else 0
        if rows and record.only_if_empty:
            return None
        _still_ours(work, record)
        archiving.act_as_owner_of(work, name)
        archiving.drop(work, name, record.table_name)
        work.execute(f"SET LOCAL ROLE {OWNER}")
        work.execute(Q.forget, {"relation": record.relation})
        work.commit()
    return rows


def _still_ours(work: psycopg.Connection[Any], record: Drop) -> None:
    """Asked under the lock: from here on nobody attaches or renames it."""
    work.execute(f"SET LOCAL ROLE {OWNER}")
    given = {"table_name": record.table_name, "partition_name": record.partition_name}
    row = work.execute(Q.drops, given).fetchone()
    if row is None or row["relation"] != record.relation or row["state"] != "apart":
        raise Conflict(f"{record.partition_name} was touched by somebody else since it was detached")


async def _refuse_kept(pools: Pools, table: str, name: str, start: datetime, end: datetime) -> None:
    keeping = await reasons_to_keep(pools, table, name, start, end)
    if keeping:
        raise Conflict(f"{name} stays: {'; '.join(keeping)}")


@asynccontextmanager
async def _connection(pools: Pools, name: str) -> AsyncIterator[Connection]:
    async with await connect(pools.url("admin"), autocommit=True) as connection:
        try:
            await connection.execute(f"SET ROLE {OWNER}")
            yield connection
        except psycopg.Error as error:
            raise from_database(error, doing=f"dropping {name}") from error
