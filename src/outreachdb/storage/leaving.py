"""Which partitions may leave: none that rows can still come to, that campaigns need, or that somebody must keep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Session, session
from outreachdb.errors import Conflict, NotFound

ARCHIVES = Queries("outreachdb.storage", "archives.sql")
Q = Queries("outreachdb.storage", "retention.sql")
# Delivery events are stored by their own instant, up to the horizon of email_events, and bring rows to these tables.
FEEDING_ROLLUPS = frozenset({"email_events", "email_sends"})
FED_BY_EVENTS = frozenset({"email_events", "lead_activities", "message_log", "email_sends"})


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition by its qualified name: its range [start, end), about how many rows, and its bytes with indexes."""

    name: str
    detaching: bool
    range_start: datetime
    range_end: datetime
    rows: int
    bytes: int
    empty: bool


def names(qualified: str) -> tuple[str, str]:
    """What a partition may be called: its qualified name, or that without its schema."""
    return qualified, qualified.partition(".")[2]


async def partitions_of(pools: Pools, table: str) -> list[Partition]:
    """The partitions of a registered table by range; raises NotFound."""
    async with session(pools, role=OWNER, workload="admin", doing=f"looking at {table}") as owner:
        if await owner.one(Q.registered_table, {"table_name": table}) is None:
            raise NotFound(f"{table} is not a partitioned table of ours", hint="outreachdb partitions list")
        return [Partition(**row) for row in await owner.all(ARCHIVES.partitions, {"table_name": table})]


async def partition_of(pools: Pools, table: str, name: str) -> Partition:
    """One partition; raises NotFound."""
    found = [each for each in await partitions_of(pools, table) if name in names(each.name)]
    if not found:
        raise NotFound(f"{table} has no partition {name}", hint=f"outreachdb partitions list {table}")
    return found[0]


async def reasons_to_stay(pools: Pools, table: str, partition: Partition) -> list[str]:
    """Why a partition can't leave, in words; none where it can."""
    async with session(pools, role=OWNER, workload="admin", doing=f"looking at {partition.name}") as owner:
        return await keepers(owner, table, partition)


async def freeze(pools: Pools, table: str, start: datetime, end: datetime, workspace_id: int | None = None) -> None:
    """Let the rollups hold everything that the rows of a range say, compared and mended, before the rows leave.

    Raises Conflict where the rows are out of sight and nobody froze the range before: the rollups would be mended to
    say nothing.
    """
    given = {"table_name": table, "range_start": start, "range_end": end, "workspace_id": workspace_id}
    async with session(pools, role=OWNER, workload="admin", doing="freezing rollups") as owner:
        if table in FEEDING_ROLLUPS and not await owner.value(Q.in_sight, given):
            raise Conflict(
                f"rows of {table} from {start:%Y-%m-%d} on are out of sight, and the rollups were not frozen",
                hint="outreachdb partitions maintain, attach the partition again, then outreachdb retention run",
            )
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="freezing rollups") as trusted:
        await trusted.execute(Q.freeze, given)


async def keepers(owner: Session, table: str, partition: Partition) -> list[str]:
    """The same within a session of the owner."""
    given = {"table_name": table, "range_start": partition.range_start, "range_end": partition.range_end}
    found = []
    if await owner.value(Q.may_receive, given | {"fed": table in FED_BY_EVENTS}):
        found.append("rows may still come to it")
    if table == "email_sends":
        found += [row["reason"] for row in await owner.all(Q.open_campaigns, given)]
        pending = sql.SQL(Q.pending_sends).format(partition=sql.SQL(partition.name))
        waiting = await owner.value(pending)
        if waiting:
            found.append(f"{waiting} sends are not done")
    return found + await held(owner, table, partition.name, partition.range_start, partition.range_end)


async def held(owner: Session, table: str, qualified: str, start: datetime, end: datetime) -> list[str]:
    """The holds and longer policies alone, asked of a partition or of a table that was one."""
    parent = await owner.one(ARCHIVES.parent, {"table_name": table})
    given = {"table_name": table, "range_start": start, "range_end": end}
    found = []
    table_owner = str(parent["owner"]) if parent and parent["of_workspaces"] else None
    for row in await owner.all(Q.keeping, given):
        number = row["workspace_id"]
        if number is None or (table_owner and await _has_rows(owner, table_owner, qualified, number)):
            found.append(row["reason"])
    return found


async def _has_rows(owner: Session, table_owner: str, qualified: str, workspace_id: int) -> bool:
    """Asked as the table's own owner: tables of others may be closed to ours."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} AS r WHERE r.workspace_id = {})").format(
        sql.SQL(qualified), sql.Literal(workspace_id)
    )
    await owner.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(table_owner)))
    found = bool(await owner.value(query))
    await owner.execute(f"SET LOCAL ROLE {OWNER}")
    return found
