"""Webhooks: where providers report delivery events."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from outreachdb.api.problems import BodyTooLarge
from outreachdb.events import endpoints

router = APIRouter(tags=["events"])


@router.post("/webhooks/{provider}/{token}")
async def receive(provider: str, token: str, request: Request) -> dict[str, Any]:
    """Take in a provider's events: 401 for a bad signature, 404 for an unknown address, 413 or 422 for a bad body."""
    state = request.app.state
    body = await _body(request, state.pools.settings.webhook_max_bytes)
    report = await endpoints.receive(
        state.pools, state.keyring, provider, token, request.headers, body, str(request.url)
    )
    return report.document()


@router.head("/webhooks/{provider}/{token}")
@router.get("/webhooks/unisender_go/{token}")
async def exists(token: str) -> None:
    """Mandrill (HEAD) and Unisender Go (GET) ask whether anybody is there before they take an address."""
    del token


async def _body(request: Request, most: int) -> bytes:
    """The body, read no further than the limit: its announced length may be missing or a lie."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise BodyTooLarge(f"the body is larger than {most} bytes", hint="OUTREACHDB_WEBHOOK_MAX_BYTES")
        parts.append(part)
    return b"".join(parts)
