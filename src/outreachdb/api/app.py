"""The web application: `create_app` for any ASGI server, `serve` for ours."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from fastapi import FastAPI

from outreachdb.api import events, metrics, operations, problems, tracking
from outreachdb.api.requests import RequestIds
from outreachdb.db.pools import Pools
from outreachdb.errors import UsageError
from outreachdb.secrets import Keyring
from outreachdb.version import __version__

GRACE_SECONDS = 10


def create_app(pools: Pools, keyring: Keyring) -> FastAPI:
    """The application on open pools; whoever opened them closes them after it."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await pools.pool("web")  # a database that does not answer should stop the start, not the first request
        yield

    # No docs pages: they load their scripts from a foreign host.
    app = FastAPI(title="OutreachDB", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.pools, app.state.keyring = pools, keyring
    problems.install(app)
    app.include_router(events.router)
    app.include_router(metrics.router)
    app.include_router(operations.router)
    app.include_router(tracking.router)
    app.add_middleware(RequestIds)
    return app


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises UsageError when the address is taken or not ours."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the port must lie between 0 and 65535"
        raise UsageError(f"can't listen on {host}:{port}: {reason}", hint="choose another --host or --port") from None


async def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serve until cancelled; requests under way may end first."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=GRACE_SECONDS
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        server.should_exit = True
        await running


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the event loop: they cancel us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
