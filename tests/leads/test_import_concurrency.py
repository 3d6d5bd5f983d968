"""Killed clients and imports that run at the same time."""

from __future__ import annotations

import asyncio
import io
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lead_rows import leads, value
from psycopg.types.json import Jsonb

import outreachdb
from outreachdb.db import cancelling
from outreachdb.db.tenant import TRUSTED_ROLE
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.leads import suppression
from outreachdb.leads.importing import import_file, listed, resume, runs, settling, undo
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
POINTS = ("reading", "checking 0", "matching 0", "inserting 0", "inserting 3000", "finishing 0")


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


async def _write(tenant, query, *values):
    async with tenant.trusted() as session:
        await session.execute(query, [*values, tenant.workspace_id])


@pytest.mark.parametrize("point", POINTS)
async def test_killed_client_leaves_nothing_and_the_import_goes_on(tenant, database_url, tmp_path, point):
    path = _file(tmp_path, "killed.csv", range(3000), "Rome")
    assert await _killed_at(database_url, tenant, path, point) == ["running"]
    await _server_has_noticed(tenant)
    assert await leads(tenant) == []
    assert await value(tenant, "SELECT count(*) FROM outreach.companies") == 0
    if POINTS.index(point) % 2:
        # The same command again; in its first two seconds an import may be about to take hold of its row.
        await _write(
            tenant, "UPDATE outreach.imports SET started_at = started_at - interval '3 s' WHERE workspace_id = %s"
        )
        report = await import_file(tenant, path)
    else:
        (dead,) = await listed(tenant)
        report = await resume(tenant, dead["id"])
    assert (report.rows_read, report.inserted) == (3000, 3000)
    (only,) = await listed(tenant)
    assert (only["id"], only["status"], only["attempts"], only["error"]) == (report.import_id, "done", 2, None)
    left = await value(tenant, "SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace"
                       f" AND relname LIKE 'import\\_{report.import_id}\\_%'")  # fmt: skip
    assert left == 0


async def test_a_dead_import_is_found_and_one_that_is_done_is_not_run_again(tenant, database_url, tmp_path):
    path = _file(tmp_path, "dead.csv", range(500), "Rome")
    await _killed_at(database_url, tenant, path, "inserting 0")
    await _server_has_noticed(tenant)
    await _write(tenant, "UPDATE outreach.imports SET started_at = started_at - interval '3 s' WHERE workspace_id = %s")
    (dead,) = await listed(tenant)
    assert dead["status"] == "failed"
    assert dead["error"] == "the importing process ended before it was done; nothing was stored"
    done = await resume(tenant, dead["id"])
    again = await resume(tenant, dead["id"])
    assert (done.inserted, again.inserted, again.rows_read, again.mapping) == (500, 500, 500, done.mapping)
    assert [row["attempts"] for row in await listed(tenant)] == [2]


async def test_what_can_not_be_resumed_is_refused(tenant, other_tenant, tmp_path, monkeypatch):
    path = _file(tmp_path, "moved.csv", range(50), "Rome")
    content = path.read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    piped, moved = await import_file(tenant, "-"), await import_file(tenant, path, on_conflict="fill")
    await _write(tenant, "UPDATE outreach.imports SET status = 'failed' WHERE workspace_id = %s")
    with pytest.raises(Conflict, match=r"through a pipe.*give the same data once more: .* resume \d+ FILE"):
        await resume(tenant, piped.import_id)
    with pytest.raises(NotFound):
        await resume(other_tenant, piped.import_id)
    path.write_bytes(content + b"one@more.example,Acme,Oslo\n")
    with pytest.raises(InvalidInput, match="is not the file that import"):
        await resume(tenant, moved.import_id)
    path.unlink()
    with pytest.raises(InvalidInput, match="is not there any more"):
        await resume(tenant, moved.import_id)
    path = tmp_path / "here now.csv"
    path.write_bytes(content)
    assert (await resume(tenant, moved.import_id, path)).skipped == 50
    assert (await resume(tenant, piped.import_id, path)).skipped == 50
    await undo(tenant, moved.import_id)
    with pytest.raises(Conflict, match="it was done and is undone"):
        await resume(tenant, moved.import_id, path)


