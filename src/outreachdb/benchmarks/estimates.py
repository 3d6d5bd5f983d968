"""How true estimates of segments are, what a proposed index brings, how export runs."""

from __future__ import annotations

import math
import random
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

from psycopg.types.json import Jsonb

from outreachdb import segments
from outreachdb.benchmarks import segment_mix
from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.pools import Pools, connect
from outreachdb.db.tenant import Tenant
from outreachdb.progress import Progress, silent
from outreachdb.segments import cost

SEGMENTS = 200
# Other segments than those that the prices were fitted on.
SEED = 8
WITHIN = 3.0
EMPLOYEES = {"field": "custom.Employees", "op": "gte", "value": 4990}


async def run(url: str, leads: int = 200_000, progress: Progress = silent) -> list[Result]:
    """Random segments planned and counted, an index built, everything exported."""
    async with scratch_database(url, "estimates") as scratch:
        await migrate.upgrade(scratch)
        async with Pools(Settings.load({}, database_url=scratch, segment_budget_ms=10_000_000)) as pools:
            tenant = await segment_mix.fill(pools, "mix", leads, progress)
            return [
                *await _estimates(tenant, progress),
                *await _index(tenant),
                *await _export(tenant, leads, progress),
            ]


async def _estimates(tenant: Tenant, progress: Progress) -> list[Result]:
    choose, apart, planning = random.Random(SEED), [], []  # noqa: S311  (the same segments each time)
    for number in range(SEGMENTS):
        progress("random segments", number, SEGMENTS)
        meant = segment_mix.random_segment(choose)
        async with tenant.reading() as session:
            began = time.perf_counter()
            expected = await cost.estimate(session, tenant, Jsonb(meant))
            planning.append((time.perf_counter() - began) * 1000)
        measured = min([(await segments.count(tenant, meant)).seconds for _ in range(2)]) * 1000
        apart.append(abs(math.log(expected.milliseconds / max(measured, 0.05))))
    share = sum(each <= math.log(WITHIN) for each in apart) / SEGMENTS
    return [
        Result("estimate within 3x of the measured time", round(share * 100, 1), "%", None, 90, more_is_better=True),
        Result("estimate: median factor", round(math.exp(sorted(apart)[SEGMENTS // 2]), 2), "x", None, WITHIN),
        Result("estimate: time to make it", round(sorted(planning)[round(SEGMENTS * 0.95) - 1], 1), "ms p95"),
    ]


async def _index(tenant: Tenant) -> list[Result]:
    [proposed] = (await segments.explain(tenant, EMPLOYEES)).indexes
    before = await _best(lambda: segments.count(tenant, EMPLOYEES))
    connection = await connect(tenant.pools.url("admin"), autocommit=True)
    async with connection:
        began = time.perf_counter()
        await connection.execute(proposed.ddl.encode())
        built = time.perf_counter() - began
        await connection.execute(b"ANALYZE outreach.leads")
    after = await _best(lambda: segments.count(tenant, EMPLOYEES))
    return [
        Result("proposed index: count without it", before, "ms"),
        Result("proposed index: count with it", after, "ms", None, before / 2),
        Result("proposed index: count with it, as estimated", proposed.milliseconds, "ms"),
        Result("proposed index: building it", round(built, 2), "s"),
    ]


async def _best(work: Callable[[], Awaitable[segments.SegmentCount]]) -> float:
    return round(min([(await work()).seconds for _ in range(5)]) * 1000, 2)


async def _export(tenant: Tenant, leads: int, progress: Progress) -> list[Result]:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("csv", "parquet"):
            tracemalloc.start()
            began = time.perf_counter()
            await segments.export(tenant, {}, Path(folder) / f"all.{kind}", progress=progress)
            seconds = time.perf_counter() - began
            peak = tracemalloc.get_traced_memory()[1] / 1024**2
            tracemalloc.stop()
            results.append(Result(f"export to {kind}, memory traced", round(leads / seconds), "leads/s"))
            results.append(Result(f"export to {kind}: memory of Python", round(peak, 1), "MB", None, 100))
    return results
