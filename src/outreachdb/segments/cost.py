"""What a segment will cost before it is run: the plan, priced for this server, and a guard above a budget."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Session, Tenant
from outreachdb.errors import TooCostly
from outreachdb.segments import plans

Q = Queries("outreachdb.segments")
# The machine on which the prices were measured took so long for the probe.
PROBE_MS = 4.0
PROBE_ROWS = 20_000
PROBES = 3
PROBE_SECONDS = 5.0
# A smaller workspace is counted in less time than it takes to look into its plan.
SMALL = 20_000
# Server -> how much slower it is, and until when (monotonic clock) that is taken for true.
_speeds: dict[str, tuple[float, float]] = {}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What counting a segment is expected to take, and the plan that says so (None for a small workspace).

    ``slower`` is how many times slower this server is than the one of the prices.
    """

    milliseconds: float
    leads: int
    explained: dict[str, Any] | None
    slower: float = 1.0


async def estimate(
    session: Session, tenant: Tenant, definition: Jsonb, *, least: int = 0, measured: bool = False
) -> Estimate:
    """Plan the count and price it; below ``least`` leads it is taken for cheap without a look."""
    explained = await session.value(Q.explain_segment, {"definition": definition, "least": least, "measured": measured})
    if "Plan" not in explained:
        return Estimate(plans.Prices().start, int(explained["Leads"]), None)
    slower = await _speed(session, tenant)
    expected = round(slower * plans.milliseconds(explained, plans.Prices()), 1)
    return Estimate(expected, int(explained["Leads"]), explained, slower)


async def guard(session: Session, tenant: Tenant, definition: Jsonb, *, confirmed: bool) -> None:
    """Raise TooCostly where a segment would take longer than ``segment_budget_ms`` and nobody confirmed it."""
    budget = tenant.pools.settings.segment_budget_ms
    if confirmed:
        return
    expected = await estimate(session, tenant, definition, least=SMALL)
    if expected.milliseconds > budget:
        raise TooCostly(
            f"the segment would take about {expected.milliseconds / 1000:,.1f} s, the budget is {budget / 1000:,.1f} s",
            hint="confirm it (--yes), ask for an estimate (--estimate), see `outreachdb segment explain`, or leave an "
            "export or action to a worker (--background)",
            estimate=expected.milliseconds,
            budget=budget,
        )


async def _speed(session: Session, tenant: Tenant) -> float:
    """How much slower this server is, under its present load, than the one of the prices; measured now and then."""
    url = tenant.pools.url("web")
    known, until = _speeds.get(url, (0.0, 0.0))
    if time.monotonic() < until:
        return known
    taken = []
    for _ in range(PROBES):
        began = time.perf_counter()
        await session.value(Q.probe_speed, {"rows": PROBE_ROWS})
        taken.append(time.perf_counter() - began)
    slower = max(0.1, min(taken) * 1000 / PROBE_MS)
    _speeds[url] = (slower, time.monotonic() + PROBE_SECONDS)
    return slower
