"""What somebody may have meant by a name that is none: the nearest of those that there are."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

LONGEST = 100  # characters of a given name that are compared; each costs time, and none of ours is as long
PART = 3  # characters from which on a part of a name stands for it
SURE = 0.8  # likeness, of 1, of a slip of the pen: nothing else was meant
MARGIN = 0.1  # by which the next one may be less alike and still be told


def nearest(given: str, known: Iterable[str], *, most: int = 1) -> list[str]:
    """The known names that are spelt most like the given one, the nearest first; none where nothing is like it."""
    word = given[:LONGEST].lower()
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word, list(names), most)
    likeness = [difflib.SequenceMatcher(None, name, word).ratio() for name in found]
    found = [name for name, ratio in zip(found, likeness, strict=True) if ratio > likeness[0] - MARGIN]
    if len(word) >= PART and not (likeness and likeness[0] >= SURE):
        found += [name for name in names if word in name and name not in found]
    return [names[each] for each in found[:most]]


def hint(given: Iterable[str], known: Collection[str]) -> str:
    """How to mend names that there are not: those that may have been meant, else all that there are."""
    near = list(dict.fromkeys(name for word in given for name in nearest(word, known, most=3)))
    if not near:
        return f"there are: {', '.join(known)}"
    *others, last = (f'"{name}"' for name in near)
    return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"
