"""The worker is killed (SIGKILL) in the middle of every kind of job; the next one ends what was begun, once.

Each case holds a lock that the job comes to need halfway, so the kill hits it there, not somewhere by chance.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from launched import launch as launched_campaign

from outreachdb import jobs, segments
from outreachdb.campaigns import campaigns
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.events import inboxes
from outreachdb.jobs import JOBS, requests, runs
from outreachdb.leads import importing
from outreachdb.secrets import Keyring
from outreachdb.segments import Action
from outreachdb.sending import schedule
from outreachdb.storage import archiving
from outreachdb.storage.archive_files import Folder
from outreachdb.tenancy import workspaces

pytestmark = pytest.mark.slow
Start = Callable[..., subprocess.Popen[str]]
KEY = base64.b64encode(bytes(range(32))).decode()
# Waits, wherever it is evaluated, while the test holds the advisory lock 4711: in ANALYZE, VACUUM (ANALYZE) and REINDEX
# by an index on it.
HOLE = """
CREATE FUNCTION outreach.hole(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF n = 7 THEN
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(4711);
    END IF;
    RETURN n;
END $$;
CREATE TABLE outreach.slow (n integer, filler text) WITH (autovacuum_enabled = false);
ALTER FUNCTION outreach.hole OWNER TO outreachdb_owner;
ALTER TABLE outreach.slow OWNER TO outreachdb_owner;
"""
OLD = "now() - interval '15 months'"
ADVISORY = "SELECT pg_advisory_lock(4711)"


@dataclass(frozen=True)
class Case:
    """What makes work, what blocks it halfway, and a question whose answer is true when the work is done, once."""

    prepare: str
    block: str
    done: str


def lock(table: str, mode: str = "ACCESS EXCLUSIVE") -> str:
    return f"LOCK TABLE {table} IN {mode} MODE"


WS = "(SELECT id FROM outreach.workspaces WHERE name = 'acme')"
# Filled by `prepared` where SQL alone can't.
CASES: dict[str, Case] = {
    "fold_rollups": Case(
        f"INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day, total, people)"
        f" SELECT {WS}, 'campaign', '1', 'opened', current_date, 2, 1 FROM generate_series(1, 500)",
        lock("analytics.rollups"),
        "SELECT (SELECT sum(total) FROM analytics.rollups) = 1000 AND NOT EXISTS (SELECT FROM analytics.rollup_deltas)",
    ),
    "launch_due_campaigns": Case(
        "",
        lock("outreach.email_sends"),
        "SELECT count(*) = 200 AND count(DISTINCT lead_id) = 200 FROM outreach.email_sends WHERE status = 'scheduled'",
    ),
    "release_lost_sends": Case(
        "UPDATE outreach.email_sends SET status = 'claimed', claimed_by = 'lost',"
        " lease_expires_at = now() - interval '1 h', sent_at = NULL,"
        " begun_at = CASE WHEN id % 2 = 0 THEN now() - interval '2 h' END",
        lock("outreach.lead_activities"),
        "SELECT count(*) FILTER (WHERE status = 'claimed') = 0 AND count(*) FILTER (WHERE status = 'unknown') > 0"
        " AND (SELECT count(*) FROM outreach.lead_activities) = count(*) FROM outreach.email_sends",
    ),
    "poll_inboxes": Case("", lock("outreach.inboxes"), "SELECT polled_at IS NOT NULL FROM outreach.inboxes"),
    "end_dead_imports": Case(
        "INSERT INTO outreach.imports (workspace_id, file_name, started_at)"
        f" VALUES ({WS}, 'x', now() - interval '1 h')",
        lock("outreach.imports"),
        "SELECT status = 'failed' FROM outreach.imports",
    ),
    "learn_search_words": Case(
        "DELETE FROM outreach.search_words; UPDATE outreach.imports SET words_pending = true",
        lock("outreach.search_words", "SHARE"),
        "SELECT count(*) = 1 FROM outreach.search_words WHERE word = 'lovelace'",
    ),
    **{
        f"refresh_{view}": Case(
            "INSERT INTO outreach.leads (workspace_id, email)"
            f" SELECT {WS}, n || '@x.example' FROM generate_series(1, 9) AS n",
            lock(table),
            f"SELECT count(*) = 1 FROM analytics.view_refreshes WHERE view_name = '{view}'",
        )
        for view, table in (
            ("campaign_performance", "analytics.rollup_deltas"),
            ("lead_analytics", "outreach.leads"),
            ("campaign_analytics", "analytics.rollup_deltas"),
            ("email_deliverability_metrics", "analytics.rollup_deltas"),
            ("workspace_usage_analytics", "analytics.rollup_deltas"),
        )
    },
    "refresh_lead_engagement_scores": Case(
        f"INSERT INTO outreach.leads (workspace_id, email) VALUES ({WS}, 'a@x.example');"
        " INSERT INTO outreach.lead_engagement (workspace_id, lead_id, last_opened_at, open_count)"
        " SELECT workspace_id, id, now(), 3 FROM outreach.leads;"
        " INSERT INTO analytics.engaged_leads (workspace_id, leads) SELECT workspace_id, ARRAY[id] FROM outreach.leads",
        lock("analytics.engaged_leads"),
        "SELECT score > 0 AND NOT EXISTS (SELECT FROM analytics.engaged_leads) FROM outreach.lead_engagement",
    ),
    # What is scheduled is no event, so a recount has nothing to say of it.
    "reconcile_rollups": Case(
        "INSERT INTO analytics.rollup_deltas (workspace_id, grain, key, kind, day, total, people)"
        f" VALUES ({WS}, 'campaign', '1', 'scheduled', timezone('UTC', now())::date, 7, 7);"
        f" BEGIN; SET LOCAL app.workspace_id = 1; SELECT outreach.fold_rollup_deltas(); COMMIT",
        lock("analytics.rollups"),
        "SELECT NOT EXISTS (SELECT FROM analytics.rollup_drifts)",
    ),
    "match_late_events": Case(
        "INSERT INTO outreach.email_events (workspace_id, event_key, created_at, event, provider, message_id)"
        f" VALUES ({WS}, 'k', now(), 'delivered', 'sendgrid', 'nobody knows')",
        lock("outreach.email_events"),
        "SELECT count(*) = 1 FROM outreach.email_events",
    ),
    "tell_alerts": Case(
        "SELECT 1", lock("ops.alerts", "EXCLUSIVE"), "SELECT count(*) > 0 FROM ops.alerts"
    ),
    "retention": Case(
        # A month without rows would leave without a file.
        "UPDATE ops.partitioned_tables SET archive = table_name IN ('email_events', 'outreach.email_events');"
        " INSERT INTO outreach.email_events (workspace_id, event_key, created_at, event, provider)"
        f" SELECT {WS}, 'old' || n, now() - interval '15 months', 'opened', 'brevo' FROM generate_series(1, 50) AS n",
        lock("ops.partition_archives", "EXCLUSIVE"),
        "SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'parts'::regnamespace AND relkind = 'r'"
        " AND relname ~ '^email_events' AND right(relname, 7) < to_char(now() - interval '14 months', 'YYYY_MM'))",
    ),
    "verify_archives": Case(
        "UPDATE ops.partition_archives SET verified_at = now() - interval '1 month'",
        lock("ops.partition_archives", "EXCLUSIVE"),
        "SELECT count(*) = 1 AND bool_and(problem IS NULL AND verified_at > now() - interval '5 minutes')"
        " FROM ops.partition_archives",
    ),
    "erase_from_archives": Case(
        "INSERT INTO ops.archive_erasures (workspace_id, lead_ids, addresses, requested_by)"
        f" SELECT {WS}, '{{1}}', '{{ada@x.example}}', 'ann'",
        lock("ops.archive_erasures", "EXCLUSIVE"),
        "SELECT count(*) = 1 AND bool_and(done_at IS NOT NULL AND addresses = '{}') FROM ops.archive_erasures",
    ),
    "prune_message_log": Case(
        "UPDATE ops.partitioned_tables SET archive = false; INSERT INTO outreach.message_log (workspace_id, created_at)"
        f" SELECT {WS}, now() - interval '13 months' FROM generate_series(1, 300)",
        lock("outreach.message_log", "EXCLUSIVE"),
        "SELECT NOT EXISTS (SELECT FROM outreach.message_log)",
    ),
    "prune_import_history": Case(
        "INSERT INTO outreach.imports (workspace_id, id, file_name, status, rows_read, updated, rejected, finished_at)"
        f" SELECT {WS}, n, 'x', 'done', 200, 100, 100, now() - interval '2 years' FROM generate_series(1, 3) AS n;"
        " INSERT INTO outreach.import_changes (workspace_id, import_id, lead_id, before)"
        " SELECT workspace_id, id, n, '{}' FROM outreach.imports, generate_series(1, 100) AS n;"
        " INSERT INTO outreach.import_rejects (workspace_id, import_id, row_number, reason, raw)"
        " SELECT workspace_id, id, n, 'x', 'x' FROM outreach.imports, generate_series(1, 100) AS n",
        lock("outreach.import_rejects", "EXCLUSIVE"),
        "SELECT count(*) = 3 AND bool_and(updated = 100 AND rejected = 100 AND history_pruned_at IS NOT NULL)"
        " AND NOT EXISTS (SELECT FROM outreach.import_changes) AND NOT EXISTS (SELECT FROM outreach.import_rejects)"
        " FROM outreach.imports",
    ),
    "snapshot_health": Case(
        "SELECT 1", lock("ops.health_snapshots", "EXCLUSIVE"), "SELECT count(*) IN (1, 2) FROM ops.health_snapshots"
    ),
    "snapshot_statistics": Case(
        "SELECT 1",
        lock("ops.daily_figures", "EXCLUSIVE"),
        "SELECT count(*) = count(DISTINCT (kind, name, day)) AND count(*) > 10 FROM ops.daily_figures",
    ),
    "snapshot_index_usage": Case(
        "SELECT 1", lock("ops.index_counters", "EXCLUSIVE"), "SELECT count(*) > 10 FROM ops.index_counters"
    ),
    "release_check_leases": Case(
        f"INSERT INTO outreach.queue_leases (workspace_id, queue, item_id, worker, lease_until)"
        f" SELECT {WS}, 'url', n, 'lost', now() - interval '1 h' FROM generate_series(1, 50) AS n",
        lock("outreach.queue_leases"),
        "SELECT NOT EXISTS (SELECT FROM outreach.queue_leases)",
    ),
    "analyze_hot_tables": Case(
        f"{HOLE} INSERT INTO outreach.slow SELECT n FROM generate_series(1, 12000) AS n;"
        " CREATE INDEX i ON outreach.slow (outreach.hole(n)); SELECT pg_stat_force_next_flush()",
        ADVISORY,
        "SELECT reltuples = 12000 AND EXISTS (SELECT FROM pg_stats WHERE tablename = 'slow')"
        " FROM pg_class WHERE relname = 'slow'",
    ),
    "vacuum_hot_tables": Case(
        f"{HOLE} INSERT INTO outreach.slow SELECT n FROM generate_series(1, 60000) AS n;"
        " CREATE INDEX i ON outreach.slow (outreach.hole(n)); DELETE FROM outreach.slow WHERE n > 20000;"
        " SELECT pg_stat_force_next_flush()",
        ADVISORY,
        "SELECT reltuples = 20000 AND relallvisible > 0 AND EXISTS (SELECT FROM pg_stats WHERE tablename = 'slow')"
        " FROM pg_class WHERE relname = 'slow'",
    ),
    "partition_check": Case(
        "DO $$ BEGIN EXECUTE format('DROP TABLE parts.%I', 'email_events_' || to_char(now() + interval '3 months',"
        " 'YYYY_MM')); END $$",
        lock("outreach.email_events", "SHARE UPDATE EXCLUSIVE"),
        "SELECT count(*) = 24 FROM pg_inherits WHERE inhparent = 'outreach.email_events'::regclass",
    ),
    "create_partitions": Case(
        "DO $$ BEGIN EXECUTE format('DROP TABLE parts.%I', 'message_log_' || to_char(now() + interval '3 months',"
        " 'YYYY_MM')); END $$",
        lock("outreach.message_log", "SHARE UPDATE EXCLUSIVE"),
        "SELECT count(*) = 24 FROM pg_inherits WHERE inhparent = 'outreach.message_log'::regclass",
    ),
    "daily_maintenance": Case(
        f"{HOLE} INSERT INTO outreach.slow SELECT n FROM generate_series(1, 60000) AS n;"
        " CREATE INDEX i ON outreach.slow (outreach.hole(n)); DELETE FROM outreach.slow WHERE n > 20000;"
        " ANALYZE outreach.slow; SELECT pg_stat_force_next_flush()",
        ADVISORY,
        "SELECT reltuples = 20000 AND relallvisible > 0 FROM pg_class WHERE relname = 'slow'",
    ),
    "expire_api_keys": Case(
        f"INSERT INTO outreach.api_keys (workspace_id, name, prefix, key_hash, expires_at)"
        f" VALUES ({WS}, 'a', 'odb_', '\\x01', now() - interval '1 h')",
        lock("outreach.api_keys", "EXCLUSIVE"),
        "SELECT revoked_at = expires_at AND (SELECT count(*) = 1 FROM outreach.audit_log WHERE action = 'key.expire')"
        " FROM outreach.api_keys",
    ),
    "renew_api_keys": Case(
        f"INSERT INTO outreach.api_keys (workspace_id, name, prefix, key_hash, expires_at, renew, lifetime_seconds)"
        f" VALUES ({WS}, 'a', 'odb_', '\\x01', now() + interval '1 h', true, 864000)",
        lock("outreach.api_keys", "EXCLUSIVE"),
        "SELECT expires_at BETWEEN now() + interval '9 days' AND now() + interval '10 days'"
        " AND (SELECT count(*) = 1 FROM outreach.audit_log WHERE action = 'key.renew') FROM outreach.api_keys",
    ),
    "weekly_report": Case(
        "SELECT 1", lock("ops.weekly_reports", "SHARE"), "SELECT count(*) IN (1, 2) FROM ops.weekly_reports"
    ),
    "reindex_bloated": Case(
        f"{HOLE} INSERT INTO outreach.slow SELECT n, repeat(md5(n::text), 3) FROM generate_series(1, 130000) AS n;"
        " CREATE INDEX i ON outreach.slow (filler) WHERE outreach.hole(n) > 0;"
        " DELETE FROM outreach.slow WHERE n > 20000; VACUUM ANALYZE outreach.slow",
        ADVISORY,
        "SELECT pg_relation_size('outreach.i') < 5000000 AND NOT EXISTS (SELECT FROM pg_index WHERE NOT indisvalid)",
    ),
}  # fmt: skip


@pytest.fixture
def admin(own_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def ours(own_pools: Pools, admin: psycopg.Connection[Any]) -> Tenant:
    await workspaces.create(own_pools, "acme")
    found = await workspaces.tenant(own_pools, "acme")
    await jobs.publish(own_pools)
    return found


@contextlib.contextmanager
def blocked(url: str, statement: str) -> Iterator[None]:
    """The lock is held inside."""
    with psycopg.connect(url) as holder:
        holder.execute(statement.encode())
        yield
        holder.rollback()


def until(admin: psycopg.Connection[Any], question: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        row = admin.execute(question.encode()).fetchone()
        if row and row[0]:
            return
        time.sleep(0.05)
    state = admin.execute(
        "SELECT a.state, a.wait_event_type, a.query FROM pg_stat_activity AS a WHERE a.datname = current_database()"
    ).fetchall()
    failed = admin.execute("SELECT job, status, error FROM ops.maintenance_runs WHERE status <> 'succeeded'").fetchall()
    pytest.fail(f"never true: {question}\n{state}\n{failed}")


WAITING = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())"


async def prepared(tenant: Tenant, name: str, tmp_path: Path) -> None:
    """What a case needs beyond SQL."""
    keyring = Keyring(bytes(range(32)))
    if name == "launch_due_campaigns":
        await leads(tenant, 200)
        made = await campaign(tenant, keyring)
        await schedule.plan(tenant, made, datetime.now(UTC) - timedelta(minutes=1))
    elif name == "poll_inboxes":
        account = inboxes.Account("ann@b.example", "127.0.0.1", port=9, security="plain")
        await inboxes.add(tenant, keyring, account, "secret")
    elif name == "tell_alerts":
        (tmp_path / "health.toml").write_text(
            '[[alerts.channels]]\nname = "ops"\nkind = "webhook"\nurl = "http://127.0.0.1:9/"\n'
        )
    elif name == "release_lost_sends":
        await launched_campaign(tenant, keyring, leads=20)
    elif name == "learn_search_words":
        file = tmp_path / "words.csv"
        file.write_text("email,first name,last name\nada@x.example,Augusta,Lovelace\n")
        await importing.import_file(tenant, file)
    elif name == "verify_archives":
        async with tenant.trusted() as session:
            await session.execute(f"SELECT outreach.ensure_partitions('email_events', {OLD}, {OLD})")
            await session.execute(
                "INSERT INTO outreach.email_events (workspace_id, event_key, created_at, event, provider)"
                f" SELECT %s, 'old' || n, {OLD}, 'opened', 'brevo' FROM generate_series(1, 50) AS n",
                [tenant.workspace_id],
            )
            partition = await session.value("SELECT tableoid::regclass::text FROM outreach.email_events LIMIT 1")
        folder = Folder(tmp_path / "home" / "archives")
        await archiving.archive(tenant.pools, "email_events", partition, folder=folder)


async def leads(tenant: Tenant, count: int) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, first_name)"
            " SELECT %s, 'p' || n || '@x.example', 'N' FROM generate_series(1, %s) AS n",
            [tenant.workspace_id, count],
        )


async def campaign(tenant: Tenant, keyring: Keyring) -> int:
    smtp = {"host": "127.0.0.1", "port": 2525, "security": "plain"}
    made = await campaigns.create(
        tenant,
        keyring,
        {
            "name": "spring",
            "segment": {},
            "mailboxes": [{"address": "ann@sender.example", "smtp": smtp}],
            "steps": [{"subject": "Hello", "text": "Dear {{ first_name }}"}],
        },
    )
    return made.id


def test_every_job_has_a_case() -> None:
    assert set(CASES) == {job.name for job in JOBS}


@pytest.mark.parametrize("name", CASES)
async def test_periodic(
    name: str, ours: Tenant, own_database_url: str, admin: psycopg.Connection[Any], worker: Start, tmp_path: Path
) -> None:
    case = CASES[name]
    await prepared(ours, name, tmp_path)
    _run(admin, case.prepare)
    surroundings = {"OUTREACHDB_SECRET_KEY": KEY}
    if name == "tell_alerts":
        surroundings["OUTREACHDB_HEALTH_FILE"] = str(tmp_path / "health.toml")
    start = f"UPDATE ops.scheduled_jobs SET registered_at = now() - interval '1 year' WHERE name = '{name}'"
    with blocked(own_database_url, case.block):
        admin.execute(start.encode())
        first = worker(own_database_url, **surroundings)
        until(admin, f"SELECT count(*) > 0 FROM ops.maintenance_runs WHERE job = '{name}' AND status = 'running'")
        until(admin, WAITING)
        first.send_signal(signal.SIGKILL)
        first.wait(60)
    until(admin, f"SELECT NOT outreach.job_lock_is_held(lock) FROM ops.scheduled_jobs WHERE name = '{name}'")
    worker(own_database_url, **surroundings)
    until(admin, f"SELECT count(*) > 0 FROM ops.maintenance_runs WHERE job = '{name}' AND status = 'succeeded'")
    statuses = [row["status"] for row in await runs.history(ours.pools, name)]
    assert statuses[-1] == "failed", "the killed run is marked"
    assert "succeeded" in statuses
    assert "running" not in statuses[1:]
    until(admin, case.done, 20)


def _run(admin: psycopg.Connection[Any], text: str) -> None:
    """Statement by statement: VACUUM stands alone; what is quoted by dollars stays whole."""
    parts: list[str] = []
    for place, piece in enumerate(text.split("$$")):
        if place % 2:
            parts[-1] += f"$${piece}$$"
        else:
            first, *others = piece.split(";")
            parts = [*parts[:-1], (parts[-1] if parts else "") + first, *others]
    for statement in parts:
        if statement.strip():
            admin.execute(statement.encode())


@pytest.mark.parametrize("kind", ["import", "export", "action", "launch"])
async def test_background(
    kind: str, ours: Tenant, own_database_url: str, admin: psycopg.Connection[Any], worker: Start, tmp_path: Path
) -> None:
    await segments.create(ours, "all", {"field": "email", "op": "is_set"})
    if kind != "import":
        await leads(ours, 300)
    table = {"import": "leads", "export": "leads", "action": "leads", "launch": "email_sends"}[kind]
    mode = "EXCLUSIVE" if kind in {"import", "action"} else "ACCESS EXCLUSIVE"
    file = tmp_path / "list.csv"
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([("email",), *((f"p{n}@x.example",) for n in range(300))])
    target = tmp_path / "out.csv"
    if kind == "import":
        asked = await requests.import_file(ours, file)
    elif kind == "export":
        asked = await requests.export(ours, "all", target)
    elif kind == "action":
        asked = await requests.action(ours, "all", Action("add_tags", tags=["vip"]), by="ann")
    else:
        asked = await requests.launch(ours, await campaign(ours, Keyring(bytes(range(32)))))
    with blocked(own_database_url, lock(f"outreach.{table}", mode)):
        first = worker(own_database_url, OUTREACHDB_SECRET_KEY=KEY)
        until(admin, "SELECT status = 'running' FROM outreach.background_jobs")
        until(admin, WAITING)
        first.send_signal(signal.SIGKILL)
        first.wait(60)
    assert not target.exists()
    worker(own_database_url, OUTREACHDB_SECRET_KEY=KEY)
    async with asyncio.timeout(180):
        while (done := await jobs.find(ours, asked.id)).status in {"queued", "running"}:
            await asyncio.sleep(0.1)
    assert (done.status, done.error, done.attempts) == ("succeeded", None, 2)
    result = done.result or {}
    if kind == "import":
        assert result["rows_read"] == 300
        assert result["inserted"] + result["skipped"] == 300
        until(admin, "SELECT count(*) = 300 FROM outreach.leads", 1)
    elif kind == "export":
        assert len(target.read_text().splitlines()) == result["leads"] + 1 == 301
        assert list(tmp_path.glob(".out*")) == []  # noqa: ASYNC240
    elif kind == "action":
        until(admin, "SELECT count(*) = 300 FROM outreach.leads WHERE tags = '{vip}'", 1)
        assert len(await segments.actions(ours)) == 1, "it was done once, whichever attempt committed"
    else:
        assert result["scheduled"] == 300
        until(admin, "SELECT count(*) = 300 AND count(DISTINCT lead_id) = 300 FROM outreach.email_sends", 1)
