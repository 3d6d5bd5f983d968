"""Leads with all that segments ask about, and random segments such as people build."""

from __future__ import annotations

import random
from typing import Any

from outreachdb.db.pools import Pools, connect
from outreachdb.db.tenant import Tenant
from outreachdb.progress import Progress
from outreachdb.tenancy import workspaces

CAMPAIGNS = 20
FILL = (
    """INSERT INTO outreach.companies (workspace_id, name, industry, renewal_month)
       SELECT %(w)s, 'Company ' || n, (ARRAY['SaaS', 'Retail', 'Finance', 'Health', NULL])[1 + n %% 5], 1 + n %% 12
       FROM generate_series(1, %(leads)s / 40) AS n""",
    """INSERT INTO outreach.leads (
           workspace_id, email, first_name, last_name, title, company_id, company_name, industry, country, city, status,
           tags, custom_fields, qualification_score, notes, created_at, updated_at)
       SELECT %(w)s, 'person' || n || '@company' || n %% 5000 || '.example',
              (ARRAY['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald', 'Radia', 'Leslie'])[1 + h %% 8],
              'Family' || h %% 20000,
              (ARRAY['CEO', 'Head of Growth', 'Buyer', 'VP Sales', 'Engineer', NULL])[1 + (h / 7) %% 6],
              f.first + (h / 5) %% (%(leads)s / 40), 'Company ' || n %% 5000,
              (ARRAY['SaaS', 'Retail', 'Finance', 'Health', 'Energy'])[1 + (h / 11) %% 5],
              (ARRAY['DE', 'FR', 'US', 'GB', 'PL'])[1 + (h / 13) %% 5], 'City ' || (h / 3) %% 300,
              (ARRAY['new', 'verified', 'contacted', 'replied'])[1 + (h / 17) %% 4],
              ARRAY['tag' || h %% 10, 'rare' || h %% 2000],
              jsonb_build_object('plan', h %% 3, 'Employees', ((h / 19) %% 5000)::text, 'since',
                                 to_char(now() - (h %% 900) * interval '1 day', 'YYYY-MM-DD')),
              ((h / 23) %% 1000) / 10.0, CASE WHEN h %% 3 = 0 THEN repeat('met at the fair ' || h %% 50, 5) END,
              now() - n * interval '1 minute', now() - (h %% 90000) * interval '1 minute'
       FROM (SELECT min(id) AS first FROM outreach.companies WHERE workspace_id = %(w)s) AS f,
            LATERAL (SELECT n, hashint4(n) & 2147483647 AS h FROM generate_series(1, %(leads)s) AS n) AS people""",
    """INSERT INTO outreach.campaigns (workspace_id, id, name, status, launched_at)
       SELECT %(w)s, n, 'campaign ' || n, 'running', now() - n * interval '6 days' FROM generate_series(1, 20) AS n""",
    "SELECT outreach.ensure_partitions('email_events', now() - interval '121 days', now())",
    """INSERT INTO outreach.email_events (workspace_id, event_key, created_at, event, provider, campaign_id, lead_id)
       SELECT %(w)s, 'event' || n, now() - (h %% 172800) * interval '1 minute',
              (ARRAY['delivered', 'opened', 'opened', 'clicked'])[1 + h %% 4], 'bench', 1 + (h / 4) %% 20,
              f.first + h %% %(leads)s
       FROM (SELECT min(id) AS first FROM outreach.leads WHERE workspace_id = %(w)s) AS f,
            LATERAL (SELECT n, hashint4(n) & 2147483647 AS h FROM generate_series(1, 2 * %(leads)s) AS n) AS done""",
    """INSERT INTO outreach.lead_engagement (workspace_id, lead_id, sent_count, open_count, last_opened_at, level)
       SELECT %(w)s, id, 1, id %% 4, now() - id %% 100 * interval '1 day',
              (ARRAY['cold', 'warm', 'engaged', 'hot'])[1 + id %% 4]
       FROM outreach.leads WHERE workspace_id = %(w)s AND id %% 3 = 0""",
    """INSERT INTO outreach.suppressions (workspace_id, target)
       SELECT %(w)s, email_key FROM outreach.leads WHERE workspace_id = %(w)s AND id %% 50 = 0""",
)  # fmt: skip
TABLES = ("companies", "leads", "campaigns", "email_events", "lead_engagement", "suppressions")


