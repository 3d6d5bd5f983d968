"""What a mail that came in tells: a delivery report, an automatic answer, a complaint, a wish to unsubscribe, a reply.

Standards: delivery reports RFC 3464, automatic answers RFC 3834, complaints RFC 5965 (ARF), read receipts RFC 8098.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.utils import getaddresses, parseaddr, parsedate_to_datetime
from hashlib import sha256
from typing import Any

from outreachdb.events.normal import NormalEvent, Severity, cleaned
from outreachdb.secrets import Keyring
from outreachdb.sending import message_id

PROVIDER = "imap"
ACTIONS = {"failed": "bounced", "delayed": "deferred", "delivered": "delivered", "relayed": "delivered",
           "expanded": "delivered"}  # fmt: skip
COMPLAINTS = {"abuse", "fraud", "virus", "other", "dkim"}
KEPT = ("from", "to", "subject", "date", "message-id", "in-reply-to", "references", "auto-submitted")
_LONGEST = 1000
_TRUST_DATE_WITHIN = timedelta(days=2)
_STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}")
_POSTMASTER = re.compile(r"(mailer-daemon|postmaster)@", re.IGNORECASE)


def events_of(keyring: Keyring, content: bytes, arrived: datetime, own_address: str) -> list[NormalEvent]:
    """The events of a mail: none where it belongs to no message of ours (or is our own), several for some reports."""
    mail = BytesParser(policy=policy.default).parsebytes(content)
    kind = str(mail.get_param("report-type", "") or "").lower() if mail.get_content_type() == "multipart/report" else ""
    ours = _ours(keyring, mail, content, whole=bool(kind))
    sender = _address(_text(mail, "from"))
    if kind == "delivery-status":
        return _delivery_report(mail, arrived, ours)
    if kind == "feedback-report":
        return _complaint(mail, arrived, ours)
    if sender is not None and sender.lower() == own_address.lower():
        return []
    if kind != "disposition-notification" and _POSTMASTER.match(sender or "") and not _automatic(mail):
        return _plain_bounce(keyring, mail, content, arrived)
    event = _kind(mail, kind, content)
    return (
        [_event(mail, arrived, ours, event, sender)] if event and (ours or (event == "unsubscribed" and sender)) else []
    )


def _kind(mail: EmailMessage, report: str, content: bytes) -> str | None:
    if report == "disposition-notification":
        return "opened" if b"displayed" in content else None
    if _automatic(mail):
        return "autoresponded"
    return "unsubscribed" if _text(mail, "subject").strip().lower() == "unsubscribe" else "replied"


def _delivery_report(mail: EmailMessage, arrived: datetime, ours: str | None) -> list[NormalEvent]:
    """One event for each recipient that the report names."""
    told = []
    for fields in _fields(mail, "message/delivery-status"):
        action = str(fields.get("action", "")).strip().lower()
        who = _after_semicolon(fields, "original-recipient") or _after_semicolon(fields, "final-recipient")
        if not who:
            continue  # the block on the message as a whole
        status = _STATUS.match(str(fields.get("status", "")).strip())
        event = ACTIONS.get(action, "unknown")
        severity: Severity | None = None
        if event == "bounced":
            severity = "soft" if status is not None and status[1] == "4" else "hard"
        reason = _after_semicolon(fields, "diagnostic-code") or (status[0] if status else None)
        told.append(_event(mail, arrived, ours, event, who, severity=severity, reason=reason))
    return told


def _complaint(mail: EmailMessage, arrived: datetime, ours: str | None) -> list[NormalEvent]:
    for fields in _fields(mail, "message/feedback-report"):
        kind = str(fields.get("feedback-type", "")).strip().lower()
        event = "complained" if kind in COMPLAINTS else "unsubscribed" if kind.startswith("opt-out") else "unknown"
        who = _address(str(fields.get("original-rcpt-to", "") or fields.get("removal-recipient", "")))
        return [_event(mail, arrived, ours, event, who, reason=kind or None)] if ours or who else []
    return []


def _plain_bounce(keyring: Keyring, mail: EmailMessage, content: bytes, arrived: datetime) -> list[NormalEvent]:
    """A bounce in words only: never for good, as words can't be relied on, but for the plainest codes."""
    text = content.decode("utf-8", "replace")
    ours = message_id.find(keyring, text)
    if ours is None:
        return []
    hard = re.search(r"\b5\.1\.[0-9]+\b", text) is not None
    reason = _text(mail, "subject") or None
    return [_event(mail, arrived, ours, "bounced", None, severity="hard" if hard else "soft", reason=reason)]


