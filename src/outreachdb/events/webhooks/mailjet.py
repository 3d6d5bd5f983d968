"""Mailjet's event API."""

from __future__ import annotations

from typing import Any

from outreachdb.errors import InvalidInput
from outreachdb.events.delivery import About, check_secret, must_have_password
from outreachdb.events.normal import (
    NormalEvent,
    Parsed,
    Severity,
    instant_of,
    items_of,
    load_json,
    normalise_each,
    text_of,
)

ABOUT = About(
    title="Mailjet",
    events="https://dev.mailjet.com/email/guides/webhooks/",
    security="https://dev.mailjet.com/email/guides/webhooks/#securing-your-webhooks",
    scheme="password",
    key="`user:password`, as they stand in the address (`https://user:password@...`)",
    batch="one event, or an array of them (grouped events)",
    headers=("Authorization",),
)
EVENTS = {
    "sent": "delivered",  # the receiving server took it
    "open": "opened",
    "click": "clicked",
    "bounce": "bounced",
    "blocked": "rejected",
    "spam": "complained",
    "unsub": "unsubscribed",
}
check_key = check_secret
verify = must_have_password


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The events of a body, which is JSON whatever the content type says."""
    del content_type
    return normalise_each(items_of(load_json(body)), _normalise)


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    named = text_of(item, "event")
    if named is None:
        raise InvalidInput("no event name")
    if "time" not in item:
        raise InvalidInput("no timestamp")
    event = EVENTS.get(named, "unknown")
    hard = item.get("hard_bounce") is True
    severity: Severity | None = ("hard" if hard else "soft") if event == "bounced" else None
    if item.get("error") == "greylisted" and not hard:
        event, severity = "deferred", None  # it will be tried again
    return [
        NormalEvent(
            event=event,
            severity=severity,
            recipient=text_of(item, "email"),
            timestamp=instant_of(item["time"]),
            provider="mailjet",
            message_id=text_of(item, "MessageID"),
            reason=text_of(item, "error", "smtp_reply", "comment", "source"),
            url=text_of(item, "url"),
            raw=item,
        )
    ]
