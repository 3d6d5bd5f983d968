"""What a segment means, how it will be looked up, how long that takes, and which index would help."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Session, Tenant
from outreachdb.segments import cost, plans, segments, wording
from outreachdb.segments.segments import NameOrDefinition

Q = Queries("outreachdb.segments")
SAMPLE = {"blocks": 40, "rows": 50}
# An index is proposed where its condition leaves at most this share of the leads and makes the count so much faster.
SHARE = 0.2
GAIN = 2.0
WORTH_MS = 5.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """An index that would help: for which ``condition``, how to build it, and what it would bring.

    ``milliseconds`` is what the count is expected to take with it.
    """

    condition: dict[str, Any]
    ddl: str
    rows: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """``meaning`` and ``plan`` in words, ``milliseconds`` as estimated for a count, ``leads`` of the workspace."""

    meaning: list[str]
    plan: list[str]
    milliseconds: float
    leads: int
    estimated_members: int
    indexes: list[Proposal]
    explained: dict[str, Any]


async def explain(tenant: Tenant, segment: NameOrDefinition) -> Explanation:
    """Explain the count of a segment without running it; a sample of the leads is looked at."""
    definition = await segments.resolve(tenant, segment)
    async with tenant.reading("analytics", doing="explaining the segment") as session:
        found = await cost.estimate(session, tenant, Jsonb(definition))
        assert found.explained is not None  # noqa: S101  (without a least number of leads there is a plan)
        members = (await segments.estimated(session, tenant, Jsonb(definition))).count
        proposals = [each async for each in _proposals(session, definition, found)]
    return Explanation(
        wording.definition_in_words(definition),
        wording.plan_in_words(found.explained),
        found.milliseconds,
        found.leads,
        members,
        sorted(proposals, key=lambda each: each.milliseconds),
        found.explained,
    )


def required(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The conditions on fields that every lead of the segment meets: an index on one of them is enough."""
    if "all" in definition:
        for part in definition["all"]:
            yield from required(part)
    elif "field" in definition:
        yield definition


async def _proposals(session: Session, definition: Mapping[str, Any], now: cost.Estimate) -> AsyncIterator[Proposal]:
    if now.milliseconds < WORTH_MS:
        return
    used = {node.get("Index Name") for node in plans.nodes((now.explained or {})["Plan"])}
    for condition in required(definition):
        where = await session.value(Q.index_for, {"condition": Jsonb(condition)})
        name = f"ix_leads_segment_{hashlib.sha256((where or '').encode()).hexdigest()[:8]}"
        if where is None or name in used:
            continue
        sampled = await session.one(Q.sample_leads, {"definition": Jsonb(condition), **SAMPLE})
        assert sampled is not None  # noqa: S101  (the function gives a row or raises)
        share = sampled["members"] / max(1, sampled["looked"])
        rows = round(share * now.leads)
        prices = plans.Prices()
        expected = round(now.slower * (prices.start + rows / 1000 * (prices.fetched + prices.within)), 1)
        if share <= SHARE and now.milliseconds >= GAIN * expected:
            ddl = f"CREATE INDEX CONCURRENTLY {name} ON outreach.leads {where}"
            yield Proposal(dict(condition), ddl, rows, expected)
