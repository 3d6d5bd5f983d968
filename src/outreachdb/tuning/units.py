"""Sizes and times as people, configuration files and pg_settings write them."""

from __future__ import annotations

import re

from outreachdb.errors import UsageError

BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_WITH_UNIT = re.compile(r"(-?[\d.]+)\s*([A-Za-z]+)")


def in_unit(value: str, unit: str | None) -> str:
    """A configuration file's value as ``pg_settings.setting`` has it, in the setting's own unit (8kB, ms, min ...)."""
    found = _WITH_UNIT.fullmatch(value)
    if found is None or unit is None:
        return _plain(value)
    number, given = float(found[1]), found[2]
    for factors in (BYTES, MILLISECONDS):
        if given in factors:
            own = re.fullmatch(r"(\d*)([A-Za-z]+)", unit)
            if own is not None and own[2] in factors:
                exact = number * factors[given] / (int(own[1] or 1) * factors[own[2]])
                return _plain(str(round(exact) if factors is BYTES else exact))  # as the server rounds
    return value


def _plain(value: str) -> str:
    """Numbers without what makes equal ones look different: 0.90 is 0.9, 16.0 is 16."""
    try:
        return f"{float(value):.10g}"
    except ValueError:
        return value


def size_of(text: str) -> int:
    """Bytes of what a person typed: ``8GB``, ``512 MB``, ``16GiB``; a bare number is gigabytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kKmMgGtT])i?[bB]?)?\s*", text)
    if found is None or float(found[1]) == 0:
        raise UsageError(f"{text!r} is no size", hint="such as 8GB or 512MB")
    return int(float(found[1]) * BYTES[{"K": "kB"}.get((found[2] or "G").upper(), (found[2] or "G").upper() + "B")])