async def test_of_two_resumes_at_once_one_wins(tenant, tmp_path):
    path = _file(tmp_path, "twice.csv", range(2000), "Rome")
    first = await import_file(tenant, path)
    await undo(tenant, first.import_id)
    await _write(tenant, "UPDATE outreach.imports SET status = 'failed' WHERE workspace_id = %s")
    done = await asyncio.gather(*(resume(tenant, first.import_id) for _ in range(4)), return_exceptions=True)
    reports = [each for each in done if not isinstance(each, Conflict)]
    assert len(reports) >= 1, done
    assert {(report.import_id, report.inserted) for report in reports} == {(first.import_id, 2000)}
    assert all("another process works on import" in str(each) for each in done if isinstance(each, Conflict))
    assert len(await leads(tenant)) == 2000


async def test_a_file_that_changes_under_the_import_is_refused(tenant, tmp_path):
    path = _file(tmp_path, "growing.csv", range(3000), "Rome")

    def grow(phase, done, total=None):
        with path.open("a") as file:
            file.write("late@example.com,Acme,Oslo\n")

    with pytest.raises(InvalidInput, match="was changed while it was imported"):
        await import_file(tenant, path, progress=grow)
    assert await leads(tenant) == []
    assert [row["status"] for row in await listed(tenant)] == ["failed"]


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


async def test_ten_imports_and_whoever_else_writes_leads(tenant, tmp_path):
    """Imports, an undo, bulk_insert_leads and suppressions at once, on the same addresses in all orders."""
    source = random.Random(9)
    shown = "email,company,city,status\n"
    files, numbers = [], list(range(3000))
    for name in range(10):
        source.shuffle(numbers)
        path = tmp_path / f"mixed-{name}.csv"
        rows = (
            f"lead{n}@example.com,Company {n % 11},City {name},{'unsubscribed' if n % 37 == name else ''}\n"
            for n in numbers[:1500]
        )
        path.write_text(shown + "".join(rows))
        files.append(path)
    first = await import_file(tenant, _file(tmp_path, "first.csv", range(0, 3000, 3), "Rome"))

    async def insert(number):
        source.shuffle(numbers)
        given = [
            {"email": f"lead{n}@example.com", "city": "Bulk", "status": "bounced" if n % 41 == number else None}
            for n in numbers[:300]
        ]
        async with tenant.session() as session:
            return await session.one("SELECT * FROM outreach.bulk_insert_leads(%s, 'update')", [Jsonb(given)])

    async def suppress():
        for _ in range(15):
            source.shuffle(numbers)
            targets = [f"lead{n}@example.com" for n in numbers[:60]]
            await suppression.add(tenant, targets, reason="unsubscribed")
            await asyncio.sleep(0.05)

    marks = {"mapping": {"status": "status"}}
    reports, bulk, undone, *_ = await asyncio.gather(
        asyncio.gather(*(import_file(tenant, path, **marks) for path in files[:6])),
        asyncio.gather(*(insert(number) for number in range(3))),
        undo(tenant, first.import_id, keep_changed=True),
        suppress(),
        suppress(),
    )
    reports += await asyncio.gather(*(import_file(tenant, path, **marks) for path in files[6:]))
    for report in reports:
        assert report.rows_read == report.inserted + report.updated + report.skipped + report.rejected == 1500
    for row in bulk:
        assert row["rows_read"] == row["inserted"] + row["updated"] + row["skipped"] + row["rejected"] == 300
    found = await leads(tenant, "email_key, status")
    assert len({row["email_key"] for row in found}) == len(found)
    made = 1000 - undone.removed + sum(report.inserted for report in reports) + sum(row["inserted"] for row in bulk)
    assert len(found) == made
    async with tenant.session() as session:
        targets = await session.all("SELECT target, reason FROM outreach.suppressions")
    stopped = {row["target"] for row in targets}
    assert len(stopped) == len(targets) > 500
    assert {row["email_key"] for row in found if row["status"] in {"unsubscribed", "bounced"}} <= stopped


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
        if phase == "inserting":
            reached.set()
            task.cancel()

    task = asyncio.ensure_future(import_file(tenant, path, progress=stop))
    with pytest.raises(asyncio.CancelledError) as stopped:
        await task
    assert reached.is_set()
    (row,) = await listed(tenant)
    assert stopped.value.args[0].startswith(f"import {row['id']} was stopped; nothing of it is stored")
    assert (row["status"], row["error"]) == ("cancelled", "stopped by a person; nothing was stored")
    assert await leads(tenant) == []


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_cancelling_while_the_import_is_begun_is_on_record(tenant, tmp_path, monkeypatch, moment):
    path = _file(tmp_path, "cancelled.csv", range(10), "Rome")
    begin = runs.begin

    async def begun(*given):
        if moment == "before":
            task.cancel()
        claim = await begin(*given)
        if moment == "after":  # the row is written, and its commit comes next
            task.cancel()
        return claim

    monkeypatch.setattr(runs, "begin", begun)
    task = asyncio.ensure_future(import_file(tenant, path))
    with pytest.raises(asyncio.CancelledError, match="was stopped; nothing of it is stored"):
        await task
    (row,) = await listed(tenant)
    assert (row["status"], row["error"]) == ("cancelled", "stopped by a person; nothing was stored")
    assert (await resume(tenant, row["id"])).inserted == 10


