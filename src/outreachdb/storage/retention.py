"""Retention: what would leave and why the rest stays (plan), and letting it leave (run).

A table's retention is about room: its partitions leave as a whole, archived where the registry says so. A workspace's
own policy is a promise: where it is shorter its rows are deleted on the day, never archived; where it is longer the
partitions in which it has rows stay for it, as they do for a legal hold. Reports read rollups, which a run freezes
before anything leaves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg import sql

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Pools, connect
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Session, session
from outreachdb.errors import Busy, Conflict, NotFound, OutreachDBError
from outreachdb.progress import Progress, silent
from outreachdb.storage import archiving, dropping
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.leaving import Partition, freeze, keepers, partitions_of

Q = Queries("outreachdb.storage", "retention.sql")
ARCHIVES = Queries("outreachdb.storage", "archives.sql")
Action = Literal["archive", "drop", "delete", "finish", "keep"]
BATCH = 10_000
EMPTY = ("it is empty",)


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with a partition, or with a workspace's old rows in it; ``reasons`` say why it stays.

    ``rows`` are estimated where a whole partition leaves and counted where rows are deleted; ``bytes`` include indexes,
    and are room for new rows of the same partition where rows are deleted.
    """

    action: Action
    table: str
    partition: str
    range_start: datetime
    range_end: datetime
    rows: int
    bytes: int
    workspace_id: int | None = None
    cut: datetime | None = None
    reasons: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether a partition leaves that never had a row."""
        return self.action == "drop" and self.reasons == EMPTY


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of a run, in its order; what stays though it is old enough is told with its reasons."""

    steps: list[Step]

    @property
    def document(self) -> dict[str, Any]:
        """For JSON; no report is affected, as reports are read from rollups, which outlive the rows."""
        leaving = [step for step in self.steps if step.action != "keep"]
        return {
            "rows": sum(step.rows for step in leaving),
            "bytes": sum(step.bytes for step in leaving),
            "reports_affected": [],
            "steps": self.steps,
        }


@dataclass(slots=True)
class Run:
    """What a run did; ``failed`` holds a line for each partition that could not leave, the others left.

    ``waiting`` holds one for each that others' transactions were in the way of: the next run goes on with it.
    """

    archived: list[archiving.Left] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    rows_dropped: int = 0
    rows_deleted: int = 0
    kept: list[Step] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


async def plan(pools: Pools, table: str | None = None) -> Plan:
    """What a run would do now; changes nothing. Raises NotFound for a table that is not registered."""
    async with session(pools, role=OWNER, workload="admin", doing="planning retention") as owner:
        tables = await owner.all(Q.due, {"table_name": table})
        policies = await owner.all(Q.shorter_policies, {"table_name": table})
    if table is not None and not tables:
        raise NotFound(f"{table} is not a partitioned table of ours", hint="outreachdb partitions list")
    steps = [_unfinished(each) for each in await archiving.under_way(pools, table)]
    steps += [await _begun(pools, each) for each in await dropping.begun(pools, table)]
    begun = {step.partition for step in steps}
    for row in tables:
        partitions = [each for each in await partitions_of(pools, row["table_name"]) if each.name not in begun]
        whole = await _whole(pools, row, partitions)
        dropped = {step.partition for step in whole if step.action == "drop"}
        rest = [each for each in partitions if each.name not in dropped]
        promised: list[Step] = []
        for policy in policies:
            if policy["table_name"] == row["table_name"]:
                promised += await _old_rows(pools, policy, rest)
        # First of all, so that no archive takes what a workspace does not keep.
        steps += promised
        steps += [replace(step, rows=max(0, step.rows - _rows_of(promised, step.partition))) for step in whole]
    return Plan(steps)


def _rows_of(steps: list[Step], partition: str) -> int:
    return sum(step.rows for step in steps if step.partition == partition)


async def run(
    pools: Pools, table: str | None = None, *, folder: Folder | None = None, progress: Progress = silent
) -> Run:
    """Do what :func:`plan` shows; what an earlier run left unfinished first. Safe to stop and to start again.

    Raises Conflict while another run is at it. A partition that can't leave is told in ``failed`` and holds up no
    other.
    """
    done = Run()
    undone: set[str] = set()
    async with _alone(pools):
        await dropping.forget_stale(pools)
        for step in (await plan(pools, table)).steps:
            if step.action == "keep":
                done.kept.append(step)
                continue
            if step.action == "archive" and step.partition in undone:
                continue
            try:
                await _do(pools, step, done, folder, progress)
            except Busy as error:
                undone.add(step.partition)
                done.waiting.append(f"{step.partition}: {error}")
            except OutreachDBError as error:
                undone.add(step.partition)
                done.failed.append(f"{step.partition}: {error}")
    return done


async def _do(pools: Pools, step: Step, done: Run, folder: Folder | None, progress: Progress) -> None:
    if step.action == "finish":
        for record in await archiving.under_way(pools, step.table):
            if record.partition_name == step.partition:  # none: somebody else finished it since the plan was made
                done.archived.append(await archiving.finish(pools, record, folder=folder, progress=progress))
    elif step.action == "archive":
        done.archived.append(
            await archiving.archive(pools, step.table, step.partition, folder=folder, progress=progress)
        )
    elif step.action == "drop":
        gone = await dropping.drop(
            pools, step.table, step.partition, step.range_start, step.range_end, folder=folder, progress=progress
        )
        if isinstance(gone, archiving.Left):
            done.archived.append(gone)
        else:
            done.rows_dropped += gone
            done.dropped.append(step.partition)
    else:
        done.rows_deleted += await _delete(pools, step, progress)


