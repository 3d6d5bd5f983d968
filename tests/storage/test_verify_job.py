# ruff: noqa: ASYNC240 - files are small here
"""Archives are read again by a job of the registry; one that is damaged fails it, and health says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from months import store_events, workspace

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.errors import OutreachDBError
from outreachdb.health import report
from outreachdb.jobs import history, runs
from outreachdb.storage import archiving, checking

JOB = "verify_archives"


@pytest.fixture
async def pools(own_database_url: str, tmp_path: Path) -> AsyncIterator[Pools]:
    settings = Settings.load({}, database_url=own_database_url, archive_folder=tmp_path)
    async with Pools(settings) as opened:
        yield opened


async def test_the_job_reads_what_was_long_unread_and_fails_on_damage(pools: Pools, own_database_url: str) -> None:
    async def health() -> tuple[str, str]:
        found = (await report.check(own_database_url, only=["failed_jobs"]))["failed_jobs"]
        return found.status, found.summary

    with psycopg.connect(own_database_url, autocommit=True) as connection:
        ws = workspace(connection, "acme")
        left = [
            await archiving.archive(pools, "email_events", store_events(connection, ws, months=months, rows=20))
            for months in (15, 16)
        ]
        assert (await runs.run_now(pools, JOB)).rows == 0, "both were read when they were written"
        connection.execute("UPDATE ops.partition_archives SET verified_at = now() - interval '7 days'")
        done = await runs.run_now(pools, JOB)
        assert (done.rows, done.details) == (2, {"rows": 40})
        assert (await runs.run_now(pools, JOB)).rows == 0
        assert (await health())[0] == "green"

        path = Path(left[1].file)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        connection.execute("UPDATE ops.partition_archives SET verified_at = now() - interval '8 days'")
        with pytest.raises(OutreachDBError, match=f"1 of 2 archives are not what they were, {left[1].partition}"):
            await runs.run_now(pools, JOB)
        assert await health() == ("yellow", JOB)
        assert [row["status"] for row in await history(pools, JOB, limit=2)] == ["failed", "succeeded"]
        # Asked again it looks at the one that was damaged, however lately.
        with pytest.raises(OutreachDBError, match="1 of 1"):
            await runs.run_now(pools, JOB)
        path.write_bytes(whole)
        assert (await runs.run_now(pools, JOB)).rows == 1
        assert (await health())[0] == "green"
        # With no time left nothing is begun, and what is unread for longest comes first.
        connection.execute("UPDATE ops.partition_archives SET verified_at = now() - id * interval '1 day'")
        assert await checking.verify(pools, seconds=-1) == []
        assert [each.archive_id for each in await checking.verify(pools)] == [left[1].archive_id, left[0].archive_id]
