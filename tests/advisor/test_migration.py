"""Advice as a migration: proven on a clone, behind the right head, lawful for squawk, repeatable after a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from outreachdb.advisor import Report, advise, migration
from outreachdb.advisor.migration import files, history, proof
from outreachdb.errors import MigrationError

SCHEMA = """
    CREATE TABLE parents (id bigint PRIMARY KEY);
    CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents, email text, work_email text);
    CREATE INDEX one ON children (email);
    CREATE INDEX two ON children (email);
    CREATE TABLE events (id bigint, parent_id bigint REFERENCES parents, at date NOT NULL) PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    CREATE TABLE lines (id bigint, parent_id bigint REFERENCES parents, PRIMARY KEY (id, parent_id));
    INSERT INTO children (id, email) VALUES (1, 'no address');
"""
CHOSEN = [
    "duplicate_index",
    "foreign_key_in_later_column",
    "foreign_key_without_index",
    "email_without_validation",
]
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


@pytest.fixture
def url(empty_database_url: str) -> str:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    return empty_database_url


def _revision(folder: Path, name: str, parent: str | tuple[str, ...] | None) -> None:
    (folder / f"{name}.py").write_text(
        f"revision: str = {name!r}\ndown_revision = {parent!r}\n\n\ndef upgrade(): ...\n"
    )


def _left(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")}


@pytest.mark.slow
async def test_a_pair_of_sql_files(url: str, tmp_path: Path) -> None:
    report = await advise(url, only=CHOSEN)
    written = migration.write(report, url, tmp_path, as_sql=True, chosen=CHOSEN)
    up, down = written.paths
    assert {each.rule for each in written.findings} == set(CHOSEN)
    text = up.read_text()
    assert text.count("VALIDATE CONSTRAINT") == 1, "rows break the other one: it is added, not validated"
    assert "ATTACH PARTITION public.ix_events_2_parent_id" in text
    before = _left(url)
    for file in (up, down, up, up):  # the last time as after a failure
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in files.statements(file.read_text()):
                connection.execute(statement.encode())
            assert connection.execute(INVALID).fetchone() == (0,)
        assert (_left(url) == before) == (file == down)
    assert [each.rule for each in (await advise(url, only=CHOSEN[:3])).findings] == []


@pytest.mark.slow
async def test_a_revision_behind_the_head(url: str, tmp_path: Path) -> None:
    versions = tmp_path / "versions"
    versions.mkdir()
    (tmp_path / "env.py").write_text(proof._ENV)
    (tmp_path / "alembic.ini").write_text(f"[alembic]\nscript_location = {tmp_path}\npath_separator = os\n")
    _revision(versions, "a1", None)
    _revision(versions, "b2", "a1")
    report = await advise(url, only=CHOSEN)
    (path,) = migration.write(report, url, tmp_path, chosen=CHOSEN).paths
    assert path.parent == versions
    assert "down_revision = 'b2'" in path.read_text()

    def alembic(*arguments: str) -> None:
        target = make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        subprocess.run(
            [sys.executable, "-m", "alembic", "-c", str(tmp_path / "alembic.ini"), *arguments],
            check=True, capture_output=True, env={"ADVISOR_PROOF_URL": target, "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    # A build that broke off left an invalid index of that name.
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO parents VALUES (7)")
        connection.execute("INSERT INTO children VALUES (8, 7), (9, 7)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY ix_children_parent_id ON children (parent_id)")
    before = _left(url) - {"ix_children_parent_id"}
    alembic("upgrade", "head")
    with psycopg.connect(url) as connection:
        assert connection.execute(INVALID).fetchone() == (0,)
    assert (await advise(url, only=CHOSEN[:3])).findings == []
    alembic("downgrade", "-1")
    assert _left(url) - {"alembic_proof_pkc"} == before


@pytest.mark.slow
async def test_the_first_revision_of_a_folder(url: str, tmp_path: Path) -> None:
    report = await advise(url, only=CHOSEN)
    (path,) = migration.write(report, url, tmp_path, chosen=CHOSEN).paths
    assert "down_revision = None" in path.read_text()


@pytest.mark.slow
async def test_a_change_that_fails_or_does_not_return_is_never_written(url: str, tmp_path: Path) -> None:
    report = await advise(url, only=["duplicate_index"])
    (finding,) = report.findings
    back, wrong_way = "CREATE INDEX two ON public.children (id);", "ALTER TABLE public.none SET (fillfactor = 9);"
    wrong: dict[str, Report] = {
        "another catalogue": replace(report, findings=[replace(finding, rollback=back)]),
        "does not exist": replace(report, findings=[replace(finding, ddl=wrong_way)]),
    }
    for said, each in wrong.items():
        with pytest.raises(MigrationError) as raised:
            migration.write(each, url, tmp_path, as_sql=True)
        assert said in str(raised.value) or "squawk" in str(raised.value)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_squawk_objects_to_what_blocks() -> None:
    assert any("require-concurrent-index-creation" in line for line in proof.lint("CREATE INDEX i ON t (a);"))


def test_the_head_of_a_history(tmp_path: Path) -> None:
    assert history.read(tmp_path / "none").head is None
    for name, parent in (("a1", None), ("b2", "a1"), ("c3", "a1"), ("d4", ("b2", "c3"))):
        _revision(tmp_path, name, parent)
    (tmp_path / "__init__.py").write_text("")
    assert history.read(tmp_path) == history.History(tmp_path, "d4")


@pytest.mark.parametrize(
    ("revisions", "said"),
    [
        ({"a1": None, "c3": "b2"}, "c3.py follows b2, which is not there"),
        ({"a1": None, "b2": "a1", "c3": "a1"}, "it has 2 heads: b2 (b2.py), c3 (c3.py)"),
        ({"a1": "b2", "b2": "a1"}, "in a circle"),
        ({"a1": None, "b2": "c3", "c3": "b2"}, "b2, c3 follow each other in a circle"),
    ],
)
def test_a_broken_history_is_told(tmp_path: Path, revisions: dict[str, str | None], said: str) -> None:
    for name, parent in revisions.items():
        _revision(tmp_path, name, parent)
    with pytest.raises(MigrationError) as raised:
        history.read(tmp_path)
    assert said in str(raised.value)


def test_a_revision_that_is_there_twice_is_told(tmp_path: Path) -> None:
    _revision(tmp_path, "a1", None)
    (tmp_path / "copy.py").write_text("revision = 'a1'\ndown_revision = None\n")
    with pytest.raises(MigrationError, match=r"revision a1 is there twice, in a1\.py and copy\.py"):
        history.read(tmp_path)
