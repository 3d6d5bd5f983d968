"""Quotes that are opened and not closed: they make one row of all that follows, to the next quote or the end."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice

OPEN = "a quote that is never closed"
PROBED = 20  # lines


def fault(lines: Sequence[str], delimiter: str) -> bool:
    """Whether the lines break the rules of quotes, which are not enforced where a row is read as it is meant."""
    try:
        for _ in csv.reader(lines, delimiter=delimiter, strict=True):
            pass
    except csv.Error:
        return True
    return False


def swallows(lines: Sequence[str], width: int, delimiter: str) -> bool:
    """Whether the lines of a row, after its first one, are rows of the table by themselves."""
    probed = list(islice((line for line in islice(lines, 1, None) if line.strip()), PROBED))
    fitting = sum(_width(line, delimiter) == width for line in probed)
    return bool(probed) and 2 * fitting >= len(probed)


def _width(line: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=delimiter)))
    except csv.Error:
        return 0
