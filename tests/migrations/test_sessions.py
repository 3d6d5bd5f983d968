"""A database that a login without superuser rights has migrated serves every role that the engine's sessions take."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import DatabaseUnsupported
from outreachdb.tenancy import workspaces


@pytest.fixture
async def pools(migrated: str) -> AsyncIterator[Pools]:
    async with Pools(Settings.load({}, database_url=migrated)) as opened:
        yield opened


async def _lead(tenant: Tenant, email: str) -> int:
    async with tenant.session() as session:
        return int(
            await session.value(
                "INSERT INTO outreach.leads (workspace_id, email) VALUES (%s, %s) RETURNING id",
                [tenant.workspace_id, email],
            )
        )


async def test_the_engine_s_whole_path_of_roles(pools: Pools, migrated: str) -> None:
    with psycopg.connect(migrated) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row == (False,)
    for name in ("acme", "globex"):
        await workspaces.create(pools, name)
    acme, globex = [await workspaces.tenant(pools, name) for name in ("acme", "globex")]
    await _lead(acme, "ada@acme.example")
    await _lead(globex, "grace@globex.example")
    async with acme.session() as session:
        assert await session.value("SELECT string_agg(email, ' ') FROM outreach.leads") == "ada@acme.example"
        # A definer function that belongs to the trusted role, called by a tenant.
        assert await session.one(
            "SELECT added, leads FROM outreach.suppress('{ada@acme.example}', 'unsubscribed')"
        ) == {
            "added": 1,
            "leads": 1,
        }
    async with acme.trusted() as session:
        assert await session.value("SELECT count(*) FROM outreach.leads") == 2
        assert await session.value("SELECT outreach.ensure_partitions('email_events', now(), now())") == 0
        far = "now() + interval '2 years'"
        assert await session.value(f"SELECT outreach.ensure_partitions('email_events', {far}, {far})") == 1
    with pytest.raises(DatabaseUnsupported, match="permission denied"):
        async with acme.session() as session:
            await session.execute("SELECT FROM analytics.rollups")


async def test_an_application_s_login_may_be_a_member_of_the_tenant_role_only(cluster, migrated: str) -> None:
    """The narrowest login: it can be a tenant and nothing else."""
    login = f"narrow_{psycopg.conninfo.conninfo_to_dict(migrated)['dbname']}"
    cluster.admin(f"CREATE ROLE {login} LOGIN NOINHERIT IN ROLE outreachdb_app")
    with psycopg.connect(psycopg.conninfo.make_conninfo(migrated, user=login), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT FROM outreach.leads")
        for role in ("outreachdb_owner", "outreachdb_trusted"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SET ROLE {role}".encode())
        connection.execute("SET ROLE outreachdb_app")
        assert connection.execute("SELECT count(*) FROM outreach.leads").fetchone() == (0,)
    cluster.admin(f"DROP ROLE {login}")
