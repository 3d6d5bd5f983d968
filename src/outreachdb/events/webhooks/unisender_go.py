"""Unisender Go's event notifications."""

from __future__ import annotations

import hashlib
from typing import Any

from outreachdb.errors import InvalidInput, Unauthorized
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
    title="Unisender Go",
    events="https://godocs.unisender.ru/web-api-ref#callback-format",
    security="https://godocs.unisender.ru/web-api-ref#callback-format",
    scheme="MD5 of the body with the API key in place of `auth` (it tells no time)",
    key="the API key of the user or project",
    batch="one event, or arrays of them by user",
)
EVENTS: dict[str, tuple[str, Severity | None]] = {
    "accepted": ("queued", None),
    "sent": ("sent", None),
    "delivered": ("delivered", None),
    "opened": ("opened", None),
    "clicked": ("clicked", None),
    "unsubscribed": ("unsubscribed", None),
    "subscribed": ("subscribed", None),
    "spam": ("complained", None),
    "soft_bounced": ("deferred", None),  # it will be tried again
    "hard_bounced": ("bounced", "hard"),
}
_MD5_LENGTH = 32
check_key = check_secret


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The events of a body, which is JSON whatever the content type says."""
    del content_type
    items: list[Any] = []
    for document in items_of(load_json(body)):
        users = document.get("events_by_user") if isinstance(document, dict) else None
        if not isinstance(users, list):
            items.append(document)
            continue
        for user in users:
            events = user.get("events") if isinstance(user, dict) else None
            items += events if isinstance(events, list) else [user]
    return normalise_each(items, _normalise)


def verify(delivery: Delivery, key: str) -> None:
    """Check the hash of the body in which the key stands where the hash is."""
    document = load_json(delivery.body)
    given = document.get("auth") if isinstance(document, dict) else None
    if not isinstance(given, str) or len(given) != _MD5_LENGTH:
        raise Unauthorized("the webhook is not signed: the body has no auth")
    signed = delivery.body.replace(given.encode(), key.encode())
    must_equal(given, hashlib.md5(signed).hexdigest())  # noqa: S324 - the provider's choice


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    data = part_of(item, "event_data") or item
    named = text_of(item, "event_name")
    status = text_of(data, "status") if named in {None, "transactional_email_status"} else None
    if named is None and status is None:
        raise InvalidInput("no event name")
    when = text_of(data, "event_time", "block_time")
    if when is None:
        raise InvalidInput("no timestamp")
    event, severity = EVENTS.get(status or "", ("unknown", None))
    info = part_of(data, "delivery_info")
    return [
        NormalEvent(
            event=event,
            severity=severity,
            recipient=text_of(data, "email"),
            timestamp=moment_of(when),
            provider="unisender_go",
            message_id=text_of(data, "job_id"),
            reason=text_of(info, "destination_response", "delivery_status") or text_of(data, "comment"),
            url=text_of(data, "url"),
            raw=data,
        )
    ]
