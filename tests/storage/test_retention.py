"""What would leave is told first, and nothing else leaves; the ledger, holds and policies are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from months import MONTH, store_events, workspace

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.jobs.registry import JOBS
from outreachdb.storage import holds, querying, retention
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.partitions import PartitionManager

SENDS = """
    WITH campaign AS (
        INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at, completed_at)
        VALUES (%(ws)s, %(name)s, %(status)s, {month} + interval '3 days', {month} + %(closed)s::interval)
        RETURNING id, launched_at
    ), mailbox AS (
        INSERT INTO outreach.mailboxes (workspace_id, address, smtp_host)
        VALUES (%(ws)s, %(name)s || '@sender.example', '127.0.0.1') RETURNING id
    ), people AS (
        INSERT INTO outreach.leads (workspace_id, email)
        SELECT %(ws)s, %(name)s || n || '@buyer.example' FROM generate_series(1, %(rows)s) AS n RETURNING id, email
    )
    INSERT INTO outreach.email_sends (
        workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, attempts, status, recipient, scheduled_at,
        sent_at)
    SELECT %(ws)s, c.launched_at, c.id, p.id, m.id, 1, CASE %(send)s WHEN 'sent' THEN 1 ELSE 0 END, %(send)s, p.email,
           c.launched_at, CASE %(send)s WHEN 'sent' THEN c.launched_at END
    FROM people AS p, campaign AS c, mailbox AS m
"""
MESSAGES = """
    INSERT INTO outreach.message_log (workspace_id, created_at, recipient)
    SELECT %(ws)s, {month} + n * interval '1 hour', 'x@buyer.example' FROM generate_series(0, %(rows)s - 1) AS n
