"""The page "Troubleshoot": its commands run, on a database that has the troubles, and mend what they say they mend."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path

import psycopg
import pytest
from conftest import Ground

from outreachdb.cli.main import COMMANDS, main

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"```(sh|sql)\n(.*?)```", re.DOTALL)


def sections() -> dict[str, list[tuple[str, str]]]:
    """Heading -> the blocks below it."""
    parts = (DOCS / "troubleshoot.md").read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.partition("\n")[0]: BLOCK.findall(part) for part in parts}


class Reader:
    """Somebody who follows the page."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self.capsys = url, capsys
        self.seen = ""

    def follow(self, section: str) -> str:
        """Run every block; what was printed or returned."""
        self.seen = ""
        for kind, text in sections()[section]:
            if kind == "sh":
                for line in text.splitlines():
                    self.shell(line)
            else:
                self.sql(text)
        return self.seen

    def shell(self, line: str) -> None:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "outreachdb"
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "-d", self.url])
        out, err = self.capsys.readouterr()
        assert ended.value.code in {0, None}, (line, err)
        self.seen += out

    def sql(self, text: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in text.split(";\n"):
                cursor = connection.execute(statement.encode())
                self.seen += str(cursor.fetchall()) if cursor.description else ""


@pytest.fixture
def troubled(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("OUTREACHDB_HOME", str(tmp_path))
    return ground


def test_many_connections(troubled: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    with troubled.session() as idle:
        idle.execute("BEGIN")
        seen = Reader(troubled.url, capsys).follow('Many connections, or "too many clients"')
        assert str(idle.info.backend_pid) in seen
        idle.execute("SELECT 1")  # it has not been there for fifteen minutes


def test_the_page_ends_what_sits_in_a_transaction(troubled: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    (ending,) = [text for _, text in sections()['Many connections, or "too many clients"'] if "terminate" in text]
    with troubled.session() as idle:
        idle.execute("BEGIN")
        Reader(troubled.url, capsys).sql(ending.replace("15 minutes", "0 minutes"))
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")


@pytest.mark.slow
def test_slow_queries(troubled: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    troubled.do("SELECT public.pg_stat_statements_reset()", *["SELECT pg_sleep(0.11), 'slow one'"] * 20)
    seen = Reader(troubled.url, capsys).follow("Slow queries")
    assert "1 queries" in seen
    assert "pg_sleep" in seen
    assert "Seq Scan" in seen or "Index" in seen
    assert troubled.do("SELECT pg_stat_get_last_analyze_time('outreach.leads'::regclass) IS NOT NULL")


def test_trouble_with_partitions(troubled: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """The months ahead of one table are gone; the page brings them back."""
    ahead = troubled.do(
        "SELECT array_agg(c.oid::regclass::text) FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhrelid "
        "WHERE h.inhparent = 'outreach.email_events'::regclass "
        "AND c.relname > 'email_events_' || to_char(timezone('UTC', now()), 'YYYY_MM')"
    )
    troubled.do(*(f"DROP TABLE {name}" for name in ahead))
    assert asyncio.run(troubled.look("partition_runway")).status == "red"
    seen = Reader(troubled.url, capsys).follow("Trouble with partitions")
    assert "outreach.email_events takes rows until" in seen
    assert asyncio.run(troubled.look("partition_runway")).status == "green"


def test_everything_waits(troubled: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    troubled.do("CREATE TABLE IF NOT EXISTS trouble.held (id int)")
    with troubled.session() as head:
        head.execute("BEGIN")
        head.execute("LOCK TABLE trouble.held")
        with troubled.running("SELECT FROM trouble.held") as waiting:
            seen = Reader(troubled.url, capsys).follow("Everything waits")
        assert f"at the head: pid {head.info.backend_pid}" in " ".join(seen.split())
        assert f"({waiting}, [{head.info.backend_pid}]" in seen


@pytest.mark.parametrize("section", ["Jobs that do not run", "The disk fills"])
def test_the_rest_of_the_page(troubled: Ground, capsys: pytest.CaptureFixture[str], section: str) -> None:
    assert Reader(troubled.url, capsys).follow(section)


def test_commands_named_in_the_pages_exist() -> None:
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("troubleshoot.md", "health.md"))
    named = set(re.findall(r"outreachdb (\w+)", text))
    assert named <= set(COMMANDS)
