from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from signing import SendGrid, body_of

from outreachdb.errors import InvalidInput, NotFound, Unauthorized
from outreachdb.events import webhooks
from outreachdb.events.delivery import Delivery

DAY = timedelta(days=1)
sendgrid = webhooks.adapter("sendgrid")


def _verify(headers: dict[str, str], body: bytes, key: str, now: datetime, window: timedelta) -> None:
    sendgrid.verify(Delivery(headers, body, "https://hooks.example/", now, window), key)


# A body, key and signature of SendGrid itself, from the tests of its Python library (sendgrid-python,
# test/unit/test_eventwebhook.py).
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6"
    "wEA3F+g=="
)
SIGNED = {
    "x-twilio-email-event-webhook-signature": (
        "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    ),
    "x-twilio-email-event-webhook-timestamp": "1600112502",
}
BODY = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
    b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)
SIGNED_AT = datetime.fromtimestamp(1600112502, UTC)


def test_the_published_known_answer_verifies() -> None:
    _verify(SIGNED, BODY, KEY, SIGNED_AT, DAY)
    (event,) = sendgrid.parse(BODY).events
    assert (event.event, event.recipient, event.reason) == ("rejected", "hello@world.com", "Bounced Address")
    assert event.message_id == "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>"
    assert event.key() == "sendgrid:ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA"


def test_what_we_sign_verifies_with_the_key_in_either_form() -> None:
    provider = SendGrid()
    headers = provider.headers(BODY)
    pem = provider.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for key in (provider.public, f" {provider.public}\n", pem):
        sendgrid.check_key(key)
        _verify(headers, BODY, key, datetime.now(UTC), DAY)


@pytest.mark.parametrize(
    ("changed", "body", "reason"),
    [
        ({}, BODY.replace(b"hello", b"jello"), "signature is wrong"),
        ({}, BODY.strip(), "signature is wrong"),
        ({"timestamp": "1600112503"}, BODY, "signature is wrong"),
        ({"timestamp": ""}, BODY, "not signed"),
        ({"signature": ""}, BODY, "not signed"),
        ({"signature": "é"}, BODY, "signature is wrong"),
        ({"signature": "AAAA"}, BODY, "signature is wrong"),
        ({"signature": base64.b64encode(b"x" * 70).decode()}, BODY, "signature is wrong"),
    ],
)
def test_tampered_bodies_are_refused(changed: dict[str, str], body: bytes, reason: str) -> None:
    headers = SIGNED | {f"x-twilio-email-event-webhook-{name}": value for name, value in changed.items()}
    with pytest.raises(Unauthorized, match=reason):
        _verify(headers, body, KEY, SIGNED_AT, DAY)


def test_another_key_is_refused() -> None:
    with pytest.raises(Unauthorized, match="signature is wrong"):
        _verify(SIGNED, BODY, SendGrid().public, SIGNED_AT, DAY)


@pytest.mark.parametrize("away", [DAY + timedelta(seconds=1), -DAY - timedelta(seconds=1)])
def test_an_old_signature_has_expired_and_one_from_the_future_too(away: timedelta) -> None:
    with pytest.raises(Unauthorized, match="expired"):
        _verify(SIGNED, BODY, KEY, SIGNED_AT + away, DAY)
    _verify(SIGNED, BODY, KEY, SIGNED_AT + away * 0.9, DAY)


def _other_curve() -> str:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@pytest.mark.parametrize("key", ["", "abc", "AAAA", "-----BEGIN PUBLIC KEY-----", "é", _other_curve()])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="verification key"):
        sendgrid.check_key(key)


