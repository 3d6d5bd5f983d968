"""Turns a table into a partitioned one while others write to it: a copy that is kept up to date, then an exchange.

1. *Prepare*: a partitioned copy with the table's keys, indexes, grants, policies and foreign keys; statement triggers
   write the key of every changed row into a log.
2. *Copy* in batches by key. Each batch is one repeatable-read transaction that first refreshes the logged rows, so that
   after it the copied part equals the table as of that snapshot. Its progress commits with it: after ``kill -9`` the
   same call goes on.
3. *Verify*: rows and content hash of both, in one snapshot, but for what the log still holds.
4. *Exchange* under one short lock: the rest of the log, names, sequences, triggers, views, registry. It waits for the
   lock in short attempts and gives up its turn when it would hold writers up.

Why so and not otherwise is told in docs/decisions/0019.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from outreachdb.db.pools import Connection
from outreachdb.errors import Conflict
from outreachdb.progress import Progress, silent
from outreachdb.storage.adopting import copying, exchange, preparing
from outreachdb.storage.adopting.shape import Adopted, Adoption, Q, Shape, examine, one

LEFT_BEHIND = 10.0
# The catalogue prints every name qualified and every instant alike; rows that a forced policy hides raise instead of
# being left out; compiling would cost more than the look-ups that it is for.
SESSION = {"search_path": "''", "datestyle": "ISO", "timezone": "UTC", "row_security": "off", "jit": "off"}
__all__ = ["Adopted", "Adoption", "adopt", "cancel"]


async def adopt(connection: Connection, plan: Adoption, progress: Progress = silent) -> Adopted:
    """Take over a table, or go on where an interrupted call stopped.

    Raises InvalidInput with every reason why the table can't be adopted, before anything is done, and Conflict where
    somebody is at it already or other transactions hold the table for longer than ``plan.patience`` seconds; then
    nothing is lost, and the same call goes on.
    """
    began = time.monotonic()
    async with _alone(connection, plan.table):
        shape = await examine(connection, plan)
        try:
            await preparing.prepare(connection, shape, progress)
            await copying.copy(connection, shape, progress)
            rows, digest = await copying.verify(connection, shape, progress)
            blocked, retired = await exchange.exchange(connection, shape, progress)
        except asyncio.CancelledError:
            words = "stopped; the same command goes on from here, --cancel removes what it made"
            raise asyncio.CancelledError(words) from None
    return Adopted(
        table=shape.qualified,
        rows=rows,
        content_hash=digest,
        partitions=await preparing.count_partitions(connection, shape.qualified),
        seconds=round(time.monotonic() - began, 2),
        locked_seconds=round(blocked, 3),
        old_table=retired,
    )


async def cancel(connection: Connection, table: str) -> bool:
    """Remove what an unfinished adoption made; the table itself was never touched. False where there is none."""
    async with _alone(connection, table):
        row = await one(connection, Q.look, {"table": table})
        state = await one(connection, Q.find_state, {"table": row["qualified"]}) if row else None
        if row is None or state is None:
            return False
        await preparing.remove(connection, Shape.of(row, Adoption(**state["plan"]["adoption"]), state["plan"]))
        return True


@asynccontextmanager
async def _alone(connection: Connection, table: str) -> AsyncIterator[None]:
    """One adoption of a table at a time; every name that the catalogue prints is qualified meanwhile."""
    found = await one(connection, Q.look, {"table": table})
    key = {"table": found["qualified"] if found else table}
    for name, value in SESSION.items():
        await connection.execute(f"SET {name} = {value}".encode())
    # A client that was killed leaves its session behind until the server has ended the statement that ran.
    deadline = time.monotonic() + LEFT_BEHIND
    while not (await one(connection, Q.try_lock, key) or {})["locked"]:
        if time.monotonic() > deadline:
            raise Conflict(
                f"{table} is being adopted by another process", hint="wait for it, or end it and run this again"
            )
        await asyncio.sleep(0.2)
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute(Q.unlock, key)
            for name in SESSION:
                await connection.execute(f"RESET {name}".encode())
