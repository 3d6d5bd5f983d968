"""Who may report: known-answer signatures hold, tampered, foreign and expired ones are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from outreachdb.errors import InvalidInput, Unauthorized
from outreachdb.events import webhooks
from outreachdb.events.delivery import Delivery
from outreachdb.events.webhooks import mailersend

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STAMP = "1772600767"
HOUR = timedelta(hours=1)
URL = "https://hooks.example/webhooks/mandrill/1-token"
RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
SVIX = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
TOPIC = "arn:aws:sns:eu-west-1:111122223333:ses"


def _hex(key: str, message: bytes) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def _delivery(body: bytes, **headers: str) -> Delivery:
    return Delivery({name.replace("_", "-"): value for name, value in headers.items()}, body, URL, NOW, HOUR)


def _basic(key: str) -> str:
    return "Basic " + base64.b64encode(key.encode()).decode()


def _certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = RSA) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + HOUR).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


def _sns(version: str = "2", at: datetime = NOW, **changes: str) -> bytes:
    message = {
        "Type": "Notification",
        "MessageId": "1",
        "TopicArn": TOPIC,
        "Message": '{"eventType": "Open"}',
        "Subject": "s",
        "Timestamp": at.isoformat().replace("+00:00", "Z"),
        "SignatureVersion": version,
    } | changes
    names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    if message["Type"] != "Notification":
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    content = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()
    signed = base64.b64encode(RSA.sign(content.encode(), PKCS1v15(), algorithm)).decode()
    return json.dumps(message | {"Signature": signed}).encode()


def _mailgun(form: bool = False, at: str = STAMP) -> bytes:
    signature = {"timestamp": at, "token": "tok", "signature": _hex("signing-key", f"{at}tok".encode())}
    if form:
        return urlencode({"event": "opened"} | signature).encode()
    return json.dumps({"signature": signature, "event-data": {"event": "opened"}}).encode()


def _postal(algorithm: hashes.HashAlgorithm, at: float = 1772600767.5) -> tuple[bytes, str]:
    body = json.dumps({"event": "MessageSent", "timestamp": at}).encode()
    return body, base64.b64encode(RSA.sign(body, PKCS1v15(), algorithm)).decode()


def _mailersend(at: str = "2026-03-04T05:06:07.5Z") -> Delivery:
    body = json.dumps({"type": "activity.sent", "created_at": at}).encode()
    return _delivery(body, signature=_hex("signing-secret", body))


def _svix(stamp: str = STAMP, **more: str) -> Delivery:
    body = b'{"type": "email.sent"}'
    digest = hmac.new(b"0123456789abcdef01234567", f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1a,AAAA v1,AAAA v1," + base64.b64encode(digest).decode()
    return _delivery(body, svix_id="msg_1", svix_timestamp=stamp, svix_signature=more.get("signature", signature))


def _unisender(key: str = "the-api-key") -> bytes:
    body = json.dumps({"auth": "AUTH", "events_by_user": [{"events": []}]})
    return body.replace("AUTH", hashlib.md5(body.replace("AUTH", key).encode()).hexdigest()).encode()


def _mandrill(url: str = URL) -> Delivery:
    form = {"mandrill_events": "[]", "a": "1"}
    signed = url + "a1" + "mandrill_events[]"
    digest = base64.b64encode(hmac.new(b"the-webhook-key", signed.encode(), hashlib.sha1).digest()).decode()
    content_type = "application/x-www-form-urlencoded"
    return _delivery(urlencode(form).encode(), x_mandrill_signature=digest, content_type=content_type)


PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
DKIM = base64.b64encode(RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
PINNED = f"{TOPIC}\n{_certificate()}"
LINE = b'{"event": "open"}'
# (provider, key, a delivery that is proven)
GOOD: list[tuple[str, str, Delivery]] = [
    ("amazon_ses", PINNED, _delivery(_sns("2"))),
    ("amazon_ses", PINNED, _delivery(_sns("1"))),
    ("amazon_ses", _certificate(OTHER) + _certificate(), _delivery(_sns("1"))),
    (
        "amazon_ses",
        PINNED,
        _delivery(_sns(Type="SubscriptionConfirmation", Token="t", SubscribeURL="https://s.example/")),
    ),
    ("amazon_ses", "user:password", _delivery(LINE, authorization=_basic("user:password"))),
    ("brevo", "user:password", _delivery(LINE, authorization=_basic("user:password"))),
    ("brevo", "long-token", _delivery(LINE, authorization="Bearer long-token")),
    ("mailersend", "signing-secret", _mailersend()),
    ("mailgun", "signing-key", _delivery(_mailgun())),
    ("mailgun", "signing-key", _delivery(_mailgun(form=True), content_type="application/x-www-form-urlencoded")),
    ("mailjet", "user:password", _delivery(LINE, authorization=_basic("user:password"))),
    ("mailtrap", "the-secret", _delivery(LINE, mailtrap_signature=_hex("the-secret", LINE))),
    ("mailtrap", "user:password", _delivery(LINE, authorization=_basic("user:password"))),
    ("mandrill", "the-webhook-key", _mandrill()),
    ("postal", DKIM, _delivery((made := _postal(hashes.SHA1()))[0], x_postal_signature=made[1])),
    ("postal", PUBLIC, _delivery((made := _postal(hashes.SHA256()))[0], x_postal_signature_256=made[1])),
    ("postmark", "user:password", _delivery(LINE, authorization=_basic("user:password"))),
    ("resend", SVIX, _svix()),
    ("sparkpost", "user:password", _delivery(LINE, authorization=_basic("user:password"))),
    ("sparkpost", "long-token", _delivery(LINE, authorization="Bearer long-token")),
    ("sparkpost", "long-token", _delivery(LINE, x_messagesystems_webhook_token="long-token")),
    ("unisender_go", "the-api-key", _delivery(_unisender())),
]
IDS = [f"{provider}-{number}" for number, (provider, *_) in enumerate(GOOD)]
FOREIGN = {
    "amazon_ses": _certificate(OTHER),
    "postal": OTHER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "resend": "whsec_" + base64.b64encode(b"x" * 24).decode(),
}
# Nothing but a password, so that only the connection (TLS) protects the body; Mailgun signs no body either.
NO_BODY = {"brevo", "mailjet", "postmark", "sparkpost", "mailgun"}


@pytest.mark.parametrize(("provider", "key", "delivery"), GOOD, ids=IDS)
def test_what_is_proven_is_taken_and_nothing_else(provider: str, key: str, delivery: Delivery) -> None:
    adapter = webhooks.adapter(provider)
    adapter.check_key(key)
    adapter.verify(delivery, key)
    assert not any(value in repr(delivery) for value in (*delivery.headers.values(), URL))
    foreign = FOREIGN.get(provider, "other-key-of-somebody") if ":" not in key or "BEGIN" in key else "user:other"
    bare = replace(delivery, headers={})
    with pytest.raises(Unauthorized):
        adapter.verify(delivery, foreign)
    if provider not in {"amazon_ses", "mailgun", "unisender_go"} or key == "user:password":
        with pytest.raises(Unauthorized):
            adapter.verify(bare, key)
        for name in delivery.headers:
            if name != "content-type":
                mangled = {**delivery.headers, name: delivery.headers[name][:-2] + "é"}
                with pytest.raises(Unauthorized):
                    adapter.verify(replace(delivery, headers=mangled), key)
    if provider not in NO_BODY and key != "user:password":
        tampered = (
            delivery.body.replace(b"Open", b"Send")
            if provider == "amazon_ses"
            else delivery.body.replace(b"e", b"E", 1)
        )
        if tampered == delivery.body:
            tampered = delivery.body.replace(b'"MessageId": "1"', b'"MessageId": "2"')
        if provider == "mandrill":
            tampered = delivery.body.replace(b"a=1", b"a=2")
        if b"SubscriptionConfirmation" in delivery.body:
            tampered = delivery.body.replace(b"s.example", b"evil.example")
        assert tampered != delivery.body
        with pytest.raises(Unauthorized):
            adapter.verify(replace(delivery, body=tampered), key)


TIMED: list[tuple[str, str, Callable[[datetime], Delivery]]] = [
    ("amazon_ses", PINNED, lambda at: _delivery(_sns(at=at))),
    ("mailgun", "signing-key", lambda at: _delivery(_mailgun(at=str(int(at.timestamp()))))),
    ("mailgun", "signing-key", lambda at: _delivery(_mailgun(form=True, at=str(int(at.timestamp()))))),
    ("mailersend", "signing-secret", lambda at: _mailersend(at.isoformat())),
    (
        "postal",
        PUBLIC,
        lambda at: _delivery((m := _postal(hashes.SHA256(), at.timestamp()))[0], x_postal_signature_256=m[1]),
    ),
    ("resend", SVIX, lambda at: _svix(str(int(at.timestamp())))),
]


@pytest.mark.parametrize(("provider", "key", "make"), TIMED, ids=[f"{each[0]}-{n}" for n, each in enumerate(TIMED)])
def test_the_replay_window(provider: str, key: str, make: Callable[[datetime], Delivery]) -> None:
    adapter = webhooks.adapter(provider)
    for minutes in (-59, 0, 59):
        adapter.verify(make(NOW + timedelta(minutes=minutes)), key)
    for minutes in (-61, 61, 60 * 24 * 365):
        with pytest.raises(Unauthorized, match="expired"):
            adapter.verify(make(NOW + timedelta(minutes=minutes)), key)


def test_a_signed_time_that_is_none_is_refused() -> None:
    for provider, key, delivery in (
        ("mailersend", "signing-secret", _mailersend("soon")),
        ("mailgun", "signing-key", _delivery(_mailgun(at="soon"))),
        ("resend", SVIX, _svix("soon")),
    ):
        with pytest.raises(Unauthorized, match="not a time"):
            webhooks.adapter(provider).verify(delivery, key)


# Known answers, computed apart from our code or published with the scheme:
# Svix: https://docs.svix.com/receiving/verifying-payloads/how-manual (its example's secret, id, timestamp, signature);
# HMAC-SHA256: `printf '%s' BODY | openssl dgst -sha256 -hmac KEY`; Mandrill: the same with -sha1 -binary | base64;
# Unisender Go: `md5sum`.
def test_known_answers() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    svix = Delivery(
        {
            "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "svix-timestamp": "1614265330",
            "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        URL,
        at,
        HOUR,
    )
    webhooks.adapter("resend").verify(svix, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"events":[{"event":"delivery"}]}'
    signature = "19be70f45f56d45ffec00e036bfe8c0ab69a75cfa55cb220e3b5c6f56ce020ee"
    webhooks.adapter("mailtrap").verify(_delivery(body, mailtrap_signature=signature), "8d0ab83c")
    mandrill = _delivery(
        b"mandrill_events=%5B%5D",
        x_mandrill_signature="gjd89BvN1So7Ioqd7SCkf40dwd8=",
        content_type="application/x-www-form-urlencoded",
    )
    webhooks.adapter("mandrill").verify(mandrill, "the-webhook-key")
    mailgun = {
        "timestamp": STAMP,
        "token": "0123456789abcdef",
        "signature": "43413d128dd80afe71d48f990fd41a70fa56094dba30711c440ee8b67de9201a",
    }
    webhooks.adapter("mailgun").verify(_delivery(json.dumps({"signature": mailgun}).encode()), "signing-key")
    unisender = b'{"auth":"f04998638acf11f6232d1145a330de83","events_by_user":[]}'
    webhooks.adapter("unisender_go").verify(_delivery(unisender), "the-api-key")


def test_a_proxy_in_between_changes_the_address_that_mandrill_signed() -> None:
    with pytest.raises(Unauthorized, match="signature is wrong"):
        webhooks.adapter("mandrill").verify(replace(_mandrill(), url="http://inside:8000/webhooks"), "the-webhook-key")


def test_another_topic_of_sns_is_refused() -> None:
    with pytest.raises(Unauthorized, match="another SNS topic"):
        webhooks.adapter("amazon_ses").verify(_delivery(_sns(TopicArn=TOPIC + "2")), PINNED)


@pytest.mark.parametrize("auth", ["", " ", ":", "{", '"', 0, None, [], {}, "0" * 32, "e" * 31])
def test_odd_hashes_of_unisender_are_refused(auth: Any) -> None:
    body = json.dumps({"auth": auth, "events_by_user": []}).encode()
    with pytest.raises(Unauthorized):
        webhooks.adapter("unisender_go").verify(_delivery(body), "the-api-key")


@pytest.mark.parametrize("provider", webhooks.providers())
def test_what_can_be_no_key_is_refused_at_once(provider: str) -> None:
    elliptic = _certificate(ec.generate_private_key(ec.SECP256R1()))
    never = ["", "short", "ключ-ключ-ключ"]
    if provider == "amazon_ses":
        never += [elliptic, "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"]
    if provider == "postal":
        never += [
            DKIM[:-8],
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode(),
        ]
    if provider == "resend":
        never.append("whsec_?")
    for key in never:
        with pytest.raises(InvalidInput):
            webhooks.adapter(provider).check_key(key)


def test_mailersend_s_test_of_an_address_is_answered_and_opens_no_door() -> None:
    adapter = webhooks.adapter("mailersend")
    ping = json.dumps({"type": "webhook.test", "created_at": "2020-01-01T00:00:00Z", "data": {}}).encode()
    adapter.verify(_delivery(ping, signature=_hex(mailersend.PING_SECRET, ping)), "signing-secret")
    assert adapter.parse(ping).events == []
    report = json.dumps({"type": "activity.sent", "created_at": "2026-03-04T05:06:07Z", "data": {}}).encode()
    for body, secret in ((report, mailersend.PING_SECRET), (ping, "signing-secret"), (ping, "other")):
        with pytest.raises(Unauthorized):
            adapter.verify(_delivery(body, signature=_hex(secret, body)), "signing-secret")
