"""No row and no address vanishes when addresses and external ids cross, within a file and against the workspace."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from uuid import uuid4

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.leads.importing import import_file, rejects
from outreachdb.leads.importing.policy import OnConflict
from outreachdb.tenancy import workspaces

addresses = st.sampled_from(["", "a@x.example", "A@X.example", "b@x.example", "c@x.example", "no address"])
# A row without an external id is of the lead whose other row claims one that is taken: both are refused.
CLAIMED = [
    [("a@x.example", "3", "")],
    [("", "3", ""), ("a@x.example", "", ""), ("b@x.example", "", ""), ("b@x.example", "3", "")],
]
# An id leads to a lead of another address, which "fill" and "skip" don't touch.
KEPT = [[("a@x.example", "1", "")], [("b@x.example", "1", "Rome"), ("", "1", ""), ("c@x.example", "", "")]]
rows = st.lists(st.tuples(addresses, st.sampled_from(["", "1", "2", "3"]), st.sampled_from(["", "Rome"])), max_size=9)


async def _check(url: str, folder: Path, files: list[list[tuple[str, str, str]]], policy: OnConflict) -> None:
    async with Pools(Settings.load({}, database_url=url)) as pools:
        made = await workspaces.create(pools, f"ids-{uuid4().hex}")
        tenant = await workspaces.tenant(pools, made.name)
        for number, content in enumerate(files):
            path = folder / f"{made.name}-{number}.csv"
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([("email", "external id", "city"), *content])
            report = await import_file(tenant, path, on_conflict=policy)
            assert report.rows_read == report.inserted + report.updated + report.skipped + report.rejected
            assert report.import_id is not None
            refused = {row["row_number"] async for row in rejects(tenant, report.import_id)}
            assert len(refused) == report.rejected
            async with tenant.session() as session:
                there = {row["email_key"] for row in await session.all("SELECT email_key FROM outreach.leads")}
            # No address vanishes: every one that was not rejected is a lead's now, whatever the policy.
            kept = {row[0].lower() for place, row in enumerate(content, 1) if row[0] and place not in refused}
            assert kept <= there
            again = await import_file(tenant, path, on_conflict=policy)
            assert (again.inserted, again.updated) == (0, 0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(rows.filter(bool), min_size=1, max_size=3), policy=st.sampled_from(["update", "fill", "skip"]))
@example(files=CLAIMED, policy="update")
@example(files=KEPT, policy="fill")
@example(files=KEPT, policy="skip")
def test_every_address_is_placed_or_rejected(
    database_url: str, tmp_path: Path, files: list[list[tuple[str, str, str]]], policy: OnConflict
) -> None:
    asyncio.run(_check(database_url, tmp_path, files, policy))
