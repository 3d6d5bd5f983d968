"""Alerts: tell people when a check stays bad, when it gets worse, again after a while, and when it is good again.

A check has to be bad ``bad`` times in a row before it fires and good ``good`` times before it is resolved. Where it
stands is kept in ``ops.alerts``, and what is to be told is written to ``ops.alert_messages`` in the same transaction: a
restart fires nothing again, and a process that is killed before it has told leaves the message to the next. Of several
workers one takes a step, the others see that it was taken. A message can be told twice only when a process dies between
telling and noting; it carries the same key then.

::

    [alerts]
    level = "yellow"          # from which level on
    bad = 3
    good = 3
    repeat_hours = 12
    every_seconds = 60        # how often the checks are looked at
    mute = ["unused_indexes"]

    [[alerts.channels]]
    name = "ops"
    kind = "slack"            # or "webhook", "email"
    url_env = "OPS_SLACK_URL"
    level = "red"
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from psycopg.types.json import Jsonb

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, session
from outreachdb.errors import InvalidInput
from outreachdb.health import report
from outreachdb.health.channels import Channel, NotDelivered, channel
from outreachdb.health.configuration import Configuration
from outreachdb.health.report import Report, Result

Q = Queries("outreachdb.health")
log = structlog.get_logger(__name__)
RANKS = {"yellow": 1, "red": 2}
LEASE_SECONDS = 60.0  # longer than any channel's own time limit
LONGEST_PAUSE = 900.0
PORTION = 10  # told at the same time


@dataclass(frozen=True, slots=True)
class Alerting:
    """The section ``alerts`` of the configuration."""

    level: str = "yellow"
    bad: int = 3
    good: int = 3
    repeat_hours: float = 12
    every_seconds: float = 60
    mute: frozenset[str] = frozenset()
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did: whether it took the step (another worker may have), messages written, sent and failed."""

    stepped: bool
    written: int
    sent: int
    failed: int


def alerting(configuration: Configuration) -> Alerting:
    """The section as it is meant; raises InvalidInput that names the place."""
    given = dict(configuration.alerts)
    channels = given.pop("channels", [])
    if not isinstance(channels, list):
        raise InvalidInput("alerts.channels must be a list", hint="[[alerts.channels]]")
    numbers = {"bad": (int, 1), "good": (int, 1), "repeat_hours": (float, 0.01), "every_seconds": (float, 1)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "level" and value in RANKS:
            values[key] = value
        elif key == "mute" and isinstance(value, list):
            values[key] = frozenset(map(str, value))
        elif key in numbers and _is_number(value) and value >= numbers[key][1]:
            values[key] = numbers[key][0](value)
        else:
            known = ", ".join(["level", "mute", "channels", *numbers])
            raise InvalidInput(f"alerts.{key} can't be {value!r}", hint=f"known: {known}; see the page on alerts")
    made = tuple(channel(entry, f"alerts.channels[{place}]") for place, entry in enumerate(channels))
    names = [each.name for each in made]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"alerts.channels: two are named {repeated[0]}", hint="give each a name")
    return Alerting(**values, channels=made)


async def run(pools: Pools, configuration: Configuration) -> Round:
    """One round, for the jobs: run the checks, take a step, tell what is waiting."""
    wanted = alerting(configuration)
    written: int | None = None
    if not await _is_recent(pools, wanted):
        found = await report.check(pools.url("admin"), configuration, settings=pools.settings)
        written = await step(pools, found, wanted)
    sent, failed = await deliver(pools, wanted)
    return Round(written is not None, written or 0, sent, failed)


async def step(pools: Pools, found: Report, wanted: Alerting, *, now: datetime | None = None) -> int | None:
    """Take one step for every check and write what is to be told; None where another worker has just done it."""
    at = now or datetime.now(UTC)
    checks = [_entry(each, found) for each in found.applying if each.name not in wanted.mute]
    channels = [{"name": each.name, "rank": RANKS[each.level]} for each in wanted.channels]
    given = {
        "checks": Jsonb(checks),
        "channels": Jsonb(channels),
        "now": at,
        "rank": RANKS[wanted.level],
        "bad": wanted.bad,
        "good": wanted.good,
        "repeat": wanted.repeat_hours * 3600,
    }
    names = [each.name for each in found.checks if each.name not in wanted.mute]
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="stepping alerts") as open_session:
        if not await open_session.value(Q.try_alert_lock):
            return None
        if now is None and await open_session.value(Q.last_alert_round, {"seconds": wanted.every_seconds / 2}):
            return None
        await open_session.execute(Q.forget_alerts, {"names": names})
        return len(await open_session.all(Q.advance_alerts, given))


async def _is_recent(pools: Pools, wanted: Alerting) -> bool:
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="looking at alerts") as open_session:
        return bool(await open_session.value(Q.last_alert_round, {"seconds": wanted.every_seconds / 2}))


async def deliver(pools: Pools, wanted: Alerting) -> tuple[int, int]:
    """Tell what is waiting; how many messages were sent, and how many will be tried again."""
    by_name = {each.name: each for each in wanted.channels}
    given = {"channels": list(by_name), "lease": LEASE_SECONDS, "limit": PORTION}
    sent = failed = 0
    while by_name:
        async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="taking messages") as open_session:
            taken = await open_session.all(Q.take_messages, given)
        told = await asyncio.gather(*(_tell(pools, by_name[each["channel"]], each) for each in taken))
        sent, failed = sent + sum(told), failed + len(told) - sum(told)
        if not taken:
            break
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="clearing messages away") as open_session:
        await open_session.execute(Q.drop_messages)
    return sent, failed


async def _tell(pools: Pools, where: Channel, message: Mapping[str, Any]) -> bool:
    try:
        await where.send(message["document"], f"outreachdb-alert-{message['id']}")
    except NotDelivered as error:
        wait = min(15.0 * 2 ** (int(message["attempts"]) - 1), LONGEST_PAUSE)
        log.warning("an alert was not delivered", channel=where.name, check=message["check_name"], reason=str(error))
        async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="noting a failure") as open_session:
            await open_session.execute(Q.message_failed, {"id": message["id"], "error": str(error), "wait": wait})
        return False
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="noting a message") as open_session:
        await open_session.execute(Q.message_sent, {"id": message["id"]})
    return True


async def try_channels(wanted: Alerting) -> dict[str, str | None]:
    """Send a test message to every channel; name -> None, or why it did not arrive."""
    document = {
        "check": "test",
        "title": "Test message",
        "database": "no database",
        "level": "yellow",
        "event": "firing",
        "status": "yellow",
        "value": None,
        "unit": "",
        "summary": "OutreachDB can reach you here.",
        "advice": "Nothing is to be done.",
    }
    found: dict[str, str | None] = {}
    for each in wanted.channels:
        try:
            await each.send(document, f"outreachdb-test-{datetime.now(UTC).timestamp():.0f}")
            found[each.name] = None
        except NotDelivered as error:
            found[each.name] = str(error)
    return found


async def listed(pools: Pools, *, everything: bool = False) -> Sequence[Mapping[str, Any]]:
    """The alerts that fire, or where every check stands."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="listing alerts") as open_session:
        return await open_session.all(Q.alerts, {"everything": everything})


def _entry(each: Result, found: Report) -> dict[str, Any]:
    told = each.document()
    document = {key: told[key] for key in ("status", "value", "yellow", "red", "unit", "advice")}
    document |= {"check": each.name, "title": each.title, "summary": each.summary, "database": found.database}
    return {"name": each.name, "status": each.status, "document": document}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
