"""The views that serve SQL and BI users: their schedules, their refresh, and how old what they show is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, session
from outreachdb.errors import UsageError
from outreachdb.words import did_you_mean

Q = Queries("outreachdb.analytics")
SCORES = "lead_engagement_scores"
# View -> how often it is refreshed; in the order of a refresh of all (usage counts the leads of lead_analytics).
SCHEDULES: Mapping[str, timedelta] = {
    "campaign_performance": timedelta(minutes=30),
    "lead_analytics": timedelta(minutes=30),
    "campaign_analytics": timedelta(hours=1),
    "email_deliverability_metrics": timedelta(hours=2),
    SCORES: timedelta(hours=6),
    "workspace_usage_analytics": timedelta(days=1),
}
# Leads scored in one transaction: an ingest that meets them waits for a fraction of a second.
LEADS = 20_000


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did: ``rows`` of the view (scores: those that changed), ``None`` where another was at it."""

    view: str
    rows: int | None
    seconds: float

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Staleness:
    """How old a view is; ``refreshed_at`` is ``None`` before the first refresh, ``late`` after two schedules."""

    view: str
    refreshed_at: datetime | None
    age: timedelta | None
    schedule: timedelta
    duration: timedelta | None
    rows: int | None

    @property
    def late(self) -> bool:
        """Whether two refreshes were missed."""
        return self.age is None or self.age > 2 * self.schedule


async def refresh(pools: Pools, view: str) -> Refreshed:
    """Bring a view up to date while readers go on; what is committed before the call is in it."""
    if view not in SCHEDULES:
        hint = did_you_mean(view, SCHEDULES, f"there are: {', '.join(SCHEDULES)}")
        raise UsageError(f"no view named {view}", hint=hint)
    if view == SCORES:
        return await score(pools)
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing=f"refreshing {view}") as open_session:
        row = await open_session.one(Q.refresh_view, {"view": view})
    assert row is not None  # noqa: S101 - a function's one row
    return Refreshed(view, row["rows"], row["seconds"])


async def refresh_all(pools: Pools) -> list[Refreshed]:
    """Bring all views up to date."""
    return [await refresh(pools, view) for view in SCHEDULES]


async def score(pools: Pools) -> Refreshed:
    """Score the leads that did something and those whose deeds have grown old, in short transactions."""
    changed = 0
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="listing workspaces") as open_session:
        began = await open_session.value("SELECT clock_timestamp()")
        ids = [row["id"] for row in await open_session.all(Q.workspaces)]
    for workspace_id in ids:
        while True:
            async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="scoring leads") as open_session:
                row = await open_session.one(Q.score, {"workspace_id": workspace_id, "limit": LEADS})
            changed += row["changed"] if row else 0
            if row is None or row["looked"] == 0:
                break
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="noting the refresh") as open_session:
        given = {"view": SCORES, "began": began, "rows": changed}
        seconds = await open_session.value(Q.note_refresh, given)
    return Refreshed(SCORES, changed, float(seconds))


async def rescore(pools: Pools) -> None:
    """Score every lead again and count the levels anew; for databases that had engagement before they had scores."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="listing workspaces") as open_session:
        ids = [row["id"] for row in await open_session.all(Q.workspaces)]
    for workspace_id in ids:
        after: int | None = 0
        while after is not None:
            async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="scoring leads") as open_session:
                given = {"workspace_id": workspace_id, "after": after, "limit": LEADS}
                after = await open_session.value(Q.rescore, given)


async def staleness(pools: Pools) -> list[Staleness]:
    """How old each view is."""
    async with session(
        pools, role=TRUSTED_ROLE, workload="analytics", doing="reading the age of views"
    ) as open_session:
        rows = {row["view_name"]: row for row in await open_session.all(Q.view_ages)}
    return [
        Staleness(
            view,
            rows[view]["refreshed_at"] if view in rows else None,
            rows[view]["age"] if view in rows else None,
            schedule,
            rows[view]["duration"] if view in rows else None,
            rows[view]["row_count"] if view in rows else None,
        )
        for view, schedule in SCHEDULES.items()
    ]
