"""Takes a partition out of its table without holding up writers: DETACH CONCURRENTLY in short attempts, finished later.

A concurrent detach is two transactions. The first hides the partition, the second waits until every older transaction
has ended. Where the second is interrupted (a lock limit, a crash), the partition stays half detached: its rows are
hidden and rows for its range are refused. So every run of the partition manager begins with :func:`finalize_pending`.

The server may also end the second when the client that asked for it is long dead. Where the table is to be dropped,
that would leave one of which nobody knows whose it is. So such a detach is never let to its end: a session of ours
keeps it half, and what ends it is FINALIZE, which unlike the detach runs in a transaction, with the note that it did.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Connection, connect
from outreachdb.db.queries import Queries
from outreachdb.errors import Busy, Conflict, InvalidInput, NotFound

Q = Queries("outreachdb.storage", "detaching.sql")

# Below PostgreSQL's deadlock_timeout (1 s), and short enough that a writer who queues behind us hardly notices.
LOCK_MS = 300
# How long a call waits in all: for locks, and for transactions that were open when it began.
PATIENCE = 60.0
LONGEST_PAUSE = 2.0
# How long attempts to end a detach share a snapshot.
SAME_SNAPSHOT = 8.0
# How long the session that keeps a detach half stays when its client is killed: far longer than the detach waits.
HALF_SECONDS = 5.0
# Such a detach always waits in vain; the months of a first run are many.
HALF_LOCK_MS = 50


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    oid: int
    parent: str
    owner: str
    horizon: datetime | None


async def finalize_pending(connection: Connection, table: str, *, patience: float = PATIENCE) -> list[str]:
    """Finish detaches of a registered table that were interrupted; the qualified names of what is now apart.

    ``connection`` is in autocommit and may act as the table's owner. Raises NotFound, and Conflict where transactions
    that are open outlast ``patience`` seconds: then call it again.
    """
    async with _alone(connection, table, patience) as (found, deadline):
        return await _finalize(connection, found, deadline)


async def detach(
    connection: Connection,
    table: str,
    partition: str,
    *,
    horizon: datetime | None = None,
    patience: float = PATIENCE,
    dropping: str | None = None,
) -> str:
    """Detach a partition of a registered table, with the rows in it; its qualified name.

    ``horizon`` may be earlier than the table's retention, never later: a partition that can still receive rows stays.
    A partition of ``email_sends`` leaves only when every campaign in it is completed or cancelled and nothing in it is
    pending. Safe to call twice and from two places: who comes second gets NotFound, as the partition is one no more.
    ``dropping`` is the URL for a second session, where ``ops.partition_drops`` says that the table is to go: the note
    that it is apart then comes with the detach. Without it, such a record goes: somebody else wants the table.

    Raises NotFound, Conflict where the partition may not leave yet, and Busy where open transactions outlast
    ``patience``; in the latter case the next :func:`finalize_pending` goes on.
    """
    async with _alone(connection, table, patience) as (found, deadline):
        await _finalize(connection, found, deadline)
        row = await _partition(connection, found, partition)
        qualified = str(row["qualified"])
        await _check_default(connection, found)
        await _check_may_leave(connection, found, row, horizon)
        if dropping is None:
            await connection.execute(Q.keep, {"partition": qualified})
        await _detach(connection, found, qualified, deadline, dropping)
        return qualified


async def _detach(connection: Connection, table: _Table, qualified: str, deadline: float, dropping: str | None) -> None:
    statement = _alter(table, qualified, "CONCURRENTLY")
    pause = 0.05
    while True:
        if dropping is None:
            done = await _attempt(connection, table, statement)
        else:
            async with _kept_half(connection, dropping, table):
                done = await _attempt(connection, table, statement)
        if done:
            await connection.execute(Q.note_detached, {"partition": qualified})
            return
        if qualified in await _pending(connection, table):
            # The first half is done; only open transactions are in the way of the second.
            await _finalize(connection, table, deadline)
            return
        pause = await _wait(pause, deadline, table, "locked by others")


@asynccontextmanager
async def _kept_half(connection: Connection, url: str, table: _Table) -> AsyncIterator[None]:
    """Meanwhile a detach of the table gets no further than its first half, even when this process is killed.

    A session looks at the table and sleeps: the second half waits for it, up to the lock limit. A sleeping session does
    not notice that its client died; one that waits for its client does at once, and the detach would end unnoted.
    """
    async with await connect(url) as holder:
        await holder.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_MS * 10)))
        await holder.execute("SET LOCAL statement_timeout = 0")
        await holder.execute(_act_as(table.owner, local=True))
        # Not its partitions: the detach needs the one.
        await holder.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(sql.SQL(table.parent)))
        sleeping = asyncio.create_task(holder.execute(Q.hold_half, {"seconds": HALF_SECONDS}))
        try:
            asleep = {"pid": holder.info.backend_pid}
            while not sleeping.done() and not await _value(connection, Q.holder, asleep):  # noqa: ASYNC110 - the server
                await asyncio.sleep(0.002)
            await connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(HALF_LOCK_MS)))
            yield
        finally:
            if not connection.closed:
                await connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(LOCK_MS)))
            await holder.cancel_safe()
            with suppress(psycopg.Error):
                await sleeping
            await holder.rollback()


async def _finalize(connection: Connection, table: _Table, deadline: float) -> list[str]:
    done = []
    for qualified in await _pending(connection, table):
        await _finalize_one(connection, table, qualified, deadline)
        done.append(qualified)
    return done


async def _finalize_one(connection: Connection, table: _Table, qualified: str, deadline: float) -> None:
    """Try until the transactions that were open when it began have ended."""
    state = f"half detached ({qualified}); open transactions still see it"
    while not await _finalize_since_now(connection, table, qualified, deadline):
        await _wait(0.05, deadline, table, state)


async def _finalize_since_now(connection: Connection, table: _Table, qualified: str, deadline: float) -> bool:
    """Attempts with one snapshot, for some seconds.

    FINALIZE waits for all snapshots that are as old as its own. Where statements of seconds follow each other, as of
    imports, one is always older than a new one, and attempts of 0.3 s with a new one each met no gap in a minute.
    Not for ever with the same: where no transaction wrote when it was taken, later ones count as no younger.
    """
    pause, until = 0.05, min(time.monotonic() + SAME_SNAPSHOT, deadline)
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await connection.execute("SELECT 1")
        while not await _attempt_finalize(connection, table, qualified):
            if time.monotonic() + pause > until:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
    return True


async def _attempt_finalize(connection: Connection, table: _Table, qualified: str) -> bool:
    """The second half, and the note that it is done where the table is to be dropped: both or none."""
    try:
        async with connection.transaction():  # a savepoint
            await connection.execute(_act_as(table.owner, local=True))
            await connection.execute(_alter(table, qualified, "FINALIZE"))
            await connection.execute(_act_as(OWNER, local=True))
            await connection.execute(Q.note_detached, {"partition": qualified})
    except (pg.LockNotAvailable, pg.DeadlockDetected):
        return False
    return True


async def _attempt(connection: Connection, table: _Table, statement: sql.Composed) -> bool:
    """Whether it went through as the table's owner; False where a lock was not to be had within the limit."""
    await connection.execute(_act_as(table.owner))
    try:
        await connection.execute(statement)
    except (pg.LockNotAvailable, pg.DeadlockDetected):
        return False
    finally:
        if not connection.closed:
            await connection.execute(_act_as(OWNER))
    return True


