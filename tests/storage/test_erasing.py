# ruff: noqa: ASYNC221 - files are small here, and a child is waited for
"""Who is erased is in no archive, no answer and no restored month; everybody else's rows are as they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import erasing_child
import psycopg
import pytest
from months import MONTH, store_events, workspace
from pyarrow import parquet

import outreachdb
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput
from outreachdb.storage import archiving, checking, erasing, holds, querying, restoring
from outreachdb.storage.archive_files import Folder

CHILD = Path(__file__).with_name("erasing_child.py")
ACTIVITIES = """
    INSERT INTO outreach.lead_activities (workspace_id, created_at, lead_id, activity_type)
    SELECT %(ws)s, {month} + n * interval '1 minute', n, 'opened' FROM generate_series(1, 60) AS n
"""
REPLIES = """
    INSERT INTO outreach.message_log (workspace_id, created_at, direction, sender, recipient)
    SELECT %(ws)s, {month} + n * interval '1 minute', 'inbound', 'Lead ' || n || ' <Lead' || n || '@Buyer.example>',
           'us@sender.example'
    FROM generate_series(1, 60) AS n
"""
TABLES = ("email_events", "lead_activities", "message_log")
ROWS = 60
# Lead 4 has an address in its events; lead 3 has none, and is known by its number alone.
ADDRESS = "Lead4@Buyer.Example"


class Ground:
    """Two workspaces whose rows of one old month are archived, in three tables."""

    def __init__(self, url: str, pools: Pools, folder: Path) -> None:
        self.url, self.pools, self.folder = url, pools, Folder(folder)
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute("SET timezone = 'UTC'")
        self.ids = {name: workspace(self.connection, name) for name in ("acme", "globex")}
        self.acme, self.globex = (Tenant(pools, number, name) for name, number in self.ids.items())

    async def archive(self) -> None:
        for ws in self.ids.values():
            store_events(self.connection, ws, months=15, rows=ROWS)
            for statement in (ACTIVITIES, REPLIES):
                self.connection.execute(statement.format(month=MONTH.format(months=15)).encode(), {"ws": ws})
        # Months of lead_activities and message_log stay as long as events may still come for them.
        for table in TABLES:
            row = self.connection.execute(
                f"SELECT DISTINCT tableoid::regclass::text FROM outreach.{table}".encode()
            ).fetchall()
            await archiving.archive(self.pools, table, row[0][0], folder=self.folder)

    async def found(self, tenant: Tenant, table: str, who: str) -> int:
        query = f"SELECT count(*) FROM {table} WHERE {who}"
        return int((await querying.query(tenant, query, folder=self.folder)).rows[0][0])

    async def counts(self, tenant: Tenant) -> list[int]:
        """Rows of lead 4 by number and by address, and of everybody."""
        return [
            await self.found(tenant, "email_events", "lead_id = 4"),
            await self.found(tenant, "lead_activities", "lead_id = 4"),
            await self.found(tenant, "message_log", "sender ILIKE '%lead4@%'"),
            *[await self.found(tenant, table, "true") for table in TABLES],
        ]

    def in_files(self) -> list[int]:
        """Rows of acme's lead 4 in all files that there are, whatever the database says of them."""
        found = []
        for path in self.folder.path.rglob("*.parquet"):
            rows = parquet.read_table(path).to_pylist()
            texts = (f"{row.get('lead_id')} {row.get('sender')}".lower() for row in rows
                     if row["workspace_id"] == self.ids["acme"])  # fmt: skip
            found.append(sum(text.startswith("4 ") or "lead4@" in text for text in texts))
        return found

    async def problems(self) -> list[str | None]:
        return [each.problem for each in await checking.verify(self.pools, folder=self.folder)]

    def number(self, table: str) -> int:
        return int(self.rows(f"SELECT id FROM ops.partition_archives WHERE table_name = '{table}'")[0][0])

    def rows(self, query: str) -> list[Any]:
        return self.connection.execute(query.encode()).fetchall()


@pytest.fixture
async def ground(own_database_url: str, tmp_path: Path) -> AsyncIterator[Ground]:
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        made = Ground(own_database_url, pools, tmp_path / "archives")
        await made.archive()
        yield made
        made.connection.close()


