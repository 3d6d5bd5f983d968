"""For those who run the service: whether it lives, and whether it can answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from outreachdb.db import revision
from outreachdb.db.pools import check_server
from outreachdb.errors import DatabaseUnsupported, MigrationError

router = APIRouter(tags=["operations"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Whether the process answers; the database is not asked, so that nobody restarts us for its sake."""
    return {"status": "ok"}


@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Whether requests can be answered: 503 while the database does not answer or has another version's schema."""
    pools = request.app.state.pools
    version = await check_server(pools.url("web"), pools.settings.connect_timeout)
    try:
        await revision.check(pools.url("web"))
    except MigrationError as error:
        raise DatabaseUnsupported(error.detail, hint=error.hint) from error
    return {"status": "ok", "postgresql": version // 10000, "schema": revision.head()}
