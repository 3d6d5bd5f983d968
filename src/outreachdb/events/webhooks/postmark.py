"""Postmark's webhooks."""

from __future__ import annotations

from typing import Any

from outreachdb.errors import InvalidInput
from outreachdb.events.delivery import About, check_secret, must_have_password
from outreachdb.events.normal import (
    NormalEvent,
    Parsed,
    Severity,
    items_of,
    load_json,
    moment_of,
    normalise_each,
    text_of,
)

ABOUT = About(
    title="Postmark",
    events="https://postmarkapp.com/developer/webhooks/webhooks-overview",
    security="https://postmarkapp.com/developer/webhooks/webhooks-overview#protecting-your-webhook",
    scheme="password",
    key="`user:password`, as entered under HTTP authentication",
    batch="one event",
    headers=("Authorization",),
)
RECORDS = {
    "Delivery": "delivered",
    "Bounce": "bounced",
    "SpamComplaint": "complained",
    "Open": "opened",
    "Click": "clicked",
    "SubscriptionChange": "unsubscribed",
}
# Types of bounces: https://postmarkapp.com/developer/api/bounce-api#bounce-types
BOUNCES: dict[str, tuple[str, Severity | None]] = {
    "HardBounce": ("bounced", "hard"),
    "SoftBounce": ("bounced", "soft"),
    "VirusNotification": ("bounced", "soft"),
    "Transient": ("deferred", None),
    "DnsError": ("deferred", None),
    "OpenRelayTest": ("deferred", None),
    "AutoResponder": ("autoresponded", None),
    "AddressChange": ("autoresponded", None),
    "ChallengeVerification": ("autoresponded", None),
    "BadEmailAddress": ("rejected", None),
    "ManuallyDeactivated": ("rejected", None),
    "Unconfirmed": ("rejected", None),
    "Blocked": ("rejected", None),
    "DMARCPolicy": ("rejected", None),
    "SMTPApiError": ("failed", None),
    "TemplateRenderingFailed": ("failed", None),
    "InboundError": ("unknown", None),
    "Unknown": ("unknown", None),
    "SpamNotification": ("complained", None),
    "SpamComplaint": ("complained", None),
    "Subscribe": ("subscribed", None),
    "Unsubscribe": ("unsubscribed", None),
    "ManualSuppression": ("unsubscribed", None),
}
check_key = check_secret
verify = must_have_password


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The event of a body, which is JSON whatever the content type says."""
    del content_type
    return normalise_each(items_of(load_json(body)), _normalise)


def _normalise(item: dict[str, Any]) -> list[NormalEvent]:
    record = text_of(item, "RecordType") or _recognised(item)
    if record is None:
        raise InvalidInput("no RecordType")
    when = text_of(item, "DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")
    if when is None:
        raise InvalidInput("no timestamp")
    event, severity = _kind(record, item)
    return [
        NormalEvent(
            event=event,
            severity=severity,
            recipient=text_of(item, "Email", "Recipient"),
            timestamp=moment_of(when),
            provider="postmark",
            message_id=text_of(item, "MessageID"),
            event_id=text_of(item, "ID"),
            reason=text_of(item, "Details", "Description", "SuppressionReason"),
            url=text_of(item, "OriginalLink"),
            raw=item,
        )
    ]


def _kind(record: str, item: dict[str, Any]) -> tuple[str, Severity | None]:
    event = RECORDS.get(record, "unknown")
    if event in {"bounced", "complained"}:
        return BOUNCES.get(text_of(item, "Type") or "", (event, "soft" if event == "bounced" else None))
    if event == "unsubscribed":
        if item.get("SuppressSending") is False:
            return "subscribed", None
        return BOUNCES.get(text_of(item, "SuppressionReason") or "", (event, None))
    return event, None


def _recognised(item: dict[str, Any]) -> str | None:
    """Older webhooks had an address each, and no RecordType."""
    marks = {"DeliveredAt": "Delivery", "BouncedAt": "Bounce", "OriginalLink": "Click", "FirstOpen": "Open"}
    return next((record for mark, record in marks.items() if mark in item), None)
