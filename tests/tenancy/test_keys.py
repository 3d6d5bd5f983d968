"""API keys: shown once, stored as a hash, scoped, expired, renewed, rotated, revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import TRUSTED_ROLE, Tenant, session
from outreachdb.errors import Conflict, ConstraintViolated, InvalidInput, NotFound, Unauthorized, UsageError
from outreachdb.tenancy import audit, keys, workspaces


async def run(pools: Pools, statement: str, **values: Any) -> Any:
    async with session(pools, role=TRUSTED_ROLE) as trusted:
        cursor = await trusted.execute(statement, values)
        return await cursor.fetchall() if cursor.description else None


async def test_a_key_opens_its_workspace_and_is_stored_as_a_hash(pools: Pools, tenant: Tenant) -> None:
    made = await keys.create(tenant, "dashboard", scopes=["read", "write"], days=30)
    assert made.secret.startswith(made.key.prefix)
    assert made.secret not in repr(made)
    who = await keys.authenticate(pools, made.secret)
    assert (who.tenant.workspace_id, who.scopes) == (tenant.workspace_id, {"read", "write"})
    who.require("read")
    with pytest.raises(Unauthorized, match="may not admin"):
        who.require("admin")
    (stored,) = await run(pools, "SELECT to_jsonb(k)::text AS row FROM outreach.api_keys AS k WHERE id = %(id)s",
                          id=made.key.id)  # fmt: skip
    assert made.secret not in stored["row"]
    assert made.secret[len(made.key.prefix) :] not in stored["row"]
    (listed,) = await keys.listed(tenant)
    assert listed.last_used_at is not None
    before = listed.last_used_at
    await keys.authenticate(pools, made.secret)
    assert (await keys.listed(tenant))[0].last_used_at == before, "noted once a minute"
    assert "secret" not in listed.document()


async def test_every_key_that_opens_nothing_is_refused_in_the_same_words(pools: Pools, tenant: Tenant) -> None:
    revoked = await keys.create(tenant, "old")
    await keys.revoke(tenant, revoked.key.id)
    expired = await keys.create(tenant, "short")
    await run(pools, "UPDATE outreach.api_keys SET expires_at = now() WHERE id = %(id)s", id=expired.key.id)
    words = set()
    for secret in (revoked.secret, expired.secret, "odb_" + "x" * 43, "", revoked.secret[:-1], "ünï\0"):
        with pytest.raises(Unauthorized) as refused:
            await keys.authenticate(pools, secret)
        words.add(str(refused.value))
    assert len(words) == 1
    with pytest.raises(Conflict, match="revoked already"):
        await keys.revoke(tenant, revoked.key.id)


async def test_rotation_leaves_time_to_change_over(pools: Pools, tenant: Tenant) -> None:
    old = await keys.create(tenant, "crm", scopes=["write"], days=10, renew=True)
    new = await keys.rotate(tenant, old.key.id, grace=timedelta(hours=2))
    assert (new.key.name, new.key.scopes, new.key.renew) == ("crm", ["write"], True)
    for secret in (old.secret, new.secret):
        assert (await keys.authenticate(pools, secret)).tenant.workspace_id == tenant.workspace_id
    ended = next(key for key in await keys.listed(tenant) if key.id == old.key.id)
    assert ended.expires_at is not None
    assert ended.expires_at < datetime.now(UTC) + timedelta(hours=3)
    assert not ended.renew
    at_once = await keys.rotate(tenant, new.key.id, grace=timedelta(0))
    with pytest.raises(Unauthorized):
        await keys.authenticate(pools, new.secret)
    await keys.authenticate(pools, at_once.secret)
    with pytest.raises(NotFound):
        await keys.rotate(tenant, 10**12)


async def test_keys_of_others_are_out_of_reach(tenant: Tenant, other_tenant: Tenant) -> None:
    made = await keys.create(tenant, "mine")
    assert await keys.listed(other_tenant) == []
    for call in (keys.revoke, keys.rotate):
        with pytest.raises(NotFound):
            await call(other_tenant, made.key.id)


async def test_the_nightly_jobs_expire_forget_and_renew(pools: Pools, tenant: Tenant) -> None:
    names = ("over", "forgotten", "renewed", "unused", "unmarked", "later", "forever")
    made = {
        name: await keys.create(
            tenant,
            name,
            days=None if name == "forever" else 100,
            renew=name in {"renewed", "unused", "later", "forever"},
        )
        for name in names
    }

    async def alter(name: str, change: str) -> None:
        await run(pools, f"UPDATE outreach.api_keys SET {change} WHERE id = %(id)s", id=made[name].key.id)

    await alter("over", "expires_at = now() - interval '1 hour'")
    await alter("forgotten", "revoked_at = now() - interval '91 days'")
    for name in ("renewed", "unused", "unmarked"):
        await alter(name, "expires_at = now() + interval '3 days', created_at = now() - interval '97 days'")
    await alter("renewed", "last_used_at = now() - interval '2 days'")
    await run(pools, "SELECT outreach.expire_api_keys()")
    await run(pools, "SELECT outreach.renew_api_keys()")
    left = {key.name: key for key in await keys.listed(tenant)}
    assert set(left) == set(names) - {"forgotten"}
    assert left["over"].revoked_at is not None
    assert left["forever"].expires_at is None
    days = {name: (key.expires_at - datetime.now(UTC)).days for name, key in left.items() if key.expires_at}
    assert days["renewed"] == 99
    assert days["unused"] == days["unmarked"] == 2
    assert days["later"] == 99
    await run(pools, "SELECT outreach.renew_api_keys()")
    again = {key.name: key for key in await keys.listed(tenant)}
    assert again["renewed"].expires_at == left["renewed"].expires_at, "once is enough"


async def test_every_change_is_in_the_audit_log_without_the_secret(
    pools: Pools, tenant: Tenant, other_tenant: Tenant
) -> None:
    began = datetime.now(UTC)
    first = await keys.create(tenant, "crm", scopes=["write"], days=10, renew=True, by="ann")
    second = await keys.rotate(tenant, first.key.id, by="bob")
    await keys.revoke(tenant, second.key.id)
    third = await keys.create(tenant, "cron", days=10, renew=True)
    fourth = await keys.create(tenant, "old", days=10)
    await run(
        pools, "UPDATE outreach.api_keys SET expires_at = now() + interval '1 day' WHERE id = %(id)s", id=third.key.id
    )
    await run(
        pools,
        "UPDATE outreach.api_keys SET expires_at = now() - interval '91 days' WHERE id = %(id)s",
        id=fourth.key.id,
    )
    await run(pools, "SELECT outreach.renew_api_keys()")
    await run(pools, "SELECT outreach.expire_api_keys()")
    (login,) = await run(pools, "SELECT session_user AS name")
    entries = await audit.search(tenant)
    assert [(each.action, each.actor, each.object_id) for each in reversed(entries)] == [
        ("key.create", "ann", str(first.key.id)),
        ("key.create", "bob", str(second.key.id)),
        ("key.rotate", "bob", str(first.key.id)),
        ("key.revoke", login["name"], str(second.key.id)),
        ("key.create", login["name"], str(third.key.id)),
        ("key.create", login["name"], str(fourth.key.id)),
        ("key.renew", "renew_api_keys", str(third.key.id)),
        ("key.expire", "expire_api_keys", str(fourth.key.id)),
        ("key.forget", "expire_api_keys", str(fourth.key.id)),
    ]
    assert all(began <= each.created_at <= datetime.now(UTC) for each in entries)
    assert {each.object_type for each in entries} == {"api_key"}
    assert {each.details["login"] for each in entries} == {login["name"]}
    told = {(each.action, each.object_id): each.details for each in entries}
    assert told["key.create", str(second.key.id)]["in_place_of"] == first.key.id
    assert told["key.rotate", str(first.key.id)]["replaced_by"] == second.key.id
    assert told["key.create", str(first.key.id)]["scopes"] == ["write"]
    ended = {each.id: each for each in await keys.listed(tenant)}[third.key.id].expires_at
    assert datetime.fromisoformat(told["key.renew", str(third.key.id)]["expires_at"]) == ended
    # As it is stored: no secret, no hash of one, in any spelling.
    rows = await run(pools, "SELECT a::text AS row FROM outreach.audit_log AS a WHERE a.workspace_id = %(id)s",
                     id=tenant.workspace_id)  # fmt: skip
    written = "".join(row["row"] for row in rows)
    for made in (first, second, third, fourth):
        assert made.key.prefix in written
        assert made.secret[len(made.key.prefix) :] not in written
        assert keys.hashed(made.secret).hex() not in written
    # By action, page by page, and nobody else's.
    created = await audit.search(tenant, action="key.create", limit=3)
    assert [each.object_id for each in created] == [str(each.key.id) for each in (fourth, third, second)]
    (last,) = await audit.search(tenant, action="key.create", before=created[-1].id)
    assert last.object_id == str(first.key.id)
    assert await audit.search(tenant, before=last.id) == []
    assert await audit.search(other_tenant) == []


async def test_a_key_and_its_line_are_there_together_or_not_at_all(own_database_url: str) -> None:
    month = f"parts.audit_log_{datetime.now(UTC):%Y_%m}"
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        await workspaces.create(pools, "acme")
        tenant = await workspaces.tenant(pools, "acme")
        with psycopg.connect(own_database_url, autocommit=True) as connection:
            # A month that nobody has made yet is made for the line.
            connection.execute(f"DROP TABLE {month}".encode())
            made = await keys.create(tenant, "crm")
            assert [each.action for each in await audit.search(tenant)] == ["key.create"]
            connection.execute("ALTER TABLE outreach.audit_log ADD CONSTRAINT none CHECK (actor <> 'nobody')")
        for call in (keys.revoke(tenant, made.key.id, by="nobody"), keys.rotate(tenant, made.key.id, by="nobody"),
                     keys.create(tenant, "other", by="nobody")):  # fmt: skip
            with pytest.raises(ConstraintViolated):
                await call
        with pytest.raises(NotFound):
            await keys.revoke(tenant, 10**12)
        assert [(each.id, each.revoked_at) for each in await keys.listed(tenant)] == [(made.key.id, None)]
        assert [each.action for each in await audit.search(tenant)] == ["key.create"]


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [
        ("", ["read"], 1),
        ("x" * 101, ["read"], 1),
        ("x", [], 1),
        ("x", ["root"], 1),
        ("x", ["read"], 4000),
        ("x\n", ["read"], 1),
    ],
)
async def test_wrong_keys_are_refused(tenant: Tenant, name: str, scopes: list[str], days: int) -> None:
    with pytest.raises(InvalidInput if scopes == ["read"] else UsageError):
        await keys.create(tenant, name, scopes=scopes, days=days)
