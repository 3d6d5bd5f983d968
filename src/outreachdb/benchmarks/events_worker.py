"""The workers of the benchmark of ingest: each makes its events, says so, waits for the word, and goes."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from http.client import HTTPConnection
from secrets import token_urlsafe
from typing import Any

from outreachdb.api.app import create_app, listen, serve
from outreachdb.benchmarks.events import BY_HTTP, BY_WORKER, HTTP_BATCH, WORKERS, WORKSPACE
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.demo.reports import Signer
from outreachdb.events import endpoints
from outreachdb.events.ingest import ingest_parsed
from outreachdb.events.webhooks import sendgrid
from outreachdb.secrets import Keyring
from outreachdb.sending import message_id
from outreachdb.tenancy import workspaces

KEYRING = Keyring(bytes(range(32)))
# A send has four events, and the workers share the sends out by turns.
EVENTS = ("delivered", "open", "open", "click")
SENDS = """
    SELECT s.id, s.recipient, s.created_at
    FROM outreach.campaigns AS c
    JOIN outreach.email_sends AS s
        ON s.workspace_id = c.workspace_id AND s.campaign_id = c.id AND s.created_at = c.launched_at
    WHERE c.workspace_id = %(ws)s AND c.name = %(name)s ORDER BY s.id LIMIT %(n)s
"""
CONNECTIONS = 4


async def in_process(url: str, name: str, worker: int) -> tuple[int, int]:
    """Parse and ingest bodies of 5,000 events; stored and expected."""
    async with Pools(Settings.load({}, database_url=url)) as pools:
        tenant = await workspaces.tenant(pools, WORKSPACE)
        items = await _items(tenant, name, BY_WORKER, worker, WORKERS)
        bodies = [json.dumps(items[at : at + 5000]).encode() for at in range(0, len(items), 5000)]
        await asyncio.to_thread(_wait)
        stored = 0
        for body in bodies:
            stored += (await ingest_parsed(tenant, KEYRING, sendgrid.parse(body))).stored
    return stored, len(items)


async def http(url: str, name: str, _worker: int) -> tuple[int, int]:
    """Serve, and post signed batches from a few threads; stored and expected."""
    async with Pools(Settings.load({}, database_url=url)) as pools:
        tenant = await workspaces.tenant(pools, WORKSPACE)
        signer = Signer()
        endpoint = await endpoints.create(tenant, KEYRING, "sendgrid", signer.public_key)
        items = await _items(tenant, name, BY_HTTP, 0, 1)
        bodies = [json.dumps(items[at : at + HTTP_BATCH]).encode() for at in range(0, len(items), HTTP_BATCH)]
        signed = [(body, signer.headers(body)) for body in bodies]
        with listen("127.0.0.1", 0) as listening:
            server = asyncio.create_task(serve(create_app(pools, KEYRING), listening))
            await asyncio.to_thread(_wait)
            port = listening.getsockname()[1]
            posting = [
                asyncio.to_thread(_post, port, str(endpoint.path), signed[number::CONNECTIONS])
                for number in range(CONNECTIONS)
            ]
            stored = sum(await asyncio.gather(*posting))
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)
    return stored, len(items)


def _post(port: int, path: str, signed: list[tuple[bytes, dict[str, str]]]) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    stored = 0
    for body, headers in signed:
        connection.request("POST", path, body, headers)
        stored += json.loads(connection.getresponse().read())["stored"]
    connection.close()
    return stored


async def _items(tenant: Tenant, name: str, count: int, worker: int, workers: int) -> list[dict[str, Any]]:
    """The provider's events, as it words them, spread over the sends."""
    async with tenant.session() as session:
        given = {"ws": tenant.workspace_id, "name": name, "n": count * workers // len(EVENTS)}
        sends = await session.all(SENDS, given)
    return [
        {
            "email": send["recipient"],
            "timestamp": int((send["created_at"] + timedelta(minutes=1 + number * 5)).timestamp()),
            "event": kind,
            "smtp-id": message_id.make(KEYRING, tenant.workspace_id, send["id"], send["created_at"], "sender.example"),
            "sg_event_id": token_urlsafe(16),
            "useragent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15",
            "ip": "192.0.2.7",
            "url": "https://www.example.com/demo",
        }
        for send in sends[worker::workers]
        for number, kind in enumerate(EVENTS)
    ][:count]


def _wait() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
