"""Keeps advice to drop indexes safe as a whole: of two that replace each other one stays, whichever rule asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# In this order the rules take their turn: what an earlier one keeps, a later one may not drop.
ORDER = ("invalid_index", "duplicate_index", "overlapping_index", "unused_index")


@dataclass(slots=True)
class DropSet:
    """Which indexes (schema, name) this run's advice drops, and which it relies on."""

    dropped: set[tuple[str, str]] = field(default_factory=set)
    kept: dict[tuple[str, str], str] = field(default_factory=dict)

    def decide(self, fix: Mapping[str, Any]) -> tuple[bool, str | None]:
        """Whether a drop may be advised; if not, why. ``instead`` lists the indexes that could replace it."""
        target = (str(fix["schema"]), str(fix["name"]))
        if target in self.dropped:
            return False, "another finding of this run drops it already"
        if target in self.kept and "instead" not in fix:  # what replaces the target then replaces the other as well
            return False, f"kept: it replaces {self.kept[target]}, which another finding drops"
        if "instead" in fix:
            free = [(fix["schema"], name) for name in fix["instead"] if (fix["schema"], name) not in self.dropped]
            if not free:
                return False, "kept: all that could replace it is dropped by other findings"
            self.kept.setdefault(free[0], target[1])
        self.dropped.add(target)
        return True, None

    def turn(self, fixes: Iterable[Mapping[str, Any]]) -> None:
        """Note what a group as a whole relies on, before its members are decided."""
        for fix in fixes:
            for name in fix.get("keep", ()):
                self.kept.setdefault((fix["schema"], name), fix["name"])
