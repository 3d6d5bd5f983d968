from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from launched import Launched, launch
from signing import SendGrid, body_of

from outreachdb.analytics import stats
from outreachdb.api.app import create_app
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput, NotFound
from outreachdb.events import endpoints
from outreachdb.secrets import Keyring

PROBLEM = "application/problem+json"


@pytest.fixture
async def client(pools: Pools, keyring: Keyring) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(pools, keyring), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


@pytest.fixture
def sendgrid() -> SendGrid:
    return SendGrid()


def _items(campaign: Launched, event: str = "delivered", **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "email": send.recipient,
            "event": event,
            "timestamp": int(send.launched_at.timestamp()) + 60,
            "smtp-id": send.message_id,
            "sg_event_id": f"{event}-{send.id}",
        }
        | more
        for send in campaign.sends
    ]


async def _stored(tenant: Tenant) -> int:
    async with tenant.session() as session:
        query = "SELECT count(*) FROM outreach.email_events WHERE workspace_id = %(ws)s"
        return int(await session.value(query, {"ws": tenant.workspace_id}))


async def test_a_signed_body_arrives_in_the_statistics(
    client: httpx.AsyncClient, tenant: Tenant, keyring: Keyring, sendgrid: SendGrid
) -> None:
    campaign = await launch(tenant, keyring)
    endpoint = await endpoints.create(tenant, keyring, "sendgrid", sendgrid.public)
    assert endpoint.path is not None
    body = body_of([*_items(campaign), *_items(campaign, "open"), {"event": "open"}])
    answer = await client.post(endpoint.path, content=body, headers=sendgrid.headers(body))
    assert answer.status_code == 200
    counts = {"received": 11, "stored": 10, "duplicates": 0, "rejected": 1, "unknown": 0}
    assert answer.json() == counts | {"reasons": {"malformed": 1}}
    again = await client.post(endpoint.path, content=body, headers=sendgrid.headers(body))
    assert again.json() == counts | {"stored": 0, "duplicates": 10, "reasons": {"malformed": 1}}
    found = await stats.campaign(tenant, campaign.name)
    assert (found.delivered, found.opened, found.unique_opened) == (5, 5, 5)


@pytest.mark.parametrize("way", ["unsigned", "tampered", "wrong key", "expired"])
async def test_a_bad_signature_leaves_no_trace(
    client: httpx.AsyncClient, tenant: Tenant, keyring: Keyring, sendgrid: SendGrid, way: str
) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    endpoint = await endpoints.create(tenant, keyring, "sendgrid", sendgrid.public)
    body = body_of(_items(campaign, "spamreport"))
    headers = {
        "unsigned": {},
        "tampered": sendgrid.headers(body + b" "),
        "wrong key": SendGrid().headers(body),
        "expired": sendgrid.headers(body, datetime.now(UTC) - timedelta(days=2)),
    }[way]
    answer = await client.post(str(endpoint.path), content=body, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["type"] == "urn:outreachdb:error:unauthorized"
    assert answer.json()["detail"]
    assert await _stored(tenant) == 0


async def test_the_signature_is_looked_at_before_the_content(
    client: httpx.AsyncClient, tenant: Tenant, keyring: Keyring, sendgrid: SendGrid
) -> None:
    endpoint = await endpoints.create(tenant, keyring, "sendgrid", sendgrid.public)
    for body in (b"", b"{", b"{}", b"\xff\x00"):
        unsigned = await client.post(str(endpoint.path), content=body)
        signed = await client.post(str(endpoint.path), content=body, headers=sendgrid.headers(body))
        assert (unsigned.status_code, signed.status_code) == (401, 422)
        assert signed.json()["detail"].startswith("the body is")
    assert await _stored(tenant) == 0


async def test_an_unknown_address_is_not_found(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, keyring: Keyring, sendgrid: SendGrid
) -> None:
    endpoint = await endpoints.create(tenant, keyring, "sendgrid", sendgrid.public)
    body = body_of([])
    token = str(endpoint.token)
    moved = f"{other_tenant.workspace_id}-{token.split('-', 1)[1]}"
    wrong = [moved, token[:-1] + ("A" if token[-1] != "A" else "B"), "1-x", "x", f"9{token}", "-1-" + "a" * 43]
    for path in [*(f"/webhooks/sendgrid/{each}" for each in wrong), f"/webhooks/pigeon/{token}"]:
        answer = await client.post(path, content=body, headers=sendgrid.headers(body))
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM), path
    assert (await client.post(str(endpoint.path), content=body, headers=sendgrid.headers(body))).status_code == 200


