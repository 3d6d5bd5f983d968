"""Fold deltas into rollups, and compare rollups with a recount: exact whoever else folds or ingests meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import errors as pg

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Pools, connect
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Tenant, session
from outreachdb.errors import OutreachDBError

PORTION = 100_000
# Days that one run compares: with a year alive each is compared every 31 runs.
DAYS = 12
ATTEMPTS = 5
LARGE = 50_000  # folded deltas whose dead rows are felt
SETTLE = "VACUUM (ANALYZE, SKIP_LOCKED) analytics.rollup_deltas, analytics.totals"
T = TypeVar("T")
Q = Queries("outreachdb.analytics")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Days and buckets that were compared with a recount; ``drifted`` of the buckets and totals were wrong."""

    days: int = 0
    buckets: int = 0
    drifted: int = 0

    def __add__(self, other: Reconciled) -> Reconciled:
        return Reconciled(self.days + other.days, self.buckets + other.buckets, self.drifted + other.drifted)

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


async def fold(tenant: Tenant, *, portion: int = PORTION) -> int:
    """Fold the workspace's deltas, ``portion`` per transaction; how many rows were folded (0 when another folds)."""
    total = 0
    while folded := await _again(lambda: _fold_portion(tenant, portion)):
        total += folded
        if folded < portion:
            break
    if total >= LARGE:
        await _settle(tenant.pools)
    return total


async def _settle(pools: Pools) -> None:
    """Clear up after many deltas: autovacuum comes within minutes, and until then reports read their dead rows.

    A report by domain took 4.9 ms, 14.6 after 600,000 deltas were folded and 4.7 after this, which took 0.2 s. Where it
    can't be done it is left to autovacuum.
    """
    try:
        async with await connect(pools.url("jobs"), autocommit=True) as connection:
            await connection.execute(f"SET ROLE {OWNER}")
            await connection.execute(SETTLE)
    except (OutreachDBError, psycopg.Error) as error:
        log.warning("deltas that were folded were not cleared away", reason=str(error).splitlines()[0])


async def fold_all(pools: Pools) -> int:
    """Fold the deltas of every workspace that has any; how many rows were folded."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="looking for deltas") as open_session:
        rows = await open_session.all(Q.workspaces_with_deltas)
    return sum([await fold(Tenant(pools, row["id"], row["name"])) for row in rows])


async def reconcile(tenant: Tenant, *, days: int = DAYS, repair: bool = False) -> Reconciled:
    """Compare the rollups of ``days`` days with a recount of the events and sends that are still there.

    The days compared longest ago come first, so that a wrong bucket is found within ceil(live days / ``days``) runs.
    What differs stands in ``analytics.rollup_drifts``; ``repair`` mends it. Nothing is done where somebody folds.
    """

    async def once() -> Reconciled:
        async with tenant.session("jobs", doing="comparing rollups with a recount") as open_session:
            row = await open_session.one(Q.reconcile, {"days": days, "repair": repair})
        return Reconciled(**row) if row else Reconciled()

    return await _again(once)


async def reconcile_all(pools: Pools, *, days: int = DAYS, repair: bool = False) -> Reconciled:
    """The same for every workspace, one after another."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="listing workspaces") as open_session:
        rows = await open_session.all(Q.workspaces)
    found = Reconciled()
    for row in rows:
        found += await reconcile(Tenant(pools, row["id"], row["name"]), days=days, repair=repair)
    return found


async def _fold_portion(tenant: Tenant, portion: int) -> int:
    async with tenant.session("jobs", doing="folding rollups") as open_session:
        return int(await open_session.value(Q.fold, {"limit": portion}))


async def _again(work: Callable[[], Awaitable[T]]) -> T:
    """Try again what met somebody else's transaction."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await work()
        except OutreachDBError as error:
            passing = isinstance(error.__cause__, pg.SerializationFailure | pg.DeadlockDetected)
            if attempt == ATTEMPTS or not passing:
                raise
            await asyncio.sleep(random.uniform(0, 0.05) * attempt)  # noqa: S311 - jitter, not a secret
    raise AssertionError  # the last attempt returned or raised
