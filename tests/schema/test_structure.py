"""What holds for every table, column, key and routine of our schemas, read from the catalogue: new ones are covered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import CheckConstraint

from outreachdb.db.models import Base
from outreachdb.db.rooms import import_models

# Looked up before the workspace is known; and what is told of all workspaces together.
WITHOUT_WORKSPACE = {"workspaces", "api_keys", "view_refreshes"}
UNPINNED = """
SELECT p.oid::regprocedure::text
FROM pg_proc AS p
WHERE p.pronamespace::regnamespace::text IN ('outreach', 'parts', 'analytics', 'ops', 'staging')
  AND p.prosqlbody IS NULL
  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
"""
KEYS = """
SELECT c.relname, i.relname, a.attname
FROM pg_index AS x
JOIN pg_class AS c ON c.oid = x.indrelid
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
WHERE c.relnamespace::regnamespace::text IN ('outreach', 'analytics') AND x.indisunique AND NOT c.relispartition
"""
SECURITY = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity
FROM pg_class AS c
WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p')
"""
POLICIES = """
SELECT p.polrelid::regclass::text, p.polname, p.polcmd::text,
       ARRAY(SELECT r.rolname::text FROM pg_roles AS r WHERE r.oid = ANY (p.polroles)),
       pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_policy AS p
"""
GRANTED = """
SELECT c.oid::regclass::text,
       has_any_column_privilege('outreachdb_app', c.oid, 'SELECT, INSERT, UPDATE')
           OR has_table_privilege('outreachdb_app', c.oid, 'DELETE'),
       has_any_column_privilege('outreachdb_reader', c.oid, 'SELECT')
FROM pg_class AS c
WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p')
"""
REACHED = """
SELECT r.name || ' may ' || p.kind || ' ' || c.oid::regclass
FROM pg_class AS c
CROSS JOIN (VALUES ('outreachdb_app'), ('outreachdb_reader'), ('public')) AS r (name)
CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) AS p (kind)
WHERE c.relnamespace = 'parts'::regnamespace AND c.relkind IN ('r', 'p') AND has_table_privilege(r.name, c.oid, p.kind)
"""
TRIGGERS = """
SELECT t.tgrelid::regclass || '.' || t.tgname
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace::regnamespace::text IN ('outreach', 'parts', 'analytics', 'ops', 'staging') AND NOT t.tgisinternal
"""
ZONELESS = """
SELECT c.oid::regclass || '.' || a.attname
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace::regnamespace::text IN ('outreach', 'parts', 'analytics', 'ops')
  AND c.relkind IN ('r', 'p', 'v', 'm')
  AND a.atttypid IN ('timestamp'::regtype, 'time'::regtype, 'timetz'::regtype, 'money'::regtype)
"""
ACTIONS = """
SELECT k.conname, k.confdeltype::text, k.confupdtype::text
FROM pg_constraint AS k
WHERE k.contype = 'f' AND k.connamespace::regnamespace::text IN ('outreach', 'parts', 'analytics', 'ops')
"""
CHECKS = """
SELECT k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint AS k
WHERE k.contype = 'c' AND k.conrelid = %s::regclass
"""


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


def test_every_routine_pins_its_path_or_has_a_standard_body(connection: psycopg.Connection[Any]) -> None:
    assert connection.execute(UNPINNED).fetchall() == []


def test_the_workspace_comes_first_in_every_key(connection: psycopg.Connection[Any]) -> None:
    keys = connection.execute(KEYS).fetchall()
    assert len(keys) > 40
    assert {
        index for table, index, first in keys if first != "workspace_id" and table not in WITHOUT_WORKSPACE
    } == set()


def test_row_security_is_enabled_and_not_forced_on_every_table(connection: psycopg.Connection[Any]) -> None:
    tables = connection.execute(SECURITY).fetchall()
    assert len(tables) > 30
    assert [name for name, enabled, forced in tables if not enabled or forced] == []


def test_policies_are_those_that_the_grants_ask_for(connection: psycopg.Connection[Any]) -> None:
    wanted = set()
    for table, app, reader in connection.execute(GRANTED).fetchall():
        key = "id" if table == "outreach.workspaces" else "workspace_id"
        own = f"({key} = ( SELECT outreach.current_workspace() AS current_workspace))"
        if app:
            wanted.add((table, "tenant", "*", ("outreachdb_app",), own, None))
        wanted.add((table, "trusted", "*", ("outreachdb_trusted",), "true", "true"))
        if reader:
            wanted.add((table, "reader", "r", ("outreachdb_reader",), "true", None))
    found = {(*row[:3], tuple(row[3]), *row[4:]) for row in connection.execute(POLICIES).fetchall()}
    assert found == wanted


def test_partitions_are_out_of_reach(connection: psycopg.Connection[Any]) -> None:
    assert connection.execute(REACHED).fetchall() == []
    for role in ("outreachdb_app", "outreachdb_reader", "public"):
        row = connection.execute("SELECT has_schema_privilege(%s, 'parts', 'USAGE')", [role]).fetchone()
        assert row == (False,), role


def test_there_are_no_triggers(connection: psycopg.Connection[Any]) -> None:
    assert connection.execute(TRIGGERS).fetchall() == []


def test_instants_have_a_time_zone_and_money_is_numeric(connection: psycopg.Connection[Any]) -> None:
    # A window is told by the clock of whoever reads the mail.
    wall_clocks = {("outreach.campaigns.window_from",), ("outreach.campaigns.window_to",)}
    assert set(connection.execute(ZONELESS).fetchall()) == wall_clocks


def test_foreign_keys_refuse_or_cascade(connection: psycopg.Connection[Any]) -> None:
    keys = connection.execute(ACTIONS).fetchall()
    assert len(keys) > 30
    assert {name for name, delete, update in keys if delete not in {"a", "c"} or update != "a"} == set()


def test_checks_of_the_models_say_what_the_database_says(connection: psycopg.Connection[Any]) -> None:
    """Both are printed by the server: the model's rule is added to an empty copy of the table."""
    import_models()
    compared = 0
    for table in Base.metadata.tables.values():
        rules = [rule for rule in table.constraints if isinstance(rule, CheckConstraint)]
        with connection.transaction(force_rollback=True):
            connection.execute(f'CREATE TEMPORARY TABLE copied (LIKE {table.schema}."{table.name}")'.encode())
            for rule in rules:
                connection.execute(f"ALTER TABLE copied ADD CONSTRAINT {rule.name} CHECK ({rule.sqltext})".encode())
            modelled = dict(connection.execute(CHECKS, ["copied"]).fetchall())
            live = dict(connection.execute(CHECKS, [table.fullname]).fetchall())
        assert live == modelled, table.fullname
        compared += len(live)
    assert compared > 60
