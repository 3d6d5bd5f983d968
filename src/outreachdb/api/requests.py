"""Every request has an id: in its answer, in problem documents, and in each line that is logged on its behalf."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"
# What a proxy in front may have chosen; anything else could forge lines of a log.
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{8,64}")
log = structlog.get_logger(__name__)


def id_of(request: Request) -> str | None:
    """The request's id; None outside of :class:`RequestIds`."""
    found: str | None = request.scope.get("state", {}).get("request_id")
    return found


class RequestIds:
    """Takes the id that a proxy gave, else makes one; logs each request when it has ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _ACCEPTED.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        # Never unbound: a request is a task of its own, and what the server logs of its failure comes after us.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            # The route, not the path: paths of webhooks and unsubscribe links hold secrets.
            route = getattr(scope.get("route"), "path", None)
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            log.info("request", method=scope["method"], route=route, status=status or 500, ms=milliseconds)