async def fill(pools: Pools, name: str, leads: int, progress: Progress) -> Tenant:
    """A new workspace with ``leads`` leads, twice as many events, and fresh statistics."""
    await workspaces.create(pools, name)
    tenant = await workspaces.tenant(pools, name)
    async with tenant.trusted(doing="filling the workspace") as session:
        for step, statement in enumerate(FILL):
            progress("filling", step, len(FILL))
            await session.execute(statement, {"w": tenant.workspace_id, "leads": leads})
    connection = await connect(pools.url("admin"), autocommit=True)
    async with connection:
        for table in TABLES:
            await connection.execute(f"VACUUM ANALYZE outreach.{table}".encode())
    return tenant


def _condition(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


def _leaf(choose: random.Random) -> dict[str, Any]:
    days, campaign = choose.choice([1, 7, 30, 60, 90]), choose.randint(1, CAMPAIGNS)
    some = choose.sample(["DE", "FR", "US", "GB", "PL"], choose.randint(1, 3))
    return choose.choice(
        [
            _condition("country", "in", some),
            _condition("industry", choose.choice(["equals", "not_equals"]), choose.choice(["SaaS", "Retail"])),
            _condition("status", "in", choose.sample(["new", "verified", "contacted", "replied"], 2)),
            _condition("title", choose.choice(["contains", "not_contains"]), choose.choice(["growth", "sales", "xyz"])),
            _condition("notes", "contains", f"fair {choose.randint(1, 60)}"),
            _condition("notes", "matches", choose.choice(["fair [1-9]$", "^met.*4[0-9]"])),
            _condition("company_name", "contains", f"company {choose.randint(1, 5000)}"),
            _condition("last_name", "starts_with", f"family{choose.randint(1, 20000)}"),
            _condition("email", "equals", f"person{choose.randint(1, 9999)}@company{choose.randint(1, 4999)}.example"),
            _condition("city", "equals", f"City {choose.randint(1, 300)}"),
            _condition("tags", choose.choice(["has_any", "has_none"]), [f"tag{choose.randint(0, 9)}"]),
            _condition("tags", "has_any", [f"rare{choose.randint(0, 2000)}"]),
            _condition("custom.Employees", "gte", choose.choice([10, 1000, 4900])),
            _condition("custom.plan", "equals", choose.randint(0, 3)),
            _condition("custom.since", "within_last", days),
            _condition("qualification_score", "between", sorted(choose.choices(range(100), k=2))),
            _condition("created_at", "within_last", days),
            _condition("updated_at", "before", f"{days} days ago"),
            _condition("company.industry", "equals", choose.choice(["SaaS", "Health"])),
            _condition("company.renewal_month", "within_next_months", choose.randint(0, 5)),
            _condition("engagement", "in", choose.sample(["cold", "warm", "engaged", "hot"], 2)),
            _condition("suppressed", "equals", choose.random() < 0.5),
            {"event": choose.choice(["opened", "clicked", "delivered"]), "campaign": campaign},
            {"event": "opened", "campaign": campaign, "at_least": 2, "within_days": days},
            {"event": choose.choice(["opened", "delivered"]), "at_least": 2, "within_days": days},
            {"event": "opened", "within_days": days},
            {"random_percent": choose.choice([1, 10, 50])},
        ]
    )


def random_segment(choose: random.Random) -> dict[str, Any]:
    """One to six conditions, sometimes an alternative or an exclusion among them."""
    parts = [_leaf(choose) for _ in range(choose.randint(1, 6))]
    if len(parts) > 2 and choose.random() < 0.4:
        parts = [{"any": parts[:2]}, *parts[2:]]
    if len(parts) > 1 and choose.random() < 0.3:
        parts[-1] = {"not": parts[-1]}
    return {"all": parts}
