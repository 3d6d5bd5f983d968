"""Who sees which rows, in every table of every schema; read from the catalogue, so that a new one is covered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from outreachdb.db.embedded import EmbeddedServer

SECRETS = {"api_keys", "crm_credentials", "inboxes", "mailboxes", "webhook_endpoints"}
TABLES = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""
ELSEWHERE = """
SELECT c.oid::regclass::text FROM pg_class AS c
WHERE c.relnamespace::regnamespace::text IN ('parts', 'analytics', 'staging', 'ops')
  AND c.relkind IN ('r', 'p', 'v', 'm')
"""
RULES = """
SELECT k.conrelid::regclass::text, k.conname FROM pg_constraint AS k
WHERE k.contype IN ('c', 'f') AND k.connamespace = 'outreach'::regnamespace AND k.conparentid = 0
"""
COLUMNS = """
SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute AS a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""
NEEDED = COLUMNS + " AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''"
# A value of each type for columns that must have one; the instants fall in this month.
VALUES = {
    "text": "'x'",
    "text[]": "'{x}'",
    "bytea": "'x'",
    "bigint": "1",
    "smallint": "1",
    "integer": "1",
    "real": "1",
    "numeric": "1",
    "jsonb": "'{}'",
    "date": "current_date",
    "timestamp with time zone": "now()",
}
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def url(server: EmbeddedServer, template: str) -> Iterator[str]:
    """A clone with a row of workspace 1 and one of workspace 2 in every table; rules of content don't matter here."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE isolated TEMPLATE {template} STRATEGY FILE_COPY".encode())
        with psycopg.connect(server.url("isolated")) as connection:
            connection.execute("SET session_replication_role = replica")
            for table, rule in connection.execute(RULES).fetchall():
                connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{rule}"'.encode())
            for table in _names(connection, TABLES):
                _fill(connection, table)
        yield server.url("isolated")
        admin.execute("DROP DATABASE isolated WITH (FORCE)")


def _fill(connection: Connection, table: str) -> None:
    key = _key(table)
    columns = {name: VALUES[kind] for name, kind in connection.execute(NEEDED, [f"outreach.{table}"]) if name != key}
    # Unique over all workspaces: a workspace's name, a key's hash.
    columns |= {name: f"'x' || {key}" for name in columns if (table, name) == ("workspaces", "name")}
    columns |= {name: f"('x' || {key})::bytea" for name in columns if (table, name) == ("api_keys", "key_hash")}
    names = "".join(f', "{name}"' for name in columns)
    values = "".join(f", {value}" for value in columns.values())
    connection.execute(
        f"INSERT INTO outreach.{table} ({key}{names}) SELECT {key}{values} FROM (VALUES (1), (2)) AS w ({key})".encode()
    )


def _names(connection: Connection, query: str) -> list[str]:
    return [name for (name,) in connection.execute(query.encode()).fetchall()]


def _key(table: str) -> str:
    return "id" if table == "workspaces" else "workspace_id"


@contextmanager
def _session(url: str, role: str, workspace: int | None = None) -> Iterator[Connection]:
    with psycopg.connect(url) as connection:
        tables = _names(connection, TABLES)
        assert len(tables) > 30
        connection.execute(f"SET ROLE {role}".encode())
        if workspace is not None:
            connection.execute(sql.SQL("SET app.workspace_id = {}").format(sql.Literal(str(workspace))))
        yield connection
        connection.rollback()


def _each(connection: Connection, statement: Callable[[str], str]) -> dict[str, Any]:
    """What the statement gives for every table of outreach: its rows, how many it changed, or that it was refused."""
    outcome: dict[str, Any] = {}
    for table in _names(connection, TABLES):
        try:
            with connection.transaction(force_rollback=True):
                cursor = connection.execute(statement(table).encode())
                outcome[table] = {row[0] for row in cursor} if cursor.description else cursor.rowcount
        except InsufficientPrivilege:
            outcome[table] = "refused"
    return outcome


def _select(table: str) -> str:
    return f"SELECT {_key(table)} FROM outreach.{table}"


def test_a_tenant_sees_its_own_rows_only(url: str) -> None:
    for workspace in (1, 2):
        with _session(url, "outreachdb_app", workspace) as connection:
            seen = _each(connection, _select)
        assert {table for table, keys in seen.items() if keys == "refused"} == {"api_keys"}
        assert {table: keys for table, keys in seen.items() if keys not in ("refused", {workspace})} == {}


def test_a_tenant_without_a_workspace_sees_nothing(url: str) -> None:
    with _session(url, "outreachdb_app") as connection:
        seen = _each(connection, _select)
    assert {table: keys for table, keys in seen.items() if keys not in ("refused", set())} == {}


def test_a_workspace_that_is_no_number_is_an_error_not_all_rows(url: str) -> None:
    with _session(url, "outreachdb_app") as connection:
        connection.execute("SET app.workspace_id = 'all'")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("SELECT FROM outreach.leads")


def test_a_tenant_cannot_change_or_delete_rows_of_another(url: str) -> None:
    with _session(url, "outreachdb_app", 1) as connection:
        changed = _each(
            connection, lambda table: f"UPDATE outreach.{table} SET {_key(table)} = 2 WHERE {_key(table)} = 2"
        )
        deleted = _each(connection, lambda table: f"DELETE FROM outreach.{table} WHERE {_key(table)} = 2")
        all_rows = _each(connection, lambda table: f"DELETE FROM outreach.{table}")
    assert {table for table, outcome in (changed | deleted).items() if outcome not in ("refused", 0)} == set()
    assert {table for table, outcome in all_rows.items() if outcome not in ("refused", 1)} == set()
    assert all_rows["leads"] == 1


def test_a_tenant_cannot_put_rows_into_another_workspace(url: str) -> None:
    with _session(url, "outreachdb_app", 1) as connection:
        moved = _each(connection, lambda table: f"UPDATE outreach.{table} SET {_key(table)} = 2")

        def copy(table: str) -> str:
            columns = [name for name, _ in connection.execute(COLUMNS, [f"outreach.{table}"])]
            names = ", ".join(f'"{name}"' for name in columns)
            values = ", ".join("2" if name == _key(table) else f'"{name}"' for name in columns)
            return f"INSERT INTO outreach.{table} ({names}) SELECT {values} FROM outreach.{table}"

        copied = _each(connection, copy)
    assert set(moved.values()) == {"refused"}
    assert set(copied.values()) == {"refused"}


def test_a_tenant_cannot_reach_the_other_schemas(url: str) -> None:
    with psycopg.connect(url) as connection:
        relations = _names(connection, ELSEWHERE)
        assert len(relations) > 120
        connection.execute("SET ROLE outreachdb_app")
        connection.execute("SET app.workspace_id = '1'")
        for relation in relations:
            with pytest.raises(InsufficientPrivilege), connection.transaction():
                connection.execute(f"SELECT FROM {relation}".encode())


def test_the_trusted_role_sees_all_workspaces(url: str) -> None:
    with _session(url, "outreachdb_trusted", 1) as connection:
        seen = _each(connection, _select)
    assert {table: keys for table, keys in seen.items() if keys != {1, 2}} == {}


def test_the_reader_reads_all_but_secrets_and_writes_nothing(url: str) -> None:
    with _session(url, "outreachdb_reader") as connection:
        seen = _each(connection, _select)
        written = [
            _each(connection, lambda table: f"INSERT INTO outreach.{table} ({_key(table)}) VALUES (1)"),
            _each(connection, lambda table: f"UPDATE outreach.{table} SET {_key(table)} = 1"),
            _each(connection, lambda table: f"DELETE FROM outreach.{table}"),
            _each(connection, lambda table: f"TRUNCATE outreach.{table} CASCADE"),
        ]
    assert {table for table, keys in seen.items() if keys == "refused"} == SECRETS
    assert {table: keys for table, keys in seen.items() if keys not in ("refused", {1, 2})} == {}
    assert {outcome for each in written for outcome in each.values()} == {"refused"}


def test_nobody_truncates_but_the_owner(url: str) -> None:
    for role in ("outreachdb_app", "outreachdb_trusted"):
        with _session(url, role, 1) as connection:
            outcome = _each(connection, lambda table: f"TRUNCATE outreach.{table} CASCADE")
        assert set(outcome.values()) == {"refused"}, role


def test_roles_are_apart_and_have_no_special_rights(url: str) -> None:
    with psycopg.connect(url) as connection:
        roles = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'outreachdb\\_%'"
            " AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolcanlogin)"
        ).fetchall()
        members = connection.execute(
            "SELECT r.rolname, g.rolname FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member"
            " JOIN pg_roles AS g ON g.oid = m.roleid WHERE r.rolname LIKE 'outreachdb\\_%'"
        ).fetchall()
    assert roles == []
    assert {(member, group) for member, group in members if group.startswith("outreachdb_")} == set()
    assert ("outreachdb_app", "pg_monitor") not in members


def test_tenants_run_definers_of_the_trusted_role_only(url: str) -> None:
    """The owner is above row-level security: what runs as the owner is not for tenants, nor anything for everybody."""
    with psycopg.connect(url) as connection:
        definers = connection.execute(
            "SELECT proname, pg_get_userbyid(proowner), has_function_privilege('public', oid, 'EXECUTE'),"
            " has_function_privilege('outreachdb_app', oid, 'EXECUTE') FROM pg_proc"
            " WHERE pronamespace::regnamespace::text IN ('outreach', 'analytics', 'ops') AND prosecdef"
        ).fetchall()
    assert len(definers) > 5
    assert {name for name, _, public, _ in definers if public} == set()
    assert {name for name, owner, _, tenant in definers if tenant and owner != "outreachdb_trusted"} == set()
