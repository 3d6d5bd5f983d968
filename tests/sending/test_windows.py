"""Send windows on the lead's clock: the database and the simulated clock of forecasts agree with the calendar."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mailing import launched, rows

from outreachdb.db.tenant import Tenant
from outreachdb.secrets import Keyring
from outreachdb.sending.clocks import Window
from outreachdb.sending.ledger import Ledger

# Clocks go forward on 29 March 2026 (Berlin), 8 March (New York), 4 October (Lord Howe, by half an hour), all at 2:00;
# back on 25 October, 1 November, 5 April.
CASES = (
    ("Europe/Berlin", datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 23, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 10, 30, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 2, tzinfo=UTC), datetime(2026, 10, 6, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 4, tzinfo=UTC)),
)
WINDOWS = (
    (time(9), time(17), None),
    (time(9, 30), time(12, 15), [1, 2, 3, 4, 5]),
    (time(2, 15), time(3, 30), None),
    (time(2, 0), time(2, 45), [7]),
    (time(1, 30), time(2, 30), None),
    (time(0), time.max, [6, 7]),
)
OPENING = """
    SELECT t.at, outreach.window_opening(
        t.at, %(zone)s, %(opens)s::time, %(closes)s::time, %(days)s::smallint[]) AS opening
    FROM unnest(%(instants)s::timestamptz[]) AS t (at)
"""


def by_the_calendar(at: datetime, zone: str, opens: time, closes: time, days: list[int] | None) -> datetime | None:
    """The first open minute, by looking at every one of the next three weeks."""
    local = ZoneInfo(zone)
    step = at
    while step < at + timedelta(days=21):
        shown = step.astimezone(local)
        if opens <= shown.time() < closes and (days is None or shown.isoweekday() in days):
            return step
        # To the next full minute, in steps that no window here is shorter than.
        step = step.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return None


async def test_openings_are_the_calendar_s_also_where_clocks_change(tenant: Tenant) -> None:
    source = random.Random(5)
    for zone, first, last in CASES:
        span = (last - first).total_seconds()
        instants = [first + timedelta(seconds=int(source.random() * span)) for _ in range(6)]
        for opens, closes, days in WINDOWS:
            given = {"zone": zone, "opens": opens, "closes": closes, "days": days, "instants": instants}
            async with tenant.session() as session:
                found = await session.all(OPENING, given)
            for row in found:
                expected = by_the_calendar(row["at"], zone, opens, closes, days)
                told = (zone, opens, closes, days, row["at"])
                assert row["opening"] == expected, told
                assert Window(opens, closes, days).opening(row["at"], zone) == expected, told


async def test_people_s_spellings_of_zones(tenant: Tenant) -> None:
    given = {
        "Europe/Paris": "13:00", "utc+2": "14:00", "GMT-05:30": "06:30", "+0545": "17:45", "": "21:00",
        "the moon": "21:00", "UTC+99": "21:00", "America/Nowhere": "21:00", "UTC": "12:00", "'; DROP": "21:00",
    }  # fmt: skip
    async with tenant.session() as session:
        found = await session.all(
            "SELECT z, to_char(timezone(outreach.known_zone(z, 'Asia/Tokyo'), '2026-01-15T12:00Z'::timestamptz), "
            "'HH24:MI') AS clock FROM unnest(%s::text[]) AS z",
            [list(given)],
        )
    assert {row["z"]: row["clock"] for row in found} == given


async def test_a_claim_keeps_to_the_window_of_each_lead(tenant: Tenant, keyring: Keyring) -> None:
    now = datetime.now(UTC)
    if (now.minute, now.second // 30) == (59, 1):  # windows open and close on the hour: none in between
        await asyncio.sleep(61 - now.second)
        now = datetime.now(UTC)
    # It is noon somewhere and midnight on the other side of the Earth.
    noon = (12 - now.hour) % 24
    east = f"UTC+{noon}" if noon <= 12 else f"UTC-{24 - noon}"
    west = f"UTC{(noon + 12) % 24 - 24 if (noon + 12) % 24 > 12 else '+' + str((noon + 12) % 24)}"
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, first_name, timezone) VALUES "
            "(%(w)s, 'noon@example.org', 'N', %(east)s), (%(w)s, 'midnight@example.org', 'M', %(west)s), "
            "(%(w)s, 'nowhere@example.org', 'X', NULL)",
            {"w": tenant.workspace_id, "east": east, "west": west},
        )
    window = {"from": "10:00", "to": "15:00", "timezone": "UTC"}
    made = await launched(tenant, keyring, 25, window=window)
    assert made.scheduled == 3
    assert made.excluded == {}
    found = await rows(
        tenant,
        "SELECT recipient, scheduled_at FROM outreach.email_sends WHERE workspace_id = %s ORDER BY 1",
        tenant.workspace_id,
    )
    times = {row["recipient"].split("@")[0]: row["scheduled_at"] for row in found}
    assert timedelta(hours=9) < times["midnight"] - now < timedelta(hours=12)
    assert (times["nowhere"] <= datetime.now(UTC)) == (10 <= now.hour < 15)
    # Whatever the ledger says, the claim looks at the clock again.
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET scheduled_at = now() WHERE workspace_id = %s", [tenant.workspace_id]
        )
    sends, others = await Ledger(tenant, timedelta(minutes=5)).claim(10, [])
    assert "noon@example.org" in {send.recipient for send in sends}
    assert {"midnight@example.org": "postponed"}.items() <= {row["recipient"]: row["verdict"] for row in others}.items()
