"""Send windows on a lead's clock, as ``outreach.window_opening`` counts them, for the simulated clock of forecasts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_POSIX = re.compile(r"<ZONE>([+-])(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class Window:
    """From ``opens`` to ``closes`` (outside) by the lead's clock, on ``days`` (Monday is 1); ``None`` is every day."""

    opens: time
    closes: time
    days: Sequence[int] | None = None

    def holds(self, at: datetime, clock: str) -> bool:
        """Whether it is open at an instant."""
        local = at.astimezone(zone(clock))
        return self.opens <= local.time() < self.closes and (self.days is None or local.isoweekday() in self.days)

    def opening(self, at: datetime, clock: str) -> datetime:
        """The first instant from ``at`` on at which it is open."""
        if self.holds(at, clock):
            return at
        local = zone(clock)
        today = at.astimezone(local).date()
        for days in range(17):
            candidates = _instants(datetime.combine(today + timedelta(days=days), self.opens), local)
            found = [each for each in candidates if each >= at and self.holds(each, clock)]
            if found:
                return min(found)
        return at + timedelta(days=17)

    def closing(self, at: datetime, clock: str) -> datetime:
        """When it closes, being open at ``at``."""
        local = zone(clock)
        return max(at, _instant(datetime.combine(at.astimezone(local).date(), self.closes), local))


@cache
def zone(clock: str) -> tzinfo:
    """The time zone that ``outreach.known_zone`` names; what this machine doesn't know is UTC."""
    match = _POSIX.fullmatch(clock)
    if match:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "+" else offset)
    try:
        return ZoneInfo(clock)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _instant(naive: datetime, local: tzinfo) -> datetime:
    """The instant of a wall clock's time."""
    return naive.replace(tzinfo=local).astimezone(UTC)


def _instants(naive: datetime, local: tzinfo) -> list[datetime]:
    """The same and those before it at which a gap may end or the clock may show it a first time."""
    found = naive.replace(tzinfo=local, fold=1).astimezone(UTC), _instant(naive, local)
    cut = timedelta(seconds=(naive.minute * 60 + naive.second) % 1800)
    back = [timedelta(minutes=minutes) for minutes in (0, 30, 60)]
    return [each - step - off for each in found for step in back for off in (timedelta(0), cut)]
