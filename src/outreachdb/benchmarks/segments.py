"""Segments of one large workspace: counts, pages, behaviour over its events, and definitions that are refused."""

from __future__ import annotations

from typing import Any

from outreachdb.benchmarks import population, refusals
from outreachdb.benchmarks.asking import Ask, Question, measure
from outreachdb.benchmarks.measure import Result
from outreachdb.benchmarks.population import CAMPAIGNS, Population
from outreachdb.db.tenant import Tenant
from outreachdb.leads.search import search
from outreachdb.progress import Progress, silent
from outreachdb.segments import segments

SIX: dict[str, Any] = {
    "all": [
        {"field": "country", "op": "in", "value": ["US", "GB", "DE"]},
        {"field": "tags", "op": "has_any", "value": ["tag0", "tag1", "tag2"]},
        {"field": "title", "op": "contains", "value": "growth"},
        {"field": "custom.Employees", "op": "gte", "value": 100},
        {"not": {"field": "status", "op": "equals", "value": "unsubscribed"}},
        {"field": "created_at", "op": "within_last", "value": 365},
    ]
}
SLOW = 12  # times that a question of a second is asked


async def run(url: str, leads: int = 2_000_000, progress: Progress = silent) -> list[Result]:
    """Fill a scratch database and count, page and refuse."""
    async with population.scratch(url, leads, progress) as people:
        return await measured(people, progress)


async def measured(people: Population, progress: Progress = silent) -> list[Result]:
    """The 95th percentile of each question in milliseconds, then how fast nonsense is refused."""
    async with people.large.session() as session:
        campaigns = await session.all(
            "SELECT id FROM outreach.campaigns WHERE workspace_id = %s ORDER BY id", [people.large.workspace_id]
        )
    some = [campaigns[n]["id"] for n in (3, CAMPAIGNS // 2, CAMPAIGNS - 2)]
    questions = [*_segments(people.large), *_behaviour(people, some), *_small(people.small)]
    asked = [await measure(question, progress) for question in questions]
    return asked + await refusals.measured(people.url, people.large, progress)


def _count(tenant: Tenant, *definitions: dict[str, Any]) -> list[Ask]:
    return [lambda each=each: segments.count(tenant, each) for each in definitions]  # type: ignore[misc]


def _segments(large: Tenant) -> list[Question]:
    return [
        Question("segment: six conditions, count", _count(large, SIX), 300, "3 s", SLOW * 2),
        Question("segment: six conditions, preview page", [lambda: segments.preview(large, SIX)], 60, "500 ms"),
        Question("segment: six conditions, list page", [lambda: search(large, where=SIX)], 60, "500 ms"),
        Question(
            "segment: unselective filter, count",
            _count(
                large,
                {"field": "notes", "op": "not_contains", "value": "offer about team"},
                {"field": "title", "op": "contains", "value": "manager"},
                {"field": "custom.Employees", "op": "lt", "value": 5000},
            ),
            700,
            "3 s",
            SLOW,
        ),
    ]


def _behaviour(people: Population, campaigns: list[int]) -> list[Question]:
    opened = {"event": "opened", "at_least": 2}
    large, of = people.large, f"{people.events / 1e6:.1f}M events"
    return [
        Question(
            f"segment: opened twice, one campaign, {of}",
            _count(large, *({**opened, "campaign": each} for each in campaigns)),
            1000,
            "3 s",
            SLOW,
        ),
        Question(
            f"segment: opened twice in 30 days, {of}", _count(large, {**opened, "within_days": 30}), 3000, "3 s", SLOW
        ),
        Question(
            f"segment: clicked in 30 days, {of}",
            _count(large, {"event": "clicked", "within_days": 30}),
            3000,
            "3 s",
            SLOW,
        ),
        Question(f"segment: never mailed, {of}", _count(large, {"not": {"event": "sent"}}), 3000, "3 s", SLOW),
    ]


def _small(small: Tenant) -> list[Question]:
    return [
        Question("segment, small workspace: six conditions, count", _count(small, SIX), 5, "3 s"),
        Question(
            "segment, small workspace: six conditions, preview page",
            [lambda: segments.preview(small, SIX)],
            5,
            "500 ms",
        ),
        Question(
            "segment, small workspace: tag and custom field, count",
            _count(
                small,
                {"field": "tags", "op": "has_any", "value": ["tag1"]},
                {"field": "custom.Plan", "op": "equals", "value": "team"},
            ),
            5,
            "3 s",
        ),
    ]
