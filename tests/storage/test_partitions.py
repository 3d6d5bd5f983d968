"""Months made on demand, from many places at once; statistics after a bulk load."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import TRUSTED_ROLE, Tenant, session
from outreachdb.errors import DatabaseUnsupported, InvalidInput

ENSURE = "SELECT outreach.ensure_partitions(%(table)s, %(first)s, %(last)s)"
PARTS = """
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = %(table)s::regclass ORDER BY c.relname
"""
TABLES = ("audit_log", "email_events", "email_sends", "lead_activities", "message_log")


def at(year: int, month: int) -> datetime:
    return datetime(year, month, 15, tzinfo=UTC)


@pytest.mark.parametrize("table", TABLES)
async def test_every_partitioned_table_starts_with_24_months_three_of_them_ahead(pools: Pools, table: str) -> None:
    async with pools.connection() as connection:
        rows = await (await connection.execute(PARTS, {"table": f"outreach.{table}"})).fetchall()
    names = [row["relname"] for row in rows]
    now = datetime.now(UTC)
    ahead = [(now.year * 12 + now.month - 1 + n) for n in range(-20, 4)]
    assert set(names) >= {f"{table}_{n // 12:04}_{n % 12 + 1:02}" for n in ahead}
    assert len(ahead) == 24


async def test_missing_months_are_made_once_and_look_like_the_others(own_database_url: str) -> None:
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:

        async def ensure() -> int:
            async with session(pools, role=TRUSTED_ROLE) as trusted:
                last = at(2031, 2)
                return int(await trusted.value(ENSURE, {"table": "email_sends", "first": at(2030, 12), "last": last}))

        made = await asyncio.gather(*(ensure() for _ in range(6)))
        assert sum(made) == 3
        async with pools.connection() as connection:
            rows = await (await connection.execute(PARTS, {"table": "outreach.email_sends"})).fetchall()
            counts = await connection.execute(
                "SELECT i.indrelid::regclass::text AS part, count(*) AS n FROM pg_index AS i "
                "WHERE i.indrelid::regclass::text LIKE 'parts.email_sends_20%%' GROUP BY 1"
            )
            indexes = {row["n"] for row in await counts.fetchall()}
        assert [row["bound"] for row in rows if "2031_01" in row["relname"]] == [
            "FOR VALUES FROM ('2031-01-01 00:00:00+00') TO ('2031-02-01 00:00:00+00')"
        ]
        assert len(indexes) == 1


@pytest.mark.parametrize(
    ("table", "first", "last"),
    [("leads", 2026, 2026), ("no_such_table", 2026, 2026), ("email_sends", 2000, 2026), ("email_sends", 2026, 2025)],
)
async def test_a_wrong_table_or_range_makes_nothing(pools: Pools, table: str, first: int, last: int) -> None:
    with pytest.raises(InvalidInput):
        async with session(pools, role=TRUSTED_ROLE) as trusted:
            await trusted.execute(ENSURE, {"table": table, "first": at(first, 6), "last": at(last, 6)})


async def test_a_tenant_makes_no_partitions(tenant: Tenant) -> None:
    with pytest.raises(DatabaseUnsupported, match="permission denied"):
        async with tenant.session() as session_:
            await session_.execute(ENSURE, {"table": "email_sends", "first": at(2032, 1), "last": at(2032, 1)})


OLDEST = """
    SELECT p.qualified AS name FROM ops.partitions_of('outreach.email_sends'::regclass) AS p
    ORDER BY p.range_from LIMIT 1
"""


async def test_statistics_are_there_after_a_bulk_load(own_database_url: str) -> None:
    refresh = "SELECT outreach.refresh_statistics('companies')"
    fill = "INSERT INTO outreach.companies (workspace_id, name) SELECT %s, 'c' || n FROM generate_series(1, 5000) AS n"
    tuples = "SELECT reltuples FROM pg_class WHERE oid = 'outreach.companies'::regclass"
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        async with pools.connection() as connection:  # or it might be at it just when we ask
            await connection.execute("ALTER TABLE outreach.companies SET (autovacuum_enabled = false)")
        async with session(pools, role=TRUSTED_ROLE) as trusted:
            workspace = await trusted.value("INSERT INTO outreach.workspaces (name) VALUES ('w') RETURNING id")
            await trusted.execute(fill, [workspace])
        async with session(pools, role=TRUSTED_ROLE) as trusted:
            assert await trusted.value(refresh) is True
        async with pools.connection() as connection:
            assert await (await connection.execute(tuples)).fetchone() == {"reltuples": 5000}
            # Somebody else is at it: it gives way instead of waiting.
            await connection.execute("LOCK TABLE outreach.companies IN SHARE UPDATE EXCLUSIVE MODE")
            async with session(pools, role=TRUSTED_ROLE) as trusted:
                assert await trusted.value(refresh) is False
        async with pools.connection() as connection:
            # A month that is being detached is not to be looked at, whichever month is meant.
            old = await (await connection.execute(OLDEST)).fetchone()
            assert old is not None
            await connection.execute(f"LOCK TABLE {old['name']} IN ACCESS EXCLUSIVE MODE".encode())
            async with session(pools, role=TRUSTED_ROLE) as trusted:
                assert await trusted.value("SELECT outreach.refresh_statistics('email_sends', now())") is False
