from __future__ import annotations

import psycopg
import pytest

from outreachdb.config import Settings
from outreachdb.db import catalogue, constraints, migrate
from outreachdb.errors import DatabaseUnsupported

LEGACY = """
INSERT INTO outreach.workspaces (id, name) VALUES (1, 'old');
INSERT INTO outreach.leads (workspace_id, id, email, qualification_score)
SELECT 1, i, CASE WHEN i % 100 = 0 THEN 'not an address ' || i ELSE i || '@example.org' END,
       CASE WHEN i = 7 THEN 101 END
FROM generate_series(1, 1000) AS i;
"""


@pytest.fixture
async def legacy(migrated, settings, sql):
    """A database whose leads are older than their rules and break some."""
    await migrate.rollback(migrated, to="0008", settings=settings)
    sql(migrated, LEGACY)
    await migrate.upgrade(migrated, settings=settings)
    return migrated


async def test_legacy_rows_are_listed_mended_validated(legacy, settings, sql):
    drift = await catalogue.verify(legacy, settings=settings)
    assert drift
    assert all(item.kind == "changed" and str(item.live).endswith("NOT VALID") for item in drift)

    found = {item.constraint: item for item in await constraints.validate(legacy, settings=settings)}
    broken = {name: item for name, item in found.items() if item.state != "validated"}
    assert broken.keys() == {"ck_leads_email_format", "ck_leads_qualification_score_range"}
    address = broken["ck_leads_email_format"]
    assert (address.table, address.rows, len(address.offenders)) == ("outreach.leads", 10, 10)
    assert address.offenders[0].key == {"workspace_id": 1, "id": 100}
    assert address.offenders[0].values == {"email": "not an address 100"}
    assert broken["ck_leads_qualification_score_range"].offenders[0].values == {"qualification_score": 101.0}

    with pytest.raises(psycopg.errors.CheckViolation):
        sql(legacy, "INSERT INTO outreach.leads (workspace_id, email) VALUES (1, 'nor this')")
    sql(legacy, "UPDATE outreach.leads SET email = NULL WHERE email LIKE 'not an%'")
    sql(legacy, "UPDATE outreach.leads SET qualification_score = 100 WHERE qualification_score > 100")
    again = await constraints.validate(legacy, settings=settings)
    assert {item.state for item in again} == {"validated"}
    assert await constraints.validate(legacy, settings=settings) == []
    assert await catalogue.verify(legacy, settings=settings) == []


async def test_rows_without_parents_are_listed(empty, settings, small, sql):
    await migrate.upgrade(empty, settings=settings, chain=small)
    sql(empty, "CREATE TABLE outreach.parts_of (workspace_id bigint, thing_id bigint, note text)")
    sql(empty, "INSERT INTO outreach.parts_of VALUES (1, 5, 'orphan'), (NULL, 5, 'half a key breaks nothing')")
    sql(
        empty,
        "ALTER TABLE outreach.parts_of ADD CONSTRAINT fk_parts_of_thing FOREIGN KEY (workspace_id, thing_id) "
        "REFERENCES outreach.things (workspace_id, id) NOT VALID",
    )
    (found,) = await constraints.validate(empty, settings=settings)
    assert (found.state, found.rows) == ("violated", 1)
    assert found.offenders[0].values == {"workspace_id": 1, "thing_id": 5}
    assert found.offenders[0].key.keys() == {"ctid"}


async def test_a_locked_table_is_reported_not_waited_for(legacy, sql):
    with psycopg.connect(legacy) as holder:
        holder.execute("LOCK TABLE outreach.leads IN SHARE UPDATE EXCLUSIVE MODE")
        found = await constraints.validate(legacy, settings=Settings.load({}, lock_timeout_ms=20))
    states = {item.state for item in found if item.table == "outreach.leads"}
    assert states == {"busy"}


async def test_only_members_of_the_owner_may_validate(cluster, migrated, settings):
    cluster.admin("DROP ROLE IF EXISTS stranger")
    cluster.admin("CREATE ROLE stranger LOGIN")
    url = psycopg.conninfo.make_conninfo(migrated, user="stranger")
    with pytest.raises(DatabaseUnsupported, match="validating constraints"):
        await constraints.validate(url, settings=settings)