def _event(
    mail: EmailMessage, arrived: datetime, ours: str | None, event: str, who: str | None, **more: Any
) -> NormalEvent:
    raw = {name.replace("-", "_"): text for name in KEPT if (text := _text(mail, name))}
    identity = raw.get("message_id") or sha256(str(sorted(raw.items())).encode()).hexdigest()
    return NormalEvent(
        event=event,
        recipient=who,
        timestamp=_instant(mail, arrived),
        provider=PROVIDER,
        message_id=ours,
        event_id=sha256(f"{identity}\n{event}\n{(who or '').lower()}".encode()).hexdigest(),
        raw=raw,
        **more,
    )


def _ours(keyring: Keyring, mail: EmailMessage, content: bytes, *, whole: bool) -> str | None:
    """The Message-ID of ours that the mail answers; a report quotes it somewhere in what it returns."""
    if whole:
        returned = [part.as_bytes() for part in mail.walk() if part.get_content_type() in _RETURNED]
        text = b"\n".join(returned).decode("utf-8", "replace")
        found = message_id.find(keyring, text)
        return found or message_id.find(keyring, content.decode("utf-8", "replace"))
    headers = " ".join(_text(mail, name) for name in ("references", "in-reply-to"))
    return message_id.find(keyring, headers)


_RETURNED = {"message/rfc822", "text/rfc822-headers", "message/rfc822-headers"}


def _automatic(mail: EmailMessage) -> bool:
    submitted = _text(mail, "auto-submitted").split(";")[0].strip().lower()
    if submitted and submitted != "no":
        return True
    if any(name in mail for name in ("x-autoreply", "x-autorespond", "x-auto-response")):
        return True
    return _text(mail, "precedence").strip().lower() == "auto_reply"


def _fields(mail: EmailMessage, kind: str) -> list[Message]:
    """The blocks of header fields in the parts of a kind; the parser makes a message of each, or leaves text."""
    found: list[Message] = []
    for part in mail.walk():
        if part.get_content_type() != kind:
            continue
        payload = part.get_payload()
        if isinstance(payload, list):
            found += [each for each in payload if isinstance(each, Message)]
        else:
            content = part.get_payload(decode=True)
            text = content if isinstance(content, bytes) else str(payload).encode()
            blocks = re.split(rb"\r?\n\r?\n", text.strip())
            found += [BytesParser(policy=policy.compat32).parsebytes(block + b"\n\n") for block in blocks]
    if len(found) == 1 and kind == "message/feedback-report" and not found[0].keys():
        inner = found[0].get_payload()
        found = [BytesParser(policy=policy.compat32).parsebytes(str(inner).lstrip().encode())]
    return found


def _after_semicolon(fields: Message, name: str) -> str | None:
    """``rfc822; ann@x.example`` or ``smtp; 550 ...`` without the kind, on one line."""
    value = " ".join(str(fields.get(name, "")).split())
    return cleaned(value.partition(";")[2].strip().strip("<>")[:_LONGEST]) or None


def _text(mail: EmailMessage, name: str) -> str:
    """A header as text on one line; empty where there is none or it can't be read."""
    try:
        value = mail.get(name)
    except (ValueError, TypeError, IndexError, AttributeError):  # the header parser trips over some
        return ""
    return str(cleaned(" ".join(str(value).split())[:_LONGEST])) if value is not None else ""


def _address(text: str) -> str | None:
    found = [address for _, address in getaddresses([text]) if "@" in address]
    return (found[0] if found else parseaddr(text)[1]) or None


def _instant(mail: EmailMessage, arrived: datetime) -> datetime:
    """The mail's own date, which is the same in every copy of it; that of its arrival where its clock is off."""
    try:
        own = parsedate_to_datetime(_text(mail, "date"))
        own = own.replace(tzinfo=UTC) if own.tzinfo is None else own.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return arrived.astimezone(UTC)
    return own if abs(own - arrived) < _TRUST_DATE_WITHIN else arrived.astimezone(UTC)