async def _wait(pause: float, deadline: float, table: _Table, state: str) -> float:
    if time.monotonic() + pause > deadline:
        raise Busy(
            f"{table.name} is {state}", hint="end long transactions (pg_stat_activity), then run it again to go on"
        )
    await asyncio.sleep(pause)
    return min(pause * 1.5, LONGEST_PAUSE)


def _alter(table: _Table, qualified: str, how: str) -> sql.Composed:
    # Both names come quoted from the catalogue (regclass, quote_ident).
    return sql.SQL("ALTER TABLE {} DETACH PARTITION {} {}").format(
        sql.SQL(table.parent), sql.SQL(qualified), sql.SQL(how)
    )


@asynccontextmanager
async def _alone(connection: Connection, name: str, patience: float) -> AsyncIterator[tuple[_Table, float]]:
    """The table and the deadline; one detach of a table at a time, with the lock limit, all undone at the end."""
    if not connection.autocommit:
        raise InvalidInput("a concurrent detach needs a connection in autocommit")
    deadline, pause = time.monotonic() + patience, 0.05
    try:
        await connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(LOCK_MS)))
        await connection.execute(_act_as(OWNER))
        table = await _table(connection, name)
        while not await _value(connection, Q.try_lock, {"table": table.name}):
            pause = await _wait(pause, deadline, table, "being maintained by another process")
        try:
            yield table, deadline
        finally:
            if not connection.closed:
                await connection.execute(Q.unlock, {"table": table.name})
    finally:
        if not connection.closed:
            await connection.execute("RESET ROLE")
            await connection.execute("RESET lock_timeout")


