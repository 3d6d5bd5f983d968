"""Postal's webhooks."""

from __future__ import annotations

from email.utils import parseaddr
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from outreachdb.errors import InvalidInput, Unauthorized
from outreachdb.events.delivery import About, Delivery, decoded
from outreachdb.events.normal import (
    NormalEvent,
    Parsed,
    Severity,
    instant_of,
    items_of,
    load_json,
    normalise_each,
    part_of,
    text_of,
)

ABOUT = About(
    title="Postal",
    events="https://docs.postalserver.io/developer/webhooks",
    security="https://docs.postalserver.io/developer/webhooks",
    scheme="RSA with SHA-256, or SHA-1 of older servers, of the body; its own `timestamp` must be recent",
    key="the server's public key: PEM, or the `p=` of its DKIM record",
    batch="one event",
    headers=("X-Postal-Signature-256", "X-Postal-Signature"),
)
STATUSES: dict[str, tuple[str, Severity | None]] = {
    "Sent": ("delivered", None),
    "SoftFail": ("deferred", None),
    "HardFail": ("failed", "hard"),
    "Held": ("queued", None),
}
EVENTS: dict[str, tuple[str, Severity | None]] = {
    "MessageSent": STATUSES["Sent"],
    "MessageDelayed": STATUSES["SoftFail"],
    "MessageDeliveryFailed": STATUSES["HardFail"],
    "MessageHeld": STATUSES["Held"],
    "MessageBounced": ("bounced", "hard"),
    "MessageLinkClicked": ("clicked", None),
    "MessageLoaded": ("opened", None),
}


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The event of a body, which is JSON whatever the content type says; what came in is left out."""
    del content_type
    return normalise_each(items_of(load_json(body)), _normalise)


def check_key(key: str) -> None:
    """Raise InvalidInput unless the text is an RSA public key."""
    _public_key(key)


def verify(delivery: Delivery, key: str) -> None:
    """Check the signature over the body, and the age of the event."""
    newer = delivery.headers.get("x-postal-signature-256")
    signature = decoded(newer or delivery.header("x-postal-signature"))
    try:
        _public_key(key).verify(signature, delivery.body, PKCS1v15(), SHA256() if newer else SHA1())  # noqa: S303
    except InvalidSignature:
        raise Unauthorized("the webhook's signature is wrong") from None
    document = load_json(delivery.body)
    if isinstance(document, dict):
        delivery.must_be_fresh(document.get("timestamp"), instant_of)


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    named, payload = text_of(item, "event"), part_of(item, "payload")
    if named is None:
        raise InvalidInput("no event name")
    when = item.get("timestamp", payload.get("timestamp"))
    if when is None:
        raise InvalidInput("no timestamp")
    message = part_of(payload, "message") or part_of(payload, "original_message")
    if message.get("direction") == "incoming":
        return []
    event, severity = EVENTS["MessageBounced"] if "bounce" in payload else _kind(named, payload)
    return [
        NormalEvent(
            event=event,
            severity=severity,
            recipient=parseaddr(text_of(message, "to") or "")[1] or None,
            timestamp=instant_of(when),
            provider="postal",
            message_id=text_of(message, "id"),
            event_id=text_of(item, "uuid"),
            reason=text_of(payload, "output", "details"),
            url=text_of(payload, "url"),
            raw=item,
        )
    ]


def _kind(named: str, payload: dict[str, Any]) -> tuple[str, Severity | None]:
    status = payload.get("status")
    if isinstance(status, str) and status in STATUSES:
        return STATUSES[status]
    return EVENTS.get(named, ("unknown", None))


@lru_cache(maxsize=256)
def _public_key(text: str) -> RSAPublicKey:
    pem = text if "-----BEGIN" in text else f"-----BEGIN PUBLIC KEY-----\n{text.strip()}\n-----END PUBLIC KEY-----\n"
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(
            "not a public key of Postal", hint="copy the value after p= of `postal default-dkim-record`"
        ) from None
    if not isinstance(key, RSAPublicKey):
        raise InvalidInput("the verification key is not an RSA public key")
    return key
