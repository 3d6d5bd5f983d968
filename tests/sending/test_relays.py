"""Relays with ids of their own return ours, and an event finds its mail by it."""

from __future__ import annotations

import email
import json
from datetime import UTC, datetime, timedelta
from email import policy
from typing import Any

import pytest
from mailing import Sink, add_leads, launched, rows

from outreachdb.campaigns.templates import Rendered
from outreachdb.db.tenant import Tenant
from outreachdb.events.ingest import ingest
from outreachdb.events.normal import NormalEvent
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch, message_id, relays
from outreachdb.sending.message import build

OURS = f"<o1.{2**63 - 1}.{2**63 - 1}.202603.{'a' * 24}@{'long-name.' * 6}sender.example>"
CASES: list[tuple[str, str, Any]] = [
    ("smtp.postmarkapp.com", "X-PM-Metadata-outreachdb", OURS),
    ("in-v3.mailjet.com", "X-MJ-CustomID", OURS),
    ("SMTP.MandrillApp.com", "X-MC-Metadata", {"outreachdb": OURS}),
    ("smtp.sparkpostmail.com", "X-MSYS-API", {"metadata": {"outreachdb": OURS}}),
    ("smtp-relay.brevo.com", "X-Mailin-custom", OURS),
    ("live.smtp.mailtrap.io", "X-MT-Custom-Variables", {"outreachdb": OURS}),
    ("smtp.mailersend.net", "X-MailerSend-Tags", OURS.strip("<>")),
    ("smtp.go2.unisender.ru", "X-UNISENDER-GO", {"global_metadata": {"outreachdb": OURS}}),
    ("smtp.eu1.unione.io", "X-UNIONE", {"global_metadata": {"outreachdb": OURS}}),
]


@pytest.mark.parametrize(("host", "name", "expected"), CASES)
@pytest.mark.parametrize("recipient", ["ann@buyer.example", "änne@buyer.example"])
def test_each_relay_gets_its_header_whole(host: str, name: str, expected: Any, recipient: str) -> None:
    made = build(None, "s@sender.example", recipient, Rendered("Hi", "Text", None), OURS, relay=host)
    (line,) = [each for each in made.content.split(b"\r\n") if each.lower().startswith(name.lower().encode() + b":")]
    value = line.decode().partition(": ")[2]
    assert (json.loads(value) if isinstance(expected, dict) else value) == expected
    assert email.message_from_bytes(made.content, policy=policy.default)["From"] == "s@sender.example"


@pytest.mark.parametrize("host", [None, "smtp.example.com", "notmailjet.com", "brevo.com.evil.example"])
def test_others_get_none(host: str | None) -> None:
    made = build(None, "s@sender.example", "ann@buyer.example", Rendered("Hi", "Text", None), OURS, relay=host)
    assert not any(name.encode() in made.content for _, name, _ in CASES)


def test_what_comes_back_is_found_wherever_it_stands(keyring: Keyring) -> None:
    ours = message_id.make(keyring, 7, 42, datetime(2026, 3, 4, tzinfo=UTC), "sender.example")
    other = message_id.make(keyring, 7, 43, datetime(2026, 3, 4, tzinfo=UTC), "sender.example")
    for text in (json.dumps({"metadata": {"outreachdb": ours}}), f"x {ours}", ours.upper(), json.dumps([other, ours])):
        found = message_id.find(keyring, text)
        assert found is not None
        assert found.lower() == ours
    assert message_id.find(keyring, json.dumps({"a": ours.replace(".42.", ".44.")})) is None
    assert message_id.find(keyring, "o1." * 10_000) is None


def test_a_relay_s_own_id_is_read_from_its_answer() -> None:
    mail = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"
    for host, reply, expected in (
        ("smtp.resend.com", f"250 {mail}", mail),
        ("SMTP.Resend.com", f"250 OK queued as {mail}", mail),
        ("smtp.go1.unisender.ru", "250 OK id=1a3Q2V-0000OZ-S0", "1a3Q2V-0000OZ-S0"),
        (
            "email-smtp.eu-west-1.amazonaws.com",
            f"250 Ok 0102018e4d3c2b1a-{mail}-000000",
            f"0102018e4d3c2b1a-{mail}-000000",
        ),
        ("smtp.mailersend.net", "250 Message queued as 63fd1c1d5f010335ed07066b", "63fd1c1d5f010335ed07066b"),
        ("smtp.resend.com", "250 Thankyouverymuchindeed", None),
        ("smtp.example.com", f"250 queued as {mail}", None),
        (None, f"250 {mail}", None),
    ):
        assert relays.provider_id(host, reply) == expected


async def test_a_worker_logs_the_relay_s_id_and_finds_the_sends_of_faster_events(
    tenant: Tenant, keyring: Keyring, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "REPLIES", ("127.0.0.1",))
    name = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"
    sink.reply = f"250 OK {name}"
    await add_leads(tenant, 2)
    await launched(tenant, keyring, sink.port)
    at = datetime.now(UTC) + timedelta(seconds=1)
    early, late = (
        NormalEvent("opened", f"lead{n}@example.org", at, "resend", message_id=name, event_id=str(n)) for n in (1, 2)
    )
    assert (await ingest(tenant, keyring, [early])).unknown == 1
    assert (await dispatch.run(tenant, keyring)).sent == 2
    assert (await ingest(tenant, keyring, [late])).unknown == 0
    opened = await rows(
        tenant,
        "SELECT recipient FROM outreach.email_sends WHERE workspace_id = %s AND opened_at IS NOT NULL ORDER BY 1",
        tenant.workspace_id,
    )
    assert [row["recipient"] for row in opened] == ["lead1@example.org", "lead2@example.org"]
