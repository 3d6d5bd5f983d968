"""Launching: who gets a send, who doesn't and why, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from mailing import add_leads, campaign_file, launched, rows, statuses
from psycopg.conninfo import make_conninfo

from outreachdb.campaigns import campaigns
from outreachdb.config import Settings
from outreachdb.db.pools import Pools, connect
from outreachdb.db.tenant import APP_ROLE, TRUSTED_ROLE, Tenant
from outreachdb.errors import Conflict, OutreachDBError
from outreachdb.secrets import Keyring
from outreachdb.sending import schedule

LEADS = """
INSERT INTO outreach.leads (workspace_id, email, status, email_status) VALUES
    (%(w)s, 'fine@example.org', 'new', 'valid'), (%(w)s, 'Expired@example.org', 'new', 'unchecked'),
    (%(w)s, NULL, 'new', 'unchecked'), (%(w)s, NULL, 'archived', 'unchecked'),
    (%(w)s, 'BLOCKED@example.org', 'new', 'valid'), (%(w)s, 'anybody@Blocked.example', 'new', 'valid'),
    (%(w)s, 'sub@sub.blocked.example', 'new', 'valid'), (%(w)s, 'un@example.org', 'unsubscribed', 'valid'),
    (%(w)s, 'bounced@example.org', 'bounced', 'valid'), (%(w)s, 'invalid@example.org', 'new', 'invalid'),
    (%(w)s, 'old@example.org', 'archived', 'valid'), (%(w)s, 'left@example.org', 'unsubscribed', 'valid'),
    (%(w)s, 'dead@example.org', 'bounced', 'valid'), (%(w)s, 'angry@example.org', 'unsubscribed', 'valid')
"""
SUPPRESSIONS = """
INSERT INTO outreach.suppressions (workspace_id, target, reason, expires_at) VALUES
    (%(w)s, 'blocked@example.org', 'manual', NULL), (%(w)s, 'blocked.example', 'blocked', now() + interval '1 day'),
    (%(w)s, 'expired@example.org', 'manual', now() - interval '1 second'),
    (%(w)s, 'left@example.org', 'unsubscribed', NULL), (%(w)s, 'dead@example.org', 'bounced', NULL),
    (%(w)s, 'angry@example.org', 'complained', NULL)
