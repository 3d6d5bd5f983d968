"""A pooler that should run and does not answer.

title: Pooler that does not answer
group: connections
unit: poolers
yellow: 1
red: 1
why: Whoever connects through the pooler gets no connection at all. Counted where somebody started it and did not stop
  it (outreachdb pool start, pool stop), or where the settings name its console.
advice: Run outreachdb pool start; outreachdb pool stop, if it is not to run any more.
sources: https://www.pgbouncer.org/usage.html
"""

from __future__ import annotations

from collections.abc import Mapping

from outreachdb.config import Settings
from outreachdb.db.pools import Connection
from outreachdb.health.checkbook import Measured
from outreachdb.health.checks.pool_use import asked, why_not


async def measure(_connection: Connection, _given: Mapping[str, float], settings: Settings | None) -> Measured:
    """One where it is missed."""
    found = await asked(settings)
    if found.down:
        return Measured(1, {"summary": why_not(found)})
    return (
        Measured(0, {"summary": f"PgBouncer {found.version}"})
        if found.running
        else Measured(None, reason=why_not(found))
    )