async def _check_default(connection: Connection, table: _Table) -> None:
    row = await _row(connection, Q.defaults, {"parent": table.oid})
    if row:
        raise Conflict(
            f"{table.name} has the default partition {row['qualified']}, which rules out a detach beside writers",
            hint="move its rows into partitions of their own and drop it",
        )


async def _check_may_leave(
    connection: Connection, table: _Table, row: dict[str, Any], horizon: datetime | None
) -> None:
    """Refuse a partition that can still receive rows, or whose sends are not all history."""
    name, until = row["qualified"], row["range_to"]
    if table.horizon is None:
        raise Conflict(f"the rows of {table.name} stay for ever", hint="give the table a retention first")
    limit = table.horizon if horizon is None else min(horizon, table.horizon)
    if until > limit:
        raise Conflict(
            f"{name} reaches to {until:%Y-%m-%d} and can still receive rows",
            hint=f"it may leave when it ends before {limit:%Y-%m-%d}, the end of the retention of {table.name}",
        )
    if table.name == "email_sends":
        await _check_sends(connection, row)


async def _check_sends(connection: Connection, row: dict[str, Any]) -> None:
    name = row["qualified"]
    campaign = await _row(connection, Q.open_campaigns, {"range_from": row["range_from"], "range_to": row["range_to"]})
    if campaign:
        raise Conflict(
            f"{name} holds sends of the campaign {campaign['name']!r}, which is {campaign['status']}",
            hint="complete or cancel it first",
            campaign_id=campaign["id"],
            workspace_id=campaign["workspace_id"],
        )
    pending = sql.SQL("SELECT id FROM {} WHERE status = {} LIMIT 1")
    for status in ("scheduled", "claimed"):
        if await _row(connection, pending.format(sql.SQL(name), sql.Literal(status))):
            raise Conflict(f"{name} holds sends that are {status}", hint="they have to be sent or cancelled first")


async def _table(connection: Connection, name: str) -> _Table:
    row = await _row(connection, Q.find_table, {"table": name})
    if row is None:
        raise NotFound(f"no registered partitioned table named {name}", hint="see `outreachdb partitions list`")
    return _Table(row["table_name"], row["oid"], row["parent"], row["owner"], row["horizon"])


async def _partition(connection: Connection, table: _Table, name: str) -> dict[str, Any]:
    row = await _row(connection, Q.find_partition, {"parent": table.oid, "name": name})
    if row is None or row["range_to"] is None:
        raise NotFound(f"{table.name} has no partition named {name}")
    return row


async def _pending(connection: Connection, table: _Table) -> list[str]:
    cursor = await connection.execute(Q.pending, {"parent": table.oid})
    return [str(row["qualified"]) for row in await cursor.fetchall()]


async def _row(
    connection: Connection, query: str | sql.Composed, params: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    return await (await connection.execute(query, params)).fetchone()


async def _value(connection: Connection, query: str, params: dict[str, Any]) -> Any:
    row = await _row(connection, query, params)
    return next(iter(row.values())) if row else None


def _act_as(role: str, *, local: bool = False) -> sql.Composed:
    return sql.SQL("SET LOCAL ROLE {}" if local else "SET ROLE {}").format(sql.Identifier(role))
