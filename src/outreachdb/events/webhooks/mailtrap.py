"""Mailtrap's sending webhooks."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from outreachdb.errors import InvalidInput
from outreachdb.events.delivery import About, Delivery, check_secret, must_equal, must_have_password
from outreachdb.events.normal import NormalEvent, Parsed, instant_of, items_of, load_lines, normalise_each, text_of

ABOUT = About(
    title="Mailtrap",
    events="https://docs.mailtrap.io/email-api-smtp/advanced/webhooks",
    security="https://docs.mailtrap.io/email-api-smtp/advanced/webhooks#webhook-signature-verification",
    scheme="HMAC-SHA256 of the body, or password",
    key="the signing secret of the webhook, or `user:password`",
    batch="an object with an array `events`, or a line of JSON for each",
    headers=("Mailtrap-Signature", "Authorization"),
)
EVENTS = {
    "delivery": "delivered",
    "open": "opened",
    "click": "clicked",
    "bounce": "bounced",
    "soft bounce": "deferred",  # it will be tried again
    "suspension": "deferred",
    "spam": "complained",
    "unsubscribe": "unsubscribed",
    "reject": "rejected",
}
check_key = check_secret


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The events of a body, which is JSON or JSON Lines whatever the content type says."""
    del content_type
    items: list[Any] = []
    for document in load_lines(body):
        inner = document.get("events") if isinstance(document, dict) and "events" in document else document
        items += items_of(inner)
    return normalise_each(items, _normalise)


def verify(delivery: Delivery, key: str) -> None:
    """Check the HMAC of the body, or the password; the signature tells no time."""
    if ":" in key:
        must_have_password(delivery, key)
    else:
        expected = hmac.new(key.encode(), delivery.body, hashlib.sha256).hexdigest()
        must_equal(delivery.header("mailtrap-signature"), expected)


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    named = text_of(item, "event")
    if named is None:
        raise InvalidInput("no event name")
    if "timestamp" not in item:
        raise InvalidInput("no timestamp")
    event = EVENTS.get(named, "unknown")
    return [
        NormalEvent(
            event=event,
            severity="hard" if event == "bounced" else None,
            recipient=text_of(item, "email"),
            timestamp=instant_of(item["timestamp"]),
            provider="mailtrap",
            message_id=text_of(item, "message_id"),
            event_id=text_of(item, "event_id"),
            reason=text_of(item, "response", "reason", "bounce_category"),
            url=text_of(item, "url"),
            raw=item,
        )
    ]
