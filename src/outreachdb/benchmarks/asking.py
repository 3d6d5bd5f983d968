"""Asks the same kind of question in many ways and tells the 95th percentile."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from outreachdb.benchmarks.measure import Result
from outreachdb.progress import Progress

ASKED = 40
QUICK_MS, MORE = 500, 5  # what takes less in all is asked five times as often: of 40 the p95 is the third slowest

Ask = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """One figure: the ways to ask it, each as often as the others; its limit in ms; the sources' target."""

    name: str
    ways: Sequence[Ask]
    limit: float | None = None
    target: str | None = None
    asked: int = ASKED


async def measure(question: Question, progress: Progress) -> Result:
    """Ask each way once to warm up, then ``asked`` times in turn, and on where that is quick."""
    for way in question.ways:
        await way()
    taken: list[float] = []
    asked = question.asked
    while len(taken) < asked:
        progress(question.name, len(taken), asked)
        way = question.ways[len(taken) % len(question.ways)]
        began = time.perf_counter()
        await way()
        taken.append((time.perf_counter() - began) * 1000)
        if len(taken) == question.asked and sum(taken) < QUICK_MS:
            asked *= MORE
    p95 = sorted(taken)[max(0, round(len(taken) * 0.95) - 1)]
    return Result(question.name, round(p95, 2), "ms p95", question.target, question.limit)
