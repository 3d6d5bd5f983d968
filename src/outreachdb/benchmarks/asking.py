"""Asks the same kind of question in many ways and tells the 95th percentile."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from outreachdb.benchmarks.measure import Result
from outreachdb.progress import Progress

ASKED = 40

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
    """Ask each way once to warm up, then ``asked`` times in turn."""
    for way in question.ways:
        await way()
    taken = []
    for number in range(question.asked):
        progress(question.name, number, question.asked)
        began = time.perf_counter()
        await question.ways[number % len(question.ways)]()
        taken.append((time.perf_counter() - began) * 1000)
    p95 = sorted(taken)[max(0, round(len(taken) * 0.95) - 1)]
    return Result(question.name, round(p95, 2), "ms p95", question.target, question.limit)
