"""What the engine does through a real PgBouncer: tenants apart, imports, webhooks, LISTEN, cancelling, full pools."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from launched import launch
from pool_env import environment
from signing import SendGrid, body_of

from outreachdb import jobs, pooling, segments
from outreachdb.analytics import stats
from outreachdb.api.app import create_app
from outreachdb.config import WORKLOADS, Settings
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.home import Home
from outreachdb.db.pools import Pools, connect
from outreachdb.db.tenant import Tenant
from outreachdb.events import endpoints
from outreachdb.jobs import requests
from outreachdb.jobs.worker import WorkerOptions, work
from outreachdb.leads.importing import import_file
from outreachdb.pooling import PoolFolder
from outreachdb.secrets import Keyring
from outreachdb.tenancy import workspaces

pytestmark = pytest.mark.pgbouncer


async def _workspace(pools: Pools) -> Tenant:
    made = await workspaces.create(pools, f"pooled-{uuid4().hex[:12]}")
    return await workspaces.tenant(pools, made.name)


async def test_tenants_stay_apart_on_shared_connections(pooled: Pools) -> None:
    """Three workspaces write and read from twenty tasks each; their server connections are the same ones."""
    tenants = [await _workspace(pooled) for _ in range(3)]

    async def work(number: int) -> tuple[int, set[int], int]:
        tenant = tenants[number % 3]
        async with tenant.session() as session:
            await session.execute(
                "INSERT INTO outreach.leads (workspace_id, email) VALUES (%(ws)s, %(email)s)",
                {"ws": tenant.workspace_id, "email": f"person{number}@company.example"},
            )
        async with tenant.session() as session:
            rows = await session.all("SELECT workspace_id, pg_backend_pid() AS pid FROM outreach.leads")
        return tenant.workspace_id, {row["workspace_id"] for row in rows}, rows[0]["pid"]

    seen = await asyncio.gather(*(work(number) for number in range(60)))
    assert all(found == {own} for own, found, _ in seen)
    by_server: dict[int, set[int]] = {}
    for own, _, pid in seen:
        by_server.setdefault(pid, set()).add(own)
    assert any(len(owners) > 1 for owners in by_server.values()), "no server connection served two workspaces"
    for tenant in tenants:
        async with tenant.session() as session:
            assert await session.value("SELECT count(*) FROM outreach.leads") == 20
    async with pooled.connection("web") as connection:
        left = await connection.execute(
            "SELECT current_setting('app.workspace_id', true) AS workspace, current_user = session_user AS own_role"
        )
        row = await left.fetchone()
    assert row is not None
    assert (row["workspace"] or "", row["own_role"]) == ("", True)


async def test_many_clients_run_the_same_statement_often(pooled: Pools, pooler: object) -> None:
    """psycopg would prepare it on the sixth run; a transaction pool of this PgBouncer forgets prepared statements."""
    url = pooled.url("web")

    async def client() -> int:
        total = 0
        async with await connect(url) as connection:
            for number in range(12):
                async with connection.transaction():
                    row = await (await connection.execute("SELECT %(n)s::integer AS n", {"n": number})).fetchone()
                    total += row["n"] if row else 0
        return total

    assert await asyncio.gather(*(client() for _ in range(40))) == [66] * 40


async def test_import_and_segment(pooled: Pools, tmp_path: Path) -> None:
    tenant = await _workspace(pooled)
    rows = "\n".join(f"person{number}@company.example,Person {number},US" for number in range(2000))
    (tmp_path / "leads.csv").write_text(f"Email,First Name,Country\n{rows}\n")
    report = await import_file(tenant, tmp_path / "leads.csv")
    assert (report.inserted, report.rejected) == (2000, 0)
    await segments.create(tenant, "us", {"field": "country", "op": "equals", "value": "US"})
    assert (await segments.count(tenant, "us")).count == 2000


async def test_webhook_endpoint(pooled: Pools, keyring: Keyring) -> None:
    tenant = await _workspace(pooled)
    campaign = await launch(tenant, keyring)
    sendgrid = SendGrid()
    endpoint = await endpoints.create(tenant, keyring, "sendgrid", sendgrid.public)
    bodies = [
        body_of(
            [
                {
                    "email": send.recipient,
                    "event": "delivered",
                    "timestamp": int(send.launched_at.timestamp()) + 60,
                    "smtp-id": send.message_id,
                    "sg_event_id": f"delivered-{send.id}",
                }
            ]
        )
        for send in campaign.sends
    ]
    transport = httpx.ASGITransport(create_app(pooled, keyring), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        asked = (client.post(str(endpoint.path), content=body, headers=sendgrid.headers(body)) for body in bodies * 3)
        answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert sum(answer.json()["stored"] for answer in answers) == len(bodies)
    assert (await stats.campaign(tenant, campaign.name)).delivered == len(bodies)


async def test_listening_works_in_the_jobs_pool(pooled: Pools) -> None:
    listener = await connect(pooled.url("jobs"), autocommit=True)
    async with listener:
        await listener.execute("LISTEN work")
        async with pooled.connection("web") as connection:
            await connection.execute("NOTIFY work, 'there is some'")
        async for notice in listener.notifies(timeout=60, stop_after=1):
            assert notice.payload == "there is some"
            return
    pytest.fail("no notification came")


async def test_session_settings_are_gone_for_the_next_client(pooled: Pools) -> None:
    for workload in ("analytics", "jobs", "admin"):
        async with await connect(pooled.url(workload), autocommit=True) as first:
            await first.execute("SET statement_timeout = '77s'")
        async with await connect(pooled.url(workload), autocommit=True) as second:
            row = await (await second.execute("SHOW statement_timeout")).fetchone()
        assert row == {"statement_timeout": "0"}


async def test_a_statement_is_cancelled_through_the_pooler(pooled: Pools) -> None:
    async with await connect(pooled.url("web"), autocommit=True) as connection:
        running = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
        there = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(600)'"
        async with await connect(pooled.url("admin"), autocommit=True) as watcher:
            while not await (await watcher.execute(there)).fetchall():
                await asyncio.sleep(0.02)
        await connection.cancel_safe(timeout=30)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await running


async def test_startup_options_are_refused_instead_of_dropped(pooled: Pools) -> None:
    url = psycopg.conninfo.make_conninfo(pooled.url("web"), options="-c statement_timeout=1")
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
        await psycopg.AsyncConnection.connect(url, connect_timeout=30)


async def test_a_full_pool_is_seen(pooled: Pools) -> None:
    size = next(pool.size for pool in pooling.POOLS if pool.workload == "admin")
    held = [await connect(pooled.url("admin"), autocommit=True) for _ in range(size)]
    for connection in held:
        await connection.execute("SELECT 1")
    late = asyncio.create_task(connect(pooled.url("admin"), autocommit=True))
    try:
        async with asyncio.timeout(60):
            while True:
                found = await pooling.status(pooled.settings)
                admin = next(pool for pool in found.pools if pool.pool.endswith("_admin"))
                assert (admin.size, admin.servers_active, admin.utilization) == (5, 5, 100.0)
                if admin.waiting + int(late.done()) >= 1:
                    break
                await asyncio.sleep(0.05)
        assert {pool.pool.rsplit("_", 1)[1]: (pool.mode, pool.size) for pool in found.pools} == {
            pool.workload: (pool.mode, pool.size) for pool in pooling.POOLS
        }
    finally:
        for connection in held:
            await connection.close()
        await (await asyncio.wait_for(late, 60)).close()


async def test_what_the_server_says_of_its_connections(pooled: Pools) -> None:
    for workload in WORKLOADS:
        async with pooled.connection(workload) as connection:
            rows = await (await connection.execute("SELECT * FROM outreach.get_connection_pool_status()")).fetchall()
        total, ours = rows[0], next(row for row in rows if row["pool"] == "outreachdb")
        assert total["pool"] is None
        assert total["total"] == sum(row["total"] for row in rows[1:]) >= ours["total"] >= 1
        assert ours["active"] >= 1
        assert total["max_connections"] > total["total"]
        assert float(total["utilization"]) == pytest.approx(100 * total["total"] / total["max_connections"], abs=0.1)


async def test_worker(server: EmbeddedServer, own_database_url: str, place: PoolFolder, tmp_path: Path) -> None:
    """A worker hears of work by LISTEN, does it, and runs what is due, all through its pool."""
    own = PoolFolder(place.path.parent / "worker", place.account)
    urls, passwords = dict.fromkeys(WORKLOADS, own_database_url), {"outreachdb": str(Home(server.home).password())}
    written = await pooling.write(own, urls, port=pooling.free_port(), passwords=passwords)
    await asyncio.to_thread(pooling.start, own)
    rows = "\n".join(f"person{number}@company.example,Person {number}" for number in range(500))
    (tmp_path / "leads.csv").write_text(f"Email,First Name\n{rows}\n")
    try:
        async with Pools(Settings.load(environment(written))) as pools:
            tenant = await _workspace(pools)
            working = asyncio.create_task(work(pools, WorkerOptions(concurrency=2)))
            await asyncio.sleep(0.5)
            asked = await requests.import_file(tenant, tmp_path / "leads.csv")
            async with asyncio.timeout(60):
                while (found := await jobs.find(tenant, asked.id)).status in {"queued", "running"}:
                    await asyncio.sleep(0.05)
            use = await pooling.status(pools.settings, own)
            working.cancel()
            await working
        assert (found.status, found.error) == ("succeeded", None)
        assert (found.result or {})["inserted"] == 500
        pool = next(each for each in use.pools if each.pool.endswith("_jobs"))
        assert (pool.size, pool.waiting) == (15, 0)
        assert 1 <= pool.servers_active <= pool.size
    finally:
        await asyncio.to_thread(pooling.stop, own, 0)
