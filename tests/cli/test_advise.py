"""The command ``advise``."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import psycopg
import pytest
from commands import Run

SCHEMA = """
    CREATE TABLE parents (id int PRIMARY KEY);
    CREATE TABLE children (id int PRIMARY KEY, parent_id int REFERENCES parents, "a<b>" timestamp);
    CREATE INDEX one ON children ("a<b>");
    CREATE INDEX two ON children ("a<b>");
"""
KEYS = {"rule", "severity", "schema", "table", "columns", "object", "evidence", "ddl", "rollback"}


@pytest.fixture
def url(empty_database_url: str) -> str:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
    return empty_database_url


def test_json_and_the_way_out(run: Run, url: str) -> None:
    ended = run("advise", url, "--json")
    assert (ended.status, ended.err) == (0, "")
    findings = ended.document["findings"]
    assert all(set(each) == KEYS for each in findings)
    (key,) = [each for each in findings if each["rule"] == "foreign_key_without_index"]
    assert (key["schema"], key["table"], key["columns"]) == ("public", "children", ["parent_id"])
    assert key["ddl"] == "CREATE INDEX CONCURRENTLY ix_children_parent_id ON public.children USING btree (parent_id);"
    assert key["rollback"] == "DROP INDEX CONCURRENTLY public.ix_children_parent_id;"
    (twice,) = [each for each in findings if each["rule"] == "duplicate_index"]
    assert (twice["object"], twice["evidence"]["stays"]) == ("two", "one")
    for level, status in (("error", 0), ("warning", 1), ("medium", 1), ("info", 1)):
        assert run("advise", url, "--fail-on", level, "--json").status == status, level
    assert run("advise", url, "--rule", "invalid_index", "--fail-on", "info").status == 0


def test_formats(run: Run, url: str, tmp_path: Path) -> None:
    shown = run("advise", "-d", url).out
    assert "warning foreign_key_without_index public.children (parent_id)" in shown
    assert "CREATE INDEX CONCURRENTLY" in run("advise", url, "--format", "markdown").out
    page = tmp_path / "report.html"
    assert run("advise", url, "--format", "html", "--output", str(page)).status == 0
    text = page.read_text()
    seen = _Seen()
    seen.feed(text)
    assert "a<b>" in seen.text, "names are data, not markup"
    assert "svg" in seen.tags
    assert not seen.elsewhere, "the page needs nothing else"
    assert "script" not in seen.tags


class _Seen(HTMLParser):
    """Tags, text, and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.elsewhere += [str(value) for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_accepted_findings_and_queries_from_a_file(run: Run, url: str, tmp_path: Path) -> None:
    accepted, queries = tmp_path / "accepted.yaml", tmp_path / "queries.sql"
    accepted.write_text(
        "- {rule: foreign_key_without_index, table: children, reason: parents stay, until: 2999-01-01}\n"
    )
    queries.write_text("SELECT id FROM children ORDER BY id LIMIT 5 OFFSET 10; SELECT 1;")
    document = run(
        "advise", url, "--json", "--suppressions", str(accepted), "--queries", str(queries)
    ).document  # fmt: skip
    assert [each["reason"] for each in document["suppressed"]] == ["parents stay"]
    (paging,) = [each for each in document["findings"] if each["rule"] == "offset_paging"]
    assert (paging["table"], paging["columns"]) == ("children", ["id"])
    assert not any("pg_stat_statements" in note for note in document["notes"])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("advise", "--rule", "nonsense"), 2, "there is no rule nonsense"),
        (("advise", "--fail-on", "loud"), 2, "there is no level 'loud'"),
        (("advise", "--suppressions", "/none.yaml"), 1, "/none.yaml can't be read"),
        (("advise", "--queries", "/none.sql"), 1, "/none.sql can't be read"),
        (("advise", "postgresql://x@127.0.0.1:1/none"), 1, "no answer from none on 127.0.0.1:1"),
        (("advise", "--rule", "money_column", "--format", "html", "--output", "/none/x.html"), 1, "can't be written"),
    ],
)
def test_refusals(run: Run, arguments: tuple[str, ...], status: int, said: str) -> None:
    ended = run(*arguments)
    assert (ended.status, ended.out) == (status, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_a_migration_for_a_database_that_nobody_named_is_still_read(run: Run, url: str, tmp_path: Path) -> None:
    file = tmp_path / "m.sql"
    file.write_text("CREATE INDEX i ON nobodys (a);\n")
    ended = run("advise", "--review", str(file), "--json", "--fail-on", "warning")
    rules = {each["rule"]: each["ddl"] for each in ended.document["findings"]}
    assert ended.status == 1
    assert rules["migration_require_concurrent_index_creation"] == "CREATE INDEX CONCURRENTLY i ON nobodys (a);"
    assert "migration_lock" not in rules
    (note,) = ended.document["notes"]
    assert 'relation "nobodys" does not exist' in note
    assert "give the URL" in note
    asked = run("advise", url, "--review", str(file))
    assert (asked.status, "fails on a clone" in asked.err) == (1, True)
    assert run("advise", "--review", str(tmp_path / "none.sql")).status == 1


MODELS = """
from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Parent(Base):
    __tablename__ = "parents"
    id: Mapped[int] = mapped_column(primary_key=True)


class Child(Base):
    __tablename__ = "children"
    __table_args__ = (Index("one", "email"), Index("two", "email"))
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("parents.id"))
    email: Mapped[str]
    status: Mapped[str]
    lead_score: Mapped[float]
"""


@pytest.mark.slow
def test_a_migration_out(run: Run, url: str, tmp_path: Path) -> None:
    chosen = ("--rule", "foreign_key_without_index", "--rule", "duplicate_index")
    ended = run("advise", url, *chosen, "--write-migration", str(tmp_path / "sql"), "--sql", "--json")
    assert {each["rule"] for each in ended.document["findings"]} == {chosen[1], chosen[3]}
    down, up = sorted((tmp_path / "sql").iterdir())
    assert (ended.status, ended.err.count("written: ")) == (0, 2)
    assert str(up) in ended.err
    assert "CREATE INDEX CONCURRENTLY ix_children_parent_id" in up.read_text()
    assert "DROP INDEX CONCURRENTLY" in down.read_text()
    (tmp_path / "versions").mkdir()
    for name in ("a", "b"):
        (tmp_path / "versions" / f"{name}.py").write_text(f"revision = {name!r}\ndown_revision = None\n")
    broken = run("advise", url, *chosen, "--write-migration", str(tmp_path))
    assert (broken.status, broken.out) == (1, "")
    assert "it has 2 heads: a (a.py), b (b.py)" in broken.err
    (tmp_path / "versions" / "b.py").write_text("revision = 'b'\ndown_revision = 'a'\n")
    assert run("advise", url, *chosen, "--write-migration", str(tmp_path)).status == 0
    (made,) = [each for each in (tmp_path / "versions").iterdir() if each.name not in {"a.py", "b.py"}]
    assert "down_revision = 'b'" in made.read_text()
    assert run("advise", url, "--sql").status == 2


@pytest.mark.slow
def test_models_without_a_database(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    document = run("advise", "--metadata", "shop_models:Base", "--json").document
    found = {(each["rule"], each["table"], tuple(each["columns"])) for each in document["findings"]}
    assert {
        ("foreign_key_without_index", "children", ("parent_id",)),
        ("duplicate_index", "children", ("email",)),
        ("status_without_check", "children", ("status",)),
        ("email_without_validation", "children", ("email",)),
        ("score_without_range", "children", ("lead_score",)),
    } <= found
    assert not [rule for rule, _, _ in found if rule == "unused_index"], "models know nothing of use"


def test_a_file_that_is_no_sql(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.sql").write_text("SELEC 1")
    assert "is not SQL" in run("advise", "--queries", str(tmp_path / "bad.sql")).err
    (tmp_path / "bad.json").write_text('{"query": "SELECT 1"}\n{"sql": 1}\n')
    assert "line 2: not a query in JSON" in run("advise", "--queries", str(tmp_path / "bad.json")).err
