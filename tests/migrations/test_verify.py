from __future__ import annotations

import json

import pytest

from outreachdb.db import catalogue, migrate, promises
from outreachdb.errors import MigrationError, UsageError


async def test_fresh_database_is_as_promised(migrated, settings):
    assert await catalogue.verify(migrated, settings=settings) == []


async def test_every_revision_is_as_promised_on_the_way_up(empty, settings):
    for step in migrate.history():
        await migrate.upgrade(empty, step.revision, settings=settings)
        assert await catalogue.verify(empty, settings=settings) == [], step.revision


CLINE = "ALTER TABLE outreach.companies ALTER COLUMN industry TYPE varchar(800)"
HALF_BUILT = """
UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = 'outreach.ix_leads_updated_at'::regclass
"""
BODY = (
    "CREATE OR REPLACE FUNCTION outreach.current_workspace() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE RETURN 7"
)


# What is changed, and how it is called; each is a matter of its own, so they are made together.
CHANGES = [
    ("DROP INDEX outreach.ix_leads_updated_at", "missing", "index outreach.ix_leads_updated_at"),
    (BODY, "changed", "function outreach.current_workspace()"),
    ("ALTER TABLE outreach.leads DISABLE ROW LEVEL SECURITY", "changed", "row security outreach.leads"),
    ("ALTER TABLE outreach.companies FORCE ROW LEVEL SECURITY", "changed", "row security outreach.companies"),
    (CLINE, "changed", "column outreach.companies.industry"),
    ("REVOKE SELECT ON outreach.leads FROM outreachdb_app", "changed", "grant table outreach.leads to outreachdb_app"),
    (
        "REVOKE ALL ON outreach.leads FROM outreachdb_reader",
        "missing",
        "grant table outreach.leads to outreachdb_reader",
    ),
    ("GRANT SELECT ON outreach.leads TO PUBLIC", "extra", "grant table outreach.leads to PUBLIC"),
    ("CREATE TABLE outreach.stray (id int PRIMARY KEY, name text)", "extra", "table outreach.stray"),
    ("CREATE TABLE parts.stray (id int)", "extra", "table parts.stray"),
    ("CREATE INDEX ix_stray ON outreach.leads (city)", "extra", "index outreach.ix_stray"),
    ("ALTER TABLE outreach.leads ADD COLUMN stray int DEFAULT 1", "extra", "column outreach.leads.stray"),
    ("CREATE VIEW ops.stray AS SELECT 1 AS x", "extra", "view ops.stray"),
    ("DROP POLICY tenant ON outreach.leads", "missing", "policy outreach.leads tenant"),
    ("DROP TABLE outreach.voice_session_logs", "missing", "table outreach.voice_session_logs"),
]


async def test_each_difference_is_named_once(migrated, settings, sql):
    for change, _, _ in CHANGES:
        sql(migrated, change)
    sql(migrated, "DROP FUNCTION outreach.create_monthly_partitions")
    found = await catalogue.verify(migrated, settings=settings)
    dropped = [item for item in found if "create_monthly_partitions" in item.object]
    assert [item.kind for item in dropped] == ["missing"] * 2, "the function, and who may call it"
    others = [item for item in found if item not in dropped]
    assert sorted((item.kind, item.object) for item in others) == sorted((kind, name) for _, kind, name in CHANGES)
    assert all(item.object in str(item) for item in others)


async def test_invalid_index_is_found(cluster, migrated, settings):
    import psycopg

    superuser = psycopg.conninfo.make_conninfo(migrated, user="outreachdb")
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(HALF_BUILT)
    (found,) = await catalogue.verify(migrated, settings=settings)
    assert found.kind == "changed"
    assert found.object == "index outreach.ix_leads_updated_at"
    assert found.live is not None
    assert found.live.endswith("INVALID")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("GRANT SELECT ON {} TO outreachdb_app", "is open to outreachdb_app"),
        ("CREATE INDEX ix_own ON {} (created_at)", "has an index of its own"),
    ],
)
async def test_unsound_partition_is_named(migrated, settings, sql, change, complaint):
    query = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'outreach.audit_log'::regclass"
    partition = sql(migrated, query)[0][0]
    sql(migrated, change.format(partition))
    (found,) = await catalogue.verify(migrated, settings=settings)
    assert found.object == "partitions outreach.audit_log"
    assert found.live is not None
    assert complaint in found.live
    assert partition in found.live


async def test_new_months_and_staging_tables_are_no_differences(migrated, settings, sql):
    sql(migrated, "SELECT outreach.ensure_partitions('audit_log', now(), now() + interval '7 months')")
    sql(migrated, "CREATE UNLOGGED TABLE staging.import_1 (line text)")
    oldest = sql(
        migrated,
        "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'outreach.audit_log'::regclass",
    )
    sql(migrated, f"ALTER TABLE outreach.audit_log DETACH PARTITION {oldest[0][0]}")
    assert await catalogue.verify(migrated, settings=settings) == []


async def test_a_database_without_schema_says_so(empty, settings):
    with pytest.raises(MigrationError, match="no schema of OutreachDB"):
        await catalogue.verify(empty, settings=settings)


@pytest.mark.parametrize("cluster", [18], ids=["pg18"], indirect=True)
async def test_promises_in_the_tree_are_those_of_the_revisions(empty):
    """Stale promise files would make every verification wrong, so they are generated again and compared.

    By one version: that the other makes the same is told by verifying each revision there, on the way up and down.
    """
    files = await promises.generate(empty)
    assert {path.name for path in migrate.OURS.promises.glob("*.json")} == files.keys()
    for name, content in files.items():
        assert json.loads((migrate.OURS.promises / name).read_text(encoding="utf-8")) == content, name


async def test_promises_are_written_from_an_empty_database_only(migrated):
    with pytest.raises(UsageError, match="empty database"):
        await promises.generate(migrated)
