"""Estimates, the guard above a budget, time limits, cancellation, and indexes that would help."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from outreachdb import segments
from outreachdb.benchmarks import segment_mix
from outreachdb.config import Settings
from outreachdb.db.pools import Pools, connect
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Cancelled, TooCostly
from outreachdb.progress import silent
from outreachdb.segments import cost, plans
from outreachdb.segments import definition as definitions
from outreachdb.tenancy import workspaces

LEADS = 30_000
EMPLOYEES = {"field": "custom.Employees", "op": "gte", "value": 4950}
VIP = segments.Action("remove_tags", tags=["nobody has it"])
# Half a million regular expressions on the notes of every lead: takes many seconds.
SLOW = {"any": [{"field": "notes", "op": "matches", "value": f"(x{n}|f.*r)+ {n}(z|y)+$"} for n in range(400)]}


@pytest.fixture
async def mixed(database_url: str) -> AsyncIterator[Tenant]:
    """A workspace with all that segments ask about; one for all tests of this file."""
    async with Pools(Settings.load({}, database_url=database_url)) as pools:
        found = [each.name for each in await workspaces.listed(pools) if each.name == "segment-mix"]
        yield (
            await workspaces.tenant(pools, found[0])
            if found
            else await segment_mix.fill(pools, "segment-mix", LEADS, silent)
        )


@pytest.fixture
async def strict(mixed: Tenant, database_url: str) -> AsyncIterator[Tenant]:
    """The same with a budget of one millisecond."""
    async with Pools(Settings.load({}, database_url=database_url, segment_budget_ms=1)) as pools:
        yield await workspaces.tenant(pools, mixed.name)


async def test_above_the_budget_a_segment_has_to_be_confirmed(strict: Tenant) -> None:
    for work in (
        segments.count(strict, EMPLOYEES),
        segments.create(strict, "costly", EMPLOYEES),
        segments.breakdown(strict, EMPLOYEES),
        segments.apply(strict, EMPLOYEES, VIP),
        segments.apply(strict, EMPLOYEES, VIP, dry_run=True),
    ):
        with pytest.raises(TooCostly) as caught:
            await work
        problem = caught.value.problem()
        assert (problem["status"], problem["budget"]) == (409, 1)
        assert problem["estimate"] > 1
    assert (found := (await segments.count(strict, EMPLOYEES, confirmed=True)).count) > 0
    assert (await segments.apply(strict, EMPLOYEES, VIP, dry_run=True, confirmed=True)).matched == found
    assert await segments.actions(strict) == []
    assert [each.name for each in await segments.listed(strict)] == []


async def test_an_estimate_is_near_the_truth_and_says_that_it_is_one(strict: Tenant) -> None:
    many = {"field": "country", "op": "in", "value": ["US", "DE"]}
    guessed = await segments.count(strict, many, estimate=True)
    exact = await segments.count(strict, many, confirmed=True)
    assert (guessed.estimated, exact.estimated) == (True, False)
    assert 0.85 < guessed.count / exact.count < 1.15


async def test_a_small_workspace_is_counted_without_a_look_at_its_plan(tenant: Tenant) -> None:
    counted = await segments.count(tenant, EMPLOYEES, estimate=True)
    assert (counted.count, counted.estimated) == (0, False)
    async with tenant.reading() as session:
        assert (await cost.estimate(session, tenant, Jsonb(EMPLOYEES), least=cost.SMALL)).explained is None


async def test_the_breakdown_adds_up(mixed: Tenant) -> None:
    told = await segments.breakdown(mixed, EMPLOYEES, top=50)
    assert told["count"] == (await segments.count(mixed, EMPLOYEES)).count
    for facet in ("status", "country", "industry", "engagement"):
        assert sum(each["leads"] for each in told[facet]) == told["count"]
        assert told[facet] == sorted(told[facet], key=lambda each: -each["leads"])
    assert {each["value"] for each in told["engagement"]} <= {"cold", "warm", "engaged", "hot"}


async def running(url: str) -> int:
    connection = await connect(url, autocommit=True)
    async with connection:
        found = await connection.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
            " AND query LIKE '%count_segmented_leads%' AND datname = current_database()"
        )
        row = await found.fetchone()
    assert row is not None
    return int(row["n"])


async def test_a_cancelled_request_cancels_its_query(mixed: Tenant, database_url: str) -> None:
    asked = asyncio.create_task(segments.count(mixed, SLOW, confirmed=True))
    while not await running(database_url):
        assert not asked.done()
        await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    deadline = time.monotonic() + 8
    while await running(database_url):
        assert time.monotonic() < deadline, "the query goes on"
        await asyncio.sleep(0.01)
    assert (await segments.count(mixed, EMPLOYEES)).count > 0


async def test_a_workspace_has_a_time_limit(mixed: Tenant) -> None:
    try:
        assert (await workspaces.limit(mixed.pools, mixed.name, 50)).read_limit_ms == 50
        hurried = await workspaces.tenant(mixed.pools, mixed.name)
        began = time.monotonic()
        for work in (
            segments.count(hurried, SLOW, confirmed=True),
            segments.preview(hurried, {"not": SLOW}, rows=1000),
        ):
            with pytest.raises(Cancelled, match="statement timeout"):
                await work
        assert time.monotonic() - began < 20, "other workspaces have half a minute"
        # Only what people compose freely is limited.
        async with hurried.session() as session:
            assert await session.value("SHOW statement_timeout") == "0"
    finally:
        await workspaces.limit(mixed.pools, mixed.name, 30_000)


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        (EMPLOYEES, "btree"),
        ({"field": "custom.since", "op": "within_last", "value": 7}, "btree"),
        ({"field": "notes", "op": "contains", "value": "fair 17"}, "gin"),
        ({"field": "city", "op": "equals", "value": "City 7"}, "btree"),
    ],
)
async def test_a_proposed_index_is_built_and_used(
    mixed: Tenant, condition: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before and after are priced alike: how busy the machine is at either moment is no matter of indexes.
    monkeypatch.setitem(cost._speeds, mixed.pools.url("web"), (1.0, math.inf))
    before = await segments.explain(mixed, {"all": [condition, {"field": "status", "op": "is_set"}]})
    [proposed] = before.indexes
    assert proposed.condition == condition
    assert proposed.milliseconds * 2 <= before.milliseconds
    name = proposed.ddl.split()[3]
    connection = await connect(mixed.pools.url("admin"), autocommit=True)
    async with connection:
        counted = (await segments.count(mixed, condition)).count
        pages = await read(mixed, condition)
        await connection.execute(proposed.ddl.encode())
        await connection.execute(b"ANALYZE outreach.leads")
        try:
            after = await segments.explain(mixed, condition)
            assert any(name in line for line in after.plan), after.plan
            assert after.indexes == []
            assert after.milliseconds < before.milliseconds
            assert (await segments.count(mixed, condition)).count == counted
            assert await read(mixed, condition) < pages / 2
        finally:
            await connection.execute(f"DROP INDEX outreach.{name}".encode())
            await connection.execute(b"ANALYZE outreach.leads")


async def read(tenant: Tenant, condition: dict[str, Any]) -> int:
    """How many pages the count reads."""
    async with tenant.reading() as session:
        found = await cost.estimate(session, tenant, Jsonb(condition), measured=True)
    assert found.explained is not None
    return int(found.explained["Plan"]["Shared Hit Blocks"] + found.explained["Plan"]["Shared Read Blocks"])


async def test_words_say_what_is_meant_and_done(mixed: Tenant) -> None:
    meant = {
        "all": [
            {"field": "country", "op": "in", "value": ["US", "GB"]},
            {"any": [{"field": "title", "op": "contains", "value": "growth"}, {"random_percent": 10}]},
            {"not": {"event": "opened", "campaign": 3, "at_least": 2, "within_days": 30}},
            {"field": "custom.since", "op": "within_last", "value": 30},
        ]
    }
    told = await segments.explain(mixed, meant)
    assert told.meaning == [
        "all of these:",
        '  country is one of "US", "GB"',
        "  one of these:",
        '    title contains "growth"',
        "    in a random 10 percent",
        "  not (empty values included):",
        "    opened at least 2 times in campaign 3 within the last 30 days",
        "  custom.since lies within the last 30 days",
    ]
    assert "a set is read from email_events" in told.plan
    # Which of both it is lies with the statistics.
    assert any(line.startswith(("every lead is read", "the index ix_leads")) for line in told.plan), told.plan


async def test_random_segments_are_priced_by_what_is_really_looked_at(
    mixed: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are counted, not seconds: who is fetched is known beforehand, and what reads more costs more."""
    monkeypatch.setitem(cost._speeds, mixed.pools.url("web"), (1.0, math.inf))
    choose = random.Random(3)
    priced: list[tuple[float, float]] = []
    near: list[bool] = []
    for _ in range(40):
        meant = segment_mix.random_segment(choose)
        assert definitions.check(meant) == meant
        async with mixed.reading() as session:
            found = await cost.estimate(session, mixed, Jsonb(meant), measured=True)
        assert found.explained is not None
        assert found.leads > LEADS / 2
        assert plans.members(found.explained) >= 0
        steps = list(plans.nodes(found.explained["Plan"]))
        priced.append((found.milliseconds, sum(map(looked_at, steps))))
        # Two cities at once are nobody's: no lead is read.
        for step in [each for each in steps if each.get("Relation Name") == "leads"]:
            known = plans.Known(found.leads, found.explained["Rows"])
            expected, counted = plans._fetched(step, known), looked_at(step)
            near.append(max(expected, counted) <= 2 * min(expected, counted) + 30)
    assert len(near) > 30
    assert sum(near) >= 0.9 * len(near)
    pairs = [(cheap, dear) for cheap in priced for dear in priced if dear[1] > 5 * cheap[1]]
    assert len(pairs) > 300
    assert sum(cheap[0] < dear[0] for cheap, dear in pairs) >= 0.85 * len(pairs)


def looked_at(step: dict[str, Any]) -> float:
    """How many rows a step of a plan that was run has read, those that it threw away included."""
    away = sum(step.get(f"Rows Removed by {test}", 0) for test in ("Filter", "Index Recheck"))
    return float(step["Actual Loops"] * (step["Actual Rows"] + away))
