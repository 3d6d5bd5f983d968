"""Legal holds, and how long a workspace keeps what: what retention has to mind."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import datetime

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, session
from outreachdb.errors import InvalidInput, NotFound
from outreachdb.tenancy import workspaces

Q = Queries("outreachdb.storage", "retention.sql")
ARCHIVES = Queries("outreachdb.storage", "archives.sql")


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held, why and by whom; ``None`` stands for all tables, all workspaces, from ever, for ever."""

    id: int
    table_name: str | None
    workspace_id: int | None
    range_start: datetime | None
    range_end: datetime | None
    reason: str
    created_by: str
    created_at: datetime
    released_at: datetime | None
    released_by: str | None


@dataclass(frozen=True, slots=True)
class Policy:
    """How many months a workspace keeps a table's rows; ``None`` is for ever."""

    workspace_id: int
    workspace: str | None
    table_name: str
    retention_months: int | None
    created_at: datetime


async def add(
    pools: Pools,
    reason: str,
    *,
    table: str | None = None,
    workspace: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    who: str | None = None,
) -> Hold:
    """Hold rows back from retention until :func:`release`; raises NotFound, InvalidInput without a reason."""
    if not reason.strip():
        raise InvalidInput("a hold needs a reason", hint="name the case, so that somebody can release it one day")
    if since is not None and until is not None and since >= until:
        raise InvalidInput("the period of the hold ends before it begins")
    if table is not None:
        await _known(pools, table)
    number = (await workspaces.show(pools, workspace)).id if workspace else None
    given = {
        "table_name": table, "workspace_id": number, "range_start": since, "range_end": until, "reason": reason.strip(),
        "who": who or getpass.getuser(),
    }  # fmt: skip
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="adding a legal hold") as trusted:
        row = await trusted.one(Q.add_hold, given)
    assert row is not None  # noqa: S101  (INSERT ... RETURNING gives a row or raises)
    return Hold(**row)


async def listed(pools: Pools, *, released: bool = False) -> list[Hold]:
    """The holds that stand, or all that ever stood."""
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="listing legal holds") as trusted:
        return [Hold(**row) for row in await trusted.all(Q.holds, {"all": released})]


async def release(pools: Pools, hold_id: int, *, who: str | None = None) -> Hold:
    """End a hold; its record stays. Raises NotFound where there is none that stands."""
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="releasing a legal hold") as trusted:
        row = await trusted.one(Q.release_hold, {"id": hold_id, "who": who or getpass.getuser()})
    if row is None:
        raise NotFound(f"no hold {hold_id} that stands", hint="outreachdb retention hold list")
    return Hold(**row)


async def set_policy(pools: Pools, workspace: str, table: str, months: int | None) -> None:
    """Let a workspace keep a table's rows for so many months, or for ever; raises NotFound, InvalidInput."""
    if months is not None and not 1 <= months <= 1200:
        raise InvalidInput("a policy is counted in 1 to 1200 months, or for ever")
    await _known(pools, table, of_workspaces=True)
    found = await workspaces.show(pools, workspace)
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="setting a retention policy") as trusted:
        await trusted.execute(Q.set_policy, {"workspace_id": found.id, "table_name": table, "months": months})


async def drop_policy(pools: Pools, workspace: str, table: str) -> None:
    """Let a workspace keep a table's rows as long as everybody; raises NotFound."""
    found = await workspaces.show(pools, workspace)
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="dropping a retention policy") as trusted:
        gone = await trusted.one(Q.drop_policy, {"workspace_id": found.id, "table_name": table})
    if gone is None:
        raise NotFound(f"{workspace} has no policy of its own for {table}", hint="outreachdb retention policy list")


async def policies(pools: Pools) -> list[Policy]:
    """All policies of workspaces."""
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="listing retention policies") as trusted:
        return [Policy(**row) for row in await trusted.all(Q.policies)]


async def _known(pools: Pools, table: str, *, of_workspaces: bool = False) -> None:
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing=f"looking up {table}") as trusted:
        if await trusted.one(Q.registered_table, {"table_name": table}) is None:
            raise NotFound(f"{table} is not a partitioned table of ours", hint="outreachdb partitions list")
        parent = await trusted.one(ARCHIVES.parent, {"table_name": table})
        # Whose rows are whose is known of our own tables alone.
        if of_workspaces and ("." in table or not (parent and parent["of_workspaces"])):
            raise InvalidInput(f"{table} does not belong to workspaces", hint="set its retention for all")
