"""When a campaign will end, and which limit holds it up: its sends go through its limits on a simulated clock.

Mailboxes don't share limits, so each is simulated by itself, in groups of sends that are alike. What a limit costs is
found by leaving it out and simulating again: the one whose absence brings the end forward most is named as binding.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from outreachdb.campaigns import campaigns
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import Conflict
from outreachdb.sending.clocks import Window

Q = Queries("outreachdb.sending")
LIMITS = (
    "daily_cap",
    "frequency_cap",
    "min_spacing",
    "other_campaigns",
    "ramp_up",
    "start",
    "step_delays",
    "window",
)
SECONDS_PER_MAIL = 0.05  # of a mailbox that keeps no distance; a guess at its server's speed
CHUNK = timedelta(hours=1)  # sends of a group that leave within it are taken together
GROUPS = 5_000  # of sends that are alike to the instant; of more, instants are rounded up
HORIZON = timedelta(days=3 * 366)


@dataclass(frozen=True, slots=True)
class Forecast:
    """``ends_at`` is ``None`` where the end lies beyond three years or a limit lets nothing through.

    ``binding`` is the limit that costs most, ``None`` where only the servers' speed counts; ``gains`` says by how many
    seconds the end would come earlier without each limit that matters. ``rounded_to_seconds`` is 0 where every instant
    was counted as it is; where there are too many to simulate, 60 or 3600: then the end may come that much too late,
    never too early.
    """

    campaign_id: int
    name: str
    as_of: datetime
    sends: int
    ends_at: datetime | None
    binding: str | None
    gains: dict[str, float]
    rounded_to_seconds: int = 0

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Box:
    """A mailbox's limits; ``None`` is none."""

    id: int
    cap: int | None
    ramp: tuple[int, int, date] | None
    spacing: float
    sent_today: int

    def room(self, day: date) -> float:
        """How many mails it may send on a day (UTC)."""
        rooms: list[float] = [float("inf")]
        if self.cap is not None:
            rooms.append(self.cap)
        if self.ramp is not None:
            first, increase, since = self.ramp
            rooms.append(first + increase * max(0, (day - since).days))
        return min(rooms)


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """Sends that are alike: step, clock of the lead, when they are due, and when their leads were mailed lately.

    ``followed`` of the latest mails were sent in the simulation, one after the other at the mailbox's distance: what is
    told of them, and of ``due`` then, holds for the first of the group.
    """

    due: datetime
    step: int
    clock: str
    lately: tuple[datetime, ...]
    mine: bool
    n: int
    followed: int = 0

    def rest(self, count: int, gap: timedelta) -> Group:
        """What is left when some have been sent: the next one's mails left so much later than the first one's."""
        later = tuple(at + gap * count for at in self.lately[: self.followed])
        return replace(self, n=self.n - count, lately=later + self.lately[self.followed :])


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a simulation needs; ``delays`` are those before each step, the first included.

    Of a draft (``drafted``) nothing is in the ledger: its first steps are due when the first delay is over.
    """

    now: datetime
    start: datetime | None
    delays: tuple[timedelta, ...]
    window: Window | None
    frequency: tuple[int, timedelta] | None
    boxes: tuple[Box, ...]
    groups: dict[int, tuple[Group, ...]]
    drafted: bool

    def without(self, limit: str) -> Plan:
        """The same, had a limit not been set."""
        unlimited: dict[str, dict[str, Any]] = {
            "daily_cap": {"cap": None},
            "min_spacing": {"spacing": 0.0},
            "ramp_up": {"ramp": None},
        }
        if limit in unlimited:
            return replace(self, boxes=tuple(replace(box, **unlimited[limit]) for box in self.boxes))
        if limit == "other_campaigns":
            mine = {box: tuple(group for group in of if group.mine) for box, of in self.groups.items()}
            return replace(self, groups=mine)
        if limit == "frequency_cap":
            return replace(self if self.drafted else self._due_now(first=True, capped=True), frequency=None)
        if limit == "step_delays":
            return replace(self._due_now(first=False), delays=tuple(timedelta(0) for _ in self.delays))
        changed: dict[str, Any] = {limit: None}
        return replace(self._due_now(first=True, at=self.start if limit == "window" else None), **changed)

    def _due_now(self, *, first: bool, at: datetime | None = None, capped: bool = False) -> Plan:
        """The first steps (or the others) due at once: the ledger tells only when they are due under the limit.

        With ``capped`` only those of leads that have got as many mails as the frequency cap allows.
        """
        full = self.frequency[0] if capped and self.frequency else 0
        due = (at or self.now) + (self.delays[0] if first and self.drafted else timedelta(0))

        def freed(group: Group) -> Group:
            meant = group.mine and (group.step == 1) == first and len(group.lately) >= full
            return replace(group, due=due) if meant else group

        return replace(self, groups={box: tuple(freed(group) for group in of) for box, of in self.groups.items()})


async def forecast(tenant: Tenant, campaign: str | int, *, now: datetime | None = None) -> Forecast:
    """Forecast a draft or a running campaign, as if from ``now`` on; raises Conflict for a closed one."""
    found = await campaigns.find(tenant, campaign)
    if found.status in {"completed", "cancelled"}:
        way = f"outreachdb campaign next-run {found.id} makes a draft that goes on with it"
        raise Conflict(f"campaign {found.name}: it is {found.status}", hint=way)
    moment = now or datetime.now(UTC)
    plan, sends, rounded_to = await _read(tenant, found.id, moment)
    ends = {box.id: simulate(plan, box) for box in plan.boxes}
    end = _latest(ends.values())
    gains = {}
    if end is not None and sends:
        for limit in LIMITS:
            relaxed = plan.without(limit)
            if relaxed == plan:
                continue
            gain = (end - _end_without(relaxed, ends)).total_seconds()
            if gain >= 1:
                gains[limit] = gain
    binding = max(gains, key=lambda limit: gains[limit], default=None)
    stuck = end is None or end - moment >= HORIZON
    return Forecast(found.id, found.name, moment, sends, None if stuck else end, binding, gains, rounded_to)


def simulate(plan: Plan, box: Box) -> datetime | None:
    """When the last of the campaign's sends leaves a mailbox; ``None`` where it has none."""
    return _Simulation(plan, box).run()