"""


@pytest.fixture
def connection(own_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(own_database_url, autocommit=True) as opened:
        opened.execute("SET timezone = 'UTC'")
        yield opened


@pytest.fixture
async def pools(own_database_url: str) -> AsyncIterator[Pools]:
    async with Pools(Settings.load({}, database_url=own_database_url)) as opened:
        yield opened


def store_sends(
    connection: psycopg.Connection[Any],
    ws: int,
    name: str,
    *,
    months: int,
    status: str = "completed",
    send: str = "sent",
    rows: int = 20,
    closed: str | None = "20 days",
) -> None:
    given = {"ws": ws, "name": name, "status": status, "send": send, "rows": rows, "closed": closed}
    connection.execute(SENDS.format(month=MONTH.format(months=months)).encode(), given)


def count(connection: psycopg.Connection[Any], table: str, where: str = "true") -> int:
    row = connection.execute(f"SELECT count(*) FROM {table} WHERE {where}".encode()).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_plan_tells_and_a_run_does_it(
    pools: Pools, connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    acme, folder = workspace(connection, "acme"), Folder(tmp_path)
    partition = store_events(connection, acme, months=15, rows=300)
    store_events(connection, acme, months=2, rows=30)
    connection.execute("UPDATE ops.partitioned_tables SET archive = false WHERE table_name = 'message_log'")
    connection.execute(MESSAGES.format(month=MONTH.format(months=14)).encode(), {"ws": acme, "rows": 50})
    connection.execute("ANALYZE")
    before = count(connection, "outreach.email_events"), count(connection, "outreach.message_log")

    plan = await retention.plan(pools)
    told = {(step.action, step.partition): step.rows for step in plan.steps if step.rows}
    month = connection.execute(f"SELECT to_char({MONTH.format(months=14)}, 'YYYY_MM')".encode()).fetchone()
    assert month is not None
    assert told == {("archive", partition): 300, ("drop", f"parts.message_log_{month[0]}"): 50}
    assert plan.document["rows"] == 350
    assert plan.document["reports_affected"] == []
    assert before == (count(connection, "outreach.email_events"), count(connection, "outreach.message_log"))

    done = await retention.run(pools, folder=folder)
    assert (done.failed, sum(each.rows for each in done.archived), done.rows_dropped) == ([], 300, 50)
    assert (count(connection, "outreach.email_events"), count(connection, "outreach.message_log")) == (30, 0)
    # Nothing is left to do, for whoever comes next.
    again = await retention.run(pools, folder=folder)
    assert (again.archived, again.dropped, again.failed) == ([], [], [])
    assert (await retention.plan(pools)).steps == []
    oldest = connection.execute(
        "SELECT min(range_to) >= now() - interval '12 months' FROM outreach.get_partition_info('message_log')"
    ).fetchone()
    assert oldest == (True,)


async def test_sends_leave_when_their_campaigns_are_history(
    pools: Pools, connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    acme = workspace(connection, "acme")
    store_sends(connection, acme, "done", months=18)
    store_sends(connection, acme, "running", months=17, status="running", send="scheduled", closed=None)
    store_sends(connection, acme, "long", months=16, closed="10 months")
    store_sends(connection, acme, "stuck", months=15, status="cancelled", send="scheduled")
    done = await retention.run(pools, "email_sends", folder=Folder(tmp_path))
    assert sum(each.rows for each in done.archived) == 20
    assert count(connection, "outreach.email_sends") == 60
    reasons = sorted(" ".join(step.reasons) for step in done.kept)
    assert len(reasons) == 3
    assert reasons[0] == "20 sends are not done"
    assert "(running)" in reasons[1]
    assert "is running 20 sends are not done" in reasons[1]
    assert "(long)" in reasons[2]
    assert "closed since" in reasons[2]
    # Who was mailed is remembered: the next run of that campaign leaves them out.
    assert count(connection, "outreach.campaign_leads", "name = 'done'") == 20


async def test_holds_and_policies_decide_for_their_rows_only(
    pools: Pools, connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    acme, globex, initech = (workspace(connection, name) for name in ("acme", "globex", "initech"))
    held = store_events(connection, acme, months=15, rows=20)
    kept = store_events(connection, globex, months=16, rows=20)
    free = store_events(connection, initech, months=15, rows=10, tag="i")
    assert free == held
    store_events(connection, initech, months=17, rows=10)
    store_events(connection, initech, months=5, rows=25, tag="i")
    store_events(connection, globex, months=5, rows=25, tag="g")
    store_events(connection, initech, months=4, rows=5, tag="i")
    hold = await holds.add(pools, "case 7", workspace="acme", who="counsel")
    await holds.set_policy(pools, "globex", "email_events", 24)
    await holds.set_policy(pools, "initech", "email_events", 4)
    part = await holds.add(
        pools, "case 8", workspace="initech", table="email_events",
        since=datetime.now(UTC) - timedelta(days=130), until=datetime.now(UTC),
    )  # fmt: skip
    done = await retention.run(pools, "email_events", folder=Folder(tmp_path))
    assert done.failed == []
    stays = {step.partition: step.reasons for step in done.kept}
    assert stays == {held: (f"legal hold {hold.id}: case 7",), kept: (f"workspace {globex} keeps 24 months",)}
    rows = {
        name: count(connection, "outreach.email_events", f"workspace_id = {ws}")
        for name, ws in (("acme", acme), ("globex", globex), ("initech", initech))
    }
    # Initech's own policy is a promise: its rows go from months that others keep too, but for those that are held.
    held_rows = count(
        connection, "outreach.email_events", f"workspace_id = {initech} AND created_at < now() - interval '130 days'"
    )
    assert held_rows == 0
    assert rows == {"acme": 20, "globex": 45, "initech": rows["initech"]}
    assert done.rows_deleted > 0
    await holds.release(pools, hold.id, who="counsel")
    await holds.release(pools, part.id)
    await holds.drop_policy(pools, "globex", "email_events")
    after = await retention.run(pools, "email_events", folder=Folder(tmp_path))
    assert after.kept == []
    assert count(connection, "outreach.email_events", f"workspace_id = {acme}") == 0
    assert [each.released_by is not None for each in await holds.listed(pools, released=True)] == [True, True]
    with pytest.raises(NotFound):
        await holds.release(pools, hold.id)
    with pytest.raises(InvalidInput, match="reason"):
        await holds.add(pools, "  ")


async def test_what_a_shorter_policy_lets_go_is_never_archived(
    pools: Pools, connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Also where the policy is younger than the month: its rows go before the file is written."""
    acme, globex = (workspace(connection, name) for name in ("acme", "globex"))
    partition = store_events(connection, acme, months=15, rows=40)
    store_events(connection, globex, months=15, rows=30, tag="g")
    connection.execute("ANALYZE outreach.email_events")
    await holds.set_policy(pools, "globex", "email_events", 6)
    plan = await retention.plan(pools, "email_events")
    told = [(step.action, step.workspace_id, step.rows) for step in plan.steps if step.partition == partition]
    assert told == [("delete", globex, 30), ("archive", None, 40)]
    done = await retention.run(pools, "email_events", folder=Folder(tmp_path))
    assert (done.failed, done.rows_deleted, [each.rows for each in done.archived]) == ([], 30, [40])
    query = "SELECT DISTINCT workspace_id FROM email_events"
    assert (await querying.query_all(pools, query, folder=Folder(tmp_path))).rows == [(acme,)]


