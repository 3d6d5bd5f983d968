"""Fold deltas into rollups: one transaction per workspace and portion, exact whoever else folds or ingests."""

from __future__ import annotations

import asyncio
import random

from psycopg import errors as pg

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Tenant, session
from outreachdb.errors import OutreachDBError

PORTION = 100_000
ATTEMPTS = 5
Q = Queries("outreachdb.analytics")


async def fold(tenant: Tenant, *, portion: int = PORTION) -> int:
    """Fold the workspace's deltas, ``portion`` per transaction; how many rows were folded (0 when another folds)."""
    total = 0
    while folded := await _fold_portion(tenant, portion):
        total += folded
        if folded < portion:
            break
    return total


async def fold_all(pools: Pools) -> int:
    """Fold the deltas of every workspace that has any; how many rows were folded."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="looking for deltas") as open_session:
        rows = await open_session.all(Q.workspaces_with_deltas)
    return sum([await fold(Tenant(pools, row["id"], row["name"])) for row in rows])


async def _fold_portion(tenant: Tenant, portion: int) -> int:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with tenant.session("jobs", doing="folding rollups") as open_session:
                return int(await open_session.value(Q.fold, {"limit": portion}))
        except OutreachDBError as error:
            passing = isinstance(error.__cause__, pg.SerializationFailure | pg.DeadlockDetected)
            if attempt == ATTEMPTS or not passing:
                raise
            await asyncio.sleep(random.uniform(0, 0.05) * attempt)  # noqa: S311 - jitter, not a secret
    raise AssertionError  # the last attempt returned or raised