class _Simulation:
    """One mailbox's clock."""

    def __init__(self, plan: Plan, box: Box) -> None:
        self.plan = plan
        self.box = box
        self.gap = timedelta(seconds=max(box.spacing, SECONDS_PER_MAIL))
        self.order = itertools.count()
        # Campaigns that share a mailbox take turns by the chunk; what is due first in a single one goes first.
        self.shared = not all(group.mine for group in plan.groups.get(box.id, ()))
        self.waiting: list[tuple[datetime, int, Group]] = []
        self.sent: dict[date, float] = defaultdict(float, {plan.now.astimezone(UTC).date(): box.sent_today})
        for group in plan.groups.get(box.id, ()):
            self._wait(group, plan.now)

    def run(self) -> datetime | None:
        """Send one group after the other."""
        clock, end = self.plan.now, None
        while self.waiting:
            ready, _, group = heapq.heappop(self.waiting)
            clock = max(clock, ready)
            if clock - self.plan.now > HORIZON:
                return self.plan.now + HORIZON
            today = clock.astimezone(UTC).date()
            room = self.box.room(today) - self.sent[today]
            if self._earliest(group, clock) > clock:
                self._wait(group, clock)
                continue
            midnight = datetime.combine(today + timedelta(days=1), time(), UTC)
            if room < 1:
                self._wait(group, midnight)
                continue
            until = min(clock + CHUNK, midnight, self._closing(group, clock))
            fitting = max(1, int((until - clock) / self.gap))
            count = int(min(group.n, room, fitting))
            self.sent[today] += count
            if group.n > count:
                turn = clock + self.gap * count if self.shared else ready
                heapq.heappush(self.waiting, (turn, next(self.order), group.rest(count, self.gap)))
            self._followed(group, count, clock)
            if group.mine:  # the last of them is followed by no gap
                end = clock + self.gap * (count - 1)
            clock += self.gap * count
        return end

    def _wait(self, group: Group, since: datetime) -> None:
        heapq.heappush(self.waiting, (self._earliest(group, since), next(self.order), group))

    def _followed(self, group: Group, count: int, sent_at: datetime) -> None:
        """The next step of those who are mailed now, the first of them at ``sent_at``.

        The others follow at the mailbox's distance, and so do their next steps: it never sends faster than that.
        """
        if not group.mine or group.step >= len(self.plan.delays):
            return
        cap = self.plan.frequency[0] if self.plan.frequency else 0
        due = sent_at + self.plan.delays[group.step]
        lately, followed = (sent_at, *group.lately)[:cap], min(cap, group.followed + 1)
        self._wait(replace(group, due=due, step=group.step + 1, lately=lately, followed=followed, n=count), sent_at)

    def _earliest(self, group: Group, since: datetime) -> datetime:
        at = max(group.due, since)
        if self.plan.frequency and len(group.lately) >= self.plan.frequency[0]:
            cap, days = self.plan.frequency
            at = max(at, group.lately[cap - 1] + days)
        if self.plan.window and group.mine:
            at = self.plan.window.opening(at, group.clock)
        return at

    def _closing(self, group: Group, clock: datetime) -> datetime:
        if self.plan.window and group.mine:
            return self.plan.window.closing(clock, group.clock)
        return clock + CHUNK