async def _whole(pools: Pools, table: dict[str, Any], partitions: list[Partition]) -> list[Step]:
    """Partitions whose time is over, the oldest first."""
    if table["cut"] is None:
        return []
    steps = []
    async with session(pools, role=OWNER, workload="admin", doing="planning retention") as owner:
        for each in partitions:
            if each.range_end > table["cut"]:
                continue
            reasons = await keepers(owner, table["table_name"], each)
            # A partition that never had a row leaves without a file.
            whole = table["archive"] and not each.empty
            action: Action = "keep" if reasons else "archive" if whole else "drop"
            steps.append(
                Step(
                    action,
                    table["table_name"],
                    each.name,
                    each.range_start,
                    each.range_end,
                    each.rows,
                    each.bytes,
                    reasons=tuple(reasons) or (EMPTY if each.empty else ()),
                )
            )
    return steps


def _unfinished(record: archiving.Archive) -> Step:
    rows, size = record.row_count or 0, record.bytes or 0
    return Step(
        "finish", record.table_name, record.partition_name, record.range_start, record.range_end, rows, size,
        reasons=(f"begun at {record.created_at:%Y-%m-%d %H:%M}", *([record.problem] if record.problem else [])),
    )  # fmt: skip


async def _begun(pools: Pools, record: dropping.Drop) -> Step:
    """A drop that was begun; it is told as kept where a hold or a longer policy came meanwhile."""
    name, start, end = record.partition_name, record.range_start, record.range_end
    keeping = await dropping.reasons_to_keep(pools, record.table_name, name, start, end)
    note = f"begun at {record.created_at:%Y-%m-%d %H:%M}"
    action: Action = "keep" if keeping else "drop"
    return Step(action, record.table_name, name, start, end, record.rows, record.bytes, reasons=(*keeping, note))


async def _old_rows(pools: Pools, policy: dict[str, Any], partitions: list[Partition]) -> list[Step]:
    """Rows of a workspace that its own policy, shorter than the table's, lets go."""
    steps = []
    async with session(pools, role=OWNER, workload="admin", doing="planning retention") as owner:
        for each in partitions:
            if each.range_start >= policy["cut"]:
                continue
            parts = await _parts(owner, policy["table_name"], each.name, policy["workspace_id"], policy["cut"])
            rows = int(await owner.value(sql.SQL(Q.count_old).format(**parts)))
            if rows:
                size = each.bytes * rows // max(each.rows, rows)
                steps.append(
                    Step(
                        "delete",
                        policy["table_name"],
                        each.name,
                        each.range_start,
                        each.range_end,
                        rows,
                        size,
                        policy["workspace_id"],
                        policy["cut"],
                    )
                )
    return steps


async def _parts(owner: Session, table: str, partition: str, workspace_id: int, cut: datetime) -> dict[str, Any]:
    """What the statements about old rows are made of."""
    parent = await owner.one(ARCHIVES.parent, {"table_name": table})
    assert parent is not None  # noqa: S101  (it is registered)
    key = sql.Identifier(parent["key"])
    return {
        "partition": sql.SQL(partition),
        "workspace": sql.Literal(workspace_id),
        "key": key,
        "cut": sql.Literal(cut),
        "limit": sql.Literal(BATCH),
        "condition": _may_go(table, "r", key, cut),
        "inner_condition": _may_go(table, "o", key, cut),
    }


def _may_go(table: str, alias: str, key: sql.Identifier, cut: datetime) -> sql.Composed:
    """No hold on the row; of sends those of runs that have been closed for as long, and nothing that is not done."""
    row = sql.Identifier(alias)
    held = sql.SQL("NOT ops.row_is_kept({}, {}.workspace_id, {}.{})").format(sql.Literal(table), row, row, key)
    if table != "email_sends":
        return held
    closed = sql.SQL(
        "{r}.status NOT IN ('scheduled', 'claimed') AND EXISTS (SELECT FROM outreach.campaigns AS k"
        " WHERE k.workspace_id = {r}.workspace_id AND k.id = {r}.campaign_id AND k.status IN ('completed', 'cancelled')"
        " AND k.completed_at < {cut})"
    ).format(r=row, cut=sql.Literal(cut))
    return sql.SQL("{} AND {}").format(held, closed)


async def _delete(pools: Pools, step: Step, progress: Progress) -> int:
    total = 0
    assert step.workspace_id is not None  # noqa: S101  (steps of this kind have both)
    assert step.cut is not None  # noqa: S101
    await freeze(pools, step.table, step.range_start, min(step.cut, step.range_end), step.workspace_id)
    while True:
        async with session(pools, role=OWNER, workload="admin", doing="deleting old rows") as owner:
            parts = await _parts(owner, step.table, step.partition, step.workspace_id, step.cut)
            if step.table == "email_sends" and not total:
                await owner.execute(sql.SQL(Q.remember_old_sends).format(**parts))
            gone = (await owner.execute(sql.SQL(Q.delete_old).format(**parts))).rowcount
        total += gone
        progress("deleted", total, step.rows)
        if gone < BATCH:
            return total


@asynccontextmanager
async def _alone(pools: Pools) -> AsyncIterator[None]:
    async with await connect(pools.url("admin"), autocommit=True) as connection:
        query = "SELECT pg_try_advisory_lock(hashtextextended('outreachdb.retention', 0)) AS got"
        row = await (await connection.execute(query)).fetchone()
        if not (row and row["got"]):
            raise Conflict("another retention run is at work", hint="wait for it to end")
        try:
            yield
        finally:
            with suppress(psycopg.Error):
                await connection.execute(archiving.GIVE_BACK)
