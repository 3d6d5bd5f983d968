"""What a forecast says is what claims do: the same campaigns, sent by the real ledger on a simulated clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mailing import add_leads, campaign_file
from simulated import SimulatedClock

from outreachdb.campaigns import campaigns
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.secrets import Keyring
from outreachdb.sending import Limits, forecast, schedule, set_limits
from outreachdb.tenancy import workspaces

NOW = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)  # a Monday
LEADS = 24
SMTP = {"host": "127.0.0.1", "port": 25, "security": "plain"}
SLACK: dict[str, Any] = {
    "cap": 1000, "ramp": {"first_day": 900, "increase": 10}, "spacing": 2, "start": None, "delay": 0,
    "window": {"from": "00:00", "to": "24:00", "timezone": "Europe/Berlin"}, "frequency": Limits(50, 30),
}  # fmt: skip
TIGHT: dict[str, dict[str, Any]] = {
    "daily_cap": {"cap": 7},
    "ramp_up": {"ramp": {"first_day": 2, "increase": 1}},
    "min_spacing": {"spacing": 5400},
    "window": {
        "window": {"from": "10:00", "to": "11:00", "days": ["fri"], "timezone": "Asia/Tokyo"},
    },
    "start": {"start": NOW + timedelta(days=20)},
    "step_delays": {"delay": "12 days"},
    "frequency_cap": {"frequency": Limits(1, 21)},
    # Whoever got the first one seven minutes after the one before gets the second so as well.
    "distance_and_delay": {"spacing": 420, "delay": "2 days"},
    # Several at once: 12 an hour on two mornings a week, 20 a day, the second step five days after the first.
    "together": {
        "cap": 20, "spacing": 300, "delay": "5 days",
        "window": {"from": "09:00", "to": "10:00", "days": ["tue", "thu"], "timezone": "America/New_York"},
    },
}  # fmt: skip
# A step without a delay looks once a minute whether the one before has left.
TOLERANCE = timedelta(minutes=1)


@pytest.fixture
async def simulated(own_database_url: str) -> AsyncIterator[tuple[Pools, SimulatedClock]]:
    clock = SimulatedClock(own_database_url, NOW)
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        yield pools, clock
    clock.close()


async def ends(pools: Pools, clock: SimulatedClock, keyring: Keyring, name: str, given: dict[str, Any]) -> datetime:
    """When the last mail of a campaign left; the forecasts of draft, launch and half-way said the same."""
    clock.set(NOW)
    await workspaces.create(pools, name)
    tenant = await workspaces.tenant(pools, name)
    await add_leads(tenant, LEADS)
    await _create(tenant, keyring, "spring", given)
    return await _held(tenant, clock, "spring", 2 * LEADS)


async def _held(tenant: Tenant, clock: SimulatedClock, campaign: str, sends: int) -> datetime:
    """Launch a draft and send it; the forecasts said when the last mail would leave."""
    began = clock.at
    draft = await forecast(tenant, campaign, now=began)
    await schedule.launch(tenant, campaign, launched_at=began)
    launched = await forecast(tenant, campaign, now=began)
    assert draft.ends_at is not None
    assert draft.sends == launched.sends == sends
    await clock.send_everything(tenant, until=began + (draft.ends_at - began) / 2)
    half = await forecast(tenant, campaign, now=clock.at)
    assert half.sends <= sends
    last = await clock.send_everything(tenant) or clock.at
    for told in (draft, launched, half):
        assert told.ends_at is not None
        assert abs(told.ends_at - last) <= TOLERANCE, (tenant.name, told, last)
        assert told.rounded_to_seconds == 0
    return last


async def _create(
    tenant: Tenant, keyring: Keyring, name: str, given: dict[str, Any], *, steps: int = 2, address: str = "box"
) -> int:
    mailbox = {
        "address": f"{address}@sender.example", "smtp": SMTP, "daily_cap": given["cap"], "ramp_up": given["ramp"],
        "min_spacing": given["spacing"],
    }  # fmt: skip
    first, *others = [{"subject": "x", "text": "y"}] * steps
    changes = {"mailboxes": [mailbox], "steps": [first, *(each | {"delay": given["delay"]} for each in others)]}
    changes |= {"window": given["window"], "start": given["start"]}
    await set_limits(tenant, given["frequency"])
    return (await campaigns.create(tenant, keyring, campaign_file(25, name, **changes))).id


@pytest.mark.slow
async def test_the_last_mail_leaves_when_the_forecast_says(
    simulated: tuple[Pools, SimulatedClock], keyring: Keyring
) -> None:
    slack = await ends(*simulated, keyring, "slack", SLACK)
    assert slack - NOW < timedelta(minutes=10)
    for limit, tight in TIGHT.items():
        assert await ends(*simulated, keyring, limit, SLACK | tight) > slack + timedelta(days=1), limit


async def test_a_frequency_cap_lets_go_at_the_very_instant(
    simulated: tuple[Pools, SimulatedClock], keyring: Keyring
) -> None:
    pools, clock = simulated
    await workspaces.create(pools, "often")
    tenant = await workspaces.tenant(pools, "often")
    await add_leads(tenant, LEADS)
    # Two mails in three days: the first campaign mails somebody every 35 seconds, the other's second step has to wait.
    given = SLACK | {"frequency": Limits(2, 3), "delay": "1 day"}
    await _create(tenant, keyring, "one", given | {"spacing": 35}, steps=1)
    await schedule.launch(tenant, "one", launched_at=NOW)
    first = await clock.send_everything(tenant)
    assert first == NOW + timedelta(seconds=35 * (LEADS - 1))
    clock.set(first + timedelta(minutes=1))
    two = await _create(tenant, keyring, "two", given, address="other")
    # As many groups as there are instants, or fewer with instants that are rounded up; nobody is lost.
    minute = first.replace(second=0) + timedelta(minutes=1)
    hour = first.replace(minute=0, second=0) + timedelta(hours=1)
    for groups, rounded_to, latest in ((LEADS, 0, first), (LEADS - 1, 60, minute), (3, 3600, hour)):
        async with tenant.session() as session:
            rows = await session.all("SELECT * FROM outreach.forecast_sends(%s, %s)", [two, groups])
        assert {row["rounded_to"] for row in rows} == {rounded_to}
        assert sum(row["sends"] for row in rows) == LEADS
        assert len(rows) <= groups
        assert max(row["lately"] for row in rows) == [latest]
    last = await _held(tenant, clock, "two", 2 * LEADS)
    assert timedelta(0) <= last - first - timedelta(days=3) <= TOLERANCE
    # Who has had two mails in three days is left out by a launch, and so by the forecast of a draft.
    await _create(tenant, keyring, "three", given, address="third")
    assert (await forecast(tenant, "three", now=clock.at)).sends == 0
