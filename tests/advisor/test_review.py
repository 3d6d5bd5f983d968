"""Migrations that others wrote, and models without a database."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from outreachdb.advisor.models_check import advise_metadata
from outreachdb.advisor.review import review
from outreachdb.errors import InvalidInput

SCHEMA = "CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, parent_id int, n int);"
UNSAFE = """
SET lock_timeout = '2s';
SET statement_timeout = '1min';
CREATE INDEX t_n ON t (n);
ALTER TABLE t ALTER COLUMN n TYPE bigint;
ALTER TABLE t ADD FOREIGN KEY (parent_id) REFERENCES parents;
"""
SAFE = """
SET lock_timeout = '2s';
SET statement_timeout = '1min';
CREATE INDEX CONCURRENTLY t_n ON t (n);
"""


# A statement for each rule of squawk, in the order of the page; where its name there stands for others, these.
UNSAFE_FOR_SQUAWK = """
ALTER TABLE t ADD COLUMN a uuid DEFAULT gen_random_uuid();
ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p (id);
ALTER TABLE t ALTER COLUMN a SET NOT NULL;
ALTER TABLE t ADD COLUMN b int NOT NULL;
ALTER TABLE t ADD COLUMN id serial PRIMARY KEY;
ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0);
CREATE TABLE n (a char(3), b int, c varchar(10), d timestamp, id serial PRIMARY KEY);
CREATE DOMAIN e AS int CHECK (VALUE > 0);
ALTER TABLE t DROP COLUMN a;
DROP DATABASE x;
ALTER TABLE t ALTER COLUMN a DROP NOT NULL;
DROP TABLE t;
TRUNCATE t CASCADE;
ALTER TABLE t RENAME COLUMN a TO b;
ALTER TABLE t RENAME TO u;
CREATE INDEX i ON t (a);
DROP INDEX i;
ALTER TABLE t DETACH PARTITION p;
REINDEX INDEX i;
ALTER TYPE e ADD VALUE 'x';
ALTER TABLE t ALTER COLUMN a TYPE bigint;
ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0);
ALTER TABLE t ADD CONSTRAINT u UNIQUE (a);
CREATE TABLE a_name_that_is_longer_than_the_sixty_three_bytes_that_postgresql_leaves_of_it (id bigint);
BEGIN;
BEGIN;
CREATE INDEX CONCURRENTLY j ON t (a);
"""
SPELT = {
    "prefer-bigint": "prefer-bigint-over-int",
    "require-concurrent index creation/deletion": "require-concurrent-index-creation require-concurrent-index-deletion",
    "require-concurrent partition detach": "require-concurrent-partition-detach",
    "require-concurrent reindex": "require-concurrent-reindex",
    "require-enum ordering": "require-enum-value-ordering",
    "require-lock/statement timeouts": "require-lock-timeout require-statement-timeout",
}


def test_every_rule_that_the_page_leaves_to_squawk_is_told(tmp_path: Path) -> None:
    file = tmp_path / "unsafe.sql"
    file.write_text(UNSAFE_FOR_SQUAWK)
    told = {each.rule.removeprefix("migration_").replace("_", "-") for each in review(str(file), None)}
    page = (Path(__file__).parents[2] / "docs" / "reference" / "advisor-parity.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2].strip() for line in page.splitlines() if "| squawk |" in line and "| --review |" in line]
    assert len(rows) > 30
    assert [name for row in rows for name in SPELT.get(row, row).split() if name not in told] == []


@pytest.mark.slow
def test_what_squawk_says_and_which_locks_are_held(empty_database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    file = tmp_path / "change.sql"
    file.write_text(UNSAFE)
    found = review(str(file), empty_database_url)
    rules = {each.rule for each in found}
    assert {"migration_require_concurrent_index_creation", "migration_changing_column_type"} <= rules
    assert all(each.evidence["safe_form"] for each in found if each.rule == "migration_changing_column_type")
    locks = [(e.table, e.evidence["mode"], e.evidence["rewrites"]) for e in found if e.rule == "migration_lock"]
    assert sorted(locks) == [
        ("parents", "ShareRowExclusiveLock", False),
        ("t", "AccessExclusiveLock", True),
        ("t", "ShareLock", False),
        ("t", "ShareRowExclusiveLock", False),
    ]
    file.write_text(SAFE)
    assert [each for each in review(str(file), empty_database_url) if each.rule == "migration_lock"] == []
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT to_regclass('t_n')").fetchone() == (None,), "only the clone was changed"
    file.write_text("VACUUM t; VACUUM FULL t; CLUSTER parents USING parents_pkey;")
    locks = [(e.table, e.evidence["mode"], e.severity) for e in review(str(file), empty_database_url) if e.table]
    assert sorted(locks) == [("parents", "AccessExclusiveLock", "error"), ("t", "AccessExclusiveLock", "error")]
    file.write_text("ALTER TABLE nowhere ADD COLUMN a int;")
    with pytest.raises(InvalidInput, match="fails on a clone"):
        review(str(file), empty_database_url)


@pytest.mark.slow
async def test_models_without_a_database() -> None:
    report = await advise_metadata("models_with_faults:Base")
    found = {(each.rule, each.schema, each.table) for each in report.findings}
    assert {
        ("foreign_key_without_index", "shop", "children"),
        ("duplicate_index", "shop", "children"),
        ("timestamp_without_time_zone", "shop", "children"),
    } <= found
    assert not [each for each in report.findings if each.table == "parents" and each.severity != "info"]


@pytest.mark.parametrize(
    ("target", "said"),
    [("nothing", "names no metadata"), ("no_such_module:Base", "can't be imported"), ("json:loads", "is no MetaData")],
)
async def test_what_is_no_metadata(target: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        await advise_metadata(target)


ALEMBIC = """
from alembic import op
revision, down_revision = {revision!r}, {before!r}
def upgrade():
    op.execute({sql!r})
def downgrade():
    pass
"""
ENV = """
from alembic import context
context.configure(url="postgresql://", literal_binds=True)
with context.begin_transaction():
    context.run_migrations()
"""


@pytest.mark.slow
def test_a_revision_of_alembic(empty_database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA + "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "script.py.mako").write_text("")
    (tmp_path / "alembic.ini").write_text(f"[alembic]\nscript_location = {tmp_path}\npath_separator = os\n")
    first = ALEMBIC.format(revision="a1", before=None, sql="CREATE INDEX t_parent ON t (parent_id)")
    (tmp_path / "versions" / "a1.py").write_text(first)
    second = ALEMBIC.format(revision="b2", before="a1", sql="ALTER TABLE t ADD CHECK (n > 0)")
    (tmp_path / "versions" / "b2.py").write_text(second)
    ini = tmp_path / "alembic.ini"
    found = review(f"{ini}:b2", empty_database_url)
    assert {(each.table, each.ddl) for each in found if each.rule == "migration_lock"} == {
        (
            "t",
            "ALTER TABLE t ADD CONSTRAINT t_check CHECK (n > 0) NOT VALID;\nALTER TABLE t VALIDATE CONSTRAINT t_check;",
        )
    }
    rules = {each.rule for each in review(f"{ini}:a1", None)}
    assert "migration_require_concurrent_index_creation" in rules, "the first revision of a history"
    with pytest.raises(InvalidInput, match="revision c3"):
        review(f"{ini}:c3", None)
