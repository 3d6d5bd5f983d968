"""Whatever order events come in, however often and in whatever batches: the same end."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from launched import Launched, launch

from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.events.ingest import ingest
from outreachdb.events.normal import NormalEvent
from outreachdb.secrets import Keyring
from outreachdb.tenancy import workspaces

LAUNCHED = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=5)
# (send, event, minutes, more): every way in which one event may change what another did.
STORY: list[tuple[int, str, float, dict[str, Any]]] = [
    (0, "delivered", 1, {}),
    (0, "opened", 9, {}),
    (0, "opened", 3, {}),
    (0, "opened", 2, {"prefetched": True}),
    (0, "clicked", 4, {"url": "https://x.example/"}),
    (0, "replied", 8, {}),
    (0, "unsubscribed", 12, {}),
    (1, "deferred", 1, {}),
    (1, "bounced", 5, {"severity": "soft"}),
    (1, "bounced", 7, {"severity": "hard"}),
    (1, "complained", 60 * 24 * 2, {}),
    (2, "opened", 60 * 24, {}),
    (2, "replied", 30, {}),
    (2, "failed", 31, {"severity": "hard"}),
]
STATE = {
    "sends": """
        SELECT s.step, s.status, s.delivered_at - s.created_at AS delivered, s.opened_at - s.created_at AS opened,
               s.clicked_at - s.created_at AS clicked, s.replied_at - s.created_at AS replied,
               s.bounced_at - s.created_at AS bounced, s.complained_at - s.created_at AS complained,
               s.unsubscribed_at - s.created_at AS unsubscribed
        FROM outreach.email_sends AS s WHERE s.workspace_id = %(ws)s ORDER BY s.lead_id, s.step""",
    "leads": "SELECT status FROM outreach.leads WHERE workspace_id = %(ws)s ORDER BY id",
    "suppressed": """
        SELECT split_part(target, '@', 1) AS who FROM outreach.suppressions WHERE workspace_id = %(ws)s ORDER BY 1""",
    "engagement": """
        SELECT sent_count, open_count, click_count, reply_count, bounce_count, last_opened_at - %(at)s AS opened,
               last_replied_at - %(at)s AS replied
        FROM outreach.lead_engagement WHERE workspace_id = %(ws)s ORDER BY lead_id""",
    "events": """
        SELECT event, severity, prefetched, step, created_at - %(at)s AS at FROM outreach.email_events
        WHERE workspace_id = %(ws)s ORDER BY created_at, event, severity""",
    "activities": """
        SELECT activity_type, details, created_at - %(at)s AS at FROM outreach.lead_activities
        WHERE workspace_id = %(ws)s ORDER BY created_at, activity_type""",
    "totals": """
        SELECT t.grain, t.kind, sum(t.total) AS total, sum(t.mails) AS mails, sum(t.people) AS people
        FROM (SELECT * FROM analytics.rollups UNION ALL
              SELECT workspace_id, grain, key, kind, day, total, mails, people FROM analytics.rollup_deltas) AS t
        WHERE t.workspace_id = %(ws)s AND t.grain <> 'domain'
        GROUP BY t.grain, t.kind, t.day
        HAVING sum(t.total) <> 0 OR sum(t.people) <> 0
        ORDER BY t.grain, t.kind, t.day""",
}


@st.composite
def _batches(draw: st.DrawFn) -> list[list[int]]:
    """Every event at least once, some again, in any order, cut anywhere."""
    again = draw(st.lists(st.integers(0, len(STORY) - 1), max_size=8))
    order = draw(st.permutations([*range(len(STORY)), *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=5)))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


def _event(campaign: Launched, number: int) -> NormalEvent:
    send, kind, minutes, more = STORY[number]
    return campaign.event(campaign.sends[send], kind, minutes, event_id=f"e{number}", **more)


async def _end(pools: Pools, keyring: Keyring, batches: list[list[int]], name: str) -> dict[str, Any]:
    made = await workspaces.create(pools, name)
    tenant = await workspaces.tenant(pools, made.name)
    campaign = await launch(tenant, keyring, leads=3, launched_at=LAUNCHED)
    for batch in batches:
        report = await ingest(tenant, keyring, [_event(campaign, number) for number in batch])
        assert report.received == len(batch) == report.stored + report.duplicates
    return await _state(tenant, campaign)


async def _state(tenant: Tenant, campaign: Launched) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with tenant.trusted() as session:
        for name, query in STATE.items():
            found[name] = await session.all(query, {"ws": tenant.workspace_id, "at": campaign.launched_at})
    return found


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=_batches())
async def test_any_order_any_batches_any_repetition(
    pools: Pools, keyring: Keyring, tenant: Tenant, batches: list[list[int]]
) -> None:
    counter = next(_NUMBERS)
    one = await _end(pools, keyring, [list(range(len(STORY)))], f"{tenant.name}-{counter}a")
    other = await _end(pools, keyring, batches, f"{tenant.name}-{counter}b")
    assert other == one
    assert [row["status"] for row in one["leads"]] == ["unsubscribed", "unsubscribed", "bounced"]
    assert [row["who"] for row in one["suppressed"]] == ["lead1", "lead2", "lead3"]
    totals = Counter[str]()
    for row in one["totals"]:
        totals[row["kind"]] += row["total"] if row["grain"] == "workspace" else 0
    assert (totals["opened"], totals["prefetched"], totals["bounced"]) == (3, 1, 2)


_NUMBERS = iter(range(1_000_000))
