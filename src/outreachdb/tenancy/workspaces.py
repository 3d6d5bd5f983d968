"""Workspaces: each is a tenant whose rows no other tenant's session can see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Tenant, session
from outreachdb.errors import InvalidInput, NotFound

Q = Queries("outreachdb.tenancy")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace as listed."""

    id: int
    name: str
    created_at: datetime
    read_limit_ms: int


async def create(pools: Pools, name: str) -> Workspace:
    """Create a workspace; raises Conflict when the name is taken, InvalidInput when it is no name."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} can't name a workspace", hint="1 to 63 letters, digits, dots, dashes; a letter or digit first"
        )
    async with session(pools, role=TRUSTED_ROLE, doing=f"creating the workspace {name}") as trusted:
        row = await trusted.one(Q.create_workspace, {"name": name})
    assert row is not None  # noqa: S101  (INSERT ... RETURNING gives a row or raises)
    return Workspace(**row)


async def show(pools: Pools, name: str) -> Workspace:
    """One workspace; raises NotFound."""
    async with session(pools, role=TRUSTED_ROLE, doing=f"looking up the workspace {name}") as trusted:
        row = await trusted.one(Q.find_workspace, {"name": name})
    if row is None:
        raise NotFound(f"no workspace named {name!r}", hint=f"create it: outreachdb workspace create {name}")
    return Workspace(**row)


async def tenant(pools: Pools, name: str) -> Tenant:
    """The tenant of a workspace, to open sessions with; raises NotFound."""
    found = await show(pools, name)
    return Tenant(pools, found.id, found.name, found.read_limit_ms)


async def limit(pools: Pools, name: str, read_limit_ms: int) -> Workspace:
    """Set how many milliseconds one statement of a search or a segment may run, 0 for no limit; raises NotFound.

    Tenants that are open keep the limit that they were opened with.
    """
    if not 0 <= read_limit_ms < 2**31:
        raise InvalidInput("the limit must be 0 (none) or some milliseconds", hint="30000 is half a minute")
    async with session(pools, role=TRUSTED_ROLE, doing=f"limiting the workspace {name}") as trusted:
        row = await trusted.one(Q.set_read_limit, {"name": name, "read_limit_ms": read_limit_ms})
    if row is None:
        raise NotFound(f"no workspace named {name!r}", hint="outreachdb workspace list")
    return Workspace(**row)


async def listed(pools: Pools, *, after: str = "", limit: int = 1000) -> list[Workspace]:
    """Workspaces by name, ``limit`` at a time, those after the name ``after``."""
    async with session(pools, role=TRUSTED_ROLE, doing="listing workspaces") as trusted:
        return [Workspace(**row) for row in await trusted.all(Q.list_workspaces, {"after": after, "limit": limit})]
