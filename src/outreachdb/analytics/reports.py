"""Reports: counts by day, step, variant, mailbox, domain or campaign; growth of leads; deliverability; engagement.

Counts and rates are exact as of ``as_of``; growth and engagement are as of the last refresh of their view. Of people
and mails a day or a range of days counts those whose first such event fell on it, so that days add up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import Any

from outreachdb.analytics import views
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Session, Tenant
from outreachdb.errors import UsageError
from outreachdb.words import did_you_mean

Q = Queries("outreachdb.analytics")
CAMPAIGN_BY = ("day", "step", "variant")
WORKSPACE_BY = ("day", "campaign", "mailbox", "domain")
DELIVERABILITY_BY = ("mailbox", "domain", "day")
DELIVERABILITY_DAYS = 30
BUSIEST = 20
KEPT_COUNTS = (
    *("scheduled", "sent", "delivered", "opened", "unique_opened", "clicked", "unique_clicked", "replied"),
    *("unique_replied", "bounced", "complained", "unsubscribed"),
)
RATES = ("delivery_rate", "open_rate", "click_rate", "reply_rate", "bounce_rate", "complaint_rate")
DELIVERABILITY = (
    *("sent", "delivered", "deferred", "bounced", "hard_bounced", "complained", "unsubscribed", "delivery_rate"),
    *("bounce_rate", "complaint_rate", "reputation_score", "reputation"),
)
UNITS = {
    "counts": "events; unique_*: distinct leads; hard_bounced: mails",
    "rates": "delivered and hard bounced mails by sent; opened, clicked, replied, complained by delivered",
    "days": "UTC",
}


@dataclass(frozen=True, slots=True)
class Report:
    """``totals`` of all and ``rows`` by something; ``columns`` are what rows have, in order."""

    title: str
    as_of: datetime | None
    columns: tuple[str, ...]
    totals: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    by: str | None = None
    since: date | None = None
    until: date | None = None

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        given = {"since": self.since, "until": self.until, "by": self.by}
        rows = {"rows": self.rows} if self.by else {}
        return {**self.about, "as_of": self.as_of, **given, **self.totals, **rows, "units": UNITS}


@dataclass(frozen=True, slots=True)
class Period:
    """Days (UTC) from ``since`` to ``until``, both included; ``None`` is open."""

    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise UsageError(f"since {self.since} is after until {self.until}", hint="both days are included")


ALL_TIME = Period()


async def campaign(
    tenant: Tenant, name_or_id: str | int, *, by: str | None = None, period: Period = ALL_TIME
) -> Report:
    """Counts and rates of a campaign, by day, step or variant; raises NotFound."""
    _known(by, CAMPAIGN_BY)
    from outreachdb.campaigns import campaigns  # noqa: PLC0415  (other reports start without templates and their kin)

    found = await campaigns.find(tenant, name_or_id)
    key = str(found.id)
    async with tenant.session("analytics", doing="reading campaign statistics") as session:
        as_of, totals = await _totals(session, "campaign", key, period)
        if by == "day":
            rows = await _days(session, "campaign", key, period, KEPT_COUNTS + RATES)
        elif by:
            keys = [row["key"] for row in await session.all(Q.campaign_keys, {"campaign_id": found.id, "grain": by})]
            rows = await _keyed(session, by, keys, period, KEPT_COUNTS + RATES)
            rows = [_step(row, by) for row in rows]
        else:
            rows = []
    about = {"campaign_id": found.id, "name": found.name}
    return Report(
        f"campaign {found.name}",
        as_of,
        ({"variant": ("step", "variant")}.get(by or "", (by,) if by else ()) + KEPT_COUNTS + RATES),
        totals,
        rows,
        about,
        by,
        period.since,
        period.until,
    )


async def workspace(
    tenant: Tenant, *, by: str | None = None, period: Period = ALL_TIME, limit: int = BUSIEST
) -> Report:
    """Counts and rates of the workspace, by day or for its ``limit`` busiest campaigns, mailboxes or domains."""
    _known(by, WORKSPACE_BY)
    async with tenant.session("analytics", doing="reading workspace statistics") as session:
        as_of, totals = await _totals(session, "workspace", "", period)
        rows = await _workspace_rows(session, tenant, by, period, limit, KEPT_COUNTS + RATES) if by else []
    columns = ((by,) if by else ()) + KEPT_COUNTS + RATES
    about = {"workspace": tenant.name}
    return Report(f"workspace {tenant.name}", as_of, columns, totals, rows, about, by, period.since, period.until)


async def deliverability(
    tenant: Tenant, *, by: str = "mailbox", period: Period | None = None, limit: int = BUSIEST
) -> Report:
    """Bounces, complaints and reputation, by default of the last 30 days and by mailbox."""
    _known(by, DELIVERABILITY_BY)
    period = period or Period(since=datetime.now(UTC).date() - timedelta(days=DELIVERABILITY_DAYS - 1))
    async with tenant.session("analytics", doing="reading deliverability") as session:
        as_of, totals = await _totals(session, "workspace", "", period, DELIVERABILITY)
        rows = await _workspace_rows(session, tenant, by, period, limit, DELIVERABILITY)
    return Report(
        f"deliverability of {tenant.name}",
        as_of,
        (by, *DELIVERABILITY),
        totals,
        rows,
        {"workspace": tenant.name},
        by,
        period.since,
        period.until,
    )


async def growth(tenant: Tenant, *, period: Period = ALL_TIME, refresh: bool = False) -> Report:
    """New leads by day, by default of the last 30 days, as of the last refresh of ``lead_analytics``.

    A view that was never refreshed, or ``refresh``, is brought up to date first.
    """
    await _refreshed(tenant, ("lead_analytics",), refresh)
    async with tenant.session("analytics", doing="reading growth") as session:
        rows = await session.all(Q.growth, {"since": period.since, "until": period.until})
    columns = ("day", "new_leads", "total_leads", "growth_rate", "contacted", "replied", "qualified", "converted")
    totals = {"new_leads": sum(row["new_leads"] for row in rows), "total_leads": rows[-1]["total_leads"] if rows else 0}
    return Report(
        f"growth of {tenant.name}",
        rows[0]["as_of"] if rows else None,
        columns,
        totals,
        [{name: row[name] for name in columns} for row in rows],
        {"workspace": tenant.name},
        "day",
        rows[0]["day"] if rows else period.since,
        rows[-1]["day"] if rows else period.until,
    )


async def engagement(tenant: Tenant, *, limit: int = BUSIEST, refresh: bool = False) -> Report:
    """How many leads have each level of engagement, and who has the highest scores, as of the last scoring."""
    await _refreshed(tenant, ("lead_analytics", views.SCORES), refresh)
    given = {"workspace_id": tenant.workspace_id, "limit": limit}
    async with tenant.session("analytics", doing="reading engagement") as session:
        as_of = await session.value(Q.as_of, {"view": views.SCORES})
        levels = {row["level"]: row["leads"] for row in await session.all(Q.levels)}
        rows = await session.all(Q.top_leads, given)
    columns = (
        *("lead_id", "email", "engagement_score", "engagement_level", "sent_count", "open_count", "click_count"),
        *("reply_count", "bounce_count", "last_engaged_at"),
    )
    return Report(
        f"engagement in {tenant.name}", as_of, columns, {"levels": levels}, rows, {"workspace": tenant.name}, "lead"
    )


async def _refreshed(tenant: Tenant, names: Sequence[str], anew: bool) -> None:
    known = {each.view for each in await views.staleness(tenant.pools) if each.refreshed_at is not None}
    for name in names:
        if anew or name not in known:
            await views.refresh(tenant.pools, name)


def _known(by: str | None, words: Sequence[str]) -> None:
    if by is not None and by not in words:
        raise UsageError(f"can't tell it by {by}", hint=did_you_mean(by, words, f"by one of: {', '.join(words)}"))


async def _read(session: Session, grain: str, keys: Sequence[str], period: Period, wanted: Sequence[str]) -> list[Row]:
    """Rows with the wanted columns, which are made into dicts once; by day where ``day`` is among them."""
    given = {
        "grain": grain, "keys": list(keys), "since": period.since, "until": period.until, "wanted": list(wanted),
    }  # fmt: skip
    names, rows = await session.tuples(Q.report, given | {"by_day": "day" in wanted})
    chosen = itemgetter(*(names.index(name) for name in wanted))
    return [dict(zip(wanted, chosen(row), strict=True)) for row in rows]


async def _totals(
    session: Session, grain: str, key: str, period: Period, columns: Sequence[str] = KEPT_COUNTS + RATES
) -> tuple[datetime, dict[str, Any]]:
    """One statement, so that a fold in between can't be seen half; zeros where nothing happened."""
    (row,) = await _read(session, grain, [key], period, ("key", "as_of", *columns))
    empty = row["key"] is None
    totals = {name: 0 if empty and name not in RATES and name != "reputation" else row[name] for name in columns}
    return row["as_of"], totals


