"""What those who run the service see: life, readiness, and the same request id in answers and logs."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
import structlog

from outreachdb import logs
from outreachdb.api.app import create_app
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.secrets import Keyring


@pytest.fixture(autouse=True)
def _as_before() -> object:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.setLevel(before[0])
    root.handlers[:] = before[1]


@pytest.fixture
async def client(pools: Pools, keyring: Keyring) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(pools, keyring)

    @app.get("/broken/{secret}")
    async def broken(secret: str) -> None:
        raise ZeroDivisionError(secret)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def test_life_and_readiness(client: httpx.AsyncClient, empty_database_url: str, keyring: Keyring) -> None:
    ready = (await client.get("/health")).json()
    assert ready["status"] == "ok"
    assert set(ready) == {"status", "postgresql", "schema"}
    for url, reason in ((empty_database_url, "no schema"), ("postgresql://secret:word@127.0.0.1:1/none", "no server")):
        async with Pools(Settings.load({}, database_url=url)) as closed:
            transport = httpx.ASGITransport(create_app(closed, keyring), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as asking:
                assert (await asking.get("/health/live")).json() == {"status": "ok"}
                answer = await asking.get("/health")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), reason
        assert "secret" not in answer.text
        assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", "/webhooks/sendgrid/1-token", "/broken/word"])
async def test_a_request_keeps_the_id_that_a_proxy_gave(
    client: httpx.AsyncClient, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(Settings.load({}, log_format="json", log_level="info"))
    method = "POST" if "webhooks" in path else "GET"
    answer = await client.request(method, path, headers={"X-Request-ID": "proxy-7c1e.42"})
    assert answer.headers.get_list("x-request-id") == ["proxy-7c1e.42"]
    if answer.status_code >= 400:
        assert answer.json()["request_id"] == "proxy-7c1e.42"
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["request_id"], line["method"], line["status"]) == ("proxy-7c1e.42", method, answer.status_code)
    assert line["ms"] >= 0
    assert "token" not in json.dumps(line).replace("{token}", "")
    assert "word" not in json.dumps(line)


@pytest.mark.parametrize("given", ["", "short", "with space and more", "x" * 65, 'quote"quote', "line\tfeed-1234"])
async def test_an_id_that_could_forge_a_log_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    first = await client.get("/health/live", headers={"X-Request-ID": given})
    second = await client.get("/health/live", headers={"X-Request-ID": given})
    ids = [answer.headers["x-request-id"] for answer in (first, second)]
    assert given not in ids
    assert len(set(ids)) == 2
    assert all(len(each) == 32 for each in ids)


async def test_what_is_logged_for_a_request_names_it(
    database_url: str, keyring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure below the web layer, logged by the standard library, carries the id as well."""
    logs.configure(Settings.load({}, log_format="json", log_level="info"))
    url = psycopg.conninfo.make_conninfo(database_url, dbname="not_there")
    async with Pools(Settings.load({}, database_url=url)) as closed:
        transport = httpx.ASGITransport(create_app(closed, keyring), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as asking:
            answer = await asking.get("/health", headers={"X-Request-ID": "traced-12345"})
    assert answer.json()["request_id"] == "traced-12345"
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line.get("request_id") for line in lines} == {"traced-12345"}
    assert any(line["level"] == "error" and "not_there" in line["event"] for line in lines)
