"""What is handed out, and what is not: interleavings told by explicit transactions, never by waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest
from mailing import Sink, add_leads, campaign_file, launched, rows, statuses

from outreachdb.campaigns import campaigns
from outreachdb.db.tenant import Tenant
from outreachdb.errors import OutreachDBError
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch
from outreachdb.sending.ledger import Ledger

LEASE = timedelta(minutes=5)
CLAIM = "SELECT verdict FROM outreach.claim_sends(%s, %s, interval '5 minutes')"
Connection = psycopg.AsyncConnection[tuple[object, ...]]


@asynccontextmanager
async def opened(url: str, tenant: Tenant) -> AsyncIterator[Connection]:
    """A tenant transaction of one's own, rolled back at the end unless committed."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("SET ROLE outreachdb_app")
        await connection.execute(f"SET app.workspace_id = '{tenant.workspace_id}'")
        await connection.commit()
        await connection.execute("SET lock_timeout = '60s'")
        yield connection
        await connection.rollback()


async def suppress(tenant: Tenant, target: str) -> None:
    async with tenant.session() as session:
        await session.execute(
            "INSERT INTO outreach.suppressions (workspace_id, target) VALUES (%s, %s)", [tenant.workspace_id, target]
        )


async def test_suppressed_before_the_claim(hundred: Tenant, keyring: Keyring) -> None:
    await launched(hundred, keyring, 25)
    await suppress(hundred, "lead7@example.org")
    sends, others = await Ledger(hundred, LEASE).claim(200, [])
    assert len(sends) == 99
    assert [(row["recipient"], row["verdict"], row["reason"]) for row in others] == [
        ("lead7@example.org", "cancelled", "suppressed")
    ]


async def test_suppressed_between_claim_and_smtp(hundred: Tenant, keyring: Keyring) -> None:
    await launched(hundred, keyring, 25)
    ledger = Ledger(hundred, LEASE)
    sends, _ = await ledger.claim(200, [])
    await suppress(hundred, "example.org")
    verdicts = await ledger.begin(sends[:10])
    assert {row["verdict"] for row in verdicts.values()} == {"cancelled"}
    assert await statuses(hundred) == {"claimed": 90, "cancelled": 10}


async def test_a_worker_that_holds_a_send_twice_begins_it_once(hundred: Tenant, keyring: Keyring) -> None:
    await launched(hundred, keyring, 25)
    ledger = Ledger(hundred, timedelta(milliseconds=50))
    stale, _ = await ledger.claim(100, [])
    await asyncio.sleep(0.1)
    assert (await ledger.release_expired())["released"] == 100
    ledger.lease = LEASE
    again, _ = await ledger.claim(100, [])  # by the same worker, whose lease ran out
    assert {send.send_id for send in again} == {send.send_id for send in stale}
    assert {row["verdict"] for row in (await ledger.begin(stale[:10])).values()} == {"begun"}
    begun = {send.send_id for send in stale[:10]}
    assert await ledger.begin([send for send in again if send.send_id in begun]) == {}


async def test_a_suppression_not_yet_committed_does_not_hold_the_claim_up(
    hundred: Tenant, keyring: Keyring, database_url: str
) -> None:
    await launched(hundred, keyring, 25)
    ledger = Ledger(hundred, LEASE)
    async with opened(database_url, hundred) as other:
        await other.execute(
            "INSERT INTO outreach.suppressions (workspace_id, target) VALUES (%s, 'lead7@example.org')",
            [hundred.workspace_id],
        )
        sends, _ = await ledger.claim(200, [])
        assert len(sends) == 100
        await other.commit()
    verdicts = await ledger.begin(sends)
    assert sorted(row["verdict"] for row in verdicts.values()) == ["begun"] * 99 + ["cancelled"]


async def test_two_claims_at_once_share_no_send_and_don_t_wait(
    hundred: Tenant, keyring: Keyring, database_url: str
) -> None:
    await launched(hundred, keyring, 25)
    async with opened(database_url, hundred) as one, opened(database_url, hundred) as two:
        first = await (await one.execute("SELECT send_id FROM outreach.claim_sends(60, 'one', '5 min')")).fetchall()
        second = await (await two.execute("SELECT send_id FROM outreach.claim_sends(60, 'two', '5 min')")).fetchall()
        await one.commit()
        await two.commit()
    assert (len(first), len(second)) == (60, 40)
    assert not set(first) & set(second)


