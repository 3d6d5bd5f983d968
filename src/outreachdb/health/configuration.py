"""What people set for health: thresholds of checks, and where alerts go, in the file that OUTREACHDB_HEALTH_FILE names.

::

    [checks.connections]      # a check's name
    yellow = 60
    red = 80

    [checks.slow_queries]     # beside yellow and red, what the check's page says is given
    slow_ms = 250

    [checks.wal_archiving]
    off = true

    [alerts]                  # see outreachdb.health.alerts
    [[alerts.channels]]
    kind = "slack"
    url_env = "SLACK_URL"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outreachdb.errors import InvalidInput
from outreachdb.health.checkbook import Check, checks
from outreachdb.words import did_you_mean


@dataclass(frozen=True, slots=True)
class Configuration:
    """The file's content, checked; made by :func:`load`."""

    numbers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    alerts: Mapping[str, Any] = field(default_factory=dict)

    def given(self, check: Check) -> dict[str, float]:
        """The check's thresholds and other numbers, the file's before the defaults."""
        defaults = {"yellow": check.yellow, "red": check.red, **check.given}
        return defaults | dict(self.numbers.get(check.name, {}))


def load(path: Path | None) -> Configuration:
    """Read the file; without one, the defaults. Raises InvalidInput that names the place."""
    if path is None:
        return Configuration()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {(error.strerror or str(error)).lower()}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not TOML: {error}") from error
    return parse(document, str(path))


def parse(document: Mapping[str, Any], where: str = "the configuration") -> Configuration:
    """The configuration of a document."""
    _known(document, {"checks", "alerts"}, where, "")
    numbers: dict[str, dict[str, float]] = {}
    off = set()
    for name, entry in _table(document, "checks", where).items():
        check = checks().get(name)
        if check is None:
            hint = did_you_mean(name, checks(), f"there are: {', '.join(checks())}")
            raise InvalidInput(f"{where}: there is no check {name}", hint=hint)
        if not isinstance(entry, dict):
            raise InvalidInput(f"{where}: checks.{name} must be a table", hint=f"[checks.{name}] and lines below it")
        if _switched_off(entry, name, where):
            off.add(name)
        numbers[name] = _numbers(check, entry, where)
    return Configuration(numbers, frozenset(off), _table(document, "alerts", where))


def _switched_off(entry: Mapping[str, Any], name: str, where: str) -> bool:
    off = entry.get("off", False)
    if not isinstance(off, bool):
        raise InvalidInput(f"{where}: checks.{name}.off must be true or false")
    return off


def _numbers(check: Check, entry: Mapping[str, Any], where: str) -> dict[str, float]:
    _known(entry, {"yellow", "red", "off", *check.given}, where, f"checks.{check.name}.")
    found: dict[str, float] = {}
    for key, value in entry.items():
        if key == "off":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInput(f"{where}: checks.{check.name}.{key} must be a number, not {value!r}")
        found[key] = float(value)
    both = {"yellow": check.yellow, "red": check.red} | found
    if (both["red"] > both["yellow"]) if check.lower_is_worse else (both["red"] < both["yellow"]):
        raise InvalidInput(
            f"{where}: checks.{check.name}: red ({both['red']:g}) is reached before yellow ({both['yellow']:g})",
            hint="give both",
        )
    return found


def _table(document: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise InvalidInput(f"{where}: {key} must be a table")
    return table


def _known(entry: Mapping[str, Any], keys: set[str], where: str, prefix: str) -> None:
    if unknown := sorted(set(entry) - keys):
        hint = did_you_mean(unknown[0], sorted(keys), f"known: {', '.join(sorted(keys))}")
        raise InvalidInput(f"{where}: there is no {prefix}{unknown[0]}", hint=hint)
