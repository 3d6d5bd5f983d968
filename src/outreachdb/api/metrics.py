"""Metrics for Prometheus; what they tell is nobody's business on the open net."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response

from outreachdb.errors import Unauthorized
from outreachdb.health import configuration
from outreachdb.health.metrics import CONTENT_TYPE, Exporter

router = APIRouter(tags=["operations"])
_LOOPBACK = {"127.0.0.1", "::1"}
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The metrics: with the token of OUTREACHDB_METRICS_TOKEN, or, where none is set, to this machine alone."""
    settings = request.app.state.pools.settings
    _let_in(request, settings.metrics_token)
    exporter = getattr(request.app.state, "exporter", None)
    if exporter is None:
        chosen = configuration.load(settings.health_file)
        exporter = Exporter(request.app.state.pools.url("admin"), chosen, settings=settings)
        request.app.state.exporter = exporter
    return Response(await exporter.text(), media_type=CONTENT_TYPE)


def _let_in(request: Request, token: str | None) -> None:
    if token is not None:
        given = request.headers.get("authorization", "").encode()
        if hmac.compare_digest(given, f"Bearer {token}".encode()):
            return
        raise Unauthorized("metrics need their token", hint="Authorization: Bearer <OUTREACHDB_METRICS_TOKEN>")
    # A proxy on this machine speaks for others, and says so.
    direct = request.client is not None and request.client.host in _LOOPBACK
    if not direct or any(name in request.headers for name in _FORWARDED):
        raise Unauthorized(
            "metrics are given to this machine alone", hint="set OUTREACHDB_METRICS_TOKEN to scrape them"
        )
