"""How long revisions take on a full table, and how long they block a writer: by sampled locks and by a real writer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.db import migrate
from outreachdb.db.pools import connect
from outreachdb.progress import Progress, silent

# The last revision before rules and indexes come to tables that have rows by then.
BEFORE = "0008"
# A writer that waits longer than this is noticed by people.
WRITER_LIMIT_MS = 1000.0
LOAD = """
    INSERT INTO outreach.leads (workspace_id, email, first_name, last_name, title, company_name, industry, country,
        tags, custom_fields, qualification_score, created_at)
    SELECT %(workspace)s, 'lead.' || n || '@company' || n %% 40000 || '.example', 'First' || n %% 500,
        'Last' || n %% 3000,
        'Title ' || n %% 200, 'Company ' || n %% 40000, 'Industry ' || n %% 30, 'C' || n %% 50,
        ARRAY['tag' || n %% 20], jsonb_build_object('Employees', n %% 5000), n %% 101, now() - n * interval '1 second'
    FROM generate_series(1, %(leads)s) AS n
"""


@dataclass(slots=True)
class Writer:
    """Updates one lead every few milliseconds and remembers the longest wait."""

    url: str
    workspace: int
    worst_ms: float = 0.0
    writes: int = 0

    async def run(self) -> None:
        """Write until cancelled."""
        connection = await connect(self.url, autocommit=True)
        try:
            while True:
                began = time.perf_counter()
                await connection.execute(
                    "UPDATE outreach.leads SET notes = %s WHERE workspace_id = %s AND email_key = %s",
                    (str(self.writes), self.workspace, "lead.1@company1.example"),
                )
                self.worst_ms = max(self.worst_ms, (time.perf_counter() - began) * 1000)
                self.writes += 1
                await asyncio.sleep(0.005)
        finally:
            await connection.close()


async def run(url: str, leads: int = 2_000_000, progress: Progress = silent) -> list[Result]:
    """Load ``leads`` rows below the late revisions, then go up, down and up again beside a writer."""
    async with scratch_database(url, "migration") as scratch:
        await migrate.upgrade(scratch, BEFORE)
        workspace = await _load(scratch, leads, progress)
        results: list[Result] = []
        for direction in ("up", "down"):
            results += await _measured(scratch, workspace, direction, leads, progress)
        progress("migrating down to nothing", 0)
        return results + await _taken_down(scratch, leads)


async def _taken_down(url: str, leads: int) -> list[Result]:
    """The way down to nothing; the tables go, so no writer could be asked, only the locks."""
    done = await migrate.rollback(url, to="base")
    where = f"{leads:,} leads, down"
    blocked = max(step.writer_blocked_ms for step in done.steps)
    return [
        *(Result(f"revision {step.revision}, {where}", step.seconds, "s") for step in done.steps),
        Result(f"writer blocked by locks, {where} to nothing", blocked, "ms", limit=WRITER_LIMIT_MS),
    ]


async def _load(url: str, leads: int, progress: Progress) -> int:
    connection = await connect(url)
    async with connection:
        made = await connection.execute("INSERT INTO outreach.workspaces (name) VALUES ('bench') RETURNING id")
        row = await made.fetchone()
        assert row is not None  # noqa: S101  (INSERT ... RETURNING gives a row or raises)
        progress("loading", 0, leads)
        await connection.execute(LOAD, {"workspace": row["id"], "leads": leads})
        progress("loading", leads, leads)
    connection = await connect(url, autocommit=True)
    async with connection:
        await connection.execute("VACUUM ANALYZE outreach.leads")
    return int(row["id"])


async def _measured(url: str, workspace: int, direction: str, leads: int, progress: Progress) -> list[Result]:
    writer = Writer(url, workspace)
    writing = asyncio.create_task(writer.run())
    try:
        progress(f"migrating {direction}", 0)
        done = await (migrate.upgrade(url) if direction == "up" else migrate.rollback(url, to=BEFORE))
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    where = f"{leads:,} leads, {direction}"
    results = [Result(f"revision {step.revision}, {where}", step.seconds, "s") for step in done.steps]
    sampled = max((step.writer_blocked_ms for step in done.steps), default=0.0)
    return [
        *results,
        Result(f"writer blocked by locks, {where}", sampled, "ms", limit=WRITER_LIMIT_MS),
        Result(f"slowest of {writer.writes:,} writes, {where}", writer.worst_ms, "ms", limit=WRITER_LIMIT_MS),
    ]
