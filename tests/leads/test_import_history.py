"""Before-images and rejected rows leave at their age: what that takes away is said, and nothing else changes."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from lead_rows import state, value

from outreachdb import segments
from outreachdb.errors import Conflict, InvalidInput
from outreachdb.leads.importing import find, import_file, listed, rejects, undo, write_rejects
from outreachdb.storage import holds

HEAD = ("email", "first name")
PRUNE = "SELECT outreach.prune_import_history(%s::interval, %s)"
LOCK = "SELECT id FROM outreach.imports WHERE workspace_id = %s AND id = %s FOR NO KEY UPDATE"
LEFT = """
    SELECT ARRAY[(SELECT count(*) FROM outreach.import_changes), (SELECT count(*) FROM outreach.import_rejects)]
"""


async def prune(tenant, age="365 days", limit=1_000_000):
    async with tenant.trusted() as session:
        return await session.value(PRUNE, [age, limit])


async def write(tenant, query, *values):
    async with tenant.trusted() as session:
        await session.execute(query, [*values, tenant.workspace_id])


async def grow_old(tenant, *imports):
    """Let imports have ended 400 days ago, the first of them first."""
    for place, report in enumerate(imports):
        await write(
            tenant,
            "UPDATE outreach.imports SET finished_at = finished_at - interval '400 days' + %s * interval '1 hour'"
            " WHERE id = %s AND workspace_id = %s",
            place,
            report.import_id,
        )


async def test_old_history_leaves_and_is_told(tenant, csv_file, tmp_path):
    created = await import_file(tenant, csv_file(HEAD, ("a@x.com", "Ann"), ("b@x.com", "Bo"), ("c@x.com", "Cy")))
    changed = await import_file(tenant, csv_file(HEAD, ("a@x.com", "Anna"), ("b@x.com", "Bob"), ("none", "N")))
    undone = await import_file(tenant, csv_file(HEAD, ("c@x.com", "Cyd"), ("nobody", "N"), ("nothing", "N")))
    await undo(tenant, undone.import_id)
    fresh = await import_file(tenant, csv_file(HEAD, ("c@x.com", "Cid"), ("no", "N")))
    await grow_old(tenant, created, changed, undone)
    before = await state(tenant)
    assert await prune(tenant, "500 days") == 0
    assert (await find(tenant, created.import_id))["history_pruned_at"] is None
    # Whole imports, the oldest first: the limit is reached by the second, which has three rows.
    assert await prune(tenant, limit=1) == 3
    assert [await prune(tenant), await prune(tenant)] == [3, 0]
    assert await value(tenant, LEFT) == [1, 1]
    assert await state(tenant) == before

    rows = {row["id"]: row for row in await listed(tenant)}
    assert {each for each in rows if rows[each]["history_pruned_at"]} == {
        report.import_id for report in (created, changed, undone)
    }
    found = await find(tenant, changed.import_id)
    assert (found["status"], found["rows_read"], found["updated"], found["rejected"]) == ("done", 3, 2, 1)
    since = f"pruned on {found['history_pruned_at']:%Y-%m-%d}"
    for report in (created, changed):
        with pytest.raises(Conflict, match=f"import {report.import_id} can't be undone any more.*{since}") as refused:
            await undo(tenant, report.import_id)
        assert "segment apply" in refused.value.hint
    with pytest.raises(Conflict, match="it is undone already"):
        await undo(tenant, undone.import_id)

    target = tmp_path / "rejects.csv"
    with pytest.raises(Conflict, match=f"the rejected rows of import {undone.import_id} are gone .2.*{since}"):
        await write_rejects(tenant, undone.import_id, target)
    assert not target.exists()
    with pytest.raises(Conflict, match=f"the rejected rows of import {changed.import_id} are gone .1"):
        _ = [row async for row in rejects(tenant, changed.import_id)]
    assert [row async for row in rejects(tenant, created.import_id)] == [], "it has never rejected any"
    assert [row["raw"] async for row in rejects(tenant, fresh.import_id)] == ["no,N"]

    assert (await segments.count(tenant, {"import": created.import_id})).count == 3
    for report in (changed, undone):
        with pytest.raises(InvalidInput, match=f"import: which leads import {report.import_id} changed is forgotten"):
            await segments.count(tenant, {"import": report.import_id})
    assert (await undo(tenant, fresh.import_id)).restored == 1


async def test_what_is_under_way_or_held_keeps_its_history(tenant, other_tenant, csv_file):
    await import_file(tenant, csv_file(HEAD, ("a@x.com", "Ann")))
    report = await import_file(tenant, csv_file(HEAD, ("a@x.com", "Anna"), ("none", "N")))
    await grow_old(tenant, report)
    for status in ("running", "failed", "cancelled"):
        await write(tenant, "UPDATE outreach.imports SET status = %s WHERE workspace_id = %s", status)
        assert await prune(tenant) == 0, status
    await write(tenant, "UPDATE outreach.imports SET status = 'done', words_pending = %s WHERE workspace_id = %s", True)
    assert await prune(tenant) == 0, "its leads' words are not learned"
    await write(tenant, "UPDATE outreach.imports SET words_pending = %s WHERE workspace_id = %s", False)
    hold = await holds.add(tenant.pools, "case 9", workspace=tenant.name)
    assert await prune(tenant) == 0
    await holds.release(tenant.pools, hold.id)
    assert await prune(other_tenant) == 0, "a session with a workspace prunes only its own"
    for wrong in ("-1 day", None):
        async with tenant.trusted() as session:
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="imports can't be older than"):
                await session.value(PRUNE, [wrong, 1])
    assert await value(tenant, LEFT) == [1, 1]
    assert await prune(tenant) == 2


async def test_prunings_and_undos_at_once(tenant, csv_file):
    await import_file(tenant, csv_file(HEAD, ("a@x.com", "Ann"), ("b@x.com", "Bo")))
    first = await import_file(tenant, csv_file(HEAD, ("a@x.com", "Anna"), ("none", "N")))
    second = await import_file(tenant, csv_file(HEAD, ("b@x.com", "Bob"), ("nobody", "N")))
    await grow_old(tenant, first, second)
    async with tenant.trusted() as undoing:
        await undoing.execute(LOCK, [tenant.workspace_id, second.import_id])
        async with tenant.trusted() as pruning:
            assert await pruning.value(PRUNE, ["365 days", 10]) == 2, "the first: somebody is at the second"
            assert await prune(tenant) == 0, "neither waits for the other, and none counts a row twice"
            late = asyncio.ensure_future(undo(tenant, first.import_id))
            async with asyncio.timeout(20):
                while not await value(
                    tenant,
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype IN ('tuple', 'transactionid'))",
                ):
                    await asyncio.sleep(0.02)
            assert not late.done()
    with pytest.raises(Conflict, match="can't be undone any more"):
        await late
    assert (await undo(tenant, second.import_id)).restored == 1
    assert [await prune(tenant), await prune(tenant)] == [2, 0]
    assert await value(tenant, LEFT) == [0, 0]
