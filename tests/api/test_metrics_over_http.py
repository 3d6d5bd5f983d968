"""Who gets the metrics over HTTP, and who does not."""

from __future__ import annotations

import httpx
import pytest

from outreachdb.api.app import create_app
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.secrets import Keyring


async def ask(pools: Pools, keyring: Keyring, client: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(pools, keyring), client=(client, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as asking:
        return await asking.get("/metrics", headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_without_a_token_this_machine_alone(pools: Pools, keyring: Keyring) -> None:
    given = await ask(pools, keyring, "127.0.0.1")
    assert given.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "outreachdb_up 1.0" in given.text
    assert (await ask(pools, keyring, "203.0.113.9")).status_code == 401
    assert (await ask(pools, keyring, "127.0.0.1", x_forwarded_for="203.0.113.9")).status_code == 401


@pytest.mark.parametrize(
    ("header", "status"), [("Bearer right", 200), ("Bearer wrong", 401), ("right", 401), ("", 401)]
)
async def test_with_a_token_who_has_it(database_url: str, keyring: Keyring, header: str, status: int) -> None:
    async with Pools(Settings.load({}, database_url=database_url, metrics_token="right")) as opened:
        assert (await ask(opened, keyring, "203.0.113.9", authorization=header)).status_code == status
