"""Clients that wait for a connection of a pool.

title: Waits for a pool
group: connections
unit: s
yellow: 1
red: 10
why: A client that waits in front of the pool has not even begun. The longest wait of all pools counts.
advice: Find what holds connections long (outreachdb pool status), or enlarge the pool (outreachdb pool config).
sources: R2 https://www.pgbouncer.org/usage.html
"""

from __future__ import annotations

from collections.abc import Mapping

from outreachdb.config import Settings
from outreachdb.db.pools import Connection
from outreachdb.health.checkbook import Measured
from outreachdb.health.checks.pool_use import asked, why_not


async def measure(_connection: Connection, _given: Mapping[str, float], settings: Settings | None) -> Measured:
    """The longest wait in seconds."""
    found = await asked(settings)
    if not found.pools:
        return Measured(None, reason=why_not(found))
    worst = max(found.pools, key=lambda each: (each.longest_wait_seconds, each.waiting))
    waiting = sum(each.waiting for each in found.pools)
    summary = f"{waiting} clients wait, most in {worst.pool}" if waiting else "nobody waits"
    return Measured(worst.longest_wait_seconds, {"summary": summary, "waiting": waiting})
