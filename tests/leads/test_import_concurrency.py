"""Killed clients and imports that run at the same time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lead_rows import leads, value

import outreachdb
from outreachdb.db.tenant import TRUSTED_ROLE
from outreachdb.leads.importing import import_file, listed
from outreachdb.leads.importing.merging import Merge

CLIENT = """
import asyncio, sys
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.leads.importing import import_file

def stop(phase, done, total=None):
    if f"{phase} {done}" == sys.argv[5] or (phase == sys.argv[5] == "reading"):
        print("there", flush=True)
        sys.stdin.read()

async def main():
    async with Pools(Settings.load({}, database_url=sys.argv[1])) as pools:
        await import_file(Tenant(pools, int(sys.argv[2]), sys.argv[3]), sys.argv[4], progress=stop)

asyncio.run(main())
"""
POINTS = ("reading", "checking 0", "deduplicating 1", "merging 2", "merging 3", "merging 4")


def _file(tmp_path, name, numbers, city):
    path = tmp_path / name
    rows = "".join(f"lead{number}@example.com,Company {number % 7},{city}\n" for number in numbers)
    path.write_text(f"email,company,city\n{rows}")
    return path


def _start(arguments):
    environment = os.environ | {"PYTHONPATH": str(Path(outreachdb.__file__).parents[1])}
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)


async def _killed_at(url, tenant, path, point):
    """Run the import in a process of its own and kill it when it reports the point."""
    arguments = [sys.executable, "-c", CLIENT, url, str(tenant.workspace_id), tenant.name, str(path), point]
    process = _start(arguments)
    try:
        said = await asyncio.to_thread(process.stdout.readline)
        assert said == "there\n"
        running = [row["status"] for row in await listed(tenant)]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()
    return running


async def _server_has_noticed(tenant):
    """Wait until the killed client's transaction is gone: only then can its row be locked."""
    async with tenant.trusted() as session:
        await session.execute(
            "SELECT id FROM outreach.imports WHERE workspace_id = %s FOR UPDATE", [tenant.workspace_id]
        )


@pytest.mark.parametrize("point", POINTS)
async def test_killed_client_leaves_nothing_and_the_next_run_ends_right(tenant, database_url, tmp_path, point):
    path = _file(tmp_path, "killed.csv", range(3000), "Rome")
    assert await _killed_at(database_url, tenant, path, point) == ["running"]
    await _server_has_noticed(tenant)
    assert await leads(tenant) == []
    assert await value(tenant, "SELECT count(*) FROM outreach.companies") == 0
    report = await import_file(tenant, path)
    assert (report.rows_read, report.inserted) == (3000, 3000)
    newest, dead = await listed(tenant)
    assert (newest["status"], dead["status"]) == ("done", "failed")
    assert dead["error"] == "the importing process ended before it was done"
    left = await value(tenant, f"SELECT count(*) FROM pg_class WHERE relname LIKE 'import\\_{dead['id']}\\_%'")
    assert left == 0


async def test_overlapping_imports_at_once(tenant, tmp_path):
    files = [_file(tmp_path, f"{n}.csv", range(n * 500, n * 500 + 2000), f"City {n}") for n in range(4)]
    reversed_file = tmp_path / "reversed.csv"
    header, *rows = files[1].read_text().splitlines()
    reversed_file.write_text("\n".join([header, *rows[::-1]]) + "\n")
    reports = await asyncio.gather(*(import_file(tenant, path) for path in [*files, reversed_file]))
    for report in reports:
        assert report.rows_read == report.inserted + report.updated + report.skipped + report.rejected == 2000
    assert sum(report.inserted for report in reports) == 3500
    found = await leads(tenant, "email_key, company_id")
    assert len({row["email_key"] for row in found}) == len(found) == 3500
    assert await value(tenant, "SELECT count(*) FROM outreach.companies") == 7
    created = """SELECT count(*) FROM outreach.leads AS l
        JOIN outreach.imports AS i ON l.id BETWEEN i.first_lead_id AND i.last_lead_id AND l.created_at = i.started_at"""
    assert await value(tenant, created) == 3500


async def test_a_lead_that_appears_meanwhile_is_updated_not_lost(tenant, pools, tmp_path, monkeypatch):
    """Somebody inserts an address between the import's look and its insert."""
    path = _file(tmp_path, "race.csv", range(100), "Rome")
    other = await pools.pool("web")

    async def insert():
        async with other.connection() as connection:
            await connection.execute(f"SET LOCAL ROLE {TRUSTED_ROLE}")
            await connection.execute(
                "INSERT INTO outreach.leads (workspace_id, email, city) VALUES (%s, 'LEAD7@example.com', 'Oslo')",
                [tenant.workspace_id],
            )

    link = Merge._link_companies

    async def link_late(self):
        await link(self)
        await insert()

    monkeypatch.setattr(Merge, "_link_companies", link_late)
    report = await import_file(tenant, path)
    assert (report.inserted, report.updated, report.skipped) == (99, 1, 0)
    assert await value(tenant, "SELECT city FROM outreach.leads WHERE email_key = 'lead7@example.com'") == "Rome"
    before = "SELECT before ->> 'city' FROM outreach.import_changes"
    assert await value(tenant, before) == "Oslo"


async def test_cancelling_is_on_record(tenant, tmp_path):
    path = _file(tmp_path, "cancelled.csv", range(1000), "Rome")
    reached = asyncio.Event()

    def stop(phase, done, total=None):
        if phase == "merging":
            reached.set()
            task.cancel()

    task = asyncio.ensure_future(import_file(tenant, path, progress=stop))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached.is_set()
    (row,) = await listed(tenant)
    assert row["status"] == "cancelled"
    assert await leads(tenant) == []
