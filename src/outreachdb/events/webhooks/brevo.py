"""Brevo's transactional and marketing webhooks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

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
    title="Brevo",
    events="https://developers.brevo.com/docs/transactional-webhooks",
    security="https://developers.brevo.com/docs/username-and-password-authentication",
    scheme="password or token",
    key="`user:password`, or the token that Brevo sends as bearer",
    batch="one event, or an array of them (batched webhooks)",
    headers=("Authorization",),
)
# The names without underscores and in lower case: marketing webhooks spell some of them otherwise.
EVENTS: dict[str, tuple[str, Severity | None]] = {
    "request": ("queued", None),
    "sent": ("sent", None),
    "delivered": ("delivered", None),
    "deferred": ("deferred", None),
    "hardbounce": ("bounced", "hard"),
    "softbounce": ("bounced", "soft"),
    "invalidemail": ("bounced", "hard"),
    "invalid": ("bounced", "hard"),
    "blocked": ("rejected", None),
    "error": ("failed", None),
    "spam": ("complained", None),
    "complaint": ("complained", None),
    "opened": ("opened", None),
    "uniqueopened": ("opened", None),
    "proxyopen": ("opened", None),
    "uniqueproxyopen": ("opened", None),
    "click": ("clicked", None),
    "unsubscribe": ("unsubscribed", None),
    "unsubscribed": ("unsubscribed", None),
    "listaddition": ("subscribed", None),
}
_PARIS = ZoneInfo("Europe/Paris")
_MILLISECONDS_FROM = 10**11  # as seconds this is the year 5138
check_key = check_secret
verify = must_have_password


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The events of a body, which is JSON whatever the content type says."""
    del content_type
    return normalise_each(items_of(load_json(body)), _normalise)


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    named = item.get("event")
    if not isinstance(named, str):
        raise InvalidInput("no event name")
    kind = named.replace("_", "").lower()
    event, severity = EVENTS.get(kind, ("unknown", None))
    return [
        NormalEvent(
            event=event,
            severity=severity,
            recipient=text_of(item, "email"),
            timestamp=_when(item),
            provider="brevo",
            message_id=text_of(item, "message-id"),
            reason=text_of(item, "reason"),
            url=text_of(item, "link", "URL"),
            raw=item,
            prefetched="proxy" in kind,
        )
    ]


def _when(item: dict[str, Any]) -> datetime:
    """The most exact of its times.

    ``ts_epoch`` is in milliseconds, in some examples in seconds, and documented as ``s_epoch`` with opens through a
    proxy; ``ts`` may be in the account's own time zone; ``date`` is Paris time.
    """
    for name in ("ts_epoch", "s_epoch", "ts_event", "ts"):
        if item.get(name) is not None:
            value = item[name]
            if name.endswith("_epoch") and isinstance(value, int) and abs(value) >= _MILLISECONDS_FROM:
                seconds, milliseconds = divmod(value, 1000)
                return instant_of(seconds) + timedelta(milliseconds=milliseconds)
            return instant_of(value)
    if isinstance(item.get("date"), str):
        try:
            return datetime.strptime(item["date"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=_PARIS).astimezone(UTC)
        except ValueError:
            raise InvalidInput(f"date is not a time: {item['date'][:40]!r}") from None
    raise InvalidInput("no timestamp")