async def test_a_pause_waits_for_the_claim_under_way_and_stops_the_next(
    hundred: Tenant, keyring: Keyring, database_url: str
) -> None:
    made = await launched(hundred, keyring, 25)
    async with opened(database_url, hundred) as claim, opened(database_url, hundred) as pause:
        assert len(await (await claim.execute(CLAIM, [10, "one"])).fetchall()) == 10
        await pause.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await pause.execute("SELECT outreach.set_campaign_status(%s, 'paused')", [made.campaign_id])
        await pause.rollback()
        await claim.commit()
        await pause.execute("SELECT outreach.set_campaign_status(%s, 'paused')", [made.campaign_id])
        # Not yet committed: the next claim neither waits nor takes anything.
        assert await (await claim.execute(CLAIM, [10, "two"])).fetchall() == [("busy",)]
        await pause.commit()
    assert await Ledger(hundred, LEASE).claim(10, []) == ([], [])


async def test_paused_between_claim_and_smtp(hundred: Tenant, keyring: Keyring) -> None:
    made = await launched(hundred, keyring, 25)
    ledger = Ledger(hundred, LEASE)
    sends, _ = await ledger.claim(10, [])
    await campaigns.pause(hundred, made.campaign_id)
    verdicts = await ledger.begin(sends)
    assert {row["verdict"] for row in verdicts.values()} == {"returned"}
    assert await statuses(hundred) == {"scheduled": 100}


async def test_a_cancelled_campaign_lets_claims_end(hundred: Tenant, keyring: Keyring) -> None:
    made = await launched(hundred, keyring, 25)
    ledger = Ledger(hundred, LEASE)
    sends, _ = await ledger.claim(10, [])
    await ledger.begin(sends[:5])
    await campaigns.cancel(hundred, made.campaign_id)
    await ledger.begin(sends[5:8])
    results = [{"id": send.send_id, "created_at": send.created_at, "outcome": "sent"} for send in sends[:4]]
    last = {"id": sends[4].send_id, "created_at": sends[4].created_at, "outcome": "deferred"}
    await ledger.record([*results, last])
    await ledger.give_back()
    assert await statuses(hundred) == {"sent": 4, "cancelled": 96}


async def waiting_for(holder: Connection, watcher: Connection) -> int:
    """How many backends wait for the holder's locks now."""
    query = "SELECT count(*)::int FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
    row = await (await watcher.execute(query, [holder.info.backend_pid])).fetchone()
    await watcher.rollback()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


async def test_paused_then_cancelled_while_a_begin_waits(hundred: Tenant, keyring: Keyring, database_url: str) -> None:
    made = await launched(hundred, keyring, 25)
    ledger = Ledger(hundred, LEASE)
    sends, _ = await ledger.claim(6, [])
    await campaigns.pause(hundred, made.campaign_id)
    async with opened(database_url, hundred) as other, opened(database_url, hundred) as begin:
        # A delivery event that is being stored holds the row of a send.
        await other.execute("RESET ROLE")
        await other.execute("SELECT FROM outreach.email_sends WHERE id = %s FOR UPDATE", [sends[0].send_id])
        call = "SELECT verdict FROM outreach.begin_sends(%s, %s, %s, '5 minutes')"
        given = [[send.send_id for send in sends], [send.created_at for send in sends], ledger.worker]
        beginning = asyncio.create_task(begin.execute(call, given))
        async with opened(database_url, hundred) as watcher:
            while await waiting_for(other, watcher) == 0:
                assert not beginning.done()
            cancelling = asyncio.create_task(campaigns.cancel(hundred, made.campaign_id))
            while await waiting_for(begin, watcher) == 0 and not cancelling.done():
                pass
        await other.rollback()
        verdicts = await (await beginning).fetchall()
        await begin.commit()
        await cancelling
    assert verdicts == [("returned",)] * 6
    assert await statuses(hundred) == {"cancelled": 100}


async def test_cancelled_just_before_a_begin_or_a_return(hundred: Tenant, keyring: Keyring, database_url: str) -> None:
    made = await launched(hundred, keyring, 25)
    one, two = Ledger(hundred, LEASE), Ledger(hundred, LEASE)
    begun, _ = await one.claim(6, [])
    await one.begin(begun)
    await one.claim(6, [])
    held, _ = await two.claim(6, [])
    deferred = [{"id": send.send_id, "created_at": send.created_at, "outcome": "deferred"} for send in begun]
    async with opened(database_url, hundred) as cancel, opened(database_url, hundred) as watcher:
        await cancel.execute("SELECT outreach.set_campaign_status(%s, 'cancelled')", [made.campaign_id])
        late = [asyncio.create_task(each) for each in (one.record(deferred), one.give_back(), two.begin(held))]
        while await waiting_for(cancel, watcher) < len(late):
            assert not any(task.done() for task in late)
        await cancel.commit()
        await asyncio.gather(*late)
    assert await statuses(hundred) == {"cancelled": 100}


