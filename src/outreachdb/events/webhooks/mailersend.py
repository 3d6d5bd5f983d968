"""MailerSend's webhooks: version 2, and version 1, which ends on the first of December 2026."""

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
    events="https://developers.mailersend.com/api/v1/account/webhooks#payload-example",
    security="https://developers.mailersend.com/api/v1/webhooks.html#security",
    scheme="HMAC-SHA256 of the body; its own `created_at` must be recent",
    key="the signing secret of the webhook",
    batch="one event, of version 1 or 2; a test ping is none",
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
    "spam_complaints": ("complained", None),
    "suppressed": ("rejected", None),
}
# MailerSend tries an address before it keeps it, with a secret that is the same for everybody.
# https://developers.mailersend.com/guides/setting-up-webhooks
PING, PING_SECRET = "webhook.test", "test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G"
REASONS = ("bounce_reason", "reject_reason", "suppression_reason", "unsubscribe_reason", "readable_reason", "reason")
check_key = check_secret


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The event of a body, which is JSON whatever the content type says."""
    del content_type
    items = items_of(load_json(body))
    return normalise_each([item for item in items if not _is_ping(item)], _normalise)


def verify(delivery: Delivery, key: str) -> None:
    """Check the HMAC of the body and the age of the notice."""
    document = load_json(delivery.body)
    secret = PING_SECRET if _is_ping(document) else key
    must_equal(delivery.header("signature"), hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest())
    if isinstance(document, dict) and secret == key:
        delivery.must_be_fresh(document.get("created_at"), moment_of)


def _is_ping(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == PING


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    data = part_of(item, "data")
    named = text_of(item, "type") or text_of(data, "type")
    if named is None:
        raise InvalidInput("no event name")
    when = text_of(data, "created_at") or text_of(item, "created_at")
    if when is None:
        raise InvalidInput("no timestamp")
    event, severity = EVENTS.get(named.removeprefix("activity."), ("unknown", None))
    told = part_of(data, "meta") or part_of(data, "morph")
    return [
        NormalEvent(
            event=event,
            severity=severity,
            # Version 1 nests it in an object "email"; of version 2 it is text, documented under both names.
            recipient=text_of(part_of(data, "email", "recipient"), "email") or text_of(data, "recipient", "email"),
            timestamp=moment_of(when),
            provider="mailersend",
            message_id=text_of(part_of(data, "email", "message"), "id") or text_of(data, "message_id"),
            event_id=text_of(data, "id"),
            reason=text_of(told, *REASONS),
            url=text_of(told, "url"),
            raw=item,
        )
    ]
