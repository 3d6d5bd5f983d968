"""Providers' webhooks: each module here is one provider, found by its name. Adding one is adding a file.

A module has ``ABOUT``, ``parse(body, content_type)``, ``check_key(key)`` and ``verify(delivery, key)``; see
:class:`Adapter`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Protocol, cast

from outreachdb.errors import NotFound, UsageError
from outreachdb.events.delivery import About, Delivery
from outreachdb.events.normal import Parsed
from outreachdb.words import did_you_mean


class Adapter(Protocol):
    """What a provider's module offers."""

    ABOUT: About

    def parse(self, body: bytes, content_type: str | None = None) -> Parsed:
        """The body's events; raises InvalidInput when it is not the provider's format at all."""

    def check_key(self, key: str) -> None:
        """Raise InvalidInput unless the text is a verification key of this provider."""

    def verify(self, delivery: Delivery, key: str) -> None:
        """Raise Unauthorized unless the request was signed with the key, and recently where the signature tells."""


@cache
def providers() -> tuple[str, ...]:
    """Names of all providers."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def named(provider: str) -> Adapter:
    """The adapter of a provider that a caller names; raises UsageError."""
    if provider not in providers():
        hint = did_you_mean(provider, providers(), f"there are {', '.join(providers())}")
        raise UsageError(f"there is no provider {provider[:40]!r}", hint=hint)
    return adapter(provider)


@cache
def adapter(provider: str) -> Adapter:
    """The adapter of a provider that a URL names; raises NotFound."""
    if provider not in providers():
        raise NotFound(f"no provider named {provider[:40]!r}", hint=f"known: {', '.join(providers())}")
    return cast("Adapter", importlib.import_module(f"{__name__}.{provider}"))
