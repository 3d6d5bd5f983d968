"""The one form into which every provider's events are brought."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.parser import BytesParser
from email.policy import HTTP
from hashlib import sha256
from typing import Any, Literal, cast
from urllib.parse import parse_qs

from outreachdb.errors import InvalidInput

Severity = Literal["hard", "soft"]
_LONGEST_KEY = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USUAL = 10**11  # seconds; until here the operating system's own arithmetic is exact
_FARTHEST = 10**12  # seconds; the year 9999 is nearer
# What PostgreSQL's text and jsonb can't hold: NUL and half of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_UNSTORABLE_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


# Not frozen: a frozen one takes nearly three times as long to make, and there are thousands in a body.
@dataclass(slots=True)
class NormalEvent:
    """One event about one recipient; ``timestamp`` is UTC, ``message_id`` text (some providers' exceed 2^53)."""

    event: str
    recipient: str | None
    timestamp: datetime
    provider: str
    severity: Severity | None = None
    message_id: str | None = None
    event_id: str | None = None
    reason: str | None = None
    url: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    # A machine did it (mail privacy proxy, security scanner): kept, but nobody has opened or clicked.
    prefetched: bool = False
    # The event id is that of a report on several recipients.
    shared: bool = False

    def key(self) -> str:
        """What makes a redelivery recognisable: the provider's event id, else a hash of the payload."""
        if self.event_id and len(self.event_id) <= _LONGEST_KEY and not self.shared:
            return f"{self.provider}:{self.event_id}"
        told = json.dumps([self.event, self.recipient, self.event_id, self.raw], sort_keys=True, separators=(",", ":"))
        return f"{self.provider}:{sha256(told.encode()).hexdigest()}"

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "event": self.event,
            "severity": self.severity,
            "recipient": self.recipient,
            "timestamp": self.timestamp.isoformat(),
            "message_id": self.message_id,
            "event_id": self.event_id,
            "reason": self.reason,
            "url": self.url,
            "prefetched": self.prefetched,
            "provider": self.provider,
            "raw": self.raw,
        }


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a body held: events in the normal form, and why each other item is none."""

    events: list[NormalEvent]
    malformed: list[str] = field(default_factory=list)


def normalise_each(items: Iterable[Any], normalise: Callable[[dict[str, Any]], list[NormalEvent]]) -> Parsed:
    """Normalise every item; a bad one doesn't spoil the others."""
    events: list[NormalEvent] = []
    malformed: list[str] = []
    for number, item in enumerate(items, start=1):
        try:
            if not isinstance(item, dict):
                raise InvalidInput("not an object")  # noqa: TRY301 - one place counts all reasons
            events.extend(normalise(item))
        except InvalidInput as error:
            malformed.append(f"item {number}: {error.detail}")
    return Parsed(events, malformed)


def load_json(body: bytes) -> Any:
    """The body as JSON, with everything storable; raises InvalidInput that says where it breaks."""
    try:
        text = body.decode("utf-8-sig")
        document = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the body is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise InvalidInput("the body is not usable JSON: nested too deeply") from None
    except ValueError as error:
        raise InvalidInput(f"the body is not usable JSON: {error}") from None
    # Only an escape can bring such characters in, so the usual body is not walked through.
    return cleaned(document) if "\\u" in text and _UNSTORABLE_ESCAPE.search(text) else document


def load_lines(body: bytes) -> list[Any]:
    """The body as JSON, or as JSON Lines: a document in each line."""
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip()[:1] in b"{[" and line.rstrip()[-1:] in b"}]" for line in lines):
        return [load_json(line) for line in lines]
    return [load_json(body)]


def text_of(item: Mapping[str, Any], *names: str) -> str | None:
    """The first of the named fields that holds text or a number, as text without surrounding space."""
    for name in names:
        value = item.get(name)
        if isinstance(value, str):
            stripped = value.strip()
        elif isinstance(value, int | float) and not isinstance(value, bool):
            stripped = str(value)
        else:
            continue
        if stripped:
            return stripped
    return None


def instant_of(value: Any, name: str = "timestamp") -> datetime:
    """An instant from seconds since 1970 (a number or its text, with fractions), exact to the microsecond."""
    if type(value) is int and 0 <= value < _USUAL:
        return datetime.fromtimestamp(value, UTC)
    try:
        if isinstance(value, bool):
            raise InvalidInput(f"{name} is not a time: {value!r}")
        seconds = Decimal(str(value))
        if not abs(seconds) < _FARTHEST:
            # Before it is made an integer, which may have a million digits.
            raise ValueError  # noqa: TRY301 - one place says what is wrong
        return _EPOCH + timedelta(microseconds=int((seconds * 1_000_000).to_integral_value()))
    except (ArithmeticError, ValueError):
        raise InvalidInput(f"{name} is not a time: {str(value)[:40]!r}", hint="expected seconds since 1970") from None


def moment_of(value: Any, name: str = "timestamp") -> datetime:
    """An instant from ISO 8601 text (UTC where it names no zone), or from seconds since 1970."""
    if isinstance(value, str) and not value.strip().replace(".", "", 1).isdigit():
        try:
            given = datetime.fromisoformat(value.strip())
            return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
        except (ValueError, OverflowError):
            raise InvalidInput(f"{name} is not a time: {value[:40]!r}", hint="expected ISO 8601") from None
    return instant_of(value, name)


def part_of(item: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The object at a path of field names; empty where there is none."""
    found: Any = item
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def items_of(document: Any) -> list[Any]:
    """The events of a body that may hold one or an array of them."""
    if not isinstance(document, dict | list):
        raise InvalidInput("the body is neither an object nor an array of events")
    return document if isinstance(document, list) else [document]


def is_form(body: bytes, content_type: str | None) -> bool:
    """Whether a body is a form: by its content type, else by how it begins."""
    if content_type:
        return content_type.split(";")[0].strip().lower() in {
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        }
    return body.lstrip()[:1] not in {b"{", b"["} and b"=" in body


def load_form(body: bytes, content_type: str | None) -> dict[str, list[str]]:
    """The text fields of a form, URL-encoded or multipart (files left out), with everything storable."""
    kind = (content_type or "").lower()
    try:
        if kind.startswith("multipart/form-data") or (not kind and body.startswith(b"--")):
            fields = _multipart(
                body, content_type or f"multipart/form-data; boundary={body.split(maxsplit=1)[0][2:].decode()}"
            )
        else:
            fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=1000, errors="replace")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the body is not UTF-8 (byte {error.start})") from None
    except (ValueError, IndexError) as error:
        raise InvalidInput(f"the body is not a form: {error}") from None
    if not fields:
        raise InvalidInput("the body is not a form: it has no field")
    return cast("dict[str, list[str]]", cleaned(fields))


def _multipart(body: bytes, content_type: str) -> dict[str, list[str]]:
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("ascii", "replace") + b"\r\n\r\n" + body
    )
    fields: dict[str, list[str]] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and part.get_filename() is None:
            content = part.get_payload(decode=True)
            fields.setdefault(name, []).append(content.decode("utf-8", "replace") if isinstance(content, bytes) else "")
    return fields


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def cleaned(value: Any) -> Any:
    """Text, or all text within JSON, as PostgreSQL can store it."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    if isinstance(value, dict):
        return {cleaned(key): cleaned(item) for key, item in value.items()}
    return value
