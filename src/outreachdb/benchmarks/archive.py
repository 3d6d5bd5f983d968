"""A month of delivery events leaves: archived, verified, dropped, restored; and DELETE of the same rows beside it."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.progress import Progress, silent
from outreachdb.storage import archive_files, archiving, querying, restoring
from outreachdb.storage.archive_files import Folder
from outreachdb.tenancy import workspaces

ARCHIVE_LIMIT = 200_000.0  # rows a second
DROP_LIMIT = 1.0  # seconds
PORTION = 1_000_000
MONTH = "date_trunc('month', now(), 'UTC') - interval '15 months'"
# As providers report: every row with its payload, some with a reason or a link.
STORED = f"""
    INSERT INTO outreach.email_events (
        workspace_id, event_key, created_at, received_at, event, severity, provider, send_id, campaign_id, lead_id,
        step, recipient, message_id, reason, url, raw)
    SELECT %(ws)s, 'sendgrid:' || md5(n::text), {MONTH} + (n %% 2500000) * interval '1 second', now(),
           (ARRAY['delivered', 'opened', 'clicked', 'bounced'])[1 + n %% 4], CASE n %% 4 WHEN 3 THEN 'hard' END,
           'sendgrid', n, 1 + n %% 200, n %% 700000, 1 + n %% 3, 'lead' || n || '@buyer' || n %% 5000 || '.example',
           '<' || n || '.1@mail.example>', CASE n %% 4 WHEN 3 THEN '550 no such user' END,
           CASE n %% 4 WHEN 2 THEN 'https://sender.example/offer?n=' || n END,
           jsonb_build_object(
               'event', 'delivered', 'ip', '192.0.2.' || n %% 250, 'useragent', 'Mail/1.0', 'sg_event_id', n)
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""  # noqa: S608 - words of this file
# What others do meanwhile: a row of this month, some 50 times a second.
WRITTEN = """
    INSERT INTO outreach.email_events (workspace_id, event_key, created_at, event, provider)
    VALUES (%s, gen_random_uuid()::text, now(), 'opened', 'sendgrid')
"""
MONTHS = f"SELECT outreach.ensure_partitions('email_events', {MONTH}, now())"
QUERY = "SELECT event, count(*), count(DISTINCT lead_id) FROM email_events GROUP BY event"

# The table, its indexes and what lies out of line: files, and pages in the server's cache.
RELATIONS = """
    SELECT c.oid, c.relkind = 'i' AS index,
           current_setting('data_directory') || '/' || pg_relation_filepath(c.oid) AS file
    FROM pg_class AS t
    JOIN pg_class AS c
        ON c.oid IN (t.oid, t.reltoastrelid) OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = t.oid)
    WHERE t.oid = %s::regclass
"""


async def run(url: str, rows: int = 5_000_000, progress: Progress = silent) -> list[Result]:
    """Everything on a scratch database whose month of 15 months ago holds ``rows`` events."""
    async with scratch_database(url, "archive") as scratch:
        await migrate.upgrade(scratch)
        with tempfile.TemporaryDirectory(prefix="odb-bench-") as folder:
            async with Pools(Settings.load({}, database_url=scratch)) as pools:
                return await _measure(pools, scratch, rows, Folder(Path(folder)), progress)


