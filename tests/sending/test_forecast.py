"""Forecasts on a simulated clock: relaxing the limit that is named moves the end, relaxing the others does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mailing import add_leads, campaign_file, launched, rows

from outreachdb.campaigns import campaigns
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict
from outreachdb.secrets import Keyring
from outreachdb.sending import Forecast, Limits, forecast, set_limits

NOW = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)  # a Monday
SMTP = {"host": "127.0.0.1", "port": 25, "security": "plain"}
# Limits that let 100 leads through within the hour.
SLACK: dict[str, Any] = {
    "cap": 1000,
    "ramp": {"first_day": 900, "increase": 10},
    "spacing": 2,
    "window": {"from": "00:00", "to": "24:00", "timezone": "Europe/Berlin"},
    "start": None,
    "delay": 0,
    "frequency": Limits(50, 30),
}
# Limit -> what makes it bind.
TIGHT: dict[str, dict[str, Any]] = {
    "daily_cap": {"cap": 10},
    "ramp_up": {"ramp": {"first_day": 3, "increase": 1}},
    "min_spacing": {"spacing": 3600},
    "window": {"window": {"from": "10:00", "to": "11:00", "days": ["fri"], "timezone": "Asia/Tokyo"}},
    "start": {"start": NOW + timedelta(days=20)},
    "step_delays": {"delay": "12 days"},
    "frequency_cap": {"frequency": Limits(1, 21)},
}


async def made(tenant: Tenant, keyring: Keyring, name: str, given: dict[str, Any]) -> Forecast:
    """The forecast of a new draft of two steps for 100 leads from one mailbox."""
    mailbox = {
        "address": f"{name.replace(' ', '-')}@sender.example",
        "smtp": SMTP,
        "daily_cap": given["cap"],
        "ramp_up": given["ramp"],
        "min_spacing": given["spacing"],
    }
    steps = [{"subject": "x", "text": "y"}, {"subject": "x", "text": "y", "delay": given["delay"]}]
    changes = {"mailboxes": [mailbox], "steps": steps, "window": given["window"], "start": given["start"]}
    await set_limits(tenant, given["frequency"])
    await campaigns.create(tenant, keyring, campaign_file(25, name, **changes))
    return await forecast(tenant, name, now=NOW)


async def test_the_named_limit_is_the_one_that_counts(hundred: Tenant, keyring: Keyring) -> None:
    slack = await made(hundred, keyring, "slack", SLACK)
    assert slack.sends == 200
    assert slack.ends_at is not None
    assert slack.ends_at - NOW < timedelta(minutes=10)
    for limit, tight in TIGHT.items():
        bound = await made(hundred, keyring, f"tight {limit}", SLACK | tight)
        assert bound.ends_at is not None
        assert bound.binding == limit, bound
        assert bound.ends_at - NOW > timedelta(days=2)
        # Relaxed for real, one after the other: campaigns as somebody would change them.
        for other, loose in TIGHT.items():
            key = next(iter(loose))
            changed = SLACK | tight | ({key: SLACK[key]} if other == limit else {key: relaxed(key)})
            then = await made(hundred, keyring, f"{limit} without {other}", changed)
            assert then.ends_at is not None
            if other == limit:
                assert then.ends_at < bound.ends_at - timedelta(days=1), (limit, other)
            else:
                assert abs(then.ends_at - bound.ends_at) < timedelta(minutes=15), (limit, other)


def relaxed(key: str) -> Any:
    return {
        "cap": 100_000,
        "ramp": None,
        "spacing": 0,
        "window": None,
        "start": None,
        "delay": 0,
        "frequency": None,
    }[key]


async def test_ends_are_those_one_can_count(hundred: Tenant, keyring: Keyring) -> None:
    capped = await made(hundred, keyring, "capped", SLACK | {"cap": 20, "ramp": None, "spacing": 0, "delay": "1 hour"})
    assert capped.ends_at is not None
    # 200 mails, 20 a day, from the first of March on; the last day's leave at midnight (UTC) or an hour later.
    assert capped.ends_at.date() == datetime(2027, 3, 10, tzinfo=UTC).date()
    # 12 in the hour that is left, then by eights: 9:00 to 17:00 in Tokyo is 0:00 to 8:00 UTC.
    tokyo = {"from": "09:00", "to": "17:00", "timezone": "Asia/Tokyo"}
    paced = await made(hundred, keyring, "paced", SLACK | {"spacing": 360, "window": tokyo})
    assert paced.ends_at is not None
    # From 8:00 UTC on the window is closed: 80 a day of 200, so the end is on the third day.
    # The last but one leaves a gap before the last, and nothing comes after it.
    assert paced.ends_at == datetime(2027, 3, 4, 3, 54, tzinfo=UTC)


async def test_a_running_campaign_counts_what_is_left_and_who_else_sends(hundred: Tenant, keyring: Keyring) -> None:
    boxes = [{"address": "m@sender.example", "smtp": SMTP, "daily_cap": 50}]
    await launched(hundred, keyring, 25, name="one", mailboxes=boxes)
    alone = await forecast(hundred, "one")
    assert alone.sends == 100
    assert alone.ends_at is not None
    assert alone.binding == "daily_cap"
    await launched(hundred, keyring, 25, name="two", mailboxes=boxes)
    crowded = await forecast(hundred, "two")
    assert crowded.ends_at is not None
    assert crowded.ends_at > alone.ends_at + timedelta(hours=20)
    assert "other_campaigns" in crowded.gains
    await campaigns.cancel(hundred, "one")
    assert "other_campaigns" not in (await forecast(hundred, "two")).gains
    with pytest.raises(Conflict):
        await forecast(hundred, "one")


async def test_nobody_and_never(tenant: Tenant, keyring: Keyring) -> None:
    await campaigns.create(tenant, keyring, campaign_file(25))
    nobody = await forecast(tenant, "spring")
    assert (nobody.sends, nobody.ends_at, nobody.binding) == (0, None, None)
    await add_leads(tenant, 2000)
    slow = [{"address": "slow@sender.example", "smtp": SMTP, "daily_cap": 1}]
    await campaigns.create(tenant, keyring, campaign_file(25, "slow", mailboxes=slow))
    never = await forecast(tenant, "slow")
    assert (never.ends_at, never.binding) == (None, "daily_cap")
    await rows(tenant, "UPDATE outreach.mailboxes SET status = 'paused' WHERE workspace_id = %s RETURNING id",
               tenant.workspace_id)  # fmt: skip
    paused = await forecast(tenant, "slow")
    assert (paused.sends, paused.ends_at) == (2000, None)