"""

WAITS_FOR_US = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
MAY_SILENCE = "SELECT has_parameter_privilege(session_user, 'session_replication_role', 'SET')"


async def test_each_lead_is_scheduled_or_left_out_with_a_reason(
    tenant: Tenant, other_tenant: Tenant, keyring: Keyring
) -> None:
    async with tenant.trusted() as session:
        await session.execute(LEADS, {"w": tenant.workspace_id})
        await session.execute(SUPPRESSIONS, {"w": tenant.workspace_id})
    await add_leads(other_tenant, 3)
    made = await launched(tenant, keyring, 25)
    assert made.scheduled == 3
    assert made.excluded == {
        "no_address": 2,
        "suppressed": 3,
        "unsubscribed": 2,
        "bounced": 2,
        "invalid": 1,
        "archived": 1,
    }
    shown = await campaigns.show(tenant, made.campaign_id)
    assert shown.excluded == made.excluded
    sends = await rows(
        tenant,
        "SELECT s.recipient, s.created_at = c.launched_at AS same FROM outreach.email_sends AS s "
        "JOIN outreach.campaigns AS c ON c.workspace_id = s.workspace_id AND c.id = s.campaign_id "
        "WHERE s.workspace_id = %s ORDER BY 1",
        tenant.workspace_id,
    )
    assert [(row["recipient"], row["same"]) for row in sends] == [
        ("Expired@example.org", True),
        ("fine@example.org", True),
        ("sub@sub.blocked.example", True),
    ]
    assert (
        await rows(
            other_tenant, "SELECT 1 FROM outreach.email_sends WHERE workspace_id = %s", other_tenant.workspace_id
        )
        == []
    )


async def test_steps_mailboxes_and_start(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 90)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    steps = [{"subject": "x", "text": "y", "delay": delay} for delay in ("1 hour", "2 days", 60)]
    smtp = {"host": "127.0.0.1", "port": 25}
    boxes = [{"address": f"m{n}@sender.example", "smtp": smtp} for n in range(3)]
    made = await launched(tenant, keyring, 25, steps=steps, mailboxes=boxes, start=start)
    assert made.scheduled == 270
    found = await rows(
        tenant,
        "SELECT step, scheduled_at, count(*) AS n, count(DISTINCT mailbox_id) AS boxes, "
        "max(count(*)) OVER () AS most FROM outreach.email_sends WHERE workspace_id = %s GROUP BY 1, 2 ORDER BY 1",
        tenant.workspace_id,
    )
    delays = [timedelta(hours=1), timedelta(days=2, hours=1), timedelta(days=2, hours=1, minutes=1)]
    assert [(row["step"], row["scheduled_at"], row["n"], row["boxes"]) for row in found] == [
        (step, start + delay, 90, 3) for step, delay in enumerate(delays, 1)
    ]
    uneven = await rows(
        tenant,
        "SELECT lead_id FROM outreach.email_sends WHERE workspace_id = %s "
        "GROUP BY 1 HAVING count(DISTINCT mailbox_id) > 1",
        tenant.workspace_id,
    )
    assert uneven == [], "a lead hears from one mailbox"


async def test_launched_once_even_by_two_at_once(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 50)
    made = await campaigns.create(tenant, keyring, campaign_file(25))
    both = await asyncio.gather(*(schedule.launch(tenant, made.id) for _ in range(2)), return_exceptions=True)
    assert sorted(type(each) for each in both if isinstance(each, Exception)) == [Conflict]
    with pytest.raises(Conflict, match="it was launched already, it is running"):
        await schedule.launch(tenant, "spring")
    assert await statuses(tenant) == {"scheduled": 50}


async def test_five_campaigns_at_once(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 100)
    made = [await campaigns.create(tenant, keyring, campaign_file(25, name=f"c{n}")) for n in range(5)]
    launches = await asyncio.gather(*(schedule.launch(tenant, each.id) for each in made))
    assert [launch.scheduled for launch in launches] == [100] * 5


async def test_nobody_to_mail_is_finished_at_once(tenant: Tenant, keyring: Keyring) -> None:
    made = await launched(tenant, keyring, 25)
    assert (made.scheduled, made.excluded) == (0, {})
    assert (await campaigns.find(tenant, made.campaign_id)).status == "completed"


async def test_a_launch_far_ahead_makes_its_month(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 2)
    made = await campaigns.create(tenant, keyring, campaign_file(25))
    launch = await schedule.launch(tenant, made.id, launched_at=datetime.now(UTC) + timedelta(days=400))
    assert launch.scheduled == 2


async def test_a_saved_segment_counts_as_it_is_at_launch(tenant: Tenant, keyring: Keyring) -> None:
    from outreachdb.segments import segments

    await add_leads(tenant, 4)
    await segments.create(tenant, "some", {"field": "first_name", "op": "in", "value": ["Name1", "Name2"]})
    made = await campaigns.create(tenant, keyring, campaign_file(25, segment="some"))
    async with tenant.session() as session:
        await session.execute(
            'UPDATE outreach.segments SET definition = \'{"field": "first_name", "op": "equals", "value": "Name3"}\' '
            "WHERE workspace_id = %s",
            [tenant.workspace_id],
        )
    assert (await schedule.launch(tenant, made.id)).scheduled == 1
    assert (await campaigns.find(tenant, made.id)).definition["value"] == "Name3"


async def test_another_workspace_s_campaign_can_t_be_launched(
    tenant: Tenant, other_tenant: Tenant, keyring: Keyring
) -> None:
    made = await campaigns.create(tenant, keyring, campaign_file(25))
    with pytest.raises(OutreachDBError, match="no campaign with the id"):
        async with other_tenant.session() as session:
            await session.execute("SELECT outreach.bulk_schedule_email_sends(%s, now())", [made.id])


@pytest.fixture
async def plain_tenant(tenant: Tenant, database_url: str) -> AsyncIterator[Tenant]:
    """The same workspace by a login that may not silence foreign keys."""
    name = f"plain_{tenant.workspace_id}"
    async with await connect(database_url, autocommit=True) as connection:
        await connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        await connection.execute(f"GRANT {APP_ROLE}, {TRUSTED_ROLE} TO {name}".encode())
    try:
        async with Pools(Settings.load({}, database_url=make_conninfo(database_url, user=name))) as pools:
            yield replace(tenant, pools=pools)
    finally:
        async with await connect(database_url, autocommit=True) as connection:
            await connection.execute(f"DROP ROLE {name}".encode())


@pytest.mark.parametrize("silent", [True, False])
async def test_a_lead_that_is_deleted_meanwhile_gets_no_send(
    tenant: Tenant, plain_tenant: Tenant, keyring: Keyring, silent: bool
) -> None:
    await add_leads(tenant, 20)
    made = await campaigns.create(tenant, keyring, campaign_file(25))
    launcher = tenant if silent else plain_tenant
    async with tenant.trusted() as session:
        assert await session.value(
            "DELETE FROM outreach.leads WHERE workspace_id = %s AND first_name = 'Name3' RETURNING true",
            [tenant.workspace_id],
        )
        launching = asyncio.create_task(schedule.launch(launcher, made.id))
        while not await session.value(WAITS_FOR_US):
            assert not launching.done()
            await asyncio.sleep(0.02)
    with pytest.raises(Conflict, match="a lead of spring's segment was deleted while it was launched"):
        await launching
    async with launcher.trusted() as session:
        assert await session.value(MAY_SILENCE) is silent, "both ways are tried"
    assert await statuses(tenant) == {}
    assert (await schedule.launch(launcher, made.id)).scheduled == 19
