"""Spans of time as people write them: 18 months, 400 days."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from outreachdb.errors import UsageError

_SPAN = re.compile(r"\s*(\d{1,4})\s*(d|day|days|w|week|weeks|m|month|months|y|year|years)\s*", re.IGNORECASE)


def instant_before(span: str, now: datetime | None = None) -> datetime:
    """The instant that lies so long ago; a month before the 31st is the last of a shorter month. Raises UsageError."""
    found = _SPAN.fullmatch(span)
    if found is None:
        raise UsageError(f"{span!r} is no span of time", hint='write "18 months", "400 days" or "2 years"')
    number, unit = int(found[1]), found[2].lower()[0]
    instant = now or datetime.now(UTC)
    if unit in "dw":
        return instant - timedelta(days=number * (7 if unit == "w" else 1))
    months = instant.year * 12 + instant.month - 1 - number * (12 if unit == "y" else 1)
    if months < 12:
        raise UsageError(f"{span!r} is too long ago")
    for day in range(instant.day, 27, -1):
        try:
            return instant.replace(year=months // 12, month=months % 12 + 1, day=day)
        except ValueError:
            continue
    return instant.replace(year=months // 12, month=months % 12 + 1)
