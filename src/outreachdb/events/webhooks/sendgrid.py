"""SendGrid's Event Webhook.

Events: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
Signature: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from outreachdb.errors import InvalidInput, Unauthorized
from outreachdb.events.normal import NormalEvent, Parsed, Severity, instant_of, load_json, normalise_each, text_of
from outreachdb.sending.message import MESSAGE_ID_ARGUMENT

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


def verify(headers: Mapping[str, str], body: bytes, key: str, now: datetime, window: timedelta) -> None:
    """Check the ECDSA signature over timestamp + body and the age of the timestamp."""
    signature, timestamp = headers.get(SIGNATURE_HEADER), headers.get(TIMESTAMP_HEADER)
    if not signature or not timestamp:
        raise Unauthorized("the webhook is not signed", hint="switch the Signed Event Webhook on at SendGrid")
    try:
        signed = base64.b64decode(signature, validate=True)
        _public_key(key).verify(signed, timestamp.encode() + body, ECDSA(SHA256()))
    except (binascii.Error, ValueError, InvalidSignature):
        raise Unauthorized("the webhook's signature is wrong") from None
    try:
        age = abs(now - instant_of(timestamp))
    except InvalidInput:
        raise Unauthorized("the webhook's timestamp is not a time") from None
    if age > window:
        raise Unauthorized(
            "the webhook's signature has expired", hint=f"it is valid for {window.total_seconds():.0f} s"
        )


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
