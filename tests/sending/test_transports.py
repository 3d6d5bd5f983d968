"""TLS in both forms, headers that lead back, a message on trial, and a maildir in SMTP's place."""

from __future__ import annotations

import mailbox
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import make_certificate
from mailing import Sink, add_leads, campaign_file, launched, running, statuses

from outreachdb.campaigns import campaigns
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import NotFound, OutreachDBError
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch, send_test, tracking_links

STEP = {
    "subject": "Hi {{ first_name }}",
    "text": "Bye: {{ unsubscribe_url }}",
    "html": "<p><a href='https://a.example/?x=1&amp;y=2'>a</a></p></body>",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of localhost and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["starttls", "tls"])
def secured(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Iterator[tuple[str, Sink]]:
    """A server that takes mail over TLS only."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    options: dict[str, Any] = {"tls_context": context, "require_starttls": True}
    with running(implicit=context) if request.param == "tls" else running(**options) as taken:
        yield request.param, taken


async def test_tls_with_a_certificate_that_is_checked(
    tenant: Tenant, keyring: Keyring, database_url: str, secured: tuple[str, Sink], certificate: tuple[Path, Path]
) -> None:
    security, sink = secured
    await add_leads(tenant, 3)
    smtp = {"host": "localhost", "port": sink.port, "security": security}
    await launched(tenant, keyring, 0, mailboxes=[{"address": "m@sender.example", "smtp": smtp}])
    # Nobody the system knows has signed it.
    distrusted = await dispatch.run(tenant, keyring)
    assert distrusted.sent == 0
    assert "certificate" in distrusted.problems["m@sender.example"].lower()
    assert sink.messages == []
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET scheduled_at = now() WHERE workspace_id = %s", [tenant.workspace_id]
        )
    async with Pools(Settings.load({}, database_url=database_url, smtp_ca_file=certificate[0])) as pools:
        report = await dispatch.run(Tenant(pools, tenant.workspace_id, tenant.name), keyring)
    assert (report.sent, report.problems) == (3, {})
    assert len(sink.messages) == 3


async def test_messages_lead_back(tenant: Tenant, keyring: Keyring, database_url: str, sink: Sink) -> None:
    await add_leads(tenant, 1)
    async with Pools(Settings.load({}, database_url=database_url, public_url="https://track.example/")) as pools:
        known = Tenant(pools, tenant.workspace_id, tenant.name)
        await launched(known, keyring, sink.port, steps=[STEP])
        await dispatch.run(known, keyring)
    message = sink.parsed("lead1@example.org")
    url = message["List-Unsubscribe"].strip("<>")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert url.startswith("https://track.example/t/u/")
    link = tracking_links.read(keyring, "unsubscribe", url.rpartition("/")[2])
    assert link is not None
    assert link.workspace_id == tenant.workspace_id
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == f"Bye: {url}"
    shown = html.get_content()
    click = shown.partition("href='")[2].partition("'")[0].split("/t/c/")[1].split("/")
    clicked = tracking_links.read(keyring, "click", *click)
    assert clicked is not None
    assert clicked.url == "https://a.example/?x=1&y=2"
    assert shown.index("/t/o/") < shown.index("</body>")


async def test_without_a_public_url_templates_that_need_one_are_reported(
    tenant: Tenant, keyring: Keyring, sink: Sink
) -> None:
    await add_leads(tenant, 1)
    with pytest.raises(OutreachDBError, match="unsubscribe_url"):
        await launched(tenant, keyring, sink.port, steps=[STEP])
    await launched(tenant, keyring, sink.port, name="plain")
    await dispatch.run(tenant, keyring)
    assert sink.parsed("lead1@example.org")["List-Unsubscribe"] is None


async def test_a_message_on_trial_touches_no_lead(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 2)
    await campaigns.create(tenant, keyring, campaign_file(sink.port))
    sent = await send_test(tenant, keyring, "spring", "me@here.example", lead="lead2@example.org")
    assert sent["subject"] == "Hello Name2"
    assert sink.recipients() == {"me@here.example": 1}
    assert await statuses(tenant) == {}
    assert (await send_test(tenant, keyring, "spring", "me@here.example"))["lead_id"] == sent["lead_id"] - 1
    with pytest.raises(NotFound, match="no step 2"):
        await send_test(tenant, keyring, "spring", "me@here.example", step=2)
    with pytest.raises(OutreachDBError, match="nobody of that name"):
        await send_test(tenant, keyring, "spring", "refused5@here.example")


async def test_a_maildir_takes_what_servers_would_get(tenant: Tenant, keyring: Keyring, tmp_path: Path) -> None:
    await add_leads(tenant, 30)
    await launched(tenant, keyring, 1)
    report = await dispatch.run(tenant, keyring, maildir=tmp_path / "mail")
    assert report.sent == 30
    kept = mailbox.Maildir(tmp_path / "mail")
    assert {message["To"] for message in kept} == {f"lead{n}@example.org" for n in range(1, 31)}
