"""Bad input: one clear line on stderr, exit 1 or 2, no traceback, nothing half-written."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from commands import Ended, Run

from outreachdb.cli import main
from outreachdb.db import pools
from outreachdb.errors import CONSTRAINT_WAYS

CSV = "email,first name\na@b.example,Ann\n"
CAMPAIGN = """
name: spring
segment: all
mailboxes: [{address: ann@sender.example, smtp: {host: 127.0.0.1, port: 8025, security: plain}}]
steps: [{subject: Hello, text: Hello}]
"""


def refused(ended: Ended, *, status: int = 1, saying: str) -> None:
    assert ended.status == status, ended
    assert ended.out == ""
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("outreachdb: ")
    assert saying in lines[0]


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01" + bytes(range(256)), "binary"),
        (b"a@b.example,Ann\nc@d.example,Bob\n", "header"),
        (b"email,first name\n", "no rows"),
    ],
    ids=["missing", "empty", "binary", "without header", "header only"],
)
def test_a_file_that_is_no_list(run: Run, workspace: str, tmp_path: Path, content: bytes | None, saying: str) -> None:
    path = tmp_path / "contacts.csv"
    if content is not None:
        path.write_bytes(content)
    refused(run("import", str(path)), saying=saying)
    assert run("imports", "list", "--json").document == {"imports": []}
    assert run("segment", "count", "--where", "{}", "--json").document["count"] == 0


def test_a_directory_is_no_list(run: Run, workspace: str, tmp_path: Path) -> None:
    refused(run("import", str(tmp_path)), saying="is a directory")


def test_an_unknown_workspace(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(CSV)
    refused(run("import", str(path), "-w", "nobody"), saying="no workspace named 'nobody'")


def test_no_workspace_named(run: Run, tmp_path: Path) -> None:
    refused(run("segment", "list"), status=2, saying="which workspace?")


@pytest.mark.parametrize(
    ("where", "saying"),
    [
        ('{"all": [', "JSON"),
        ('{"field": "shoe_size", "op": "equals", "value": 1}', "shoe_size"),
        ('{"field": "country", "op": "resembles", "value": "US"}', "no such operator"),
        ('{"any": [{"field": "qualification_score", "op": "gt", "value": "high"}]}', "any[0]"),
        ("[]", "object"),
    ],
)
def test_a_malformed_segment(run: Run, workspace: str, where: str, saying: str) -> None:
    refused(run("segment", "count", "--where", where), saying=saying)
    refused(run("segment", "create", "bad", "--where", where), saying=saying)
    assert run("segment", "list", "--json").document == {"segments": []}


def test_a_database_that_does_not_answer(run: Run) -> None:
    ended = run("workspace", "list", "-d", "postgresql://nobody:hidden@127.0.0.1:1/none")
    refused(ended, saying="no answer from none on 127.0.0.1:1")
    assert "hidden" not in ended.err


def test_a_url_that_is_none(run: Run) -> None:
    ended = run("workspace", "list", "-d", "mysql://root:hidden@localhost/shop")
    refused(ended, saying="can't be read")
    assert "hidden" not in ended.err


def test_a_server_that_is_too_old(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MINIMUM_VERSION", 990000)
    refused(run("workspace", "list"), saying="is too old")


def test_a_database_without_the_schema(run: Run, empty_database_url: str) -> None:
    refused(run("workspace", "list", "-d", empty_database_url), saying="run: outreachdb migrate")


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (("impotr",), "Did you mean 'import'"),
        (("import",), "missing argument 'file' (see: outreachdb import --help)"),
        (("import", "x", "--nothing"), "no such option: --nothing"),
        (("import", "x", "--on-conflict", "upsert"),
         "invalid value for '--on-conflict': 'upsert' is not one of 'update', 'fill', 'skip' (see: outreachdb import"),
        (("leads", "search", "--limit", "many"), "invalid value for '--limit'"),
        (("-w",), "-w needs a value"),
    ],
)  # fmt: skip
def test_wrong_usage(run: Run, arguments: tuple[str, ...], saying: str) -> None:
    refused(run(*arguments), status=2, saying=saying)


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (("leads", "search", "--sort", "qualification_score"),
         """there is no order 'qualification_score' (did you mean "score"?)"""),
        (("leads", "search", "--sort", "zzz"), "there is no order 'zzz' (there are id, created_at"),
        (("leads", "search", "--sort", "--id"), "there is no order '--id' (did you mean"),
        (("events", "parse", "x", "--provider", "sendgird"),
         """there is no provider 'sendgird' (did you mean "sendgrid"?)"""),
        (("events", "ingest", "x", "--provider", "zzz"), "there is no provider 'zzz' (there are "),
        (("webhook", "create", "--provider", "mailgunn", "--key", "x"), 'did you mean "mailgun"?'),
        (("suppress", "add", "a@b.co", "--reason", "bounce"),
         """there is no reason 'bounce' (did you mean "bounced"?)"""),
        (("key", "create", "ci", "--scope", "writes"), "no scope 'writes'"),
        (("segment", "apply", "--where", "{}", "--set", "compny_name=x", "--yes"), 'did you mean "company_name"?'),
        (("stats", "workspace", "--by", "campains"), 'did you mean "campaign"?'),
    ],
)  # fmt: skip
def test_an_unknown_word_is_wrong_usage_and_the_nearest_is_named(
    run: Run, workspace: str, arguments: tuple[str, ...], saying: str
) -> None:
    refused(run(*arguments), status=2, saying=saying)


def test_a_name_that_is_taken_has_a_way_out(run: Run, workspace: str, tmp_path: Path) -> None:
    refused(run("workspace", "create", workspace), saying="exists already (work in it with -w NAME, or choose another")
    assert run("segment", "create", "all", "--where", "{}").status == 0
    refused(
        run("segment", "create", "all", "--where", "{}"), saying="segment update NAME changes it; or choose another"
    )
    path = tmp_path / "spring.yaml"
    path.write_text(CAMPAIGN)
    assert run("campaign", "create", str(path)).status == 0
    refused(
        run("campaign", "create", str(path)), saying="outreachdb campaign show NAME shows it, campaign next-run NAME"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_no_changes_nothing(run: Run, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    ended = run("segment", "apply", "--where", "{}", "--add-tag", "x")
    assert (ended.status, "Traceback" in ended.err) == (1, False)
    assert ended.err.endswith("outreachdb: not confirmed; nothing was done\n")
    assert run("segment", "actions", "--json").document == {"actions": []}


def test_the_ways_out_name_commands_that_there_are() -> None:
    whole: Any = typer.main.get_command(main.build())
    named = [pair for way in CONSTRAINT_WAYS.values() for pair in re.findall(r"outreachdb (\w+) ([a-z-]+)", way)]
    assert len(named) >= 6
    assert [pair for pair in named if pair[1] not in whole.commands[pair[0]].commands] == []


@pytest.mark.parametrize(
    ("given", "saying"),
    [
        ("first name=frist_name",
         """there is no field 'frist_name' (did you mean "first_name"? custom.NAME is a field"""),
        ("first name=company", 'did you mean "company_name"?'),
        ("first name=firm", 'did you mean "company_name"?'),
        ("first name=opt out", 'did you mean "unsubscribed"?'),
        ("first name=plan", "there is no field 'plan' (there are email, first_name,"),
        ("first name=name", 'did you mean "full_name"?'),
        ("first name=zzz", "there is no field 'zzz' (there are email, first_name,"),
        ("frist name=first_name", """the file has no column 'frist name' (did you mean "first name"?)"""),
        ("shoe=first_name", "the file has no column 'shoe' (it has: email, first name)"),
    ],
)  # fmt: skip
def test_a_mapping_to_nothing(run: Run, workspace: str, tmp_path: Path, given: str, saying: str) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(CSV)
    refused(run("import", str(path), "--map", given), status=2, saying=saying)
