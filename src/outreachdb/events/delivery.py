"""One request of a provider, and the ways in which requests prove where they come from."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from outreachdb.errors import InvalidInput, Unauthorized

_SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True)
class About:
    """What the reference says of a provider: its pages, how requests are proven, what a body holds, what the key is."""

    title: str
    events: str
    security: str
    scheme: str
    key: str
    batch: str
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request: ``headers`` have lower-case names, ``url`` is the address that the provider called.

    What it says of its own time must lie within ``window`` of ``now``. Headers hold passwords, the address its token.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    now: datetime
    window: timedelta

    def header(self, name: str) -> str:
        """A header that must be there; raises Unauthorized."""
        value = self.headers.get(name)
        if not value:
            raise Unauthorized(f"the webhook is not signed: no header {name}")
        return value

    def must_be_fresh(self, value: Any, read: Callable[[Any], datetime]) -> None:
        """Raise Unauthorized when the time that was signed is none, or too long ago (or ahead)."""
        try:
            age = abs(self.now - read(value))
        except InvalidInput:
            raise Unauthorized("the webhook's timestamp is not a time") from None
        if age > self.window:
            raise Unauthorized(
                "the webhook's signature has expired", hint=f"it is valid for {self.window.total_seconds():.0f} s"
            )


def must_equal(given: str, expected: str) -> None:
    """Compare signatures in constant time; raises Unauthorized."""
    if not hmac.compare_digest(given.strip().encode(), expected.encode()):
        raise Unauthorized("the webhook's signature is wrong")


def decoded(text: str) -> bytes:
    """Base64 of a signature header; raises Unauthorized."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unauthorized("the webhook's signature is wrong") from None


def check_secret(key: str) -> None:
    """Raise InvalidInput unless the text can be a shared secret."""
    if len(key) < _SHORTEST_SECRET or not (key.isascii() and key.isprintable()):
        raise InvalidInput(
            "not a verification key", hint=f"{_SHORTEST_SECRET} or more ASCII characters, as the provider shows it"
        )


def must_have_password(delivery: Delivery, key: str, *token_headers: str) -> None:
    """Basic authentication where the key is ``user:password``, else a token (bearer, or in one of the headers)."""
    if ":" in key:
        expected = "Basic " + base64.b64encode(key.encode()).decode()
        given = [delivery.headers.get("authorization", "")]
    else:
        expected = key
        bearer = delivery.headers.get("authorization", "").removeprefix("Bearer ")
        given = [bearer, *(delivery.headers.get(name, "") for name in token_headers)]
    if not any(given):
        raise Unauthorized("the webhook sent no password", hint="enter user and password of the key at the provider")
    if not any(hmac.compare_digest(each.strip().encode(), expected.encode()) for each in given):
        raise Unauthorized("the webhook's password is wrong")
