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
