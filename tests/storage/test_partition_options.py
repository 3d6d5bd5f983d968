"""New and restored partitions have the storage parameters of their newest sibling."""

from __future__ import annotations

from pathlib import Path

import psycopg
from months import store_events, workspace

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.storage import archiving, restoring
from outreachdb.storage.archive_files import Folder

OPTIONS = """
    SELECT coalesce(c.reloptions, '{}') || coalesce(t.reloptions, '{}')
    FROM pg_class AS c LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
    WHERE c.oid = %s::regclass
"""
NEWEST = "SELECT partition_name FROM outreach.get_partition_info('email_events') ORDER BY range_to DESC LIMIT 1"


async def test_partitions_take_over_the_parameters_of_the_newest(own_database_url: str, tmp_path: Path) -> None:
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        with psycopg.connect(own_database_url, autocommit=True) as connection:

            def options(table: str) -> list[str]:
                row = connection.execute(OPTIONS, [table]).fetchone()
                return sorted(row[0]) if row else []

            old = store_events(connection, workspace(connection, "acme"), months=15, rows=20)
            newest = str(connection.execute(NEWEST).fetchall()[0][0])
            given = "fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_enabled = off"
            connection.execute(f"ALTER TABLE {newest} SET ({given})".encode())
            wanted = ["autovacuum_enabled=off", "autovacuum_vacuum_scale_factor=0.02", "fillfactor=85"]
            assert (options(newest), options(old)) == (wanted, [])
            ahead = "now() + interval '1 year'"
            connection.execute(f"SELECT outreach.ensure_partitions('email_events', {ahead}, {ahead})".encode())
            made = str(connection.execute(NEWEST).fetchall()[0][0])
            assert made != newest
            assert options(made) == wanted
            # Sends are updated several times each: their pages have room for it.
            connection.execute(f"SELECT outreach.ensure_partitions('email_sends', {ahead}, {ahead})".encode())
            sends = connection.execute(NEWEST.replace("email_events", "email_sends").encode()).fetchall()[0][0]
            assert options(str(sends)) == ["fillfactor=80"]
            folder = Folder(tmp_path)
            await archiving.archive(pools, "email_events", old, folder=folder)
            await restoring.restore(pools, "email_events", old, folder=folder)
            assert options(old) == wanted
