"""SparkPost's (Bird's) event webhooks."""

from __future__ import annotations

from typing import Any

from outreachdb.errors import InvalidInput
from outreachdb.events.delivery import About, Delivery, check_secret, must_have_password
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
    title="SparkPost",
    events="https://developers.sparkpost.com/api/webhooks/#header-webhook-event-structures",
    security="https://developers.sparkpost.com/api/webhooks/#header-authentication",
    scheme="password or token",
    key="`user:password`, or the token (bearer of OAuth 2, or the header's)",
    batch="an array of events, each within `msys`; an empty one is a ping",
    headers=("Authorization", "X-MessageSystems-Webhook-Token"),
)
EVENTS = {
    "injection": "queued",
    "delivery": "delivered",
    "delay": "deferred",
    "bounce": "bounced",
    "out_of_band": "bounced",
    "policy_rejection": "rejected",
    "generation_rejection": "rejected",
    "generation_failure": "failed",
    "spam_complaint": "complained",
    "open": "opened",
    "initial_open": "opened",
    "amp_open": "opened",
    "amp_initial_open": "opened",
    "click": "clicked",
    "amp_click": "clicked",
    "list_unsubscribe": "unsubscribed",
    "link_unsubscribe": "unsubscribed",
}
# Codes of bounces: https://support.sparkpost.com/docs/deliverability/bounce-classification-codes
HARD = {"10", "30", "90"}
NOT_BOUNCED = {"60": "autoresponded", "80": "subscribed", "90": "unsubscribed", "100": "autoresponded"}
check_key = check_secret


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The events of a body, which is JSON whatever the content type says."""
    del content_type
    return normalise_each(items_of(load_json(body)), _normalise)


def verify(delivery: Delivery, key: str) -> None:
    """Check the password or the token; nothing is signed."""
    must_have_password(delivery, key, "x-messagesystems-webhook-token")


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    if not isinstance(item.get("msys"), dict):
        raise InvalidInput("no msys")
    # Exactly one: its name (message_event, track_event ...) says nothing that the type doesn't.
    return [_event(inner, item) for inner in item["msys"].values() if isinstance(inner, dict)]


def _event(inner: dict[str, Any], item: dict[str, Any]) -> NormalEvent:
    named = text_of(inner, "type")
    if "timestamp" not in inner:
        raise InvalidInput("no timestamp")
    event = EVENTS.get(named or "", "unknown")
    code = text_of(inner, "bounce_class") or ""
    if event == "bounced":
        event = NOT_BOUNCED.get(code, event)
    severity: Severity | None = ("hard" if code in HARD else "soft") if event == "bounced" else None
    return NormalEvent(
        event=event,
        severity=severity,
        # As it was given; rcpt_to is folded to lower case.
        recipient=text_of(inner, "raw_rcpt_to", "rcpt_to"),
        timestamp=moment_of(inner["timestamp"]),
        provider="sparkpost",
        message_id=text_of(inner, "transmission_id", "message_id"),
        event_id=text_of(inner, "event_id"),
        reason=text_of(inner, "raw_reason", "reason", "fbtype"),
        url=text_of(inner, "target_link_url"),
        raw=item,
        prefetched=inner.get("is_prefetched") is True
        or part_of(inner, "user_agent_parsed").get("is_prefetched") is True,
    )
