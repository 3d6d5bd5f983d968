"""A recount of everything that was ever accepted, in Python by the definitions: what the rollups must say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from launched import Launched, launch

from outreachdb.db.tenant import Tenant
from outreachdb.events.normal import NormalEvent
from outreachdb.secrets import Keyring

# (grain, key, kind, day) -> events, mails whose first such event it was, people whose first it was
Buckets = dict[tuple[str, str, str, date], tuple[int, int, int]]
MARKED = ("delivered", "opened", "clicked", "replied", "bounced", "complained", "unsubscribed")
COUNTED = """
SELECT grain, key, kind, day, sum(total)::int AS total, sum(mails)::int AS mails, sum(people)::int AS people FROM (
  SELECT grain, key, kind, day, total, mails, people FROM analytics.rollups WHERE workspace_id = %(ws)s
  UNION ALL
  SELECT grain, key, kind, day, total, mails, people FROM analytics.rollup_deltas WHERE workspace_id = %(ws)s
) AS both_tables
GROUP BY 1, 2, 3, 4 HAVING sum(total) <> 0 OR sum(mails) <> 0 OR sum(people) <> 0
"""
TOTALLED = """
SELECT grain, key, kind, sum(total)::int AS total, sum(mails)::int AS mails, sum(people)::int AS people
FROM analytics.totals WHERE workspace_id = %(ws)s GROUP BY 1, 2, 3 HAVING sum(total) <> 0
"""
SENDS = """
SELECT s.id, s.lead_id, s.campaign_id, s.step, s.variant, s.mailbox_id, s.recipient, s.sent_at
FROM outreach.email_sends AS s WHERE s.workspace_id = %(ws)s ORDER BY s.id
"""
# The second campaign writes to the leads of the first, each mailbox and variant gets its share.
MIX = """
WITH placed AS (
  SELECT s.id, s.created_at, s.campaign_id, s.step,
         row_number() OVER (PARTITION BY s.campaign_id, s.step ORDER BY s.lead_id) AS n
  FROM outreach.email_sends AS s WHERE s.workspace_id = %(ws)s
), people AS (
  SELECT l.id, l.email, row_number() OVER (ORDER BY l.id) AS n FROM outreach.leads AS l
  WHERE l.workspace_id = %(ws)s AND l.id IN (SELECT lead_id FROM outreach.email_sends WHERE campaign_id = %(first)s)
), boxes AS (
  SELECT array_agg(m.id ORDER BY m.id) AS ids FROM outreach.mailboxes AS m WHERE m.workspace_id = %(ws)s
)
UPDATE outreach.email_sends AS s
SET lead_id = q.id, recipient = q.email, mailbox_id = b.ids[1 + q.n %% 2],
    variant = (ARRAY['a', 'b', NULL])[1 + (q.n + p.step) %% 3]
FROM placed AS p JOIN people AS q ON q.n = p.n, boxes AS b
WHERE s.workspace_id = %(ws)s AND s.id = p.id AND s.created_at = p.created_at
"""
# As outreach.record_sends counts them.
SENT = """
INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day, total, mails, people)
SELECT %(ws)s, k.grain, k.key, 'sent', (s.sent_at AT TIME ZONE 'UTC')::date, count(*), count(*),
       count(*) FILTER (WHERE k.grain IN ('step', 'variant') OR k.grain = 'campaign' AND s.step = 1)
FROM outreach.email_sends AS s
CROSS JOIN LATERAL (VALUES
  ('workspace', ''), ('campaign', s.campaign_id::text), ('step', s.campaign_id || ':' || s.step),
  ('mailbox', s.mailbox_id::text), ('variant', s.campaign_id || ':' || s.step || ':' || s.variant),
  ('domain', split_part(lower(s.recipient), '@', -1))) AS k (grain, key)
