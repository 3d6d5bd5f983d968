from __future__ import annotations

import asyncio
import threading

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from outreachdb.config import Settings
from outreachdb.db import catalogue, migrate
from outreachdb.db.migrating.session import LOCK_KEY
from outreachdb.db.pools import connect
from outreachdb.errors import DatabaseUnavailable, DatabaseUnsupported, MigrationError, UsageError


async def snapshot(url):
    connection = await connect(url)
    async with connection:
        return await catalogue.snapshot(connection)


async def test_every_revision_is_as_promised_on_the_way_down(migrated, settings):
    for step in reversed(migrate.history()[:-1]):
        await migrate.rollback(migrated, settings=settings)
        assert await migrate.current(migrated, settings=settings) == step.revision
        assert await catalogue.verify(migrated, settings=settings) == []


async def test_superuser_can_migrate_too(cluster, settings):
    url = cluster.database(owner="outreachdb")
    await migrate.upgrade(url, settings=settings)
    assert await catalogue.verify(url, settings=settings) == []


async def test_two_at_once_do_the_work_once(empty, settings, small):
    runs = await asyncio.gather(*(migrate.upgrade(empty, settings=settings, chain=small) for _ in range(3)))
    assert sorted(len(run.steps) for run in runs) == [0, 0, 3]
    assert {run.after for run in runs} == {"s003"}


async def test_many_databases_of_one_cluster_at_once(cluster, settings, small):
    urls = [cluster.database() for _ in range(4)]
    runs = await asyncio.gather(*(migrate.upgrade(url, settings=settings, chain=small) for url in urls))
    assert [run.after for run in runs] == ["s003"] * 4