async def test_a_revoked_address_is_not_found(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, keyring: Keyring, sendgrid: SendGrid
) -> None:
    endpoint = await endpoints.create(tenant, keyring, "sendgrid", sendgrid.public)
    body = body_of([])
    with pytest.raises(NotFound, match="no webhook"):
        await endpoints.revoke(other_tenant, endpoint.id)
    assert [each.id for each in await endpoints.listing(tenant)] == [endpoint.id]
    await endpoints.revoke(tenant, endpoint.id)
    assert await endpoints.listing(tenant) == []
    assert (await client.post(str(endpoint.path), content=body, headers=sendgrid.headers(body))).status_code == 404


async def test_neither_token_nor_key_is_kept_in_the_clear(tenant: Tenant, keyring: Keyring, sendgrid: SendGrid) -> None:
    endpoint = await endpoints.create(tenant, keyring, "sendgrid", sendgrid.public)
    async with tenant.session() as session:
        row = await session.one(
            "SELECT w::text AS all_of_it FROM outreach.webhook_endpoints AS w WHERE workspace_id = %(ws)s",
            {"ws": tenant.workspace_id},
        )
    assert row is not None
    secret = str(endpoint.token).split("-", 1)[1]
    for text in (secret, secret.encode().hex(), sendgrid.public, sendgrid.public.encode().hex()):
        assert text not in row["all_of_it"]
    with pytest.raises(InvalidInput, match="verification key"):
        await endpoints.create(tenant, keyring, "sendgrid", "nonsense")


async def test_a_body_over_the_limit_is_refused(
    database_url: str, tenant: Tenant, keyring: Keyring, sendgrid: SendGrid
) -> None:
    endpoint = await endpoints.create(tenant, keyring, "sendgrid", sendgrid.public)
    body = b"[]".ljust(1001)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 91

    settings = Settings.load({}, database_url=database_url, webhook_max_bytes=1000)
    async with Pools(settings) as pools:
        transport = httpx.ASGITransport(create_app(pools, keyring))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            announced = await client.post(str(endpoint.path), content=body, headers=sendgrid.headers(body))
            streamed = await client.post(str(endpoint.path), content=parts())
            fitting = await client.post(str(endpoint.path), content=body[:1000], headers=sendgrid.headers(body[:1000]))
    assert (announced.status_code, streamed.status_code, fitting.status_code) == (413, 413, 200)
    assert announced.headers["content-type"] == PROBLEM


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/webhooks/sendgrid/x", 405), ("POST", "/health", 405)],
)
async def test_every_failure_is_a_problem_document(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json()["status"] == status
    assert set(answer.json()) == {"type", "title", "status", "detail", "request_id"}


async def test_health_tells_the_servers_version(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["postgresql"] >= 15


async def test_without_a_database_the_answer_is_503_and_tells_no_secret(keyring: Keyring) -> None:
    settings = Settings.load({}, database_url="postgresql://someone:hushhush@127.0.0.1:1/x", connect_timeout=1)
    async with Pools(settings) as pools:
        transport = httpx.ASGITransport(create_app(pools, keyring))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            health = await client.get("/health")
            hook = await client.post(f"/webhooks/sendgrid/1-{'a' * 43}", content=b"[]")
    for answer in (health, hook):
        assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
        assert "someone" not in answer.text
        assert "127.0.0.1" not in answer.text


async def test_an_unforeseen_failure_tells_nothing(
    pools: Pools, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the secret is hushhush")

    monkeypatch.setattr(endpoints, "receive", broken)
    transport = httpx.ASGITransport(create_app(pools, keyring), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/webhooks/sendgrid/x", content=b"")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "hushhush" not in answer.text