WHERE s.workspace_id = %(ws)s AND k.key IS NOT NULL
GROUP BY 1, 2, 3, 4, 5
"""


@dataclass
class Accepted:
    """Two campaigns of a workspace that share leads, and every event that was stored for them."""

    campaigns: list[Launched]
    sends: dict[int, dict[str, Any]]
    events: dict[str, tuple[int, str, datetime, bool]] = field(default_factory=dict)

    def event(self, number: int, kind: str, minutes: float, **more: Any) -> NormalEvent:
        """An event of the number-th send."""
        campaign, send = [(each, send) for each in self.campaigns for send in each.sends][number]
        return campaign.event(send, kind, minutes, **more)

    def take(self, event: NormalEvent) -> None:
        """Note an event that ingest stored (a redelivery changes nothing)."""
        send = next(s for each in self.campaigns for s in each.sends if s.message_id == event.message_id)
        kind = "prefetched" if event.prefetched and event.event in ("opened", "clicked") else event.event
        self.events[event.key()] = (send.id, kind, event.timestamp, event.severity == "soft")

    def buckets(self) -> Buckets:
        """The recount."""
        total, mails, people = self._sent(), self._sent(), Counter[Any]()
        for send_id, kind, at, _ in self.events.values():
            if kind not in ("sent", "failed"):
                total.update((*bucket, kind, _day(at)) for bucket in self._keys(send_id))
        firsts: dict[Any, datetime] = {}
        for (send_id, kind), at in self._marks().items():
            mails.update((*bucket, kind, _day(at)) for bucket in self._keys(send_id))
            for grain, key in self._keys(send_id):
                # Of steps and variants everybody who got one counts; elsewhere delivery is told of mails alone.
                if kind != "delivered" or grain in ("step", "variant"):
                    who = (grain, key, kind, self.sends[send_id]["lead_id"])
                    firsts[who] = min(at, firsts.get(who, at))
        people.update((*who[:3], _day(at)) for who, at in firsts.items())
        people.update(bucket for bucket in self._sent().elements() if bucket[0] in ("step", "variant"))
        for send in self.sends.values():
            people["campaign", str(send["campaign_id"]), "sent", _day(send["sent_at"])] += send["step"] == 1
        return {bucket: (total[bucket], mails[bucket], people[bucket]) for bucket in total | mails | people}

    def _marks(self) -> dict[tuple[int, str], datetime]:
        """When a mail first met a kind of event; a soft bounce is not the end of an address."""
        marks: dict[tuple[int, str], datetime] = {}
        for send_id, kind, at, soft in self.events.values():
            if kind in MARKED and not (kind == "bounced" and soft):
                marks[send_id, kind] = min(at, marks.get((send_id, kind), at))
        return marks

    def _sent(self) -> Counter[Any]:
        return Counter(
            (*bucket, "sent", _day(send["sent_at"]))
            for number, send in self.sends.items()
            for bucket in self._keys(number)
        )

    def _keys(self, send_id: int) -> Iterator[tuple[str, str]]:
        send = self.sends[send_id]
        step = f"{send['campaign_id']}:{send['step']}"
        yield from (("workspace", ""), ("campaign", str(send["campaign_id"])), ("step", step))
        yield from (("mailbox", str(send["mailbox_id"])), ("domain", send["recipient"].lower().partition("@")[2]))
        if send["variant"]:
            yield "variant", f"{step}:{send['variant']}"


async def two_campaigns(
    tenant: Tenant,
    keyring: Keyring,
    *,
    leads: int = 4,
    steps: int = 2,
    launched_at: tuple[datetime | None, datetime | None] = (None, None),
) -> Accepted:
    """Two campaigns to the same leads, from two mailboxes, some mails with variants."""
    made = [await launch(tenant, keyring, leads=leads, steps=steps, launched_at=when) for when in launched_at]
    given = {"ws": tenant.workspace_id, "first": made[0].campaign_id}
    async with tenant.trusted() as session:
        await session.execute(MIX, given)
        await session.execute(SENT, given)
        sends = await session.all(SENDS, given)
    return Accepted(made, {row["id"]: row for row in sends})


async def counted(tenant: Tenant) -> Buckets:
    """What the rollups and the deltas say together, of kinds that events have."""
    async with tenant.trusted() as session:
        rows = await session.all(COUNTED, {"ws": tenant.workspace_id})
    return {(r["grain"], r["key"], r["kind"], r["day"]): (r["total"], r["mails"], r["people"]) for r in rows}


async def totalled(tenant: Tenant) -> dict[tuple[str, str, str], tuple[int, int, int]]:
    """What the totals of all days say."""
    async with tenant.trusted() as session:
        rows = await session.all(TOTALLED, {"ws": tenant.workspace_id})
    return {(r["grain"], r["key"], r["kind"]): (r["total"], r["mails"], r["people"]) for r in rows}


def summed(buckets: Buckets) -> dict[tuple[str, str, str], tuple[int, int, int]]:
    """Buckets of all days together."""
    sums: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (grain, key, kind, _), counts in buckets.items():
        sums[grain, key, kind] = [a + b for a, b in zip(sums[grain, key, kind], counts, strict=True)]
    return {key: (a, b, c) for key, (a, b, c) in sums.items()}


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()
