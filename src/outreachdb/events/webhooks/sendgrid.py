"""SendGrid's Event Webhook."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from outreachdb.errors import InvalidInput, Unauthorized
from outreachdb.events.delivery import About, Delivery, decoded
from outreachdb.events.normal import NormalEvent, Parsed, Severity, instant_of, load_json, normalise_each, text_of
from outreachdb.sending.message import MESSAGE_ID_ARGUMENT

ABOUT = About(
    title="SendGrid",
    events="https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event",
    security=(
        "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/"
        "getting-started-event-webhook-security-features"
    ),
    scheme="ECDSA (P-256, SHA-256) of timestamp and body",
    key="the verification key (base64), or PEM",
    batch="an array of events",
    headers=("X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"),
)
SIGNATURE_HEADER = "x-twilio-email-event-webhook-signature"
TIMESTAMP_HEADER = "x-twilio-email-event-webhook-timestamp"

EVENTS = {
    "processed": "queued",
    "deferred": "deferred",
    "delivered": "delivered",
    "bounce": "bounced",
    "dropped": "rejected",
    "open": "opened",
    "click": "clicked",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "group_resubscribe": "subscribed",
}


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The events of a body, which is a JSON array whatever the content type says."""
    del content_type
    document = load_json(body)
    if not isinstance(document, list):
        raise InvalidInput("the body is not an array of events")
    return normalise_each(document, _normalise)


def check_key(key: str) -> None:
    """Raise InvalidInput unless the text is a P-256 public key in base64 (DER), as SendGrid shows it, or in PEM."""
    _public_key(key)


def verify(delivery: Delivery, key: str) -> None:
    """Check the ECDSA signature over timestamp + body and the age of the timestamp."""
    signature, timestamp = delivery.headers.get(SIGNATURE_HEADER), delivery.headers.get(TIMESTAMP_HEADER)
    if not signature or not timestamp:
        raise Unauthorized("the webhook is not signed", hint="switch the Signed Event Webhook on at SendGrid")
    try:
        _public_key(key).verify(decoded(signature), timestamp.encode() + delivery.body, ECDSA(SHA256()))
    except InvalidSignature:
        raise Unauthorized("the webhook's signature is wrong") from None
    delivery.must_be_fresh(timestamp, instant_of)


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    named = item.get("event")
    if not isinstance(named, str):
        raise InvalidInput("no event name")
    if "timestamp" not in item:
        raise InvalidInput("no timestamp")
    event = EVENTS.get(named, "unknown")
    return [
        NormalEvent(
            event=event,
            recipient=text_of(item, "email"),
            timestamp=instant_of(item["timestamp"]),
            provider="sendgrid",
            severity=_severity(item) if event == "bounced" else None,
            # Our unique argument comes back with every event, "smtp-id" with delivery events only.
            message_id=text_of(item, MESSAGE_ID_ARGUMENT, "smtp-id", "sg_message_id"),
            event_id=text_of(item, "sg_event_id"),
            reason=text_of(item, "reason", "response"),
            url=text_of(item, "url"),
            raw=item,
            prefetched=item.get("sg_machine_open") is True,
        )
    ]


def _severity(item: Mapping[str, Any]) -> Severity:
    """A bounce of type "blocked" was refused for now (content, reputation); of any other type, for good."""
    status = text_of(item, "status") or ""
    return "soft" if item.get("type") == "blocked" or status.startswith("4") else "hard"


@lru_cache(maxsize=256)
def _public_key(text: str) -> EllipticCurvePublicKey:
    try:
        if "-----BEGIN" in text:
            key = load_pem_public_key(text.encode())
        else:
            key = load_der_public_key(base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        raise InvalidInput(
            "not a SendGrid verification key",
            hint="copy the Verification Key of Settings > Mail Settings > Event Webhook",
        ) from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise InvalidInput("the verification key is not a P-256 public key")
    return key
