"""Commands of the room ``leads``."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Run

FILE = "Email;Name;Town\nann@example.com;Ann Lee;Rome\nANN@example.com;;Oslo\nbad;Bo;\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "leads.csv"
    path.write_text(FILE)
    return path


def test_import_and_what_became_of_it(run: Run, workspace: str, path: Path, tmp_path: Path) -> None:
    done = run("import", str(path), "--map", "Town=city", "--json")
    assert (done.status, done.err) == (0, "")
    document = done.document
    assert set(document) == {
        "import_id", "rows_read", "inserted", "updated", "skipped", "rejected", "seconds", "rows_per_second",
        "custom_fields", "new_leads", "typed_columns",
    }  # fmt: skip
    assert [document[name] for name in ("rows_read", "inserted", "updated", "skipped", "rejected")] == [3, 1, 0, 1, 1]
    import_id = str(document["import_id"])
    listed = run("imports", "list", "--json").document["imports"]
    assert [(str(row["id"]), row["status"], row["rows_read"]) for row in listed] == [(import_id, "done", 3)]
    shown = run("imports", "show", import_id, "--json").document
    assert shown["mapping"] == {"Email": "email", "Name": "full_name", "Town": "city"}
    rejects = run("imports", "rejects", import_id, "--json").document["rejects"]
    reason = "not an e-mail address: An email address must have an @-sign"
    assert rejects == [{"row_number": 3, "column_name": "Email", "reason": reason, "raw": "bad;Bo;"}]
    target = tmp_path / "rejects.csv"
    assert run("imports", "rejects", import_id, "--csv", str(target)).status == 0
    assert f"bad,Bo,,3,Email,{reason}" in target.read_text()
    assert run("imports", "rejects", import_id, "--csv", "-").out.splitlines() == target.read_text().splitlines()


def test_for_people(run: Run, workspace: str, path: Path) -> None:
    text = run("import", str(path)).out
    assert "3 rows read = 1 inserted, 0 updated, 1 skipped, 1 rejected" in text
    assert "why: outreachdb imports rejects" in text
    for command in (("imports", "list"), ("suppress", "list")):
        assert run(*command).status == 0
    again = run("import", str(path), "--on-conflict", "skip", "--ignore", "Town", "--dry-run").out
    assert "dry run, nothing changed: 3 rows read = 0 inserted, 0 updated, 2 skipped, 1 rejected" in again
    assert "Town -> (left out)" in again


def test_dry_run_says_how_the_file_was_understood(run: Run, workspace: str, path: Path) -> None:
    document = run("import", str(path), "--dry-run", "--json").document
    assert document["import_id"] is None
    assert (document["format"], document["encoding"], document["delimiter"], document["header_line"]) == (
        "csv", "utf-8", ";", 1,
    )  # fmt: skip
    assert document["mapping"] == {"Email": "email", "Name": "full_name", "Town": "city"}
    assert run("imports", "list", "--json").document == {"imports": []}


def test_a_dry_run_shows_what_it_would_reject(run: Run, workspace: str, path: Path, tmp_path: Path) -> None:
    reason = "not an e-mail address: An email address must have an @-sign"
    document = run("import", str(path), "--dry-run", "--json").document
    assert document["rejects"] == [
        {"row_number": 3, "column_name": "Email", "reason": reason, "value": "bad", "raw": "bad;Bo;"}
    ]
    assert f"rejected:\n  row 3, Email: bad: {reason}" in run("import", str(path), "--dry-run").out
    many = tmp_path / "many.csv"
    many.write_text("Email,Notes\n" + "a@b.example,x,one too many\n" + "".join(f"bad{n},x\n" for n in range(20)))
    document = run("import", str(many), "--dry-run", "--json").document
    assert (document["rejected"], [row["row_number"] for row in document["rejects"]]) == (21, list(range(1, 11)))
    assert (document["rejects"][0]["value"], document["rejects"][1]["value"]) == (None, "bad0")
    told = run("import", str(many), "--dry-run").out
    assert "rejected, the first 10 of 21:\n  row 1: a@b.example,x,one too many: " in told
    assert "rejects" not in run("import", str(many), "--json").document


def test_a_format_is_reported_with_what_it_has(run: Run, workspace: str, tmp_path: Path) -> None:
    lines = tmp_path / "leads.jsonl"
    lines.write_text('{"email": "a@b.example"}\n{"email": "bad"}\n')
    document = run("import", str(lines), "--dry-run", "--json").document
    assert [document[name] for name in ("format", "encoding", "delimiter", "header_line")] == [
        "jsonl", "utf-8", None, None,
    ]  # fmt: skip
    assert document["rejects"][0]["value"] == "bad"
    told = run("import", str(lines), "--dry-run").out
    assert "\njsonl, utf-8\n" in told
    done = str(run("import", str(lines), "--json").document["import_id"])
    shown = run("imports", "show", done, "--json").document
    assert [shown[name] for name in ("format", "delimiter", "header_line")] == ["jsonl", None, None]
    target = tmp_path / "rejects.csv"
    assert run("imports", "rejects", done, "--csv", str(target)).status == 0
    assert target.read_text().splitlines()[1].startswith("bad,2,email,")


def test_a_mapping_is_saved_found_by_its_columns_and_forgotten(run: Run, workspace: str, path: Path) -> None:
    given = ("import", str(path), "--map", "Town=custom.Place", "--ignore", "Name", "--save-mapping", "fairs")
    assert run(*given, "--dry-run").status == 0
    assert run("imports", "mappings", "--json").document == {"mappings": []}
    assert run(*given).status == 0
    wanted = {"Email": "email", "Name": None, "Town": "custom.Place"}
    found = run("import", str(path), "--dry-run", "--json").document
    assert (found["saved_mapping"], found["mapping"]) == ("fairs", wanted)
    assert "columns as saved in mapping fairs" in run("import", str(path), "--dry-run").out
    anew = run("import", str(path), "--mapping", "none", "--dry-run", "--json").document
    assert (anew["saved_mapping"], anew["mapping"]["Name"]) == (None, "full_name")
    (saved,) = run("imports", "mappings", "--json").document["mappings"]
    assert (saved["name"], saved["mapping"]) == ("fairs", wanted)
    assert run("imports", "mappings", "--forget", "fairs", "--json").document == {"forgotten": "fairs"}
    for arguments in (("imports", "mappings", "--forget", "fairs"), ("import", str(path), "--mapping", "fairs")):
        ended = run(*arguments)
        assert (ended.status, ended.out, "there is no mapping 'fairs'" in ended.err) == (1, "", True)


def test_undo_takes_back_refuses_and_tells_what_it_kept(run: Run, workspace: str, path: Path) -> None:
    first, later = str(run("import", str(path), "--json").document["import_id"]), path.with_name("later.csv")
    later.write_text("Email,City\nann@example.com,Bern\nnew@example.com,Rome\n")
    second = str(run("import", str(later), "--json").document["import_id"])
    refused = run("imports", "undo", first)
    assert (refused.status, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert f"were changed since by import {second} (undo import {second} first" in refused.err
    document = run("imports", "undo", second, "--json").document
    assert set(document) == {"import_id", "removed", "restored", "companies_removed", "kept", "seconds"}
    assert (document["removed"], document["restored"], document["kept"]) == (1, 1, [])
    again = run("imports", "undo", second)
    assert (again.status, "it is undone already" in again.err) == (1, True)
    third = str(run("import", str(later), "--json").document["import_id"])
    told = run("imports", "undo", first, "--keep-changed").out
    assert f"import {first} undone: 0 leads removed, 0 restored" in told
    assert "1 lead not undone: changed since (leads " in told
    assert run("imports", "undo", third, "--json").document["restored"] == 1


def test_suppress(run: Run, workspace: str, path: Path, tmp_path: Path) -> None:
    run("import", str(path))
    added = run("suppress", "add", "Ann@example.com", "gone.example", "--reason", "unsubscribed", "--json")
    assert added.document == {"added": 2, "leads": 1}
    stop = tmp_path / "stop.txt"
    stop.write_text("x@example.com\ngone.example\n")
    assert run("suppress", "add", f"@{stop}", "--json").document == {"added": 1, "leads": 0}
    targets = [row["target"] for row in run("suppress", "list", "--json").document["suppressions"]]
    assert sorted(targets) == ["ann@example.com", "gone.example", "x@example.com"]
    assert run("suppress", "remove", "X@example.com", "none.example", "--json").document == {
        "removed": ["x@example.com"]
    }


@pytest.mark.parametrize(
    ("arguments", "status", "saying"),
    [
        (("import", "leads.csv", "--map", "Town"), 2, "--map takes COLUMN=FIELD"),
        (("imports", "show", "999999999"), 1, "there is no import 999999999"),
        (("imports", "rejects", "999999999"), 1, "there is no import 999999999"),
        (("suppress", "add", "what is this"), 1, "neither an e-mail address nor a domain: what is this"),
        (("suppress", "add", "@a", "@b"), 2, "give either one @FILE"),
        (("suppress", "add", "@/none"), 1, "/none can't be read"),
        (("suppress", "add", "a@b.co", "--reason", "bored"), 2, "there is no reason 'bored'"),
    ],
)
def test_refusals(run: Run, workspace: str, arguments: tuple[str, ...], status: int, saying: str) -> None:
    ended = run(*arguments)
    assert (ended.status, ended.out) == (status, "")
    assert saying in ended.err
