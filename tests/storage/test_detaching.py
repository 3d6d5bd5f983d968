"""A partition leaves beside writers, at most once, never half for good, and never while it can still receive rows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from outreachdb.config import Settings
from outreachdb.db.pools import connect
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.storage.detaching import detach, finalize_pending
from outreachdb.storage.partitions import PartitionManager

MEASUREMENTS = """
    CREATE TABLE public.measurements (id bigint, taken_at timestamptz NOT NULL, value real, PRIMARY KEY (id, taken_at))
    PARTITION BY RANGE (taken_at)
"""
OLD = datetime(2024, 3, 10, tzinfo=UTC)


async def measurements(url: str) -> PartitionManager:
    """public.measurements by month, with rows in March 2024 and today."""
    manager = PartitionManager(url, Settings.load({}, database_url=url))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(MEASUREMENTS)
        await manager.register("public.measurements", retention="12 months")
        await manager.ensure_partitions("public.measurements", OLD, OLD)
        connection.execute("INSERT INTO public.measurements SELECT n, %s FROM generate_series(1, 10) AS n", [OLD])
        connection.execute("INSERT INTO public.measurements SELECT n, now() FROM generate_series(11, 15) AS n")
    return manager


async def test_a_detach_beside_open_transactions(own_database_url: str) -> None:
    await measurements(own_database_url)
    connection = await connect(own_database_url, autocommit=True)
    reader = psycopg.connect(own_database_url)
    writer = psycopg.connect(own_database_url, autocommit=True)
    count = "SELECT count(*) FROM public.measurements"
    name = "public.measurements_2024_03"

    # A reader in the middle of its transaction: the detach stays half done, and says so.
    assert reader.execute(count).fetchone() == (15,)
    with pytest.raises(Conflict, match="half detached"):
        await detach(connection, "public.measurements", "measurements_2024_03", patience=1.0)
    assert writer.execute(count).fetchone() == (5,)
    with pytest.raises(psycopg.errors.CheckViolation):
        writer.execute("INSERT INTO public.measurements VALUES (99, %s)", [OLD])
    with pytest.raises(Conflict, match="half detached"):
        await finalize_pending(connection, "public.measurements", patience=0.5)

    # The next run finishes it, once: two of them at the same time.
    reader.close()
    other = await connect(own_database_url, autocommit=True)
    done = await asyncio.gather(*(finalize_pending(each, "public.measurements") for each in (connection, other)))
    assert sorted(done) == [[], [name]]
    assert writer.execute(f"SELECT count(*) FROM {name}").fetchone() == (10,)
    # What the session had before is back.
    row = await (await connection.execute("SELECT current_user = session_user AS me")).fetchone()
    assert row == {"me": True}
    # Its rows find a partition of another name, as long as it is not dropped.
    manager = PartitionManager(own_database_url, Settings.load({}, database_url=own_database_url))
    assert await manager.ensure_partitions("public.measurements", OLD, OLD) == 1
    writer.execute("INSERT INTO public.measurements VALUES (99, %s)", [OLD])
    names = {each.name for each in await manager.partitions("public.measurements")}
    assert "public.measurements_2024_03_2" in names
    for each in (connection, other):
        await each.close()
    writer.close()


async def test_two_detach_the_same_partition(own_database_url: str) -> None:
    await measurements(own_database_url)
    connections = [await connect(own_database_url, autocommit=True) for _ in range(3)]
    results = await asyncio.gather(
        *(detach(each, "public.measurements", "public.measurements_2024_03") for each in connections),
        return_exceptions=True,
    )
    assert [each for each in results if isinstance(each, str)] == ["public.measurements_2024_03"]
    assert sum(isinstance(each, NotFound) for each in results) == 2
    for each in connections:
        await each.close()


async def test_what_may_not_leave_stays(own_database_url: str) -> None:
    manager = await measurements(own_database_url)
    now = datetime.now(UTC)
    current = f"measurements_{now:%Y_%m}"
    async with await connect(own_database_url, autocommit=True) as connection:
        with pytest.raises(Conflict, match="can still receive rows"):
            await detach(connection, "public.measurements", current)
        # An earlier horizon is obeyed, a later one is not.
        with pytest.raises(Conflict, match="can still receive rows"):
            await detach(connection, "public.measurements", "measurements_2024_03", horizon=OLD)
        with pytest.raises(Conflict, match="can still receive rows"):
            await detach(connection, "public.measurements", current, horizon=datetime(2100, 1, 1, tzinfo=UTC))
        with pytest.raises(NotFound):
            await detach(connection, "public.measurements", "measurements_1999_01")
        with pytest.raises(NotFound):
            await detach(connection, "no_such_table", "measurements_2024_03")
        await manager.register("public.measurements", retention=None)
        with pytest.raises(Conflict, match="for ever"):
            await detach(connection, "public.measurements", "measurements_2024_03")
        await manager.register("public.measurements", retention="30 days")
        await connection.execute("CREATE TABLE public.rest PARTITION OF public.measurements DEFAULT")
        with pytest.raises(Conflict, match="default partition"):
            await detach(connection, "public.measurements", "measurements_2024_03")
    async with await connect(own_database_url) as connection:
        with pytest.raises(InvalidInput, match="autocommit"):
            await detach(connection, "public.measurements", "measurements_2024_03")


async def test_sends_leave_when_all_of_them_are_history(own_database_url: str) -> None:
    manager = PartitionManager(own_database_url, Settings.load({}, database_url=own_database_url))
    await manager.ensure_partitions("email_sends", OLD, OLD)
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute(
            """
            WITH w AS (INSERT INTO outreach.workspaces (name) VALUES ('old') RETURNING id),
            l AS (INSERT INTO outreach.leads (workspace_id, email) SELECT id, 'a@b.example' FROM w RETURNING id),
            m AS (INSERT INTO outreach.mailboxes (workspace_id, address, smtp_host)
                  SELECT id, 'c@d.example', 'x' FROM w RETURNING id),
            c AS (INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at)
                  SELECT id, 'spring', 'running', %(at)s FROM w RETURNING id)
            INSERT INTO outreach.email_sends (
                workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, recipient, scheduled_at)
            SELECT w.id, %(at)s, c.id, l.id, m.id, 1, 'a@b.example', %(at)s FROM w, l, m, c
            """,
            {"at": OLD},
        )

        async def attempt() -> str:
            async with await connect(own_database_url, autocommit=True) as admin:
                return await detach(admin, "email_sends", "email_sends_2024_03")

        with pytest.raises(Conflict, match="campaign 'spring', which is running"):
            await attempt()
        connection.execute("UPDATE outreach.campaigns SET status = 'completed'")
        with pytest.raises(Conflict, match="sends that are scheduled"):
            await attempt()
        connection.execute("UPDATE outreach.email_sends SET status = 'cancelled'")
        assert await attempt() == "parts.email_sends_2024_03"
        statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("parts", "email_sends_2024_03"))
        assert connection.execute(statement).fetchone() == (1,)
