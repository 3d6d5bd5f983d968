"""The whole chain over tables with rows, and under kill -9."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from outreachdb.db import catalogue, constraints, migrate
from outreachdb.db.pools import connect

ROWS = """
    WITH w AS (INSERT INTO outreach.workspaces (name) VALUES ('w') RETURNING id),
    c AS (INSERT INTO outreach.companies (workspace_id, name) SELECT w.id, 'c' || n FROM w, generate_series(1, 50) AS n
          RETURNING workspace_id, id),
    l AS (INSERT INTO outreach.leads (workspace_id, email, company_id)
          SELECT c.workspace_id, 'lead' || c.id || '@a.example', c.id FROM c RETURNING workspace_id, id),
    k AS (INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at)
          SELECT w.id, 'k', 'running', now() FROM w RETURNING workspace_id, id, launched_at),
    m AS (INSERT INTO outreach.mailboxes (workspace_id, address, smtp_host)
          SELECT w.id, 'a@b.example', 'localhost' FROM w RETURNING id),
    s AS (INSERT INTO outreach.email_sends
              (workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, recipient, scheduled_at)
          SELECT k.workspace_id, k.launched_at, k.id, l.id, m.id, 1, 'x@y.example', now() FROM k, l, m RETURNING id)
    INSERT INTO outreach.llm_api_calls (workspace_id, provider, endpoint, model, prompt_tokens, completion_tokens,
        total_tokens, latency_ms, cost_usd)
    SELECT w.id, 'p', 'e', 'm', 1, 1, 2, 5, 0 FROM w
"""


async def snapshot(url: str) -> dict[str, str]:
    connection = await connect(url)
    async with connection:
        return await catalogue.snapshot(connection)


@pytest.mark.parametrize("below", ["0008", "base"])
async def test_up_down_up_over_rows_gives_the_same_catalogue(empty, settings, sql, below):
    """Down to 0008 rows stay and their rules come back NOT VALID; further down tables go with their rows."""
    up = await migrate.upgrade(empty, settings=settings)
    fresh = await snapshot(empty)
    sql(empty, ROWS)
    assert await snapshot(empty) == fresh
    down = await migrate.rollback(empty, to=below, settings=settings)
    if below == "base":
        assert [step.revision for step in down.steps] == [step.revision for step in reversed(up.steps)]
        assert await migrate.current(empty, settings=settings) is None
        left = [key for key in await snapshot(empty) if not key.startswith(("role ", "extension "))]
        assert [key for key in left if "alembic" not in key] == ["schema ops"]
    await migrate.upgrade(empty, settings=settings)
    if below == "0008":
        assert any("NOT VALID" in text for text in (await snapshot(empty)).values())
        await constraints.validate(empty, settings=settings)
        assert sql(empty, "SELECT count(*) FROM outreach.email_sends") == [(50,)]
    assert await snapshot(empty) == fresh


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_killed_at_any_moment_the_next_run_ends_as_an_uninterrupted_one(empty, settings, sql, direction):
    chance = random.Random(direction)
    if direction == "down":
        await migrate.upgrade(empty, settings=settings)
        sql(empty, ROWS)
    work = "migrate.upgrade(url)" if direction == "up" else "migrate.rollback(url, to='base')"
    code = f"import asyncio, sys; from outreachdb.db import migrate; url = sys.argv[1]; asyncio.run({work})"
    killed = 0
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", code, empty], start_new_session=True)
        await asyncio.sleep(chance.uniform(0.9, 2.2))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= 3
    _wait_for_the_dead(empty)
    await migrate.upgrade(empty, settings=settings)
    await constraints.validate(empty, settings=settings)  # rows that were spared have their rules NOT VALID
    assert await catalogue.verify(empty, settings=settings) == []


def _wait_for_the_dead(url: str) -> None:
    """The server notices that a client is gone only when its statement ends."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(300):
            if connection.execute(query).fetchone() == (0,):
                return
            time.sleep(0.1)
    raise AssertionError("a killed client's session did not end")
