"""The pools of an engine."""

from __future__ import annotations

import asyncio

from outreachdb.config import Settings
from outreachdb.db.pools import Pools


async def test_all_who_ask_at_once_get_the_same_pool(database_url: str) -> None:
    async with Pools(Settings.load({}, database_url=database_url)) as pools:
        found = await asyncio.gather(*(pools.pool("web") for _ in range(20)))
    assert len({id(pool) for pool in found}) == 1
    assert found[0].closed
