"""Bad input, every way in: Python, both SQL functions, the command; refused with an error that says what and where."""

from __future__ import annotations

from outreachdb.benchmarks import refusals
from outreachdb.db.tenant import Tenant


async def test_nonsense_is_refused_clearly_every_way_in(database_url: str, tenant: Tenant) -> None:
    """What is taken for good, or refused in unclear words, raises; how long it takes is shown by `bench segments`."""
    found = await refusals.measured(database_url, tenant)
    ways = ("Python", "count_segmented_leads", "get_segmented_leads", "command")
    assert [each.name for each in found] == [f"bad input, {way}: {name}" for way in ways for name in refusals.NONSENSE]
