"""MailerSend's webhooks."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from outreachdb.errors import InvalidInput
from outreachdb.events.delivery import About, Delivery, check_secret, must_equal
from outreachdb.events.normal import (
    NormalEvent,
    Parsed,
    Severity,
    items_of,
    load_json,
    moment_of,
    normalise_each,
    part_of,
    text_of,
)

ABOUT = About(
    title="MailerSend",
    events="https://developers.mailersend.com/api/v1/webhooks.html",
    security="https://developers.mailersend.com/api/v1/webhooks.html#security",
    scheme="HMAC-SHA256 of the body; its own `created_at` must be recent",
    key="the signing secret of the webhook",
    batch="one event",
    headers=("Signature",),
)
EVENTS: dict[str, tuple[str, Severity | None]] = {
    "sent": ("sent", None),
    "delivered": ("delivered", None),
    "deferred": ("deferred", None),
    "soft_bounced": ("bounced", "soft"),
    "hard_bounced": ("bounced", "hard"),
    "opened": ("opened", None),
    "opened_unique": ("opened", None),
    "clicked": ("clicked", None),
    "clicked_unique": ("clicked", None),
    "unsubscribed": ("unsubscribed", None),
    "spam_complaint": ("complained", None),
}
check_key = check_secret


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The event of a body, which is JSON whatever the content type says."""
    del content_type
    return normalise_each(items_of(load_json(body)), _normalise)


def verify(delivery: Delivery, key: str) -> None:
    """Check the HMAC of the body and the age of the notice."""
    must_equal(delivery.header("signature"), hmac.new(key.encode(), delivery.body, hashlib.sha256).hexdigest())
    document = load_json(delivery.body)
    if isinstance(document, dict):
        delivery.must_be_fresh(document.get("created_at"), moment_of)


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    data = part_of(item, "data")
    named = text_of(item, "type") or text_of(data, "type")
    if named is None:
        raise InvalidInput("no event name")
    when = text_of(data, "created_at") or text_of(item, "created_at")
    if when is None:
        raise InvalidInput("no timestamp")
    event, severity = EVENTS.get(named.removeprefix("activity."), ("unknown", None))
    return [
        NormalEvent(
            event=event,
            severity=severity,
            recipient=text_of(part_of(data, "email", "recipient"), "email"),
            timestamp=moment_of(when),
            provider="mailersend",
            message_id=text_of(part_of(data, "email", "message"), "id"),
            event_id=text_of(data, "id"),
            reason=text_of(part_of(data, "morph"), "readable_reason", "reason"),
            url=text_of(part_of(data, "morph"), "url"),
            raw=item,
        )
    ]