async def test_an_erased_person_is_in_no_file_and_does_not_come_back(ground: Ground) -> None:
    assert await ground.counts(ground.acme) == [1, 1, 1, ROWS, ROWS, ROWS]
    assert ground.in_files() == [1, 1, 1]
    done = await erasing.erase(ground.acme, addresses=[ADDRESS], by="officer", folder=ground.folder)
    # The activities know a lead by its number alone, which the events told.
    assert (len(done.rewritten), done.rows_removed, done.waiting) == (3, 3, [])
    assert ground.in_files() == [0, 0, 0]
    assert await ground.problems() == [None] * 3
    assert await ground.counts(ground.acme) == [0, 0, 0, ROWS - 1, ROWS - 1, ROWS - 1]
    assert await ground.counts(ground.globex) == [1, 1, 1, ROWS, ROWS, ROWS]
    (erasure,) = await erasing.erasures(ground.acme)
    assert (erasure.lead_ids, erasure.addresses, erasure.rows_removed) == ([4], [], 3)
    assert (erasure.requested_by, erasure.done_at is not None) == ("officer", True)
    assert await erasing.erasures(ground.globex) == []
    # By number, of a lead without an address; and somebody whom no file knows.
    done = await erasing.erase(ground.acme, leads=[3], folder=ground.folder)
    assert (len(done.rewritten), done.rows_removed) == (2, 2)
    done = await erasing.erase(ground.acme, addresses=["nobody@buyer.example"], folder=ground.folder)
    assert (done.rewritten, done.rows_removed, done.waiting) == ([], 0, [])
    for table in TABLES:
        number = ground.number(table)
        (restored,) = await restoring.restore(ground.pools, table, archive_id=number, folder=ground.folder)
        assert (restored.rows, restored.left_out) == (2 * ROWS - (1 if table == "message_log" else 2), 0)
    assert ground.rows(f"SELECT count(*) FROM outreach.lead_activities WHERE workspace_id = {ground.ids['acme']}") == [
        (58,)
    ]
    assert ground.rows("SELECT count(*) FROM outreach.email_events WHERE lead_id = 4") == [(1,)]
    # A file of a month that came back is nobody's answer any more; it forgets people too.
    assert (await erasing.erase(ground.acme, leads=[7], folder=ground.folder)).rows_removed == 2
    for wrong in ({"addresses": ["no address"]}, {}):
        with pytest.raises(InvalidInput):
            await erasing.erase(ground.acme, **wrong)  # type: ignore[arg-type]


async def test_a_legal_hold_keeps_the_file_and_hides_the_person(ground: Ground) -> None:
    hold = await holds.add(ground.pools, "case 7", workspace="acme", table="email_events")
    before = ground.rows("SELECT file FROM ops.partition_archives WHERE table_name = 'email_events'")
    done = await erasing.erase(ground.acme, addresses=[ADDRESS], folder=ground.folder)
    assert (len(done.rewritten), [each.split(": ", 1)[1] for each in done.waiting]) == (
        2,
        [f"legal hold {hold.id}: case 7"],
    )
    assert ground.rows("SELECT file FROM ops.partition_archives WHERE table_name = 'email_events'") == before
    assert sorted(ground.in_files()) == [0, 0, 1]
    # Nor by the name under which the query's machinery holds the file.
    assert await ground.counts(ground.acme) == [0, 0, 0, ROWS - 1, ROWS - 1, ROWS - 1]
    hidden = "(SELECT event_key FROM email_events LIMIT 1) AS named, archived_email_events"
    assert await ground.found(ground.acme, hidden, "lead_id = 4") == 0
    assert await ground.found(ground.acme, hidden, "lead_id = 5") == 1
    everybody = await querying.query_all(ground.pools, "SELECT count(*) FROM email_events", folder=ground.folder)
    assert everybody.rows == [(2 * ROWS - 1,)]
    number = ground.number("email_events")
    (restored,) = await restoring.restore(ground.pools, "email_events", archive_id=number, folder=ground.folder)
    assert (restored.rows, restored.left_out, restored.there_already) == (2 * ROWS, 1, 0)
    assert ground.rows("SELECT count(*) FROM outreach.email_events") == [(2 * ROWS - 1,)]
    assert (await erasing.erasures(ground.acme))[0].done_at is None
    await holds.release(ground.pools, hold.id)
    assert (await erasing.finish(ground.pools, folder=ground.folder)).rows_removed == 1
    assert (ground.in_files(), (await erasing.erasures(ground.acme))[0].addresses) == ([0, 0, 0], [])


async def test_a_damaged_file_is_told_and_stays_as_it_is(ground: Ground) -> None:
    (file,) = ground.rows("SELECT file FROM ops.partition_archives WHERE table_name = 'message_log'")[0]
    path = ground.folder.place(file)
    table = parquet.read_table(path)
    whole = path.read_bytes()
    parquet.write_table(table.slice(1), path)
    done = await erasing.erase(ground.acme, addresses=[ADDRESS], folder=ground.folder)
    assert (len(done.rewritten), "not what was archived; nothing was changed" in done.waiting[0]) == (2, True)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    path.write_bytes(whole)
    done = await erasing.finish(ground.pools, folder=ground.folder)
    assert (done.rows_removed, ground.in_files(), await ground.problems()) == (1, [0, 0, 0], [None] * 3)


@pytest.mark.slow
async def test_an_erasure_that_is_killed_leaves_one_verified_file_and_is_finished(ground: Ground) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(outreachdb.__file__).parents[1])}
    for number, point in enumerate(erasing_child.POINTS, start=5):
        given = {"workspace_id": ground.acme.workspace_id, "lead_ids": [number], "addresses": [], "requested_by": "x"}
        async with ground.acme.trusted("admin") as trusted:
            await trusted.execute(erasing.Q.ask, given)
        command = [sys.executable, str(CHILD), ground.url, str(ground.folder.path), point]
        assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == -signal.SIGKILL, point
        # Whichever file the record names is whole, and no answer knows the person.
        assert await ground.problems() == [None] * 3, point
        assert await ground.found(ground.acme, "email_events", f"lead_id = {number}") == 0
        assert (await erasing.finish(ground.pools, folder=ground.folder)).waiting == [], point
        files = [each for each in ground.folder.path.rglob("*") if each.is_file()]
        assert sorted(str(each.relative_to(ground.folder.path)) for each in files) == sorted(
            row[0] for row in ground.rows("SELECT file FROM ops.partition_archives")
        ), point
    assert await ground.found(ground.acme, "email_events", "true") == ROWS - len(erasing_child.POINTS)
    assert await ground.problems() == [None] * 3
