"""Providers over HTTP: forms, passwords, signed addresses, each matched with the mail that it is about."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest
from launched import launch

from outreachdb.api.app import create_app
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.events import endpoints
from outreachdb.secrets import Keyring

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def client(pools: Pools, keyring: Keyring) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(pools, keyring), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def _stored(tenant: Tenant, event: str) -> tuple[int, int]:
    """Events of a kind, and how many of them found their mail."""
    async with tenant.session() as session:
        row = await session.one(
            "SELECT count(*) AS n, count(send_id) AS known FROM outreach.email_events"
            " WHERE workspace_id = %(ws)s AND event = %(event)s",
            {"ws": tenant.workspace_id, "event": event},
        )
    assert row is not None
    return row["n"], row["known"]


async def test_a_password_protects_postmark(client: httpx.AsyncClient, tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    send = campaign.sends[0]
    endpoint = await endpoints.create(tenant, keyring, "postmark", "hook:long-password")
    body = {
        "RecordType": "Bounce", "ID": 1, "Type": "HardBounce", "MessageID": "pm-1", "Email": send.recipient,
        "BouncedAt": send.launched_at.isoformat(), "Metadata": {"outreachdb": send.message_id},
    }  # fmt: skip
    for auth in (None, ("hook", "wrong-password"), ("other", "long-password")):
        refused = await client.post(str(endpoint.path), json=body, auth=auth)
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    assert await _stored(tenant, "bounced") == (0, 0)
    assert (await client.post(str(endpoint.path), json=body, auth=("hook", "long-password"))).json()["stored"] == 1
    # Our Message-ID came back as metadata.
    assert await _stored(tenant, "bounced") == (1, 1)


async def test_a_legacy_form_of_mailgun(client: httpx.AsyncClient, tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    send = campaign.sends[0]
    endpoint = await endpoints.create(tenant, keyring, "mailgun", "signing-key")
    stamp = str(int(time.time()))
    form = {
        "event": "opened", "recipient": send.recipient, "timestamp": stamp, "token": "t", "Message-Id": send.message_id,
        "signature": hmac.new(b"signing-key", f"{stamp}t".encode(), hashlib.sha256).hexdigest(),
    }  # fmt: skip
    body = urlencode(form)
    assert (await client.post(str(endpoint.path), content=body, headers=FORM)).json()["stored"] == 1
    assert (await client.post(str(endpoint.path), content=body, headers=FORM)).json()["duplicates"] == 1
    assert await _stored(tenant, "opened") == (1, 1)
    forged = urlencode(form | {"timestamp": str(int(stamp) - 1)})
    assert (await client.post(str(endpoint.path), content=forged, headers=FORM)).status_code == 401


async def test_mandrill_signs_the_address_that_it_calls(
    client: httpx.AsyncClient, database_url: str, tenant: Tenant, keyring: Keyring
) -> None:
    campaign = await launch(tenant, keyring, leads=2)
    endpoint = await endpoints.create(tenant, keyring, "mandrill", "the-webhook-key")
    events = [
        {"event": "click", "_id": "1", "ts": int(time.time()), "url": "https://x.example/",
         "msg": {"email": send.recipient, "metadata": {"outreachdb": send.message_id}}}
        for send in campaign.sends
    ]  # fmt: skip
    text = json.dumps([*events, {"event": "open"}])

    def signed(base: str) -> dict[str, str]:
        content = f"{base}{endpoint.path}mandrill_events{text}"
        digest = hmac.new(b"the-webhook-key", content.encode(), hashlib.sha1).digest()
        return FORM | {"x-mandrill-signature": base64.b64encode(digest).decode()}

    body = urlencode({"mandrill_events": text})
    outside = "https://hooks.example"
    assert (await client.post(str(endpoint.path), content=body, headers=signed(outside))).status_code == 401
    direct = await client.post(str(endpoint.path), content=body, headers=signed("http://test"))
    assert (direct.json()["stored"], direct.json()["rejected"]) == (2, 1)
    # Behind a proxy the address is another; the setting knows it.
    async with Pools(Settings.load({}, database_url=database_url, public_url=f"{outside}/")) as pools:
        transport = httpx.ASGITransport(create_app(pools, keyring))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as proxied:
            again = await proxied.post(str(endpoint.path), content=body, headers=signed(outside))
    assert again.json()["duplicates"] == 2
    assert await _stored(tenant, "clicked") == (2, 2)


async def test_providers_that_knock_first_are_answered(client: httpx.AsyncClient) -> None:
    for method, path, status in (
        ("HEAD", "/webhooks/mandrill/x", 200),
        ("GET", "/webhooks/unisender_go/x", 200),
        ("GET", "/webhooks/mandrill/x", 405),
        ("POST", "/webhooks/unisender_go/x", 404),
    ):
        assert (await client.request(method, path)).status_code == status, (method, path)
