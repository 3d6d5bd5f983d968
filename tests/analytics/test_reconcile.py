"""What reconcile and freeze find when somebody touched the rollups, and that they mend it."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from recounting import Accepted, counted, summed, totalled, two_campaigns
from test_rollups import history

from outreachdb.analytics import rollups
from outreachdb.db.tenant import Tenant
from outreachdb.errors import OutreachDBError
from outreachdb.events.ingest import ingest
from outreachdb.secrets import Keyring

# Each spoils the n-th bucket in some way.
PICK = """(SELECT ctid FROM analytics.rollups
  WHERE workspace_id = %(ws)s AND kind = 'opened' AND mails > 0 AND people > 0
  ORDER BY grain, key, day OFFSET %(n)s LIMIT 1)"""
TAMPERINGS = {
    "more": f"UPDATE analytics.rollups SET total = total + 1 WHERE ctid = {PICK}",
    "people": f"UPDATE analytics.rollups SET people = people - 1 WHERE ctid = {PICK}",
    "mails": f"UPDATE analytics.rollups SET mails = mails - 1 WHERE ctid = {PICK}",
    "gone": f"DELETE FROM analytics.rollups WHERE ctid = {PICK}",
    "invented": """
        INSERT INTO analytics.rollups (workspace_id, grain, key, kind, day, total)
        SELECT workspace_id, grain, key || 'x', kind, day, 1 FROM analytics.rollups WHERE ctid = """
    + PICK,
    "total": """
        UPDATE analytics.totals SET total = total + 5
        WHERE workspace_id = %(ws)s AND grain = 'domain' AND kind = 'opened'""",
}


async def filled(tenant: Tenant, keyring: Keyring) -> Accepted:
    accepted = await two_campaigns(tenant, keyring)
    for event in (events := history(accepted, random.Random(7), 120)):
        accepted.take(event)
    await ingest(tenant, keyring, events)
    await rollups.fold(tenant)
    return accepted


async def execute(tenant: Tenant, statement: str, **given: object) -> int:
    async with tenant.trusted() as session:
        return (await session.execute(statement, {"ws": tenant.workspace_id} | given)).rowcount


async def days(tenant: Tenant) -> int:
    """How many days there are between the first bucket and the last."""
    async with tenant.trusted() as session:
        query = "SELECT max(day) - min(day) + 1 FROM analytics.rollups WHERE workspace_id = %s"
        return int(await session.value(query, [tenant.workspace_id]))


async def test_a_wrong_bucket_is_found_within_days_by_days_per_run_and_mended(tenant: Tenant, keyring: Keyring) -> None:
    accepted = await filled(tenant, keyring)
    for number, (name, tampering) in enumerate(TAMPERINGS.items()):
        assert await execute(tenant, tampering, n=number * 7), name
        runs = math.ceil(await days(tenant) / 2)
        found = [await rollups.reconcile(tenant, days=2, repair=True) for _ in range(runs)]
        assert sum(each.drifted for each in found) > 0, name
        assert await counted(tenant) == accepted.buckets(), name
        assert await totalled(tenant) == summed(accepted.buckets()), name
        assert (await rollups.reconcile(tenant, days=100)).drifted == 0, name
    async with tenant.trusted() as session:
        rows = await session.all(
            "SELECT repaired, count(*) AS n FROM analytics.rollup_drifts WHERE workspace_id = %s GROUP BY 1",
            [tenant.workspace_id],
        )
    assert [row["repaired"] for row in rows] == [True]
    assert rows[0]["n"] >= len(TAMPERINGS)


async def test_without_repair_it_is_told_and_left(tenant: Tenant, keyring: Keyring) -> None:
    await filled(tenant, keyring)
    await execute(tenant, TAMPERINGS["more"], n=3)
    before = await counted(tenant)
    # The bucket, and its total, which is no longer the sum of its days.
    assert (await rollups.reconcile(tenant, days=100)).drifted == 2
    assert await counted(tenant) == before
    assert (await rollups.reconcile(tenant, days=100)).drifted == 2


async def test_a_freeze_mends_first_and_what_is_frozen_is_not_recounted(tenant: Tenant, keyring: Keyring) -> None:
    accepted = await filled(tenant, keyring)
    await execute(tenant, TAMPERINGS["more"], n=3)
    first = datetime.now(UTC) - timedelta(days=30)
    given = {"first": first, "next": datetime.now(UTC) + timedelta(days=1)}
    query = "SELECT workspaces, repaired FROM outreach.freeze_rollups('email_events', %(first)s, %(next)s, %(ws)s)"
    async with tenant.trusted() as session:
        frozen = await session.one(query, given | {"ws": tenant.workspace_id})
    assert frozen == {"workspaces": 1, "repaired": 1}
    assert await counted(tenant) == accepted.buckets()
    await execute(tenant, "DELETE FROM outreach.email_events WHERE workspace_id = %(ws)s")
    checked = await rollups.reconcile(tenant, days=100)
    assert (checked.days, checked.drifted) == (0, 0)
    async with tenant.trusted() as session:
        again = await session.one(query, given | {"ws": tenant.workspace_id})
    assert again == {"workspaces": 0, "repaired": 0}
    assert await counted(tenant) == accepted.buckets()


async def test_sends_that_sql_cleans_up_change_no_report(tenant: Tenant, keyring: Keyring) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    accepted = await two_campaigns(tenant, keyring, launched_at=(now - timedelta(days=75), now - timedelta(days=70)))
    kinds = ("delivered", "opened", "opened", "clicked", "replied", "bounced")
    events = [
        accepted.event(number, kind, 60 * hour + number)
        for number in range(len(accepted.sends))
        for hour, kind in enumerate(kinds)
    ]
    await ingest(tenant, keyring, events)
    for event in events:
        accepted.take(event)
    first, second = accepted.campaigns
    closed = "UPDATE outreach.campaigns SET status = 'completed', completed_at = launched_at + interval '9 days'"
    await execute(tenant, f"{closed} WHERE workspace_id = %(ws)s AND id = %(id)s", id=first.campaign_id)
    cleanup = "SELECT deleted FROM outreach.cleanup_old_email_sends('45 days', %s, true)"
    async with tenant.trusted() as session:
        gone = [await session.value(cleanup, [limit]) for limit in (3, 1000, 1000)]
    assert gone == [3, len(first.sends) - 3, 0]
    # What a recount misses now is not taken for an error, and the other campaign is still compared.
    assert (await rollups.reconcile(tenant, days=500, repair=True)).drifted == 0
    assert await counted(tenant) == accepted.buckets()
    assert await totalled(tenant) == summed(accepted.buckets())
    spoil = "UPDATE analytics.rollups SET total = total + 1 WHERE workspace_id = %(ws)s AND grain = 'campaign'"
    assert await execute(tenant, f"{spoil} AND key = %(key)s AND kind = 'opened'", key=str(second.campaign_id))
    assert (await rollups.reconcile(tenant, days=500, repair=True)).drifted > 0
    assert await counted(tenant) == accepted.buckets()


async def test_tables_without_rollups_freeze_nothing_and_a_wrong_range_is_refused(tenant: Tenant) -> None:
    query = "SELECT * FROM outreach.freeze_rollups(%(table)s, %(first)s, %(next)s)"
    given = {"first": datetime(2020, 1, 1, tzinfo=UTC), "next": datetime(2020, 2, 1, tzinfo=UTC)}
    async with tenant.trusted() as session:
        assert await session.one(query, given | {"table": "message_log"}) == {
            "workspaces": 0,
            "buckets": 0,
            "repaired": 0,
        }
    with pytest.raises(OutreachDBError, match="can't freeze"):
        async with tenant.trusted() as session:
            await session.one(query, {"table": "email_events", "first": given["next"], "next": given["first"]})


async def test_nobody_waits_for_a_fold(tenant: Tenant, keyring: Keyring) -> None:
    await filled(tenant, keyring)
    async with tenant.trusted() as session:
        await session.execute("SELECT pg_advisory_xact_lock(outreach.rollup_lock(%s))", [tenant.workspace_id])
        assert (await rollups.reconcile(tenant, days=3)).days == 0
    assert (await rollups.reconcile(tenant, days=3)).days == 3
