"""Relays with ids of their own return ours, and an event finds its mail by it."""

from __future__ import annotations

import email
import json
from datetime import UTC, datetime
from email import policy
from typing import Any

import pytest

from outreachdb.campaigns.templates import Rendered
from outreachdb.secrets import Keyring
from outreachdb.sending import message_id
from outreachdb.sending.message import build

OURS = f"<o1.{2**63 - 1}.{2**63 - 1}.202603.{'a' * 24}@{'long-name.' * 6}sender.example>"
CASES: list[tuple[str, str, Any]] = [
    ("smtp.postmarkapp.com", "X-PM-Metadata-outreachdb", OURS),
    ("in-v3.mailjet.com", "X-MJ-CustomID", OURS),
    ("SMTP.MandrillApp.com", "X-MC-Metadata", {"outreachdb": OURS}),
    ("smtp.sparkpostmail.com", "X-MSYS-API", {"metadata": {"outreachdb": OURS}}),
    ("smtp-relay.brevo.com", "X-Mailin-custom", OURS),
    ("live.smtp.mailtrap.io", "X-MT-Custom-Variables", {"outreachdb": OURS}),
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
