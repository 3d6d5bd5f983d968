"""The commands of ``segment``, with --json and for people."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from commands import Run

from outreachdb.segments import cost

FILE = "Email,Title,Country,Plan,Seats\nann@a.example,CEO,US,gold,5\nbo@b.example,CTO,GB,silver,50\n"
SEATS = '{"field": "custom.Seats", "op": "gte", "value": 10}'


@pytest.fixture
def filled(run: Run, workspace: str, tmp_path: Path) -> str:
    (tmp_path / "leads.csv").write_text(FILE)
    assert run("import", str(tmp_path / "leads.csv")).status == 0
    return workspace


def test_a_segment_from_birth_to_death(run: Run, filled: str, tmp_path: Path) -> None:
    made = run("segment", "create", "seats", "--where", SEATS, "--note", "first", "--json").document
    assert (made["name"], made["version"]) == ("seats", 1)
    assert run("segment", "count", "seats", "--json").document["count"] == 1
    wider = '{"field": "custom.Seats", "op": "gte", "value": 1}'
    assert run("segment", "update", "seats", "--where", wider, "--json").document["version"] == 2
    versions = run("segment", "history", "seats", "--json").document["versions"]
    assert [each["version"] for each in versions] == [2, 1]
    assert versions[0]["changes"] == [{"path": "/value", "before": 10, "after": 1}]
    assert "/value: 10 -> 1" in run("segment", "history", "seats").out
    assert run("segment", "revert", "seats", "--to", "1", "--json").document["definition"]["value"] == 10
    shown = run("segment", "show", "seats", "--json").document
    assert shown["usage"] == {"campaigns": [], "segments": []}
    assert "custom.Seats is at least 10" in run("segment", "show", "seats").out
    assert run("segment", "create", "other", "--where", '{"not": {"segment": "seats"}}').status == 0
    refused = run("segment", "delete", "seats")
    assert (refused.status, "used by segment other" in refused.err) == (1, True)
    assert run("segment", "delete", "other").status == run("segment", "delete", "seats").status == 0
    assert run("segment", "list", "--json").document == {"segments": []}


def test_preview_shows_what_was_asked_about(run: Run, filled: str) -> None:
    where = '{"any": [{"field": "custom.Plan", "op": "is_set"}, {"field": "title", "op": "is_not_set"}]}'
    told = run("segment", "preview", "--where", where, "--json").document
    assert len(told["leads"]) == told["counts"]["count"] == 2
    assert {each["value"]: each["leads"] for each in told["counts"]["country"]} == {"US": 1, "GB": 1}
    assert told["leads"][-1]["custom_fields"]["Plan"] == "gold"
    people = run("segment", "preview", "--where", where).out
    assert "custom.Plan" in people
    assert "silver" in people
    assert "title" in people
    assert "by" in people
    assert "counts" not in run("segment", "preview", "--where", where, "--no-counts", "--json").document


def test_one_is_told_in_the_singular(run: Run, workspace: str, tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("Email,Phone\ninfo@a.example,+4930123456\n")
    assert ": 1 row read = " in (done := run("import", str(path))).out
    assert "new leads: 1 role address (info@, sales@); 1 phone number in international form" in done.out
    assert run("segment", "count", "--where", "{}").out.startswith("1 lead (")
    assert "1 lead\n" in run("segment", "preview", "--where", "{}").out
    assert run("segment", "export", str(tmp_path / "x.csv"), "--where", "{}").out.startswith("1 lead in ")
    day = '{"field": "created_at", "op": "within_last", "value": 1}'
    told = run("segment", "explain", "--where", day).out
    assert re.search(r"about 1 of (1 lead|[\d,]+ leads); ", told)  # of how many, is what the planner expects
    assert "created_at lies within the last 1 day\n" in told
    assert "1 lead would be changed" in run("segment", "apply", "--where", "{}", "--add-tag", "x").err
    assert ": 1 of 1 lead changed (" in run("segment", "apply", "--where", "{}", "--add-tag", "x", "--yes").out
    assert "the status of 1 lead changed" in run("suppress", "add", "info@a.example", "--reason", "unsubscribed").out
    assert "at most 1 mail in 1 day\n" in run("send", "limit", "--mails", "1", "--days", "1").out
    path.write_text("Email\nbo@b.example\n")
    second = str(run("import", str(path), "--json").document["import_id"])
    assert ": 1 lead removed, 0 restored, 0 companies removed" in run("imports", "undo", second).out


def test_numbers_of_lists_are_shown_as_they_are(run: Run, workspace: str, tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("email,Founded,Share\na@b.example,2024,0.125\n")
    assert run("import", str(path)).status == 0
    told = run(
        "segment", "preview", "--where", '{"field": "custom.Share", "op": "gt", "value": 0.1}', "--no-counts"
    ).out
    assert "0.125" in told
    founded = run("segment", "preview", "--where", '{"field": "custom.Founded", "op": "is_set"}', "--no-counts").out
    assert "2024" in founded


def test_custom_fields_that_nobody_has_are_pointed_out(run: Run, filled: str) -> None:
    parts = '{"field": "custom.plan", "op": "equals", "value": "gold"}, {"field": "custom.Seats", "op": "is_set"}'
    slip = f'{{"all": [{parts}]}}'
    told = run("segment", "count", "--where", slip)
    assert (told.status, told.out.split()[0]) == (0, "0")
    assert told.err == "outreachdb: note: no lead has the field custom.plan; did you mean custom.Plan?\n"
    document = run("segment", "count", "--where", slip, "--json").document
    assert document["unknown_fields"] == [{"field": "custom.plan", "meant": "custom.Plan"}]
    assert "custom.plan" in run("segment", "create", "slip", "--where", slip).err
    assert "custom.plan" in run("segment", "preview", "slip").err
    ended = run("segment", "count", "--where", '{"field": ["custom", "a", "b"], "op": "is_set"}')
    assert ended.err == "outreachdb: note: no lead has the field custom.a.b\n"
    assert run("segment", "count", "--where", SEATS).err == ""


def test_explain_export_schema(run: Run, filled: str, tmp_path: Path) -> None:
    told = run("segment", "explain", "--where", SEATS, "--json").document
    assert told["meaning"] == ["custom.Seats is at least 10"]
    assert told["milliseconds"] > 0
    done = run("segment", "export", str(tmp_path / "x.csv"), "--where", SEATS, "--json").document
    assert (done["leads"], done["columns"][-2:]) == (1, ["custom.Plan", "custom.Seats"])
    assert "bo@b.example" in (tmp_path / "x.csv").read_text()
    assert run("segment", "create", "seats", "--where", SEATS).status == 0
    for way in (("seats", "y.csv"), ("y.csv", "--segment", "seats")):
        given = [str(tmp_path / each) if each == "y.csv" else each for each in way]
        assert run("segment", "export", *given, "--json").document["leads"] == 1
        assert (tmp_path / "y.csv").read_text() == (tmp_path / "x.csv").read_text()
        (tmp_path / "y.csv").unlink()
    for wrong in (
        ("seats", "z.csv", "more"),
        ("seats", "z.csv", "--segment", "x"),
        ("seats", "z.csv", "--where", "{}"),
        ("z.csv",),
    ):
        assert run("segment", "export", *wrong).status == 2
    schema = json.loads(run("segment", "schema").out)
    assert schema == run("segment", "schema", "--json").document
    assert "country" in json.dumps(schema)


def test_actions_ask_and_can_be_undone(run: Run, filled: str) -> None:
    asked = run("segment", "apply", "--where", "{}", "--add-tag", "x")
    assert (asked.status, "2 leads would be changed" in asked.err) == (2, True)
    assert run("segment", "apply", "--where", "{}", "--add-tag", "x", "--delete").status == 2
    tried = run("segment", "apply", "--where", "{}", "--add-tag", "x", "--dry-run", "--json").document
    assert (tried["action_id"], tried["changed"]) == (None, 2)
    done = run("segment", "apply", "--where", "{}", "--set", "custom.Plan=free", "--yes", "--json").document
    assert done["changed"] == 2
    free = '{"field": "custom.Plan", "op": "equals", "value": "free"}'
    assert run("segment", "count", "--where", free, "--json").document["count"] == 2
    assert [each["id"] for each in run("segment", "actions", "--json").document["actions"]] == [done["action_id"]]
    assert run("segment", "undo", str(done["action_id"]), "--json").document["restored"] == 2
    assert run("segment", "count", "--where", free, "--json").document["count"] == 0


def test_over_the_budget_a_script_has_to_say_yes(
    run: Run, filled: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outreachdb.segments.cost.SMALL", 0)
    monkeypatch.setitem(cost._speeds, database_url, (100.0, math.inf))
    monkeypatch.setenv("OUTREACHDB_SEGMENT_BUDGET_MS", "1")
    many = json.dumps({"any": [{"field": "title", "op": "matches", "value": f"a{n}"} for n in range(300)]})
    limited = run("workspace", "limit", filled, "5000", "--json").document
    assert limited["read_limit_ms"] == 5000
    slow = '{"all": [{"event": "opened", "at_least": 2, "within_days": 900}, ' + many + "]}"
    refused = run("segment", "count", "--where", slow)
    assert (refused.status, "the budget is 0.0 s" in refused.err) == (1, True)
    assert run("segment", "count", "--where", slow, "--yes", "--json").document["count"] == 0
    tag = ("segment", "apply", "--where", slow, "--add-tag", "x")
    for more in ((), ("--dry-run",)):
        refused = run(*tag, *more)
        assert (refused.status, "the budget is 0.0 s" in refused.err) == (1, True)
    assert run(*tag, "--dry-run", "--yes", "--json").document["changed"] == 0
    # No budget holds a worker: it is asked whether, but not whether it may take so long.
    asked = run(*tag, "--background")
    assert (asked.status, "0 leads would be changed" in asked.err) == (2, True)
    assert run(*tag, "--background", "--yes", "--json").document["status"] == "queued"


def test_what_no_text_can_hold_is_bad_input(run: Run, filled: str) -> None:
    """Bytes of the command line that are no UTF-8 arrive as half a surrogate pair."""
    assert run("segment", "create", "seats", "--where", SEATS).status == 0
    odd, named = "a\udcff", "the name of the segment: holds a character"
    for command, saying in (
        (("create", odd, "--where", "{}"), "can't name a segment"),
        (("create", "x", "--where", "{}", "--note", odd), "note: holds a character"),
        (("create", "x", "--where", "{}", "--note", "a\0"), "note: holds a character"),
        (("update", odd, "--where", "{}"), named),
        (("update", "seats", "--where", "{}", "--note", odd), "note: holds a character"),
        (("count", odd), named),
        (("count", "a\0"), named),
        (("show", odd), named),
        (("history", odd), named),
        (("delete", odd), named),
        (("apply", "seats", "--set", f"city={odd}", "--yes"), "city: holds a character"),
        (("apply", "seats", "--set", f"custom.{odd}=x", "--yes"), "field: holds a character"),
        (("apply", "seats", "--set", f"city={odd}", "--yes", "--background"), "city: holds a character"),
        (("apply", "seats", "--set", "linkedin_url=foo", "--yes", "--background"), "linkedin_url: not a web address"),
    ):
        ended = run("segment", *command)
        assert (ended.status, ended.out, saying in ended.err) == (1, "", True), command
        assert len(ended.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("where", "saying"),
    [
        (
            '{"all": [{"field": "contry", "op": "is_set"}]}',
            'all[0].field: there is no field "contry" (did you mean "country"?)',
        ),
        ('{"field": "created_at", "op": "before", "value": "2026-02-30"}', "there is no date 2026-02-30"),
        ('{"field": "id", "op": "gte", "value": "x"}', "value: must be a number"),
        ('{"not":' * 10_000 + "{}" + "}" * 10_000, "nested too deep"),
        ('{"field": "title", "op": "matches", "value": "(a"}', "no regular expression"),
        ('{"field": "title", "op": "matches", "value": "(a+)\\\\1"}', "no references back"),
    ],
)
def test_nonsense_is_refused_in_one_line(run: Run, filled: str, tmp_path: Path, where: str, saying: str) -> None:
    (tmp_path / "where.json").write_text(where)
    for command in (("count",), ("preview",), ("explain",), ("create", "x")):
        ended = run("segment", *command, "--where", f"@{tmp_path}/where.json")
        assert (ended.status, ended.out) == (1, "")
        assert len(ended.err.strip().splitlines()) == 1
        assert saying in ended.err
