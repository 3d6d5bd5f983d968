"""The same tables in the hands of pg_partman, on a PostgreSQL 15 with Debian's 4.7."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from outreachdb.config import Settings
from outreachdb.db import catalogue, migrate
from outreachdb.db.embedded.server import throwaway
from outreachdb.errors import DatabaseUnsupported
from outreachdb.storage.partitions import PartitionManager

TABLES = ("audit_log", "email_events", "email_sends", "lead_activities", "message_log")


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with throwaway(Path("/usr/lib/postgresql/15/bin")) as server:
        yield server.url("postgres")


async def test_without_the_extension_it_is_told(own_database_url: str) -> None:
    manager = PartitionManager(own_database_url, Settings.load({}, database_url=own_database_url))
    done = await manager.maintain_all_partitions(backend="partman")
    assert {each.table for each in done} == set(TABLES)
    assert all("CREATE EXTENSION pg_partman" in str(each.error) for each in done)
    with pytest.raises(DatabaseUnsupported):
        await manager.hand_over("email_events", "partman")
    assert {each.backend for each in await manager.tables()} == {"native"}


@pytest.mark.partman
@pytest.mark.slow
async def test_partman_makes_the_partitions(server_url: str) -> None:
    await migrate.upgrade(server_url)
    promised = await catalogue.verify(server_url)
    manager = PartitionManager(server_url, Settings.load({}, database_url=server_url))
    old = datetime(2024, 3, 10, tzinfo=UTC)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA partman")
        connection.execute("CREATE EXTENSION pg_partman SCHEMA partman")
        connection.execute(
            """CREATE TABLE public.measurements (id bigint, taken_at timestamptz NOT NULL, PRIMARY KEY (id, taken_at))
               PARTITION BY RANGE (taken_at)"""
        )
        # In a session of another time zone the months must be those of UTC all the same.
        connection.execute("ALTER ROLE CURRENT_USER SET timezone = 'America/New_York'")
        for interval in ("month", "week"):
            await manager.register("public.measurements", interval=interval, archive=False)
        await manager.ensure_partitions("public.measurements", old, old)
        before = {table: len(await manager.partitions(table)) for table in (*TABLES, "public.measurements")}
        done = await manager.maintain_all_partitions(backend="partman")
        assert [each.error for each in done] == [None] * 6
        assert {each.backend for each in done} == {"partman"}

        # More ahead is asked for in the registry, and pg_partman makes it.
        for table in before:
            connection.execute("UPDATE ops.partitioned_tables SET ahead = 8 WHERE table_name = %s", [table])
        again = await manager.maintain_all_partitions()
        assert [each.error for each in again] == [None] * 6
        runway = dict(connection.execute("SELECT table_name, periods FROM outreach.get_partition_runway()").fetchall())
        assert all(periods >= 8 for periods in runway.values()), runway
        for table, number in before.items():
            partitions = await manager.partitions(table)
            made = [each for each in partitions if "_p2" in each.name]
            # The months that measurements began with reach as far as eight weeks.
            assert len(made) >= (1 if table == "public.measurements" else 4)
            assert len(partitions) >= (number if table == "public.measurements" else number + 4)
            assert {each.state for each in partitions} <= {"past", "current", "future", "expired"}
            assert all(each.range_from and (each.range_from.astimezone(UTC).hour == 0) for each in partitions)
        # Rows find them, the catalogue is as promised, and only what needs no archive has a retention there.
        connection.execute(
            "INSERT INTO public.measurements SELECT 1, now() + n * interval '7 days' FROM generate_series(0, 8) AS n"
        )
        assert await catalogue.verify(server_url) == promised
        config = connection.execute(
            "SELECT parent_table, retention, automatic_maintenance FROM partman.part_config"
        ).fetchall()
        assert {(parent, kept) for parent, kept, _ in config if kept} == {("public.measurements", "1 year")}
        assert {how for _, _, how in config} == {"off"}
        assert "public.measurements_2024_03" not in " ".join(
            each.name for each in await manager.partitions("public.measurements")
        )

        # And back.
        taken = await manager.maintain_all_partitions(backend="native")
        assert [each.error for each in taken] == [None] * 6
        assert connection.execute("SELECT count(*) FROM partman.part_config").fetchone() == (0,)
        assert await catalogue.verify(server_url) == promised
        connection.execute("ALTER ROLE CURRENT_USER RESET timezone")
