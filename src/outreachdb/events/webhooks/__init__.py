"""Providers' webhooks: each module here is one provider, found by its name. Adding one is adding a file.

A module has ``parse(body, content_type)`` and ``verify(headers, body, key, now, window)``; see :class:`Adapter`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Protocol, cast

from outreachdb.errors import NotFound
from outreachdb.events.normal import Parsed


class Adapter(Protocol):
    """What a provider's module offers."""

    def parse(self, body: bytes, content_type: str | None = None) -> Parsed:
        """The body's events; raises InvalidInput when it is not the provider's format at all."""

    def check_key(self, key: str) -> None:
        """Raise InvalidInput unless the text is a verification key of this provider."""

    def verify(self, headers: Mapping[str, str], body: bytes, key: str, now: datetime, window: timedelta) -> None:
        """Raise Unauthorized unless the body was signed with the key within ``window`` of ``now``.

        ``headers`` have lower-case names.
        """


@cache
def providers() -> tuple[str, ...]:
    """Names of all providers."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


@cache
def adapter(provider: str) -> Adapter:
    """The adapter of a provider."""
    if provider not in providers():
        raise NotFound(f"no provider named {provider[:40]!r}", hint=f"known: {', '.join(providers())}")
    return cast("Adapter", importlib.import_module(f"{__name__}.{provider}"))
