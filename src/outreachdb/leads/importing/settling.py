"""The GIN indexes of leads are kept up on a second connection while an import inserts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from outreachdb.db.cancelling import cancelled
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.errors import OutreachDBError

Q = Queries("outreachdb.leads")
# Small portions cost more than they save (0.25 s was slower than none); an import that is done sooner needs no help.
PAUSE_SECONDS = 0.6


async def settle(tenant: Tenant) -> None:
    """Work the pending lists of the indexes off, so that searches need not read them."""
    async with tenant.trusted(doing="settling the search index") as session:
        await session.execute(Q.settle_search_index)


@contextlib.asynccontextmanager
async def settling(tenant: Tenant) -> AsyncIterator[None]:
    """Settle again and again while the block runs; that a connection is not to be had does no harm."""
    task = asyncio.create_task(_settle_often(tenant))
    try:
        yield
    finally:
        await cancelled(task)


async def _settle_often(tenant: Tenant) -> None:
    with contextlib.suppress(OutreachDBError):
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await settle(tenant)
