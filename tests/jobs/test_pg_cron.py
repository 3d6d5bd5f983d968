"""pg_cron as the driver, on a real PostgreSQL 15 that has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asking import asking

from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.server import throwaway
from outreachdb.db.pools import Pools
from outreachdb.errors import DatabaseUnsupported
from outreachdb.jobs import JOBS, history, pg_cron, publish, runs

BINARIES = Path("/usr/lib/postgresql/15/bin")
OURS = sorted(job.name for job in JOBS if job.pg_cron)


@pytest.fixture(scope="module")
def cron_server() -> Iterator[EmbeddedServer]:
    with throwaway(BINARIES) as server:
        with psycopg.connect(server.url("postgres")) as connection:
            shown = connection.execute(
                "SELECT current_setting('data_directory'), trim('\"' FROM current_setting('unix_socket_directories'))"
            ).fetchone()
        assert shown is not None
        settings = {"shared_preload_libraries": "pg_cron", "cron.host": shown[1], "cron.database_name": "postgres"}
        with (Path(shown[0]) / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        server.stop()
        server.start()
        asyncio.run(migrate.upgrade(server.url("postgres")))
        yield server


@pytest.fixture
async def cron_pools(cron_server: EmbeddedServer) -> AsyncIterator[Pools]:
    async with Pools(Settings.load({}, database_url=cron_server.url("postgres"))) as pools:
        yield pools
        await pg_cron.remove(pools)


@pytest.mark.pg_cron
@pytest.mark.slow
async def test_installed_run_once_and_removed(cron_pools: Pools) -> None:
    ask: Callable[..., Any] = asking(cron_pools)
    done = await pg_cron.install(cron_pools)
    assert sorted(done.installed) == OURS
    assert "fold_rollups" in done.needs_worker
    entries = {row["name"]: row for row in await pg_cron.listed(cron_pools)}
    assert sorted(entries) == [f"outreachdb {name}" for name in OURS]
    assert entries["outreachdb expire_api_keys"]["schedule"] == "0 * * * *", (
        "asked hourly: the database says if it is due"
    )
    assert entries["outreachdb analyze_hot_tables"]["schedule"] == "*/15 * * * *"
    await pg_cron.install(cron_pools)
    assert len(await pg_cron.listed(cron_pools)) == len(OURS), "again changes nothing"

    # Everything was missed for a month, and pg_cron is made to ask every minute: each job runs once, never twice, and
    # once more where its own time comes meanwhile.
    began = (await ask("SELECT now()"))[0][0]
    await ask("UPDATE ops.scheduled_jobs SET registered_at = now() - interval '100 days'")
    async with cron_pools.connection("admin") as connection:
        await connection.execute("UPDATE cron.job SET schedule = '* * * * *'")
        await connection.execute("SELECT cron.schedule('stranger', '* * * * *', 'SELECT 1')")
    due = set(await runs.due(cron_pools)) & set(OURS)
    assert due == set(OURS)
    async with asyncio.timeout(300):
        while set(await runs.due(cron_pools)) & set(OURS):
            await asyncio.sleep(1)
    await asyncio.sleep(62)  # one more round of asking
    rows = [row for row in await history(cron_pools, limit=1000) if row["job"] in OURS]
    missed = [row["job"] for row in rows if row["due_at"] <= began]
    assert {row["driver"] for row in rows} == {"pg_cron"}
    assert {row["status"] for row in rows} == {"succeeded"}
    # Of a job whose time came between the two questions, the tick before is no longer asked about.
    came = {row["job"] for row in rows if row["due_at"] > began}
    assert len(missed) == len(set(missed))
    assert set(OURS) - came <= set(missed) <= set(OURS)
    assert len({(row["job"], row["due_at"]) for row in rows}) == len(rows), "one run for each tick"

    assert sorted(await pg_cron.remove(cron_pools)) == OURS
    assert await pg_cron.listed(cron_pools) == []
    async with cron_pools.connection("admin") as connection:
        left = await (await connection.execute("SELECT jobname FROM cron.job")).fetchall()
    assert [row["jobname"] for row in left] == ["stranger"]


@pytest.mark.pg_cron
@pytest.mark.slow
async def test_its_command_ends_at_the_job_s_limit(cron_pools: Pools) -> None:
    """The text that pg_cron sends, sent as it does: as one simple query."""
    ask: Callable[..., Any] = asking(cron_pools)
    await publish(cron_pools)
    await ask("DELETE FROM ops.maintenance_runs")
    await ask("UPDATE ops.scheduled_jobs SET registered_at = now() - interval '100 days', statement ="
              " 'SELECT count(*) FROM pg_sleep(20)' WHERE name = 'weekly_report'")  # fmt: skip
    async with cron_pools.connection("admin") as connection:
        await connection.set_autocommit(True)
        await connection.execute("SET statement_timeout = '500ms'; SELECT outreach.run_job('weekly_report')")
        await connection.execute("RESET statement_timeout")
        await connection.set_autocommit(False)
    (row,) = await history(cron_pools, "weekly_report", limit=1)
    assert row["status"] == "failed"
    assert "statement timeout" in row["error"]
    assert row["seconds"] < 5


async def test_a_server_without_it_says_so_in_one_line(own_pools: Pools) -> None:
    with pytest.raises(DatabaseUnsupported, match="pg_cron"):
        await pg_cron.install(own_pools)
    assert await pg_cron.remove(own_pools) == []
    assert await pg_cron.listed(own_pools) == []
