"""Which row of a file is its header."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from outreachdb.leads.importing.synonyms import is_known

SAMPLE_ROWS = 200
PREAMBLE = 40  # rows; a header that comes later is not looked for
_DATA_CELL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|https?://\S+", re.IGNORECASE)
_NUMBER_CELL = re.compile(r"[\d\s.,:/()+%$€£-]*\d[\d\s.,:/()+%$€£-]*")


def header_place(rows: Sequence[Sequence[str]]) -> int:
    """The place of the header among the first rows of a file; at least one of them must hold something.

    That is the first row that holds anything, unless it looks like a remark above the table (at most one cell filled,
    where the table has more; or no known name) and a later one names known columns.
    """
    places = [place for place, row in enumerate(rows) if any(_filled(row))]
    first = places[0]
    width = usual_width(rows)
    if known_cells(rows[first]) and len(_filled(rows[first])) >= min(2, width):
        return first
    for place in places[1:PREAMBLE]:
        row = rows[place]
        if len(row) == width and known_cells(row) >= min(2, width) and data_cell(row) is None:
            return place
    alone = len(_filled(rows[first])) == 1 and width > 1
    if alone and not (known_cells(rows[first]) and len(rows[first]) == width):
        full = (place for place in places[:PREAMBLE] if len(rows[place]) == width and len(_filled(rows[place])) > 1)
        return next(full, first)
    return first


def usual_width(rows: Sequence[Sequence[str]]) -> int:
    """How many cells most rows have."""
    counted = Counter(len(row) for row in rows if row)
    return max(counted, key=lambda width: (counted[width], width), default=0)


def known_cells(row: Sequence[str]) -> int:
    """How many cells are names that the automatic mapping knows."""
    return sum(map(is_known, row))


def data_cell(cells: Sequence[str]) -> str | None:
    """A cell that no header would hold: an address, a URL, or any cell if all are numbers."""
    filled = _filled(cells)
    found = next((cell for cell in filled if _DATA_CELL.fullmatch(cell)), None)
    if found is None and filled and all(_NUMBER_CELL.fullmatch(cell) for cell in filled):
        return filled[0]
    return found


def _filled(row: Sequence[str]) -> list[str]:
    return [cell for cell in (cell.replace("\x00", "").strip() for cell in row) if cell]
