"""Statements of a test, as the trusted role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outreachdb.db.pools import Pools
from outreachdb.db.tenant import TRUSTED_ROLE, session


def asking(pools: Pools) -> Callable[..., Any]:
    async def rows(statement: str, **values: Any) -> list[Any]:
        async with session(pools, role=TRUSTED_ROLE, workload="jobs") as trusted:
            cursor = await trusted.execute(statement, values or None)
            return [tuple(row.values()) for row in await cursor.fetchall()] if cursor.description else []

    return rows