# Every type of https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
@pytest.mark.parametrize(
    ("item", "event", "severity"),
    [
        ({"event": "processed"}, "queued", None),
        ({"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"}, "rejected", None),
        ({"event": "delivered", "response": "250 OK"}, "delivered", None),
        ({"event": "deferred", "response": "400 try again later", "attempt": "5"}, "deferred", None),
        (
            {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "500 unknown recipient"},
            "bounced",
            "hard",
        ),
        ({"event": "bounce", "type": "blocked", "status": "5.7.1", "reason": "blocked"}, "bounced", "soft"),
        ({"event": "bounce", "type": "bounce", "status": "4.2.2"}, "bounced", "soft"),
        ({"event": "bounce"}, "bounced", "hard"),
        ({"event": "open", "sg_machine_open": False, "useragent": "Mozilla/5.0", "ip": "192.0.2.1"}, "opened", None),
        ({"event": "click", "url": "https://example.com/?a=1", "useragent": "Mozilla/5.0"}, "clicked", None),
        ({"event": "spamreport"}, "complained", None),
        ({"event": "unsubscribe"}, "unsubscribed", None),
        ({"event": "group_unsubscribe", "asm_group_id": 10}, "unsubscribed", None),
        ({"event": "group_resubscribe", "asm_group_id": 10}, "subscribed", None),
        ({"event": "account_status_change", "type": "compliance_suspend"}, "unknown", None),
        ({"event": "something new"}, "unknown", None),
    ],
)
def test_every_documented_event(item: dict[str, Any], event: str, severity: str | None) -> None:
    full = {
        "email": "Example@Test.example",
        "timestamp": 1513299569,
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "category": ["cat facts"],
        "sg_event_id": "ZGVsaXZlcmVk",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
    } | item
    (found,) = sendgrid.parse(body_of([full]), "application/json").events
    assert (found.event, found.severity) == (event, severity)
    assert found.recipient == "Example@Test.example"
    assert found.timestamp == datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)
    assert found.message_id == "<14c5d75ce93.dfd.64b469@ismtpd-555>"
    assert found.event_id == "ZGVsaXZlcmVk"
    assert found.reason == (item.get("reason") or item.get("response"))
    assert found.url == item.get("url")
    assert found.raw == full
    assert json.loads(json.dumps(found.document()))["timestamp"] == "2017-12-15T00:59:29+00:00"


def test_the_argument_that_we_send_along_wins_over_the_smtp_id() -> None:
    item = {"event": "open", "timestamp": 1, "smtp-id": "<a@b>", "outreachdb_message_id": "<c@d>"}
    (event,) = sendgrid.parse(body_of([item])).events
    assert event.message_id == "<c@d>"


@pytest.mark.parametrize("timestamp", [1513299569.25, "1513299569.25"])
def test_fractions_of_a_second_stay(timestamp: Any) -> None:
    (event,) = sendgrid.parse(body_of([{"event": "open", "timestamp": timestamp}])).events
    assert event.timestamp == datetime(2017, 12, 15, 0, 59, 29, 250000, tzinfo=UTC)


@pytest.mark.parametrize(
    "item",
    [
        None,
        3,
        [],
        {},
        {"event": "open"},
        {"timestamp": 1},
        {"event": 3, "timestamp": 1},
        *({"event": "open", "timestamp": bad} for bad in (None, "", "noon", True, {}, [], 1e300, -1e15, "nan", "inf")),
        # More than a decimal number holds, and more than is made an integer in reasonable time.
        *({"event": "open", "timestamp": bad} for bad in ("1e9999999", "-1e9999999", "1e999990", "snan")),
    ],
)
def test_one_bad_event_does_not_spoil_the_others(item: Any) -> None:
    good = {"event": "open", "timestamp": 1513299569}
    parsed = sendgrid.parse(body_of([good, item, good]))
    assert len(parsed.events) == 2
    assert [line.split(":")[0] for line in parsed.malformed] == ["item 2"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{}",
        b"3",
        b"null",
        b'"events"',
        b"[",
        b'[{"event":"open","timestamp":NaN}]',
        b'[{"event":"open","timestamp":1e999}]',
        b"[" * 100_000,
        b"[" + b"9" * 5000 + b"]",
        b"event=open&timestamp=1",
    ],
)
def test_what_is_not_sendgrids_format_is_refused_whole(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="the body is"):
        sendgrid.parse(body)


def test_characters_that_the_database_can_not_hold_are_replaced() -> None:
    body = rb'[{"event":"open","timestamp":1,"email":"a\u0000b","x":{"k\ud800":["\uDFFF \ud83d\ude00"]}}]'
    (event,) = sendgrid.parse(body).events
    assert event.recipient == "a\ufffdb"
    assert event.raw["x"] == {"k\ufffd": ["\ufffd 😀"]}


def test_a_long_event_id_is_hashed() -> None:
    items = [{"event": "open", "timestamp": 1, "sg_event_id": "x" * 5000 + end} for end in "ab"]
    keys = [event.key() for event in sendgrid.parse(body_of(items)).events]
    assert len(set(keys)) == 2
    assert max(map(len, keys)) < 100


def test_providers_are_found_by_file_name() -> None:
    assert "sendgrid" in webhooks.providers()
    for name in ("pigeon", "", "..", "sendgrid.x", "__init__"):
        with pytest.raises(NotFound, match="sendgrid"):
            webhooks.adapter(name)