async def _days(session: Session, grain: str, key: str, period: Period, columns: Sequence[str]) -> list[dict[str, Any]]:
    rows = await _read(session, grain, [key], period, ("day", *columns))
    return [row for row in rows if row["day"] is not None]


async def _keyed(
    session: Session, grain: str, keys: Sequence[str], period: Period, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """One row for each key that has counts, in the order of the keys."""
    found = {row["key"]: row for row in await _read(session, grain, keys, period, ("key", *columns))}
    return [found[key] for key in keys if key in found]


async def _workspace_rows(
    session: Session, tenant: Tenant, by: str, period: Period, limit: int, columns: Sequence[str]
) -> list[dict[str, Any]]:
    if by == "day":
        return await _days(session, "workspace", "", period, columns)
    keys = [row["key"] for row in await session.all(Q.busiest_keys, {"grain": by, "limit": limit})]
    rows = await _keyed(session, by, keys, period, columns)
    if by == "domain":
        return [{"domain": row.pop("key")} | row for row in rows]
    names = await _names(session, tenant, by, keys)
    return [{by: names.get(row["key"], row["key"]), f"{by}_id": int(row.pop("key"))} | row for row in rows]


async def _names(session: Session, tenant: Tenant, by: str, keys: Sequence[str]) -> dict[str, str]:
    query = Q.mailbox_names if by == "mailbox" else Q.campaign_names
    given = {"workspace_id": tenant.workspace_id, "ids": [int(key) for key in keys]}
    rows: list[Row] = await session.all(query, given)
    return {row["key"]: row["name"] for row in rows}


def _step(row: dict[str, Any], by: str) -> dict[str, Any]:
    _, step, *variant = row.pop("key").split(":", 2)
    return {"step": int(step)} | ({"variant": variant[0]} if by == "variant" else {}) | row
