"""Server connections of the busiest pool.

title: Pool in use
group: connections
unit: %
yellow: 80
red: 95
why: When all connections of a pool serve somebody, the next request waits. The pool that is fullest counts, as
  PgBouncer's own console tells.
advice: Find what holds connections long (outreachdb pool status), or enlarge the pool (outreachdb pool config).
sources: R2 https://www.pgbouncer.org/usage.html
"""

from __future__ import annotations

from collections.abc import Mapping

from outreachdb.config import Settings
from outreachdb.db.pools import Connection
from outreachdb.health.checkbook import Measured
from outreachdb.pooling.status import PoolStatus, status


async def measure(_connection: Connection, _given: Mapping[str, float], settings: Settings | None) -> Measured:
    """The share of its connections that serve a client."""
    found = await asked(settings)
    if not found.pools:
        return Measured(None, reason=why_not(found))
    worst = max(found.pools, key=lambda each: each.utilization)
    told = {each.pool: each.utilization for each in found.pools}
    summary = f"{worst.pool}: {worst.servers_active} of {worst.size}"
    return Measured(worst.utilization, {"summary": summary, "pools": told})


def why_not(found: PoolStatus) -> str:
    """Why nothing can be said of pools, and how that is changed."""
    return ": ".join(part for part in (found.reason or "the pooler has no pools", found.hint) if part)


async def asked(settings: Settings | None) -> PoolStatus:
    """What the pooler says; one that runs not is told as a reason."""
    if settings is None:
        return PoolStatus(configured=False, running=False, reason="whether a pooler stands before it is not known")
    return await status(settings)
