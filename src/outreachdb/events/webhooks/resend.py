"""Resend's webhooks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from email.utils import parseaddr
from typing import Any

from outreachdb.errors import InvalidInput, Unauthorized
from outreachdb.events.delivery import About, Delivery
from outreachdb.events.normal import (
    NormalEvent,
    Parsed,
    Severity,
    instant_of,
    items_of,
    load_json,
    moment_of,
    normalise_each,
    part_of,
    text_of,
)

ABOUT = About(
    title="Resend",
    events="https://resend.com/docs/webhooks/event-types",
    security="https://docs.svix.com/receiving/verifying-payloads/how-manual",
    scheme="Svix: HMAC-SHA256 of id, timestamp and body",
    key="the signing secret (`whsec_...`)",
    batch="one event; an event of a message to several recipients is one for each",
    headers=("svix-id", "svix-timestamp", "svix-signature"),
)
EVENTS = {
    "email.scheduled": "queued",
    "email.sent": "sent",
    "email.delivered": "delivered",
    "email.delivery_delayed": "deferred",
    "email.bounced": "bounced",
    "email.complained": "complained",
    "email.opened": "opened",
    "email.clicked": "clicked",
    "email.failed": "failed",
    "email.suppressed": "rejected",
}


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The event of a body, which is JSON whatever the content type says."""
    del content_type
    return normalise_each(items_of(load_json(body)), _normalise)


def check_key(key: str) -> None:
    """Raise InvalidInput unless the text is a secret of Svix: base64, with or without the prefix."""
    _secret(key)


def verify(delivery: Delivery, key: str) -> None:
    """Check that one of the signatures is ours, and the age of the timestamp."""
    identity, timestamp = delivery.header("svix-id"), delivery.header("svix-timestamp")
    content = f"{identity}.{timestamp}.".encode() + delivery.body
    expected = base64.b64encode(hmac.new(_secret(key), content, hashlib.sha256).digest())
    # While a secret is being changed there are two; other versions than v1 may stand beside them.
    given = [each[3:] for each in delivery.header("svix-signature").split() if each.startswith("v1,")]
    if not any(hmac.compare_digest(each.encode(), expected) for each in given):
        raise Unauthorized("the webhook's signature is wrong")
    delivery.must_be_fresh(timestamp, instant_of)


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    named, data = text_of(item, "type"), part_of(item, "data")
    if named is None:
        raise InvalidInput("no event name")
    if "created_at" not in item:
        raise InvalidInput("no timestamp")
    event = EVENTS.get(named, "unknown")
    if named == "contact.updated" and data.get("unsubscribed") is True:
        event = "unsubscribed"
    bounce = part_of(data, "bounce")
    recipients = _recipients(data)
    return [
        NormalEvent(
            event=event,
            severity=_severity(bounce) if event == "bounced" else None,
            recipient=recipient,
            timestamp=moment_of(item["created_at"]),
            provider="resend",
            message_id=text_of(data, "email_id"),
            reason=text_of(bounce, "message")
            or text_of(part_of(data, "failed"), "reason")
            or text_of(part_of(data, "suppressed"), "message", "type"),
            url=text_of(part_of(data, "click"), "link"),
            raw=item,
        )
        for recipient in recipients
    ]


def _recipients(data: dict[str, Any]) -> list[str | None]:
    to = data.get("to")
    given = to if isinstance(to, list) else [to or data.get("email")]
    return [parseaddr(each)[1] or None for each in given if isinstance(each, str)] or [None]


def _severity(bounce: dict[str, Any]) -> Severity:
    """Only what is known to pass is soft: an e-mail that bounced is by definition refused for good."""
    return "soft" if bounce.get("type") in {"Transient", "Undetermined"} else "hard"


def _secret(key: str) -> bytes:
    try:
        secret = base64.b64decode(key.strip().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret:
        raise InvalidInput("not a signing secret of Resend", hint="it begins with whsec_")
    return secret
