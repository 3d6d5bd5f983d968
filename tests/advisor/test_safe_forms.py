"""The safe forms end where the unsafe statements end, and hold no lock that stops writers."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from pglast import parser

from outreachdb.advisor.migration.clone import dump
from outreachdb.advisor.review import review
from outreachdb.advisor.safe_forms import safe_form

BEFORE = """
DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop;
CREATE TABLE shop.parents (id int PRIMARY KEY, "Key" int UNIQUE);
CREATE TABLE shop.t (id int, a int, b text, parent_id int, "order" int);
CREATE INDEX t_old ON shop.t (a);
CREATE MATERIALIZED VIEW shop.v AS SELECT 1 AS one;
CREATE UNIQUE INDEX v_one ON shop.v (one);
INSERT INTO shop.parents VALUES (1, 1); INSERT INTO shop.t VALUES (1, 2, 'x', 1, 3);
"""
UNSAFE = (
    "CREATE INDEX t_a ON shop.t (a, lower(b)) WHERE a > 1",
    'CREATE UNIQUE INDEX t_order ON shop.t ("order")',
    "DROP INDEX shop.t_old",
    "ALTER TABLE shop.t ADD CONSTRAINT positive CHECK (a > 0), ADD FOREIGN KEY (parent_id) REFERENCES shop.parents",
    'ALTER TABLE shop.t ADD UNIQUE (a, "order")',
    "ALTER TABLE shop.t ADD CONSTRAINT t_pk PRIMARY KEY (id)",
    "ALTER TABLE shop.t ALTER COLUMN b SET NOT NULL",
    "ALTER TABLE shop.t ADD COLUMN key uuid DEFAULT gen_random_uuid()",
    'ALTER TABLE shop.t ADD COLUMN other int REFERENCES shop.parents ("Key")',
    "ALTER TABLE shop.t ADD COLUMN made timestamptz NOT NULL DEFAULT now()",
    "REFRESH MATERIALIZED VIEW shop.v",
)  # fmt: skip


@pytest.mark.parametrize("statement", [
    "ALTER TABLE t ALTER COLUMN n TYPE bigint", "ALTER TABLE t ADD COLUMN n int DEFAULT 0",
    "CREATE TABLE t (n int UNIQUE)",
    "CREATE INDEX CONCURRENTLY i ON t (n)", "ALTER TABLE t ADD CHECK (n > 0) NOT VALID", "UPDATE t SET n = 1",
])  # fmt: skip
def test_what_is_safe_or_a_persons_to_design_is_left_alone(statement: str) -> None:
    assert safe_form(statement) is None


@pytest.mark.slow
def test_safe_forms_end_in_the_same_schema(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        for unsafe in UNSAFE:
            connection.execute(BEFORE)
            connection.execute(unsafe.encode())
            there = dump(empty_database_url)
            connection.execute(BEFORE)
            form = safe_form(unsafe)
            for step in parser.split(form or unsafe):
                connection.execute(step.encode())
            assert dump(empty_database_url) == there, unsafe
            assert (form is None) == ("now()" in unsafe), unsafe


@pytest.mark.slow
def test_a_table_of_the_migrations_own_may_be_locked(empty_database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(BEFORE)
    file = tmp_path / "m.sql"
    file.write_text("CREATE TABLE shop.n (a int);\nCREATE INDEX n_a ON shop.n (a);\nCREATE INDEX t_b ON shop.t (b);\n")
    found = review(str(file), empty_database_url)
    locks = [(each.table, each.ddl) for each in found if each.rule == "migration_lock"]
    assert locks == [("t", "CREATE INDEX CONCURRENTLY t_b ON shop.t (b);")]
    told = {
        each.evidence["line"]: each.ddl for each in found if each.rule == "migration_require_concurrent_index_creation"
    }
    assert told[3] == "CREATE INDEX CONCURRENTLY t_b ON shop.t (b);"