async def test_cancelling_an_import_that_somebody_took_for_dead_is_on_record(tenant, tmp_path, monkeypatch):
    """Begun some seconds ago and not held yet, as on a machine that stood still in between."""
    path = _file(tmp_path, "cancelled.csv", range(10), "Rome")
    hold = runs.hold

    async def hold_late(*given):
        await _write(
            tenant, "UPDATE outreach.imports SET started_at = started_at - interval '3 s' WHERE workspace_id = %s"
        )
        assert [row["status"] for row in await listed(tenant)] == ["failed"]
        await hold(*given)

    monkeypatch.setattr(runs, "hold", hold_late)
    task = asyncio.ensure_future(import_file(tenant, path, progress=lambda *_: task.cancel()))
    with pytest.raises(asyncio.CancelledError, match="was stopped; nothing of it is stored"):
        await task
    (row,) = await listed(tenant)
    assert (row["status"], row["error"]) == ("cancelled", "stopped by a person; nothing was stored")


async def test_a_note_that_a_late_cancel_meets_is_made_again(tenant, tmp_path, monkeypatch):
    path = _file(tmp_path, "cancelled.csv", range(10), "Rome")
    fail, met = runs.fail, []

    async def interrupted(*given, **more):
        if not met:
            met.append(given)
            raise Conflict("the statement was cancelled")
        return await fail(*given, **more)

    monkeypatch.setattr(runs, "fail", interrupted)
    task = asyncio.ensure_future(import_file(tenant, path, progress=lambda *_: task.cancel()))
    with pytest.raises(asyncio.CancelledError, match="was stopped; nothing of it is stored"):
        await task
    assert len(met) == 1
    assert [row["status"] for row in await listed(tenant)] == ["cancelled"]


async def test_a_cancel_that_is_lost_is_asked_again(tenant, monkeypatch):
    begun, deaf = asyncio.Event(), []

    async def settle(_):
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:  # as wait_for may do up to Python 3.11, once
            deaf.append(True)
            if len(deaf) > 1:
                raise

    monkeypatch.setattr(settling, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(cancelling, "ASK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(settling, "settle", settle)
    async with asyncio.timeout(20), settling.settling(tenant):
        await begun.wait()
    assert deaf == [True, True]
