"""Ending a task that talks to the database."""

from __future__ import annotations

import asyncio
from typing import Any

ASK_AGAIN_SECONDS = 1.0


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it is done, whatever its end.

    Up to Python 3.11 wait_for, by which psycopg waits, loses a cancel that comes together with its result (bpo-42130):
    an import hung for ever.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=ASK_AGAIN_SECONDS)
