"""Amazon SES: event publishing and feedback notices, through SNS or bare (raw SNS delivery, Firehose, EventBridge)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from outreachdb.errors import InvalidInput, Unauthorized
from outreachdb.events.delivery import About, Delivery, check_secret, decoded, must_have_password
from outreachdb.events.normal import (
    NormalEvent,
    Parsed,
    Severity,
    items_of,
    load_json,
    load_lines,
    moment_of,
    normalise_each,
    part_of,
    text_of,
)

ABOUT = About(
    title="Amazon SES",
    events="https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html",
    security="https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html",
    scheme="SNS: RSA with SHA-256 (version 2) or SHA-1, its `Timestamp` must be recent; bare: password",
    key="the SNS certificate (PEM), with the topic's ARN on a line of its own; bare: `user:password`",
    batch="one event, an array, or a line for each; an event on several recipients is one for each",
    headers=("Authorization",),
)
EVENTS = {
    "Send": "sent",
    "Delivery": "delivered",
    "DeliveryDelay": "deferred",
    "Bounce": "bounced",
    "Complaint": "complained",
    "Reject": "rejected",
    "Rendering Failure": "failed",
    "Open": "opened",
    "Click": "clicked",
    "Subscription": "unsubscribed",
}
PARTS = {"DeliveryDelay": "deliveryDelay", "Rendering Failure": "failure"}
RECIPIENTS = ("bouncedRecipients", "complainedRecipients", "delayedRecipients", "recipients")
# What is signed, in this order; https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
SIGNED["UnsubscribeConfirmation"] = SIGNED["SubscriptionConfirmation"]
log = structlog.get_logger(__name__)


def parse(body: bytes, content_type: str | None = None) -> Parsed:
    """The events of a body, which is JSON whatever the content type says (SNS says text/plain)."""
    del content_type
    items = [item for document in load_lines(body) for item in items_of(document)]
    return normalise_each(items, _unwrapped)


def check_key(key: str) -> None:
    """Raise InvalidInput unless the text holds a certificate with an RSA key, or is ``user:password``."""
    if "-----BEGIN" in key:
        _pinned(key)
    else:
        check_secret(key)


def verify(delivery: Delivery, key: str) -> None:
    """Check the signature of SNS with the pinned certificate, the topic and the age; or the password."""
    if "-----BEGIN" not in key:
        must_have_password(delivery, key)
        return
    message = load_json(delivery.body)
    fields = SIGNED.get(str(message.get("Type"))) if isinstance(message, dict) else None
    if fields is None or "Signature" not in message:
        raise Unauthorized("the webhook is not signed: it is no message of SNS")
    public_keys, topics = _pinned(key)
    if topics and message.get("TopicArn") not in topics:
        raise Unauthorized("the webhook is of another SNS topic")
    content = "".join(f"{name}\n{message[name]}\n" for name in fields if message.get(name) is not None).encode()
    algorithm = SHA256() if str(message.get("SignatureVersion")) == "2" else SHA1()  # noqa: S303
    signature = decoded(str(message["Signature"]))
    if not any(_signed(each, signature, content, algorithm) for each in public_keys):
        raise Unauthorized("the webhook's signature is wrong")
    delivery.must_be_fresh(message.get("Timestamp"), moment_of)
    if message["Type"] == "SubscriptionConfirmation":
        # Not called from here: a server that fetches what it is told to serves others' ends.
        log.warning(
            "SNS asks to confirm a subscription: open its address",
            topic=message.get("TopicArn"),
            address=message.get("SubscribeURL"),
        )


def _signed(key: RSAPublicKey, signature: bytes, content: bytes, algorithm: SHA1 | SHA256) -> bool:
    try:
        key.verify(signature, content, PKCS1v15(), algorithm)
    except InvalidSignature:
        return False
    return True


def _unwrapped(item: dict[str, Any]) -> list[NormalEvent]:
    kind = item.get("Type")
    if kind in SIGNED and "MessageId" in item:
        message = item.get("Message")
        if kind != "Notification" or not isinstance(message, str) or not message.lstrip().startswith("{"):
            return []  # about the subscription itself
        inner = load_json(message.encode())
        return _normalise(inner if isinstance(inner, dict) else {}, item)
    detail = part_of(item, "detail")
    if detail and "detail-type" in item:  # of EventBridge
        return _normalise(detail, {"MessageId": item.get("id"), "Timestamp": item.get("time")})
    return _normalise(item, {})


def _normalise(item: dict[str, Any], envelope: Mapping[str, Any]) -> list[NormalEvent]:
    named = text_of(item, "eventType", "notificationType")
    if named is None:
        raise InvalidInput("no event name")
    mail = part_of(item, "mail")
    inner = part_of(item, PARTS.get(named, named.lower()))
    when = text_of(inner, "timestamp") or text_of(mail, "timestamp") or text_of(envelope, "Timestamp")
    if when is None:
        raise InvalidInput("no timestamp")
    recipients = _recipients(inner, mail)
    return [
        NormalEvent(
            event=_kind(named, inner),
            severity=_severity(inner) if named == "Bounce" else None,
            recipient=address,
            timestamp=moment_of(when),
            provider="amazon_ses",
            message_id=text_of(mail, "messageId"),
            event_id=text_of(envelope, "MessageId") or text_of(inner, "feedbackId"),
            reason=diagnosis or _reason(inner),
            url=text_of(inner, "link"),
            raw=item,
            shared=len(recipients) > 1,
        )
        for address, diagnosis in recipients
    ]


def _kind(named: str, inner: Mapping[str, Any]) -> str:
    if named == "Subscription":
        wanted = part_of(inner, "newTopicPreferences")
        topics = wanted.get("topicSubscriptionStatus")
        left = [each for each in topics if isinstance(each, dict)] if isinstance(topics, list) else []
        if wanted.get("unsubscribeAll") is not True and any(each.get("subscriptionStatus") == "OptIn" for each in left):
            return "subscribed"
    if named == "Complaint" and inner.get("complaintFeedbackType") == "not-spam":
        return "unknown"
    return EVENTS.get(named, "unknown")


def _severity(inner: Mapping[str, Any]) -> Severity:
    return "hard" if inner.get("bounceType") == "Permanent" else "soft"


def _reason(inner: Mapping[str, Any]) -> str | None:
    if "bounceType" in inner:
        return ": ".join(filter(None, (text_of(inner, "bounceType"), text_of(inner, "bounceSubType"))))
    return text_of(inner, "smtpResponse", "reason", "errorMessage", "complaintFeedbackType", "delayType")


def _recipients(inner: Mapping[str, Any], mail: Mapping[str, Any]) -> list[tuple[str | None, str | None]]:
    """Addresses with what their server said; opens and clicks are told of the message, so of each who got it."""
    told = next((inner[name] for name in RECIPIENTS if isinstance(inner.get(name), list)), mail.get("destination"))
    found: list[tuple[str | None, str | None]] = []
    for each in told if isinstance(told, list) else []:
        if isinstance(each, dict):
            found.append((text_of(each, "emailAddress"), text_of(each, "diagnosticCode")))
        elif isinstance(each, str):
            found.append((each.strip(), None))
    return found or [(None, None)]


@lru_cache(maxsize=256)
def _pinned(key: str) -> tuple[tuple[RSAPublicKey, ...], frozenset[str]]:
    """The public keys of the certificates, and the topics' ARNs, of a key's text."""
    try:
        keys = [each.public_key() for each in x509.load_pem_x509_certificates(key.encode())]
    except ValueError:
        raise InvalidInput(
            "not a certificate of SNS", hint="download what SigningCertURL of a message of yours names"
        ) from None
    lines = (line.strip() for line in key.splitlines())
    topics = frozenset(line for line in lines if line.startswith("arn:"))
    rsa = tuple(each for each in keys if isinstance(each, RSAPublicKey))
    if not rsa:
        raise InvalidInput("the certificate holds no RSA key")
    return rsa, topics
