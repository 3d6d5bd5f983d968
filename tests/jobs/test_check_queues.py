"""The queues of crawls, profiles and addresses: claimed once, back when a worker is lost, completed by its holder."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput

CLAIMS = {
    "url": "SELECT company_id AS id FROM outreach.claim_url_crawls(%(n)s, %(worker)s, %(lease)s::interval)",
    "profile": "SELECT lead_id AS id FROM outreach.claim_profile_checks(%(n)s, %(worker)s, %(lease)s::interval)",
    "email": "SELECT lead_id AS id FROM outreach.claim_email_checks(%(n)s, %(worker)s, %(lease)s::interval)",
}
COMPLETES = {
    "url": "SELECT outreach.complete_url_crawls(%(ids)s::bigint[], %(worker)s, %(error)s)",
    "profile": "SELECT outreach.complete_profile_checks(%(ids)s::bigint[], %(worker)s, %(error)s)",
    "email": "SELECT outreach.complete_email_checks(%(ids)s::bigint[],"
    " array_fill('valid'::text, ARRAY[cardinality(%(ids)s)]), %(worker)s, %(error)s)",
}


async def fill(tenant: Tenant, count: int) -> None:
    """As many items in each queue; the first third was checked long ago, the second a day ago, the last never."""
    given = {"ws": tenant.workspace_id, "n": count, "tag": tenant.name}
    then = "CASE i % 3 WHEN 0 THEN now() - interval '90 days' WHEN 1 THEN now() - interval '1 day' END".replace(
        "%", "%%"
    )
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.companies (workspace_id, name, domain, website_url, last_crawled_at)"
            " SELECT %(ws)s, 'c' || i, i || '.' || %(tag)s || '.example', 'https://' || i || '.example', " + then +
            " FROM generate_series(1, %(n)s) AS i", given)  # fmt: skip
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, linkedin_url, email_status, profile_checked_at,"
            " email_checked_at) SELECT %(ws)s, i || '@' || %(tag)s || '.example', 'https://linkedin.com/in/' || i,"
            " CASE i %% 3 WHEN 2 THEN 'unchecked' ELSE 'risky' END, " + then + ", " + then +
            " FROM generate_series(1, %(n)s) AS i", given)  # fmt: skip


async def claim(tenant: Tenant, queue: str, n: int, worker: str, lease: str = "15 minutes") -> list[int]:
    async with tenant.session() as session:
        rows = await session.all(CLAIMS[queue], {"n": n, "worker": worker, "lease": lease})
    return [row["id"] for row in rows]


async def complete(tenant: Tenant, queue: str, ids: list[int], worker: str, error: str | None = None) -> int:
    async with tenant.session() as session:
        done: int = await session.value(COMPLETES[queue], {"ids": ids, "worker": worker, "error": error})
    return done


async def test_each_queue_from_claim_to_completion(tenant: Tenant, other_tenant: Tenant) -> None:
    await fill(tenant, 30)
    await fill(other_tenant, 3)
    for queue in CLAIMS:
        many = await asyncio.gather(*(claim(tenant, queue, 3, f"w{number}") for number in range(4)))
        taken = [item for found in many for item in found]
        assert len(taken) == len(set(taken)) > 0, "nobody gets what another one has"
        rest = await claim(tenant, queue, 100, "last")
        assert len(taken) + len(rest) == 20, "those never checked and those checked long ago; not those of yesterday"
        assert not set(taken) & set(rest)
        assert await claim(tenant, queue, 100, "late") == []
        assert await complete(tenant, queue, taken, "somebody else") == 0
        assert await complete(tenant, queue, rest[:-2], "last") == len(rest) - 2
        assert await complete(tenant, queue, rest[-2:], "last", "no answer") == 2
        assert await complete(tenant, queue, rest[-2:], "last") == 0, "it has given them back"
        for number, found in enumerate(many):
            assert await complete(tenant, queue, found, f"w{number}") == len(found)
        assert await claim(tenant, queue, 100, "again") == [], "what failed waits, what is done is fresh"
        async with tenant.trusted() as session:
            await session.execute("UPDATE outreach.queue_leases SET lease_until = now() WHERE workspace_id = %(ws)s",
                                  {"ws": tenant.workspace_id})  # fmt: skip
        assert sorted(await claim(tenant, queue, 100, "again", "1 second")) == sorted(rest[-2:])
        assert len(await claim(other_tenant, queue, 100, "theirs")) == 2


async def test_what_a_lost_worker_had_comes_back(tenant: Tenant) -> None:
    await fill(tenant, 6)
    lost = await claim(tenant, "email", 10, "lost")
    assert len(lost) == 4
    assert await claim(tenant, "email", 10, "next") == []
    async with tenant.trusted() as session:
        await session.execute("UPDATE outreach.queue_leases SET lease_until = now() WHERE workspace_id = %(ws)s",
                              {"ws": tenant.workspace_id})  # fmt: skip
    assert await complete(tenant, "email", lost, "lost") == 0, "its time is over"
    assert sorted(await claim(tenant, "email", 10, "next")) == sorted(lost)
    assert await complete(tenant, "email", lost, "next") == 4
    async with tenant.trusted() as session:
        statuses: Any = await session.all(
            "SELECT DISTINCT email_status FROM outreach.leads WHERE workspace_id = %(ws)s AND id = ANY (%(ids)s)",
            {"ws": tenant.workspace_id, "ids": lost},
        )
        await session.value("SELECT outreach.release_check_leases()")
        left = await session.value("SELECT count(*) FROM outreach.queue_leases WHERE workspace_id = %(ws)s",
                                   {"ws": tenant.workspace_id})  # fmt: skip
    assert [row["email_status"] for row in statuses] == ["valid"]
    assert left == 0


async def test_wrong_claims_are_refused(tenant: Tenant) -> None:
    await fill(tenant, 3)
    for worker, lease in (("", "1 minute"), ("w", "0 seconds"), ("w", "8 days")):
        with pytest.raises(InvalidInput, match="a claim needs"):
            await claim(tenant, "url", 1, worker, lease)
    ids = await claim(tenant, "email", 2, "w")
    with pytest.raises(InvalidInput, match="each lead needs a status"):
        async with tenant.session() as session:
            await session.value(
                "SELECT outreach.complete_email_checks(%(ids)s, ARRAY['good', 'bad'], 'w')", {"ids": ids}
            )
