"""The one form into which every provider's events are brought."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal

from outreachdb.errors import InvalidInput

Severity = Literal["hard", "soft"]
_LONGEST_KEY = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FARTHEST = 10**12  # seconds; the year 9999 is nearer
# What PostgreSQL's text and jsonb can't hold: NUL and half of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
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

    def key(self) -> str:
        """What makes a redelivery recognisable: the provider's event id, else a hash of the payload."""
        if self.event_id and len(self.event_id) <= _LONGEST_KEY:
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
    return _cleaned(document) if "\\u0000" in text or "\\ud" in text.lower() else document


def text_of(item: Mapping[str, Any], *names: str) -> str | None:
    """The first of the named fields that holds text or a number, as text without surrounding space."""
    for name in names:
        value = item.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            stripped = str(value).strip()
            if stripped:
                return stripped
    return None


def instant_of(value: Any, name: str = "timestamp") -> datetime:
    """An instant from seconds since 1970 (a number or its text, with fractions), exact to the microsecond."""
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


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value
