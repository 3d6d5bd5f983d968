"""Jobs that PostgreSQL runs only outside of transactions: VACUUM and REINDEX CONCURRENTLY."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta

import psycopg
import structlog
from psycopg import errors as pg
from psycopg import sql

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Row, session
from outreachdb.errors import OutreachDBError, from_database
from outreachdb.jobs.outcome import Done
from outreachdb.storage.partitions import PartitionManager
from outreachdb.words import counted

Q = Queries("outreachdb.jobs")
log = structlog.get_logger(__name__)
# An index pays to be rebuilt when so much of it is air, and it is not small anyway.
BLOAT = 0.5
LEAST_BYTES = 10 * 1024 * 1024
# A little less than the week between two runs; and an hour less than the limit of one.
VERIFIED_FOR = timedelta(days=6)
VERIFY_SECONDS = 5 * 3600.0


async def vacuum(pools: Pools) -> Done:
    """VACUUM (ANALYZE) the tables that need it; one that somebody else works on is left for the next time."""
    async with _owner(pools) as connection:
        found = await _all(connection, Q.tables_to_vacuum)
        for row in found:
            await _vacuum(connection, row["table_name"])
    return Done(len(found), {"tables": [row["table_name"] for row in found]} if found else {})


async def maintain_partitions(pools: Pools) -> Done:
    """Finish detaches that were interrupted and make the months ahead, of every registered table."""
    done = await PartitionManager(pools.url("admin"), pools.settings).maintain_all_partitions()
    failed = {each.table: each.error for each in done if each.error}
    if failed:
        table, error = next(iter(failed.items()))
        raise OutreachDBError(f"{len(failed)} of {len(done)} tables failed, {table} first: {error}")
    return Done(sum(each.created for each in done), {"tables": [asdict(each) for each in done]})


async def retain(pools: Pools) -> Done:
    """Let leave what is past its retention; a partition that can't leave fails the job and holds up no other.

    One that must wait for others' transactions fails nothing: the next run goes on; health tells what stays detached.
    """
    from outreachdb.storage import retention  # with the archives' libraries: who lists the jobs starts without them

    done = await retention.run(pools)
    if done.failed:
        raise OutreachDBError(f"{counted(len(done.failed), 'partition')} could not leave: {done.failed[0]}")
    rows = done.rows_dropped + done.rows_deleted + sum(each.rows for each in done.archived)
    details = {"archived": len(done.archived), "dropped": len(done.dropped), "kept": len(done.kept)}
    return Done(rows, details | ({"waiting": done.waiting} if done.waiting else {}))


async def verify_archives(pools: Pools) -> Done:
    """Read the archives that were not read for a week, those unread for longest first; what is damaged fails the job.

    Stops before the job's limit: what it did not come to comes first the next time.
    """
    from outreachdb.storage import checking

    checked = await checking.verify(pools, unseen_for=VERIFIED_FOR, seconds=VERIFY_SECONDS)
    bad = [each for each in checked if each.problem]
    if bad:
        first = bad[0]
        raise OutreachDBError(
            f"{len(bad)} of {len(checked)} archives are not what they were, {first.partition} first: {first.problem}",
            hint="outreachdb partitions archives tells which; bring the files back from a backup",
        )
    return Done(len(checked), {"rows": sum(each.rows for each in checked)})


async def erase_from_archives(pools: Pools) -> Done:
    """Take people out of archives who were to be erased and could not be yet; what a legal hold keeps waits."""
    from outreachdb.storage import erasing

    done = await erasing.finish(pools)
    return Done(done.rows_removed, asdict(done))


async def daily_maintenance(pools: Pools) -> Done:
    """``perform_maintenance_tasks()``, then the statements that it says are due."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="the daily maintenance") as trusted:
        rows = await trusted.all(Q.perform_maintenance_tasks)
    due = [row["due"] for row in rows if row["due"]]
    async with _owner(pools) as connection:
        for statement in due:
            await _run(connection, statement)
    done = {row["task"]: row["done"] for row in rows if not row["due"]}
    return Done(sum(done.values()), {"tasks": done, "run": due})


async def reindex(pools: Pools, *, bloat: float = BLOAT, least_bytes: int = LEAST_BYTES) -> Done:
    """Rebuild the B-tree indexes of which more than ``bloat`` is air, one at a time, without locking writers out.

    What an earlier run left when it was killed, an invalid index by the name of ..._ccnew, goes first. How much air an
    index holds is estimated from the planner's statistics.
    """
    rebuilt = []
    async with _owner(pools) as connection:
        # It waits for transactions that are under way, and nobody waits for it meanwhile.
        await connection.execute("SET lock_timeout = 0")
        for left in await _all(connection, Q.invalid_leftovers):
            await _run(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {left['index_name']}")
        for row in await _all(connection, Q.bloated_indexes, {"bloat": bloat, "least_bytes": least_bytes}):
            if await _run(connection, f"REINDEX INDEX CONCURRENTLY {row['index_name']}"):
                after = await _all(connection, Q.index_bytes, {"index_name": row["index_name"]})
                rebuilt.append(
                    {"index": row["index_name"], "before": row["index_bytes"], "after": after[0]["index_bytes"]}
                )
    return Done(len(rebuilt), {"indexes": rebuilt} if rebuilt else {})


async def _vacuum(connection: Connection, table: str) -> None:
    # The name comes quoted from the catalogue (regclass).
    await _run(connection, f"VACUUM (ANALYZE, SKIP_LOCKED) {table}")


async def _run(connection: Connection, statement: str) -> bool:
    """Run one statement; False, and a line in the log, where a lock or a vanished table was in the way."""
    try:
        await connection.execute(statement.encode())
    except (pg.LockNotAvailable, pg.DeadlockDetected, pg.UndefinedTable, pg.UndefinedObject) as error:
        log.warning("upkeep was put off", statement=statement, problem=str(error).splitlines()[0])
        return False
    return True


async def _all(connection: Connection, query: str, values: dict[str, object] | None = None) -> list[Row]:
    return await (await connection.execute(query, values)).fetchall()


@asynccontextmanager
async def _owner(pools: Pools) -> AsyncIterator[Connection]:
    """A connection in no transaction, as the owner of the tables; it gives way to requests after two seconds."""
    connection = await connect(pools.url("admin"), autocommit=True, timeout=pools.settings.connect_timeout)
    async with connection:
        try:
            await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
            await connection.execute("SET lock_timeout = '2s'")
            yield connection
        except psycopg.Error as error:
            raise from_database(error, doing="looking after tables") from error