async def _measure(pools: Pools, url: str, rows: int, folder: Folder, progress: Progress) -> list[Result]:
    partition = await _fill(pools, url, rows, progress)
    async with _writer(pools, url) as waits:
        left = await archiving.archive(pools, "email_events", partition, folder=folder, progress=progress)
    copying = left.seconds["write"] + left.seconds["verify"]
    asked, _ = await _timed(lambda: querying.query_all(pools, QUERY, folder=folder))
    checked, _ = await _timed(lambda: archiving.in_thread(lambda _: archive_files.fingerprint(Path(left.file))))
    restored, _ = await _timed(lambda: restoring.restore(pools, "email_events", partition, folder=folder))
    deleted = await _delete(url, partition, progress)
    return [
        Result(
            "archive: file written, read back and compared",
            rows / copying,
            "rows/s",
            limit=ARCHIVE_LIMIT,
            more_is_better=True,
        ),
        Result("archive: of this the content told, and the file written and synced", left.seconds["write"], "s"),
        Result("archive: of this the file read back and compared", left.seconds["verify"], "s"),
        Result("archive: partition dropped", left.seconds["drop"], "s", limit=DROP_LIMIT),
        Result("archive: longest wait of somebody who stores events meanwhile", max(waits), "s"),
        Result("archive: DELETE of the same rows, and VACUUM", deleted, "s"),
        Result("archive: size of the partition", left.bytes / 2**20, "MB"),
        Result("archive: size of the file", left.file_bytes / 2**20, "MB"),
        Result("archive: checked again later", rows / checked, "rows/s"),
        Result("archive: restored with indexes", rows / restored, "rows/s"),
        Result("archive: counts and distinct leads per event by DuckDB", asked, "s"),
    ]


@asynccontextmanager
async def _writer(pools: Pools, url: str) -> AsyncIterator[list[float]]:
    """Somebody who stores an event now and then; how long each took."""
    workspace, waits = await workspaces.create(pools, "writer"), [0.0]

    async def write() -> None:
        async with await connect(url, autocommit=True) as connection:
            while True:
                took, _ = await _timed(lambda: connection.execute(WRITTEN, [workspace.id]))
                waits.append(took)
                await asyncio.sleep(0.02)

    writing = asyncio.create_task(write())
    try:
        yield waits
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing


async def _fill(pools: Pools, url: str, rows: int, progress: Progress) -> str:
    workspace = await workspaces.create(pools, "bench")
    async with await connect(url, autocommit=True) as connection:
        await connection.execute(MONTHS)
        for start in range(0, rows, PORTION):
            progress("storing events", start, rows)
            given = {"ws": workspace.id, "first": start + 1, "last": min(start + PORTION, rows)}
            await connection.execute(STORED, given)
        await connection.execute("VACUUM (ANALYZE) outreach.email_events")
        # Written out before the clock runs, as a month that old is.
        await connection.execute("CHECKPOINT")
        found = await connection.execute(
            f"SELECT tableoid::regclass::text AS name FROM outreach.email_events WHERE created_at >= {MONTH} LIMIT 1"  # noqa: S608
        )
        row = await found.fetchone()
        assert row is not None  # noqa: S101  (they were stored a moment ago)
        await _cool(connection, str(row["name"]))
    return str(row["name"])


async def _cool(connection: Connection, partition: str) -> None:
    """A month of that age is in no cache; this one was just stored, and a gigabyte in memory takes 0.4 s to drop.

    The server's cache from PostgreSQL 18 on, and for a superuser; of the system's its indexes, where the files can be
    reached. Its rows stay in the latter: the archive reads them anyway, and how fast the disk is would be measured.
    """
    relations = await (await connection.execute(RELATIONS, [partition])).fetchall()
    with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFile, psycopg.errors.UndefinedFunction):
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_buffercache")
        for each in relations:
            await connection.execute("SELECT pg_buffercache_evict_relation(%s)", [each["oid"]])
    await asyncio.to_thread(_forget, [Path(each["file"]) for each in relations if each["index"]])


def _forget(files: list[Path]) -> None:
    for first in files:
        for segment in first.parent.glob(f"{first.name}*"):
            with suppress(OSError, AttributeError):  # other systems have no such advice
                handle = os.open(segment, os.O_RDONLY)
                try:
                    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(handle)


async def _delete(url: str, partition: str, progress: Progress) -> float:
    """What leaving costs without partitions; VACUUM is part of it, as the room is free only then."""
    progress("deleting", 0)
    async with await connect(url, autocommit=True) as connection:
        began = time.monotonic()
        await connection.execute(f"DELETE FROM {partition}")  # noqa: S608 - a name from the catalogue
        await connection.execute(f"VACUUM {partition}")
        return time.monotonic() - began


async def _timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    began = time.monotonic()
    result = await work()
    return time.monotonic() - began, result
