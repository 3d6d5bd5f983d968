from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.tenancy import workspaces


@pytest.fixture
async def pools(own_database_url: str) -> AsyncIterator[Pools]:
    async with Pools(Settings.load({}, database_url=own_database_url)) as opened:
        yield opened


async def test_created_workspaces_are_listed_by_name(pools: Pools) -> None:
    for name in ("globex", "acme"):
        await workspaces.create(pools, name)
    assert [each.name for each in await workspaces.listed(pools)] == ["acme", "globex"]
    assert [each.name for each in await workspaces.listed(pools, after="acme")] == ["globex"]


async def test_a_name_is_taken_once(pools: Pools) -> None:
    await workspaces.create(pools, "acme")
    with pytest.raises(Conflict, match="of that name exists"):
        await workspaces.create(pools, "acme")


@pytest.mark.parametrize("name", ["", " ", "-x", "a b", "a" * 64, "é", "a\n"])
async def test_what_is_no_name_is_refused(pools: Pools, name: str) -> None:
    with pytest.raises(InvalidInput, match="can't name a workspace"):
        await workspaces.create(pools, name)
    assert await workspaces.listed(pools) == []


async def test_an_unknown_workspace_says_how_to_make_it(pools: Pools) -> None:
    with pytest.raises(NotFound, match="outreachdb workspace create acme"):
        await workspaces.tenant(pools, "acme")


async def test_a_tenant_session_sees_its_own_workspace_only(tenant: Tenant, other_tenant: Tenant) -> None:
    async with tenant.session() as session:
        assert await session.all("SELECT id, name FROM outreach.workspaces") == [
            {"id": tenant.workspace_id, "name": tenant.name}
        ]
        assert await session.value("SELECT current_user") == "outreachdb_app"
    async with other_tenant.trusted() as session:
        assert await session.value("SELECT count(*) FROM outreach.workspaces") == 2
        assert await session.value("SELECT outreach.current_workspace()") == other_tenant.workspace_id


async def test_role_and_workspace_do_not_outlive_the_transaction(tenant: Tenant) -> None:
    async with tenant.session() as session:
        await session.execute("SELECT 1")
    async with tenant.pools.connection() as connection:
        row = await (await connection.execute("SELECT current_user, outreach.current_workspace() AS w")).fetchone()
    assert row is not None
    assert row["current_user"] != "outreachdb_app"
    assert row["w"] is None
