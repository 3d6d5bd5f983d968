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
    # Several at once: 12 an hour on two mornings a week, 20 a day, the second step five days after the first.
    "together": {
        "cap": 20, "spacing": 300, "delay": "5 days",
        "window": {"from": "09:00", "to": "10:00", "days": ["tue", "thu"], "timezone": "America/New_York"},
    },
}  # fmt: skip
TOLERANCE = timedelta(minutes=10)


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
    await _create(tenant, keyring, given)
    draft = await forecast(tenant, "spring", now=clock.at)
    await schedule.launch(tenant, "spring", launched_at=NOW)
    launched = await forecast(tenant, "spring", now=clock.at)
    assert draft.ends_at is not None
    assert draft.sends == launched.sends == 2 * LEADS
    await clock.send_everything(tenant, until=NOW + (draft.ends_at - NOW) / 2)
    half = await forecast(tenant, "spring", now=clock.at)
    last = await clock.send_everything(tenant) or clock.at
    for told in (draft, launched, half):
        assert told.ends_at is not None
        assert abs(told.ends_at - last) <= TOLERANCE, (name, told, last)
    return last


async def _create(tenant: Tenant, keyring: Keyring, given: dict[str, Any]) -> None:
    mailbox = {
        "address": "box@sender.example", "smtp": SMTP, "daily_cap": given["cap"], "ramp_up": given["ramp"],
        "min_spacing": given["spacing"],
    }  # fmt: skip
    steps = [{"subject": "x", "text": "y"}, {"subject": "x", "text": "y", "delay": given["delay"]}]
    changes = {"mailboxes": [mailbox], "steps": steps, "window": given["window"], "start": given["start"]}
    await set_limits(tenant, given["frequency"])
    await campaigns.create(tenant, keyring, campaign_file(25, **changes))


@pytest.mark.slow
async def test_the_last_mail_leaves_when_the_forecast_says(
    simulated: tuple[Pools, SimulatedClock], keyring: Keyring
) -> None:
    slack = await ends(*simulated, keyring, "slack", SLACK)
    assert slack - NOW < timedelta(minutes=10)
    for limit, tight in TIGHT.items():
        assert await ends(*simulated, keyring, limit, SLACK | tight) > slack + timedelta(days=1), limit
