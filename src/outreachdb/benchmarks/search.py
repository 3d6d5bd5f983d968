"""Search and segments in one large workspace beside twenty small ones that share its tables and indexes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.pools import Pools, connect
from outreachdb.db.tenant import Tenant
from outreachdb.leads.search import search
from outreachdb.progress import Progress, silent
from outreachdb.segments import segments
from outreachdb.tenancy import workspaces

SMALL = 20
SMALL_LEADS = 500
ROUNDS = 20
PAGE = 50
FILL = """
    INSERT INTO outreach.leads (
        workspace_id, email, first_name, last_name, title, company_name, industry, country, status, tags, custom_fields,
        qualification_score, created_at, updated_at)
    SELECT %(workspace_id)s, 'person' || n || '@company' || n %% 50000 || '.example',
           (ARRAY['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald', 'Radia', 'Leslie'])[1 + h %% 8],
           'Family' || h %% 20000, (ARRAY['CEO', 'Growth lead', 'Buyer', 'Head of Sales'])[1 + h %% 4],
           'Company ' || n %% 50000, (ARRAY['SaaS', 'Retail', 'Finance', 'Health', 'Energy'])[1 + h %% 5],
           (ARRAY['DE', 'FR', 'US', 'GB'])[1 + h %% 4], (ARRAY['new', 'verified', 'contacted', 'replied'])[1 + h %% 4],
           ARRAY['tag' || h %% 10, 'rare' || h %% 2000], jsonb_build_object('plan', h %% 3, 'Employees', h %% 5000),
           (h %% 1000) / 10.0, now() - n * interval '40 seconds', now() - (h %% 90000) * interval '1 minute'
    FROM (SELECT n, hashint4(n) & 2147483647 AS h FROM generate_series(1, %(leads)s) AS n) AS people
"""
# Two events for each lead, in twenty campaigns over four months.
CAMPAIGNS = """
    INSERT INTO outreach.campaigns (workspace_id, id, name, status, launched_at)
    SELECT %(workspace_id)s, n, 'campaign ' || n, 'running', now() - n * interval '6 days'
    FROM generate_series(1, 20) AS n
"""
EVENTS = """
    INSERT INTO outreach.email_events (workspace_id, event_key, created_at, event, provider, campaign_id, lead_id)
    SELECT %(workspace_id)s, 'event' || n, now() - (h %% 172800) * interval '1 minute',
           (ARRAY['delivered', 'opened', 'opened', 'clicked'])[1 + h %% 4], 'bench', 1 + h %% 20,
           (SELECT min(id) FROM outreach.leads WHERE workspace_id = %(workspace_id)s) + h %% %(leads)s
    FROM (SELECT n, hashint4(n) & 2147483647 AS h FROM generate_series(1, 2 * %(leads)s) AS n) AS done