def _end_without(relaxed: Plan, ends: dict[int, datetime | None]) -> datetime:
    """The relaxed end: a limit less never makes a mailbox later, so only those that could be the last are simulated."""
    latest = relaxed.now
    for box in sorted(relaxed.boxes, key=lambda box: ends[box.id] or relaxed.now, reverse=True):
        if (ends[box.id] or relaxed.now) <= latest:
            break
        latest = max(latest, simulate(relaxed, box) or relaxed.now)
    return latest


def _latest(ends: Any) -> datetime | None:
    return max((end for end in ends if end is not None), default=None)


async def _read(tenant: Tenant, campaign_id: int, now: datetime) -> tuple[Plan, int, int]:
    key = {"workspace_id": tenant.workspace_id, "campaign_id": campaign_id}
    async with tenant.session("analytics", doing="reading what is left to send") as session:
        campaign = await session.one(Q.forecast_campaign, key)
        assert campaign is not None  # noqa: S101  (it was found just now)
        steps = await session.all(Q.forecast_steps, key)
        mailboxes = await session.all(Q.forecast_mailboxes, key)
        rows = await session.all(Q.forecast_sends, key | {"zone": campaign["window_zone"], "groups": GROUPS})
    start = datetime.fromisoformat(campaign["start"]) if campaign["start"] else None
    delays = tuple(timedelta(seconds=step["delay_seconds"]) for step in steps)
    boxes = tuple(_box(row, now) for row in mailboxes if row["status"] == "active")
    first = max(now, start or now) + delays[0]
    drafted = campaign["status"] in {"draft", "scheduled"}
    groups = _spread(rows, boxes, first) if drafted else _scheduled(rows, now)
    plan = Plan(
        now,
        start if start and start > now else None,
        delays,
        Window(campaign["window_from"], campaign["window_to"], campaign["window_days"])
        if campaign["window_from"] is not None
        else None,
        (campaign["frequency_sends"], timedelta(days=campaign["frequency_days"]))
        if campaign["frequency_sends"]
        else None,
        boxes,
        groups,
        drafted,
    )
    sends = sum(row["sends"] for row in rows if row["mine"]) * (len(steps) if drafted else 1)
    return plan, sends, max((row["rounded_to"] for row in rows), default=0)


def _box(row: Row, now: datetime) -> Box:
    ramp = None
    if row["ramp_first"] is not None:
        ramp = (row["ramp_first"], row["ramp_increase"], row["ramp_from"] or now.astimezone(UTC).date())
    return Box(row["id"], row["daily_cap"], ramp, row["min_spacing_ms"] / 1000, row["sent_today"])


def _spread(rows: Sequence[Row], boxes: Sequence[Box], first: datetime) -> dict[int, tuple[Group, ...]]:
    """The members of a draft's segment, dealt out to its mailboxes in turn as the launch will."""
    groups: dict[int, list[Group]] = defaultdict(list)
    turn = 0
    for row in sorted(rows, key=lambda row: row["lately"]):
        if not row["mine"]:
            groups[row["mailbox_id"]].append(_group(row))
            continue
        each, more = divmod(row["sends"], max(1, len(boxes)))
        for place, box in enumerate(boxes):
            if n := each + ((place - turn) % len(boxes) < more):
                groups[box.id].append(Group(first, 1, row["clock"], tuple(row["lately"]), True, n))
        turn += more
    return {box: tuple(of) for box, of in groups.items()}


def _scheduled(rows: Sequence[Row], now: datetime) -> dict[int, tuple[Group, ...]]:
    """What is scheduled: of each lead the next step; those behind it follow it in the simulation."""
    groups: dict[int, list[Group]] = defaultdict(list)
    for row in sorted((row for row in rows if not row["follows"]), key=lambda row: (row["step"], row["due"])):
        groups[row["mailbox_id"]].append(replace(_group(row), due=max(row["due"], now)))
    return {box: tuple(of) for box, of in groups.items()}


def _group(row: Row) -> Group:
    return Group(row["due"], row["step"], row["clock"], tuple(row["lately"]), row["mine"], row["sends"])