async def test_a_hold_looks_into_tables_of_others(pools: Pools, connection: psycopg.Connection[Any]) -> None:
    """A table may belong to a role whose rows ours can't read: who plans acts as that role, and plans the rest too."""
    acme, keeper = workspace(connection, "acme"), f"keeper_{uuid4().hex[:8]}"
    first, second = (MONTH.format(months=months) for months in (15, 14))
    for statement in (
        f"CREATE ROLE {keeper}; CREATE SCHEMA shop AUTHORIZATION {keeper}; SET ROLE {keeper}",
        "CREATE TABLE shop.orders (workspace_id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at); RESET ROLE",
        "SELECT outreach.register_partitioned_table('shop.orders')",
        f"SELECT ops.create_partitions('shop.orders', {first}, now())",
        f"INSERT INTO shop.orders VALUES ({acme}, {first}), ({acme + 1}, {second}), ({acme}, now())",
    ):
        connection.execute(statement.encode())
    await holds.add(pools, "case 11", workspace="acme")
    plan = await retention.plan(pools)
    ours = [step for step in plan.steps if step.table == "shop.orders" and step.reasons != ("it is empty",)]
    assert [step.action for step in ours] == ["keep", "archive"]
    assert "case 11" in ours[0].reasons[0]
    assert {step.table for step in plan.steps} > {"shop.orders"}
    with pytest.raises(InvalidInput, match="does not belong to workspaces"):
        await holds.set_policy(pools, "acme", "shop.orders", 3)
    connection.execute(f"DROP OWNED BY {keeper} CASCADE; DROP ROLE {keeper}".encode())


async def test_pruning_by_sql_deletes_or_tells_what_is_due(pools: Pools, connection: psycopg.Connection[Any]) -> None:
    acme, globex = workspace(connection, "acme"), workspace(connection, "globex")
    for months in (14, 3):
        for ws in (acme, globex):
            connection.execute(MESSAGES.format(month=MONTH.format(months=months)).encode(), {"ws": ws, "rows": 48})
    hold = await holds.add(pools, "case 9", table="message_log", workspace="globex")
    connection.execute("ANALYZE outreach.message_log")
    archived = connection.execute(
        "SELECT deleted, cardinality(due_partitions), due_rows FROM outreach.prune_message_log('365 days')"
    ).fetchone()
    assert archived == (0, 1, 96)
    assert count(connection, "outreach.message_log") == 192
    prune = "SELECT deleted FROM outreach.prune_message_log(%s, %s, true)"
    assert connection.execute(prune, ["365 days", 30]).fetchone() == (30,)
    assert connection.execute(prune, ["365 days", 1000]).fetchone() == (18,)
    assert connection.execute(prune, ["365 days", 1000]).fetchone() == (0,)
    connection.execute("UPDATE ops.partitioned_tables SET archive = false WHERE table_name = 'message_log'")
    with connection.transaction():
        connection.execute(f"SET LOCAL app.workspace_id = '{globex}'".encode())
        assert connection.execute("SELECT deleted FROM outreach.prune_message_log('30 days')").fetchone() == (0,)
    assert connection.execute("SELECT deleted FROM outreach.prune_message_log('30 days')").fetchone() == (48,)
    assert count(connection, "outreach.message_log", f"workspace_id = {globex}") == 96
    # What the log's retention keeps is no older than it, whatever the job's year says.
    job = next(each for each in JOBS if each.name == "prune_message_log").sql or ""
    kept = "UPDATE ops.partitioned_tables SET retention_months = {} WHERE table_name = 'message_log'"
    await holds.release(pools, hold.id)
    for months, gone in (("NULL", 0), (24, 0), (1, 48)):
        connection.execute(kept.format(months).encode())
        assert connection.execute(job.encode()).fetchone() == (gone,), months
    for wrong in ("-1 day", None):
        connection.execute("UPDATE ops.partitioned_tables SET retention_months = NULL WHERE table_name = 'message_log'")
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SELECT outreach.prune_message_log(%s::interval)", [wrong])