@pytest.mark.parametrize("outcome", ["deferred", "returned"])
async def test_a_slow_worker_s_news_after_the_end(hundred: Tenant, keyring: Keyring, outcome: str) -> None:
    made = await launched(hundred, keyring, 25)
    ledger = Ledger(hundred, LEASE)
    sends, _ = await ledger.claim(200, [])
    await ledger.begin(sends)
    async with hundred.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET lease_expires_at = now() - interval '1 second' WHERE workspace_id = %s",
            [hundred.workspace_id],
        )
    assert await Ledger(hundred, LEASE).release_expired() == {"released": 0, "unknown": 100}
    assert await ledger.complete() == [], "a person may decide to send them again"
    async with hundred.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET begun_at = now() - interval '73 hours' WHERE workspace_id = %s",
            [hundred.workspace_id],
        )
    assert await ledger.complete() == [made.campaign_id]
    results = [{"id": send.send_id, "created_at": send.created_at, "outcome": outcome} for send in sends]
    assert (await ledger.record(results))["failed"] == 100
    assert await statuses(hundred) == {"failed": 100}


@pytest.mark.parametrize("n", [1, 2, 3, 5, 50])
async def test_a_claim_is_never_larger_than_asked(hundred: Tenant, keyring: Keyring, n: int) -> None:
    smtp = {"host": "127.0.0.1", "port": 25, "security": "plain"}
    boxes = [{"address": f"m{box}@sender.example", "smtp": smtp} for box in range(4)]
    await launched(hundred, keyring, 25, mailboxes=boxes)
    sends, others = await Ledger(hundred, LEASE).claim(n, [])
    assert (len(sends), others) == (n, [])
    per_box = [sum(send.mailbox_id == box for send in sends) for box in {send.mailbox_id for send in sends}]
    assert max(per_box) - min(per_box) <= 1


async def test_daily_caps_hold_for_many_workers(hundred: Tenant, keyring: Keyring, sink: Sink) -> None:
    smtp = {"host": "127.0.0.1", "port": sink.port, "security": "plain"}
    boxes = [{"address": f"m{n}@sender.example", "smtp": smtp, "daily_cap": cap} for n, cap in enumerate((7, 12))]
    made = await campaigns.create(hundred, keyring, campaign_file(sink.port, mailboxes=boxes))
    from outreachdb.sending import schedule

    await schedule.launch(hundred, made.id)
    reports = await asyncio.gather(*(dispatch.run(hundred, keyring, batch=5) for _ in range(4)))
    await dispatch.run(hundred, keyring)
    assert sum(report.sent for report in reports) <= 19
    senders = await rows(
        hundred,
        "SELECT sender, count(*) AS n FROM outreach.message_log WHERE workspace_id = %s GROUP BY 1 ORDER BY 1",
        hundred.workspace_id,
    )
    assert senders == [{"sender": "m0@sender.example", "n": 7}, {"sender": "m1@sender.example", "n": 12}]
    assert (await campaigns.find(hundred, made.id)).status == "running"


async def test_many_workers_recording_the_same_leads_don_t_deadlock(
    hundred: Tenant, keyring: Keyring, sink: Sink
) -> None:
    for name in ("a", "b", "c"):
        await launched(hundred, keyring, sink.port, name=name)
    reports = await asyncio.gather(*(dispatch.run(hundred, keyring, batch=50) for _ in range(3)))
    assert sum(report.sent for report in reports) == 300
    assert set(sink.recipients().values()) == {3}
    [counted] = await rows(
        hundred,
        "SELECT count(*) AS leads, min(sent_count) AS least, max(sent_count) AS most FROM outreach.lead_engagement "
        "WHERE workspace_id = %s",
        hundred.workspace_id,
    )
    assert counted == {"leads": 100, "least": 3, "most": 3}


async def test_inactive_mailboxes_and_other_workspaces_are_left_alone(
    hundred: Tenant, other_tenant: Tenant, keyring: Keyring
) -> None:
    await launched(hundred, keyring, 25)
    assert await Ledger(other_tenant, LEASE).claim(10, []) == ([], [])
    async with hundred.session() as session:
        await session.execute(
            "UPDATE outreach.mailboxes SET status = 'paused' WHERE workspace_id = %s", [hundred.workspace_id]
        )
    assert await Ledger(hundred, LEASE).claim(10, []) == ([], [])


async def test_nothing_is_claimed_before_its_time(tenant: Tenant, keyring: Keyring) -> None:
    await add_leads(tenant, 3)
    await launched(tenant, keyring, 25, start="2099-01-01T00:00:00Z")
    assert await Ledger(tenant, LEASE).claim(10, []) == ([], [])


@pytest.mark.parametrize("n", [0, 10_001])
async def test_senseless_claims_are_refused(tenant: Tenant, n: int) -> None:
    with pytest.raises(OutreachDBError, match="1 to 10000 sends"):
        await Ledger(tenant, LEASE).claim(n, [])
