"""The life of a saved segment: versions, users, what keeps it from being deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from outreachdb import campaigns, segments, sending
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.secrets import Keyring

US = {"field": "country", "op": "in", "value": ["US"]}
SPRING = {
    "name": "spring",
    "segment": "us",
    "mailboxes": [{"address": "sam@sender.example", "smtp": {"host": "127.0.0.1", "security": "plain"}}],
    "steps": [{"subject": "Hi", "text": "Hello"}],
}
BOTH = {"all": [{"field": "country", "op": "in", "value": ["US", "GB"]}, {"not": {"event": "replied"}}]}


async def test_every_change_is_kept_with_its_author_and_what_it_changed(tenant: Tenant) -> None:
    await segments.create(tenant, "us", US, by="ann", note="for spring")
    await segments.update(tenant, "us", BOTH, by="bob")
    same = await segments.update(tenant, "us", BOTH, by="eve")
    wider = {"all": [{"field": "country", "op": "in", "value": ["US"]}, BOTH["all"][1]]}
    await segments.update(tenant, "us", wider)
    back = await segments.revert(tenant, "us", 1, by="ann")
    assert (same.version, back.version, back.definition) == (2, 4, US)
    found = await segments.history(tenant, "us")
    assert [(each.version, each.changed_by, each.note) for each in found[:1] + found[2:]] == [
        (4, "ann", "back to version 1"),
        (2, "bob", None),
        (1, "ann", "for spring"),
    ]
    assert found[1].changed_by != ""
    assert [(one.path, one.before, one.after) for one in found[1].changes] == [("/all/0/value", ["US", "GB"], ["US"])]
    assert found[-1].changes == []
    with pytest.raises(NotFound, match="no version 9"):
        await segments.revert(tenant, "us", 9)


async def test_two_changes_at_once_are_two_versions(tenant: Tenant) -> None:
    await segments.create(tenant, "us", US)
    others = [{"field": "city", "op": "equals", "value": str(n)} for n in range(6)]
    await asyncio.gather(*(segments.update(tenant, "us", each) for each in others))
    versions = await segments.history(tenant, "us")
    assert [each.version for each in versions] == [7, 6, 5, 4, 3, 2, 1]
    assert (await segments.find(tenant, "us")).definition == versions[0].definition


async def test_users_keep_a_segment(tenant: Tenant, other_tenant: Tenant) -> None:
    made = await segments.create(tenant, "us", US)
    await segments.create(tenant, "others", {"not": {"segment": "us"}})
    await segments.create(tenant, "by id", {"all": [{"segment": made.id}]})
    await segments.create(other_tenant, "us", US)
    async with tenant.session() as session:
        await session.execute(
            "INSERT INTO outreach.campaigns (workspace_id, name, segment_id) VALUES (%s, 'spring', %s)",
            [tenant.workspace_id, made.id],
        )
    used = await segments.usage(tenant, "us")
    assert [each["name"] for each in used.campaigns] == ["spring"]
    assert [each["name"] for each in used.segments] == ["by id", "others"]
    with pytest.raises(Conflict, match="used by campaign spring, segment by id, segment others"):
        await segments.delete(tenant, "us")
    await segments.delete(other_tenant, "us")
    await segments.delete(tenant, "others")
    assert [each.name for each in await segments.listed(tenant)] == ["by id", "us"]


@pytest.mark.parametrize("wrong", [{"segment": "a"}, {"not": {"any": [{"segment": "b"}]}}])
async def test_a_change_that_makes_a_circle_is_refused(tenant: Tenant, wrong: dict[str, Any]) -> None:
    await segments.create(tenant, "a", US)
    await segments.create(tenant, "b", {"segment": "a"})
    with pytest.raises(InvalidInput, match="would be made of itself"):
        await segments.update(tenant, "a", wrong)
    assert (await segments.find(tenant, "a")).definition == US


async def test_a_change_that_breaks_a_user_is_refused(tenant: Tenant) -> None:
    for name, inner in (("s0", US), ("s1", {"segment": "s0"}), ("s2", {"segment": "s1"}), ("s3", {"segment": "s2"})):
        await segments.create(tenant, name, inner)
    await segments.create(tenant, "deep", US)
    with pytest.raises(InvalidInput, match="too deep"):
        await segments.update(tenant, "s0", {"segment": "deep"})
    assert len(await segments.history(tenant, "s0")) == 1


async def test_use_is_remembered(tenant: Tenant) -> None:
    assert (await segments.create(tenant, "us", US)).last_used_at is None
    await segments.preview(tenant, "us")
    first = (await segments.find(tenant, "us")).last_used_at
    assert first is not None
    await segments.count(tenant, "us")
    counted = await segments.find(tenant, "us")
    assert counted.last_count == 0
    assert counted.last_used_at is not None
    assert counted.last_used_at > first


async def test_every_use_is_remembered_and_none_waits_for_it(tenant: Tenant, tmp_path: Path, keyring: Keyring) -> None:
    await segments.create(tenant, "us", US)
    tag = segments.Action("add_tags", tags=["x"])
    for use in (
        lambda: segments.export(tenant, "us", tmp_path / "us.csv"),
        lambda: segments.apply(tenant, "us", tag),
        lambda: segments.breakdown(tenant, "us"),
        lambda: segments.count(tenant, "us", estimate=True),
        lambda: segments.explain(tenant, "us"),
        lambda: campaigns.create(tenant, keyring, SPRING),
        lambda: sending.launch(tenant, "spring"),
    ):
        async with tenant.session() as session:
            await session.execute("UPDATE outreach.segments SET last_used_at = NULL")
        await use()
        assert (await segments.find(tenant, "us")).last_used_at is not None
    async with tenant.session() as session:
        await session.execute("UPDATE outreach.segments SET last_used_at = NULL")
    async with tenant.session() as changing:
        await changing.execute("SELECT FROM outreach.segments WHERE name = 'us' FOR UPDATE")
        await asyncio.wait_for(segments.preview(tenant, "us"), 10)
    assert (await segments.find(tenant, "us")).last_used_at is None


async def test_pages_and_lists_have_a_size(tenant: Tenant) -> None:
    for wrong in (
        segments.preview(tenant, US, rows=10**12),
        segments.preview(tenant, US, rows=0),
        segments.preview(tenant, US, after=-1),
        segments.preview(tenant, US, after=2**63),
        segments.breakdown(tenant, US, top=-1),
        segments.breakdown(tenant, US, top=10**12),
        segments.actions(tenant, -1),
    ):
        with pytest.raises(InvalidInput, match="must lie between"):
            await wrong
    with pytest.raises(NotFound, match="no action"):
        await segments.undo_action(tenant, 2**63)