async def test_cleaning_up_sends_by_sql_keeps_the_ledger(connection: psycopg.Connection[Any]) -> None:
    acme = workspace(connection, "acme")
    store_sends(connection, acme, "done", months=18)
    store_sends(connection, acme, "running", months=17, status="running", send="scheduled", closed=None)
    connection.execute("ANALYZE outreach.email_sends")
    due = connection.execute(
        "SELECT deleted, due_rows, open_campaigns FROM outreach.cleanup_old_email_sends()"
    ).fetchone()
    assert due == (0, 40, 1)
    done = connection.execute(
        "SELECT deleted, open_campaigns FROM outreach.cleanup_old_email_sends(NULL, 1000, true)"
    ).fetchone()
    assert done == (20, 1)
    assert count(connection, "outreach.email_sends", "status = 'scheduled'") == 20
    assert count(connection, "outreach.campaign_leads", "name = 'done'") == 20


async def test_a_retention_of_days_is_one(pools: Pools, connection: psycopg.Connection[Any]) -> None:
    """A registry that says 90 days has no month in it: nothing is older than no month."""
    acme = workspace(connection, "acme")
    manager = PartitionManager(pools.url("admin"))
    for table in ("message_log", "email_sends", "email_events"):
        await manager.register(table, retention="90 days", archive=table == "email_events")
    for months in (1, 6):
        connection.execute(MESSAGES.format(month=MONTH.format(months=months)).encode(), {"ws": acme, "rows": 10})
        store_sends(connection, acme, f"done{months}", months=months, closed="4 days")
    # Launched long ago, and closed so lately that events of it may still come.
    store_sends(connection, acme, "lately", months=7, closed="6 months")
    assert connection.execute("SELECT deleted FROM outreach.prune_message_log()").fetchone() == (10,)
    assert connection.execute("SELECT deleted FROM outreach.cleanup_old_email_sends()").fetchone() == (20,)
    left = connection.execute(
        "SELECT c.name FROM outreach.campaigns AS c JOIN outreach.email_sends ON campaign_id = c.id"
    )
    assert {name for (name,) in left.fetchall()} == {"done1", "lately"}
    kept = [step.reasons for step in (await retention.plan(pools, "email_sends")).steps if step.action == "keep"]
    assert [["(lately)" in reason and "closed since" in reason for reason in reasons] for reasons in kept] == [[True]]


async def test_two_runs_at_once_and_unknown_tables_are_refused(
    pools: Pools, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("SELECT pg_advisory_lock(hashtextextended('outreachdb.retention', 0))")
    with pytest.raises(Conflict, match="another retention run"):
        await retention.run(pools)
    with pytest.raises(NotFound):
        await retention.plan(pools, "leads")


async def test_an_event_older_than_its_workspaces_policy_does_not_come_again(
    pools: Pools, connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    acme = workspace(connection, "acme")
    partition = store_events(connection, acme, months=5, rows=10)
    await holds.set_policy(pools, "acme", "email_events", 4)
    assert (await retention.run(pools, "email_events", folder=Folder(tmp_path))).rows_deleted == 10
    assert count(connection, partition) == 0
    ingest = """
        SELECT stored, rejected, reasons FROM outreach.batch_update_email_status(jsonb_build_array(jsonb_build_object(
            'event_key', 'key1', 'created_at', now() - %s::interval, 'event', 'delivered', 'provider', 'sendgrid')))
    """
    with connection.transaction():
        connection.execute(f"SET LOCAL app.workspace_id = '{acme}'".encode())
        assert connection.execute(ingest, ["5 months"]).fetchone() == (0, 1, {"too_old": 1})
        assert connection.execute(ingest, ["3 months"]).fetchone() == (1, 0, {})


async def test_sends_of_a_workspace_that_keeps_less_go_by_the_rules_of_the_ledger(
    pools: Pools, connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    acme, globex = workspace(connection, "acme"), workspace(connection, "globex")
    store_sends(connection, acme, "done", months=9)
    store_sends(connection, acme, "unfinished", months=8, status="cancelled", send="scheduled")
    store_sends(connection, acme, "lately", months=8, closed="7 months")
    store_sends(connection, acme, "running", months=8, status="running", closed=None)
    store_sends(connection, globex, "others", months=9)
    await holds.set_policy(pools, "acme", "email_sends", 6)
    plan = await retention.plan(pools, "email_sends")
    assert [(step.action, step.workspace_id, step.rows) for step in plan.steps if step.action != "drop"] == [
        ("delete", acme, 20)
    ]
    done = await retention.run(pools, "email_sends", folder=Folder(tmp_path))
    assert (done.failed, done.rows_deleted) == ([], 20)
    assert count(connection, "outreach.email_sends", f"workspace_id = {acme}") == 60
    assert count(connection, "outreach.email_sends", f"workspace_id = {globex}") == 20
    assert count(connection, "outreach.campaign_leads", f"workspace_id = {acme} AND name = 'done'") == 20
