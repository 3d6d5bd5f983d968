"""Words of messages: a count with its noun, and the name that somebody may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

LONGEST = 100  # characters of a name that are looked at
ALMOST = 0.85  # spelt so much alike, it is a slip of the pen
ALIKE = 0.6
ALIKE_WORD = 0.75  # one word of several: short words are soon alike
SHORTEST_PART = 3


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 lead``, ``2 leads``, ``1,234 companies``; ``plural`` is given where an s is not enough."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def nearest(name: str, names: Iterable[str], *, alike: float = ALIKE) -> str | None:
    """Which of ``names`` somebody may have meant by ``name``; None where none is so much ``alike`` (0 to 1).

    A slip of the pen goes before a word of a name ("score" is qualification_score, not source), that before a part of
    one, and that before another spelling.
    """
    given = name[:LONGEST].lower().strip()
    likenesses = [(_likeness(given, each.lower()), each) for each in names]
    best, found = max(likenesses, key=lambda pair: pair[0], default=(0.0, ""))
    return found if best >= alike else None


def did_you_mean(name: str, names: Iterable[str], otherwise: str) -> str:
    """A hint for an unknown name: the nearest, and without one what ``otherwise`` says."""
    near = nearest(name, names)
    return f'did you mean "{near}"?' if near else otherwise


def _likeness(given: str, known: str) -> float:
    """From 0 to 1, in the bands that :func:`nearest` tells; within a band the spelling decides."""
    spelt = SequenceMatcher(None, given, known).ratio()
    if spelt >= ALMOST or not given:
        return spelt
    words, known_words = set(_words(given)), set(_words(known))
    if words and (words <= known_words or known_words <= words):
        return 0.8 + spelt / 20
    if len(given) >= SHORTEST_PART and given in known:
        return 0.75 + spelt / 20
    word = max((SequenceMatcher(None, given, each).ratio() for each in known_words), default=0.0)
    return max(spelt, word * 0.98 if word >= ALIKE_WORD else 0.0)


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name)