async def test_waiting_for_another_migration_is_bounded(empty, small):
    with psycopg.connect(empty, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        with pytest.raises(MigrationError, match=r"another migration .* still runs"):
            await migrate.upgrade(empty, settings=Settings.load({}, migration_wait=0), chain=small)


async def test_a_step_that_meets_a_lock_comes_back(empty, small):
    quick = Settings.load({}, lock_timeout_ms=50)
    await migrate.upgrade(empty, "s001", settings=quick, chain=small)
    holder = psycopg.connect(empty)
    holder.execute("LOCK TABLE outreach.things IN ROW EXCLUSIVE MODE")

    def release_when_met() -> None:
        with psycopg.connect(empty, autocommit=True) as watcher:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'outreach.things'::regclass"
            met = threading.Event()
            while not watcher.execute(query).fetchone()[0]:
                met.wait(0.005)
            # Seen waiting; hold on until it has given way once.
            while watcher.execute(query).fetchone()[0]:
                met.wait(0.005)
        holder.rollback()
        holder.close()

    thread = threading.Thread(target=release_when_met)
    thread.start()
    run = await migrate.upgrade(empty, "s002", settings=quick, chain=small)
    thread.join()
    assert run.steps[0].attempts >= 2
    assert run.steps[0].blocked_table == "outreach.things"
    assert run.steps[0].writer_blocked_ms >= 40


async def test_a_lock_that_never_frees_ends_in_one_clear_error(empty, small, monkeypatch):
    monkeypatch.setattr(migrate, "LOCK_ATTEMPTS", 2)
    quick = Settings.load({}, lock_timeout_ms=30)
    await migrate.upgrade(empty, "s001", settings=quick, chain=small)
    with psycopg.connect(empty) as holder:
        holder.execute("LOCK TABLE outreach.things IN ROW EXCLUSIVE MODE")
        with pytest.raises(MigrationError, match=r"s002 .* a lock was not free in 2 attempts"):
            await migrate.upgrade(empty, settings=quick, chain=small)
    assert await migrate.current(empty) == "s001"


async def test_a_failing_step_leaves_those_before_it(empty, settings, small, tmp_path):
    for file in small.versions.glob("s00*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "s004_broken.py").write_text(
        '"""Broken."""\nfrom alembic import op\nrevision = "s004"\ndown_revision = "s003"\n'
        'def upgrade():\n    op.execute("CREATE TABLE outreach.half (id int); SELECT 1/0")\n'
        "def downgrade():\n    pass\n"
    )
    chain = migrate.Chain(tmp_path, ())
    with pytest.raises(MigrationError, match=r"revision s004 \(Broken.\) up: division by zero"):
        await migrate.upgrade(empty, settings=settings, chain=chain)
    assert await migrate.current(empty, settings=settings) == "s003"
    assert "table outreach.half" not in await snapshot(empty)


async def test_indexes_on_tables_with_rows_are_built_concurrently_and_valid(empty, settings, small, sql):
    await migrate.upgrade(empty, "s002", settings=settings, chain=small)
    sql(empty, "INSERT INTO outreach.things (workspace_id, size) SELECT 1, i FROM generate_series(1, 1000) i")
    sql(empty, "INSERT INTO outreach.happenings VALUES (1, 1, 'k', '2026-01-15')")
    await migrate.upgrade(empty, settings=settings, chain=small)
    filled = await snapshot(empty)
    assert filled["index outreach.ix_happenings_kind"].endswith("(workspace_id, kind)")
    assert filled["partitions outreach.happenings"] == "sound"
    await migrate.rollback(empty, settings=settings, chain=small)
    sql(empty, "TRUNCATE outreach.things, outreach.happenings")
    await migrate.upgrade(empty, settings=settings, chain=small)
    assert await snapshot(empty) == filled


@pytest.mark.parametrize("definition", ["(workspace_id, size DESC) WHERE size IS NOT NULL", "(workspace_id, name)"])
async def test_a_left_over_index_of_that_name_is_kept_only_if_equal(empty, settings, small, sql, definition):
    await migrate.upgrade(empty, "s002", settings=settings, chain=small)
    sql(empty, "INSERT INTO outreach.things (workspace_id, size) VALUES (1, 1)")
    sql(empty, f"CREATE INDEX ix_things_size ON outreach.things {definition}")
    before = sql(empty, "SELECT 'outreach.ix_things_size'::regclass::oid")
    await migrate.upgrade(empty, settings=settings, chain=small)
    kept = sql(empty, "SELECT 'outreach.ix_things_size'::regclass::oid") == before
    assert kept == definition.endswith("NOT NULL")
    text = (await snapshot(empty))["index outreach.ix_things_size"]
    assert text.endswith("(workspace_id, size DESC) WHERE (size IS NOT NULL)")


async def test_an_unfinished_build_on_a_partitioned_table_is_done_again(empty, settings, small, sql):
    await migrate.upgrade(empty, "s002", settings=settings, chain=small)
    sql(empty, "INSERT INTO outreach.happenings VALUES (1, 1, 'k', '2026-01-15')")
    sql(empty, "CREATE INDEX ix_happenings_kind ON ONLY outreach.happenings (workspace_id, kind)")
    sql(empty, "CREATE INDEX happenings_2026_01_ix_happenings_kind ON parts.happenings_2026_01 (workspace_id, kind)")
    await migrate.upgrade(empty, settings=settings, chain=small)
    live = await snapshot(empty)
    assert "INVALID" not in live["index outreach.ix_happenings_kind"]
    assert live["partitions outreach.happenings"] == "sound"


async def test_offline_sql_has_every_step_and_the_careful_forms(small):
    text = migrate.offline(chain=small)
    assert "CREATE INDEX CONCURRENTLY ix_things_size" in text
    assert "NOT VALID" in text
    assert "VALIDATE CONSTRAINT" not in text  # it would check all rows in the transaction that locks the table
    assert text.index("CREATE SCHEMA IF NOT EXISTS ops") < text.index("alembic_version")


async def test_offline_sql_of_the_real_chain_runs():
    assert migrate.offline().count("-- Running upgrade") == len(migrate.history())


async def test_missing_createrole_is_one_clear_error(cluster, settings, small):
    cluster.admin("DROP ROLE IF EXISTS weak")
    cluster.admin("CREATE ROLE weak LOGIN")
    url = cluster.database(owner="weak")
    await migrate.upgrade(cluster.database(), settings=settings, chain=small)
    with pytest.raises(DatabaseUnsupported, match=r"GRANT outreachdb_owner TO weak"):
        await migrate.upgrade(url, settings=settings, chain=small)
    assert await migrate.current(url, settings=settings) is None


async def test_database_of_somebody_else_is_one_clear_error(cluster, settings, small):
    url = make_conninfo(cluster.database(owner="outreachdb"), user="dba")
    with pytest.raises(DatabaseUnsupported, match=r"may not create schemas .* GRANT CREATE ON DATABASE"):
        await migrate.upgrade(url, settings=settings, chain=small)


async def test_wrong_revisions_are_usage_errors(empty, settings, small):
    with pytest.raises(UsageError, match="nonsense"):
        await migrate.upgrade(empty, "nonsense", settings=settings, chain=small)
    await migrate.upgrade(empty, settings=settings, chain=small)
    with pytest.raises(UsageError, match="past s001"):
        await migrate.upgrade(empty, "s001", settings=settings, chain=small)
    with pytest.raises(UsageError, match="steps"):
        await migrate.rollback(empty, 0, settings=settings, chain=small)
    with pytest.raises(UsageError, match="newer than this version"):
        await migrate.upgrade(empty, settings=settings)


async def test_no_server_is_one_clear_error_without_the_password(settings):
    with pytest.raises(DatabaseUnavailable) as caught:
        await migrate.upgrade("postgresql://me:secret@127.0.0.1:1/none", settings=settings)
    assert "secret" not in str(caught.value)


async def test_stopping_ends_the_statement_and_leaves_no_half_step(empty, settings, small, tmp_path):
    for file in small.versions.glob("s00*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "s004_slow.py").write_text(
        '"""Slow."""\nfrom alembic import op\nrevision = "s004"\ndown_revision = "s003"\n'
        'def upgrade():\n    op.execute("CREATE TABLE outreach.half (id int); SELECT pg_sleep(60)")\n'
        "def downgrade():\n    pass\n"
    )
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(step: migrate.StepReport) -> None:
        if step.revision == "s003":
            loop.call_soon_threadsafe(reached.set)

    work = migrate.upgrade(empty, settings=settings, chain=migrate.Chain(tmp_path, ()), on_step=told)
    task = asyncio.ensure_future(work)
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await migrate.current(empty, settings=settings) == "s003"
    assert "table outreach.half" not in await snapshot(empty)


async def test_a_step_on_several_busy_tables_kills_no_writer(empty, small, settings, sql, tmp_path):
    """A writer that holds the second table and comes to the first must win against the migration."""
    for file in small.versions.glob("s001*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "s002_rules.py").write_text(
        '"""Rules."""\nfrom alembic import op\nfrom outreachdb.db import ddl\n'
        'revision = "s002"\ndown_revision = "s001"\n'
        "def upgrade():\n"
        '    ddl.add_check(op, "outreach.others", "ck_others", "id > 0")\n'
        '    ddl.add_check(op, "outreach.things", "ck_things", "id > 0")\n'
        "def downgrade():\n"
        '    ddl.drop_constraint(op, "outreach.things", "ck_things")\n'
        '    ddl.drop_constraint(op, "outreach.others", "ck_others")\n'
    )
    chain = migrate.Chain(tmp_path, ())
    await migrate.upgrade(empty, "s001", settings=settings, chain=chain)
    sql(empty, "CREATE TABLE outreach.others (id int); INSERT INTO outreach.others VALUES (1)")
    sql(empty, "INSERT INTO outreach.things (workspace_id) VALUES (1)")
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'outreach.things'::regclass"
    with psycopg.connect(empty) as writer:
        writer.execute("INSERT INTO outreach.things (workspace_id) VALUES (1)")
        task = asyncio.ensure_future(migrate.upgrade(empty, "s002", settings=settings, chain=chain))
        async with await connect(empty, autocommit=True) as watcher:
            while not (await (await watcher.execute(waiting)).fetchone())["count"]:
                await asyncio.sleep(0.005)
        writer.execute("SET lock_timeout = '400ms'; INSERT INTO outreach.others VALUES (2)")
    run = await task
    assert run.after == "s002"
    assert (await migrate.rollback(empty, settings=settings, chain=chain)).after == "s001"
