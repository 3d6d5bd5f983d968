"""Archive, restore, query and retention from the command line: documents for scripts, one line when something fails."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from commands import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "storage"))
from months import store_events


@pytest.fixture
def month(run: Run, own_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A month of a database of its own, and its archives in a folder of its own."""
    monkeypatch.setenv("OUTREACHDB_DATABASE_URL", own_database_url)
    monkeypatch.setenv("OUTREACHDB_ARCHIVE_FOLDER", str(tmp_path / "archives"))
    for name in ("acme", "globex"):
        assert run("workspace", "create", name).status == 0
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        store_events(connection, 2, months=15, rows=5, tag="g")
        store_events(connection, 1, months=1, rows=7)
        return store_events(connection, 1, months=15, rows=20)


def done(run: Run, *arguments: str, status: int = 0) -> Any:
    ended = run(*arguments, "--json")
    assert ended.status == status, ended.err
    return ended.document


def test_a_month_leaves_is_asked_about_and_comes_back(run: Run, month: str, tmp_path: Path) -> None:
    left = done(run, "partitions", "archive", "email_events", month)["archived"][0]
    assert (left["rows"], Path(left["file"]).parents[1]) == (25, tmp_path / "archives")
    listed = done(run, "partitions", "archives")["archives"][0]
    assert (listed["state"], listed["content_sha256"]) == ("dropped", left["content_sha256"])
    count = "SELECT count(*) AS n FROM email_events"
    answer = done(run, "-w", "acme", "partitions", "query", count)
    assert answer == {"columns": ["n"], "rows": [[27]], "live_rows": 7, "archives": 1}
    assert done(run, "partitions", "query", "--all-workspaces", count)["rows"] == [[32]]
    assert "27" in run("-w", "acme", "partitions", "query", count).out
    assert done(run, "partitions", "archive", "--verify")["checked"][0]["problem"] is None
    Path(left["file"]).rename(tmp_path / "elsewhere")
    assert "missing" in done(run, "partitions", "archive", "--verify", status=1)["checked"][0]["problem"]
    assert run("partitions", "restore", "email_events", month).status == 1
    (tmp_path / "elsewhere").rename(left["file"])
    assert done(run, "partitions", "restore", "email_events", month)["restored"][0]["rows"] == 25
    assert done(run, "partitions", "archive", "email_events", "--older-than", "14 months")["archived"][0]["rows"] == 25


def test_retention_is_planned_held_and_run(run: Run, month: str) -> None:
    held = done(run, "retention", "hold", "add", "--reason", "case 7", "-w", "globex", "--by", "counsel")
    done(run, "retention", "policy", "set", "message_log", "forever", "-w", "acme")
    policy = done(run, "retention", "policy", "list")["policies"]
    assert [(each["workspace"], each["retention_months"]) for each in policy] == [("acme", None)]
    plan = done(run, "retention", "plan", "email_events")
    stays = {step["partition"]: step["reasons"] for step in plan["steps"] if step["action"] == "keep"}
    assert stays == {month: [f"legal hold {held['id']}: case 7"]}
    assert plan["reports_affected"] == []
    assert "case 7" in run("retention", "plan", "email_events").out
    assert len(done(run, "retention", "hold", "list")["holds"]) == 1
    done(run, "retention", "hold", "remove", str(held["id"]))
    ended = done(run, "retention", "run", "email_events")
    assert ([each["rows"] for each in ended["archived"]], ended["failed"]) == ([25], [])
    assert done(run, "retention", "plan", "email_events")["steps"] == []


def test_empty_partitions_take_a_line(run: Run, month: str) -> None:
    """A fresh schema's plan says in one line what `migrate` made and nobody filled; a list of them is asked for."""
    steps = done(run, "retention", "plan")["steps"]
    empty = [step for step in steps if step["reasons"] == ["it is empty"]]
    others = [step["partition"] for step in steps if step not in empty]
    assert len(empty) > 20
    short, full = run("retention", "plan").out, run("retention", "plan", "--all").out
    assert f"{len(empty)} empty partitions would be dropped (" in short
    assert [step["partition"] for step in empty if step["partition"] in short] == []
    assert all(step["partition"] in full for step in steps)
    assert month in others
    assert all(name in short for name in others)

    listed = done(run, "partitions", "list", "email_events")["partitions"]
    # Fifteen months ago rows, a month ago rows; what lies between, before and after them has none.
    lines = [
        line.split() for line in run("partitions", "list", "email_events").out.splitlines() if "email_events" in line
    ]
    told = [int(line[1]) if line[2] == "empty" else 1 for line in lines]
    assert (sum(told), len(listed)) == (len(listed), 24)
    assert len(lines) <= 8
    assert [line[1] for line in lines if line[2] != "empty" and line[1] == month] == [month]
    everything = run("partitions", "list", "email_events", "--all").out
    assert all(each["name"] in everything for each in listed)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("partitions", "archive"), 2, "what is to be archived?"),
        (("partitions", "archive", "email_events", "x", "--older-than", "1 year"), 2, "what is to be archived?"),
        (("partitions", "archive", "email_events", "--older-than", "soon"), 2, "no span of time"),
        (("partitions", "archive", "leads", "x"), 1, "leads is not a partitioned table"),
        (("partitions", "archive", "email_events", "parts.nothing"), 1, "has no partition"),
        (("partitions", "restore", "email_events"), 2, "what is to come back?"),
        (("partitions", "restore", "email_events", "parts.nothing"), 1, "no such archive"),
        (("partitions", "query", "SELECT 1"), 2, "which workspace?"),
        (("partitions", "query", "--all-workspaces", "DROP TABLE x"), 2, "one SELECT"),
        (("partitions", "query", "--all-workspaces", "SELECT FROM WHERE"), 1, "can't be read"),
        (("partitions", "query", "--all-workspaces", "SELECT * FROM leads"), 1, "the query failed"),
        (("retention", "hold", "add", "--reason", "x", "--table", "leads"), 1, "not a partitioned table"),
        (("retention", "hold", "remove", "99"), 1, "no hold 99"),
        (("retention", "policy", "set", "message_log", "soon", "-w", "acme"), 2, "no number of months"),
        (("retention", "policy", "set", "message_log", "0", "-w", "acme"), 1, "1 to 1200 months"),
        (("retention", "policy", "remove", "message_log", "-w", "acme"), 1, "no policy of its own"),
        (("retention", "plan", "leads"), 1, "not a partitioned table"),
    ],
)  # fmt: skip
def test_a_wrong_call_says_what_is_wrong(
    run: Run, arguments: tuple[str, ...], status: int, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OUTREACHDB_ARCHIVE_FOLDER", str(tmp_path))
    if "acme" in arguments:
        run("workspace", "create", "acme")
    ended = run(*arguments)
    assert (ended.status, said in ended.err, ended.err.count("\n")) == (status, True, 1), ended.err