"""
MONTHS = "SELECT outreach.ensure_partitions('email_events', now() - interval '121 days', now())"
SIX = {
    "all": [
        {"field": "country", "op": "in", "value": ["FR", "GB"]},
        {"field": "tags", "op": "has_any", "value": ["tag3", "tag4"]},
        {"field": "title", "op": "contains", "value": "growth"},
        {"field": "custom.Employees", "op": "gte", "value": 1000},
        {"not": {"field": "status", "op": "equals", "value": "replied"}},
        {"field": "created_at", "op": "within_last", "value": 60},
    ]
}


async def run(url: str, leads: int = 2_000_000, progress: Progress = silent) -> list[Result]:
    """Fill a scratch database and ask it what people ask; the 95th percentile of each in milliseconds."""
    async with scratch_database(url, "search") as scratch:
        await migrate.upgrade(scratch)
        async with Pools(Settings.load({}, database_url=scratch)) as pools:
            large, small = await _fill(pools, scratch, leads, progress)
            deep = await _deep(large, min(1000, leads // PAGE - 2))
            return [await _measure(*asked, progress) for asked in _questions(large, small, deep)]


def _questions(
    large: Tenant, small: Tenant, deep: str | None
) -> list[tuple[str, Callable[[], Awaitable[Any]], float | None, str | None]]:
    def ask(tenant: Tenant, **given: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: search(tenant, **given)

    rare = {"field": "tags", "op": "has_any", "value": ["rare777"]}
    return [
        ("search: first page", ask(large), 10, "500 ms"),
        ("search: page 1000", ask(large, cursor=deep), 20, None),
        ("search: first page by score", ask(large, sort="-score"), 10, None),
        ("search: first page by company", ask(large, sort="company_name"), 10, None),
        (
            "search: filter page, common",
            ask(large, where={"field": "country", "op": "equals", "value": "US"}),
            10,
            None,
        ),
        ("search: filter page, rare", ask(large, where=rare), 10, None),
        ("search: common substring", ask(large, text="grace"), 50, "500 ms"),
        ("search: rare substring", ask(large, text="person7777@"), 50, "500 ms"),
        ("search: two characters", ask(large, text="gr"), 50, None),
        ("search: no hit", ask(large, text="zzqxwv"), 100, "500 ms"),
        ("search: no hit, much that is alike", ask(large, text="kompany 777777"), 100, None),
        ("search: misspelt name", ask(large, text="barbra family777"), 100, None),
        ("search: small workspace", ask(small, text="person77@"), 5, None),
        ("search: small workspace, no hit", ask(small, text="zzqxwv"), 5, None),
        ("segment: six conditions, count", lambda: segments.count(large, SIX), 300, "1 s"),
        ("segment: six conditions, first page", ask(large, where=SIX), 60, "500 ms"),
        ("segment: opened twice, a campaign", lambda: segments.count(large, _opened(campaign=12)), 1000, "3 s"),
        ("segment: opened twice in 30 days", lambda: segments.count(large, _opened(within_days=30)), 3000, "3 s"),
        ("segment: unselective filter, count", lambda: segments.count(large, _unselective()), 700, "3 s"),
    ]


def _opened(**more: int) -> dict[str, Any]:
    return {"event": "opened", "at_least": 2, **more}


def _unselective() -> dict[str, Any]:
    return {"field": "notes", "op": "not_contains", "value": "x"}


async def _fill(pools: Pools, url: str, leads: int, progress: Progress) -> tuple[Tenant, Tenant]:
    tenants = []
    for number in range(SMALL + 1):
        progress("filling", number, SMALL + 1)
        name = f"bench-{number}"
        await workspaces.create(pools, name)
        tenants.append(await workspaces.tenant(pools, name))
        async with tenants[-1].trusted() as session:
            given = {"workspace_id": tenants[-1].workspace_id, "leads": SMALL_LEADS if number else leads}
            await session.execute(FILL, given)
            for statement in () if number else (MONTHS, CAMPAIGNS, EVENTS):
                await session.execute(statement, given)
    async with await connect(url, autocommit=True) as connection:
        await connection.execute("VACUUM (ANALYZE) outreach.leads, outreach.email_events")
    return tenants[0], tenants[1]


async def _deep(tenant: Tenant, page: int) -> str | None:
    """The cursor of a page, found by walking there in the largest steps."""
    cursor, left = None, page * PAGE
    while left > 0:
        step = min(left, 1000)
        cursor = (await search(tenant, limit=step, cursor=cursor)).next_cursor
        left -= step
    return cursor


async def _measure(
    name: str, ask: Callable[[], Awaitable[Any]], limit: float | None, target: str | None, progress: Progress
) -> Result:
    await ask()
    taken = []
    for number in range(ROUNDS):
        progress(name, number, ROUNDS)
        began = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - began) * 1000)
    return Result(name, round(sorted(taken)[round(ROUNDS * 0.95) - 1], 2), "ms p95", target, limit)
