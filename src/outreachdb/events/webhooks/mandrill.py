"""Mandrill's (Mailchimp Transactional) webhooks: message events and those of its lists."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from outreachdb.errors import InvalidInput
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
    title="Mandrill",
    events="https://mailchimp.com/developer/transactional/docs/webhooks/",
    security="https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/#authenticating-webhook-requests",
    scheme="HMAC-SHA1 of the address and the form (it tells no time); set `OUTREACHDB_PUBLIC_URL` behind a proxy",
    key="the webhook's key",
    batch="a form whose field `mandrill_events` is a JSON array",
    headers=("X-Mandrill-Signature",),
)
EVENTS: dict[str, tuple[str, Severity | None]] = {
    "send": ("sent", None),
    "delivered": ("delivered", None),
    "deferral": ("deferred", None),
    "hard_bounce": ("bounced", "hard"),
    "soft_bounce": ("bounced", "soft"),
    "open": ("opened", None),
    "click": ("clicked", None),
    "spam": ("complained", None),
    "unsub": ("unsubscribed", None),
    "reject": ("rejected", None),
}
check_key = check_secret


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The events of a form; a bare JSON array is taken as well."""
    if not is_form(body, content_type):
        return normalise_each(items_of(load_json(body)), _normalise)
    fields = load_form(body, content_type)
    if "mandrill_events" not in fields:
        raise InvalidInput("the form has no field mandrill_events")
    return normalise_each(items_of(load_json(fields["mandrill_events"][0].encode())), _normalise)


def verify(delivery: Delivery, key: str) -> None:
    """Check the signature over the address and the sorted fields of the form."""
    given = delivery.header("x-mandrill-signature")
    fields = load_form(delivery.body, delivery.headers.get("content-type"))
    signed = delivery.url + "".join(name + value for name in sorted(fields) for value in fields[name])
    digest = hmac.new(key.encode(), signed.encode(), hashlib.sha1).digest()
    must_equal(given, base64.b64encode(digest).decode())


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    # Changes of the allow and deny lists have a type instead, and are unknown here.
    named = text_of(item, "event", "type")
    if named is None:
        raise InvalidInput("no event name")
    if "ts" not in item:
        raise InvalidInput("no timestamp")
    event, severity = EVENTS.get(named, ("unknown", None))
    message, listed = part_of(item, "msg"), part_of(item, "reject")
    return [
        NormalEvent(
            event=event,
            severity=severity,
            recipient=text_of(message, "email") or text_of(listed, "email"),
            timestamp=instant_of(item["ts"]),
            provider="mandrill",
            message_id=text_of(item, "_id") or text_of(message, "_id"),
            reason=text_of(message, "diag", "bounce_description") or text_of(listed, "detail", "reason"),
            url=text_of(item, "url"),
            raw=item,
        )
    ]
