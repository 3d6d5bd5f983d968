"""Open pixel, click redirect and unsubscribe page, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from launched import Launched, launch

from outreachdb.analytics import stats
from outreachdb.api.app import create_app
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.events.machines import is_machine
from outreachdb.secrets import Keyring
from outreachdb.sending.tracking_links import TrackingLinks

PERSON = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
TARGET = "https://www.example.com/demo?a=1&b=ü#there"


@pytest.fixture
async def client(pools: Pools, keyring: Keyring) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(pools, keyring), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers={"user-agent": PERSON}) as opened:
        yield opened


def _links(tenant: Tenant, keyring: Keyring) -> TrackingLinks:
    return TrackingLinks(keyring, "http://test", tenant.workspace_id)


def _all(links: TrackingLinks, campaign: Launched) -> tuple[str, str, str]:
    send = campaign.sends[0]
    return (
        links.open_url(send.id, send.launched_at),
        links.click_url(send.id, send.launched_at, TARGET),
        links.unsubscribe_url(send.id, send.launched_at),
    )


async def _rows(tenant: Tenant, query: str) -> list[dict[str, Any]]:
    async with tenant.session() as session:
        return await session.all(query, {"ws": tenant.workspace_id})


async def test_an_open_and_a_click_are_noted(client: httpx.AsyncClient, tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=2)
    opened, clicked, _ = _all(_links(tenant, keyring), campaign)
    picture = await client.get(opened, headers={"user-agent": GMAIL})
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/gif")
    assert "no-store" in picture.headers["cache-control"]
    assert picture.content.startswith(b"GIF89a")
    assert (await client.head(opened)).status_code == 200
    await client.get(opened)
    answer = await client.get(clicked)
    assert answer.status_code == 302
    assert httpx.URL(answer.headers["location"]) == httpx.URL(TARGET)
    found = await stats.campaign(tenant, campaign.name)
    assert (found.opened, found.unique_opened, found.clicked, found.unique_clicked) == (2, 1, 1, 1)
    rows = await _rows(
        tenant,
        "SELECT activity_type, details FROM outreach.lead_activities WHERE workspace_id = %(ws)s ORDER BY created_at",
    )
    assert [row["activity_type"] for row in rows] == ["email_opened", "email_opened", "email_clicked"]
    assert rows[2]["details"] == {"url": TARGET}


async def test_machines_are_flagged_and_count_for_nobody(
    client: httpx.AsyncClient, tenant: Tenant, keyring: Keyring
) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    opened, clicked, _ = _all(_links(tenant, keyring), campaign)
    for agent in ("Mozilla/5.0", "", "BarracudaCentral", "Mozilla/5.0 (compatible; Googlebot/2.1)"):
        assert (await client.get(opened, headers={"user-agent": agent})).status_code == 200
        assert (await client.get(clicked, headers={"user-agent": agent})).status_code == 302
    query = "SELECT event, prefetched FROM outreach.email_events WHERE workspace_id = %(ws)s"
    rows = await _rows(tenant, query)
    assert len(rows) == 8
    assert all(row["prefetched"] for row in rows)
    found = await stats.campaign(tenant, campaign.name)
    assert (found.opened, found.unique_opened, found.clicked, found.unique_clicked) == (0, 0, 0, 0)
    query = "SELECT opened_at, clicked_at FROM outreach.email_sends WHERE workspace_id = %(ws)s"
    assert await _rows(tenant, query) == [{"opened_at": None, "clicked_at": None}]
    assert await _rows(tenant, "SELECT 1 FROM outreach.lead_engagement WHERE workspace_id = %(ws)s") == []


@pytest.mark.parametrize(
    ("kind", "agent", "address", "seconds", "machine"),
    [
        ("open", PERSON, "203.0.113.7", 1, False),
        ("click", PERSON, "203.0.113.7", 1, True),
        ("click", PERSON, "203.0.113.7", 6, False),
        ("click", PERSON, None, None, False),
        ("open", GMAIL, "66.249.84.1", 1, False),
        ("open", "YahooMailProxy; https://help.yahoo.com/", "203.0.113.7", 60, False),
        ("open", "Mozilla/5.0", "203.0.113.7", 60, True),
        ("open", PERSON, "17.58.1.2", 60, True),
        ("click", PERSON, "209.222.82.9", 60, True),
        ("click", PERSON, "2001:db8::1", 60, False),
        ("click", "Microsoft Office Existence Discovery", "203.0.113.7", 60, True),
        ("click", "python-requests/2.31", "203.0.113.7", 60, True),
        ("open", "", "testclient", 60, True),
    ],
)
def test_who_is_a_machine(kind: str, agent: str, address: str | None, seconds: int | None, machine: bool) -> None:
    since = None if seconds is None else timedelta(seconds=seconds)
    assert is_machine(kind, agent, address, since) is machine


async def test_the_page_only_asks_and_a_post_acts(client: httpx.AsyncClient, tenant: Tenant, keyring: Keyring) -> None:
    campaign = await launch(tenant, keyring, leads=2)
    *_, page = _all(_links(tenant, keyring), campaign)
    suppressed = "SELECT target, reason FROM outreach.suppressions WHERE workspace_id = %(ws)s"
    asked = await client.get(page)
    assert asked.status_code == 200
    assert '<form method="post">' in asked.text
    assert campaign.sends[0].recipient in asked.text
    assert "frame-ancestors 'none'" in asked.headers["content-security-policy"]
    assert await _rows(tenant, suppressed) == []
    for _ in range(2):  # a second time changes nothing
        # As a mail program does it, https://www.rfc-editor.org/rfc/rfc8058#section-3.1
        done = await client.post(page, data={"List-Unsubscribe": "One-Click"}, headers={"user-agent": ""})
        assert done.status_code == 200
    target = campaign.sends[0].recipient.lower()
    assert await _rows(tenant, suppressed) == [{"target": target, "reason": "unsubscribed"}]
    found = await stats.campaign(tenant, campaign.name)
    assert found.unsubscribed == 1
    query = "SELECT status FROM outreach.leads WHERE workspace_id = %(ws)s ORDER BY id"
    assert [row["status"] for row in await _rows(tenant, query)] == ["unsubscribed", "contacted"]


async def test_nobody_is_led_astray(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, keyring: Keyring
) -> None:
    campaign = await launch(tenant, keyring, leads=1)
    opened, clicked, page = _all(_links(tenant, keyring), campaign)
    *_, token, _target = clicked.split("/")
    evil = TrackingLinks(Keyring(bytes(32)), "http://test", tenant.workspace_id)
    foreign = _all(evil, campaign)
    for url in (
        foreign[0], foreign[1], f"http://test/t/c/{token}/aHR0cHM6Ly9ldmlsLmV4YW1wbGUv", f"http://test/t/c/{token}/x",
        opened.replace("/t/o/", "/t/u/").removesuffix(".gif"), page.replace("/t/u/", "/t/o/") + ".gif", foreign[2],
    ):  # fmt: skip
        answer = await client.get(url)
        assert answer.status_code == 404, url
        assert "location" not in answer.headers
    assert (await client.post(foreign[2])).status_code == 404
    assert await _rows(tenant, "SELECT 1 FROM outreach.email_events WHERE workspace_id = %(ws)s") == []
    # Signed, but of a message that is not there (another workspace's number, or retention took it).
    gone = _links(other_tenant, keyring)
    send = campaign.sends[0]
    assert (await client.get(gone.open_url(send.id, send.launched_at))).status_code == 200
    assert (await client.get(gone.click_url(send.id, send.launched_at, TARGET))).status_code == 302
    assert (await client.get(gone.unsubscribe_url(send.id, send.launched_at))).status_code == 404
    assert (await client.post(gone.unsubscribe_url(send.id, send.launched_at))).status_code == 404


async def test_without_a_database_people_still_get_where_they_wanted(keyring: Keyring) -> None:
    settings = Settings.load({}, database_url="postgresql://x@127.0.0.1:1/x", connect_timeout=1)
    links = TrackingLinks(keyring, "http://test", 1)
    from datetime import UTC, datetime

    async with Pools(settings) as pools:
        transport = httpx.ASGITransport(create_app(pools, keyring))
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get(links.open_url(1, datetime.now(UTC)))).status_code == 200
            assert (await client.get(links.click_url(1, datetime.now(UTC), TARGET))).status_code == 302
            assert (await client.post(links.unsubscribe_url(1, datetime.now(UTC)))).status_code == 503
