"""Mailgun's webhooks: JSON since 2018, and the legacy form."""

from __future__ import annotations

import hashlib
import hmac
from email.utils import parseaddr
from typing import Any

from outreachdb.errors import InvalidInput, Unauthorized
from outreachdb.events.delivery import About, Delivery, check_secret, must_equal
from outreachdb.events.normal import (
    NormalEvent,
    Parsed,
    Severity,
    instant_of,
    is_form,
    items_of,
    load_form,
    load_json,
    normalise_each,
    part_of,
    text_of,
)

ABOUT = About(
    title="Mailgun",
    events="https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads",
    security="https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
    scheme="HMAC-SHA256 of timestamp and token, which stand in the body (the body itself is not signed)",
    key="the HTTP webhook signing key",
    batch="one event; JSON, or a form (legacy)",
)
EVENTS: dict[str, tuple[str, Severity | None]] = {
    "accepted": ("queued", None),
    "delivered": ("delivered", None),
    "rejected": ("rejected", None),
    "failed": ("bounced", "hard"),
    "opened": ("opened", None),
    "clicked": ("clicked", None),
    "unsubscribed": ("unsubscribed", None),
    "complained": ("complained", None),
}
LEGACY_EVENTS = {
    "delivered": "delivered",
    "dropped": "rejected",
    "bounced": "bounced",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
    "complained": "complained",
}
check_key = check_secret


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The event of a body: JSON, or a form by content type (by its first character where none is given)."""
    if is_form(body, content_type):
        return normalise_each([load_form(body, content_type)], _normalise_legacy)
    return normalise_each(items_of(load_json(body)), _normalise)


def verify(delivery: Delivery, key: str) -> None:
    """Check the signature over timestamp and token, and the age of the timestamp."""
    content_type = delivery.headers.get("content-type")
    if is_form(delivery.body, content_type):
        # User variables may repeat these names; the provider's own come last.
        form = load_form(delivery.body, content_type)
        signed: dict[str, Any] = {name: values[-1] for name, values in form.items()}
    else:
        document = load_json(delivery.body)
        signed = part_of(document, "signature") if isinstance(document, dict) else {}
    timestamp, token, signature = (text_of(signed, name) for name in ("timestamp", "token", "signature"))
    if not timestamp or not token or not signature:
        raise Unauthorized("the webhook is not signed: the body has no timestamp, token and signature")
    must_equal(signature, hmac.new(key.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest())
    delivery.must_be_fresh(timestamp, instant_of)


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    data = part_of(item, "event-data") or item
    named = text_of(data, "event")
    if named is None:
        raise InvalidInput("no event name")
    if "timestamp" not in data:
        raise InvalidInput("no timestamp")
    event, severity = EVENTS.get(named, ("unknown", None))
    if named == "failed" and data.get("severity") == "temporary":
        event, severity = "deferred", None
    status, headers = part_of(data, "delivery-status"), part_of(data, "message", "headers")
    bot = text_of(part_of(data, "client-info"), "bot")
    return [
        NormalEvent(
            event=event,
            severity=severity,
            recipient=text_of(data, "recipient") or parseaddr(text_of(headers, "to") or "")[1] or None,
            timestamp=instant_of(data["timestamp"]),
            provider="mailgun",
            message_id=_bracketed(text_of(headers, "message-id")),
            event_id=text_of(data, "id") or text_of(part_of(item, "signature"), "token"),
            reason=text_of(status, "message", "description")
            or text_of(part_of(data, "reject"), "reason", "description")
            or text_of(data, "reason"),
            url=text_of(data, "url"),
            raw=item,
            # Gmail's proxy fetches pictures when a person opens the message.
            prefetched=bot is not None and bot != "gmail",
        )
    ]


def _normalise_legacy(fields: dict[str, list[str]]) -> list[NormalEvent]:
    """User variables may repeat a field; the provider's own come first, but for those of the signature."""
    item = {name: values[0] for name, values in fields.items()}
    item |= {name: fields[name][-1] for name in ("timestamp", "token", "signature") if name in fields}
    named = text_of(item, "event")
    if named is None:
        raise InvalidInput("no event name")
    if "timestamp" not in item:
        raise InvalidInput("no timestamp")
    event = LEGACY_EVENTS.get(named, "unknown")
    soft = (text_of(item, "code") or "").startswith("4")
    return [
        NormalEvent(
            event=event,
            severity=("soft" if soft else "hard") if event == "bounced" else None,
            recipient=text_of(item, "recipient"),
            timestamp=instant_of(item["timestamp"]),
            provider="mailgun",
            message_id=_bracketed(text_of(item, "Message-Id", "message-id")),
            event_id=text_of(item, "token"),
            reason=text_of(item, "error", "description", "notification", "reason"),
            url=text_of(item, "url"),
            raw={name: values[0] if len(values) == 1 else values for name, values in fields.items()},
        )
    ]


def _bracketed(message_id: str | None) -> str | None:
    """Mailgun leaves the angle brackets of a Message-ID out in most places."""
    return f"<{message_id}>" if message_id and not message_id.startswith("<") else message_id
