from __future__ import annotations

from pathlib import Path

import pytest
from commands import Run

from outreachdb.cli import output


def test_cells_are_data_not_markup(run: Run, workspace: str, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text("email,first name\na@b.example,[/red]Ann\nc@d.example,Bo [x]\nno address,[/oops]\n")
    assert run("import", str(path)).status == 0
    shown = run("segment", "preview", "--where", "{}")
    assert shown.status == 0
    assert "[/red]Ann" in shown.out
    assert "Bo [x]" in shown.out
    assert (
        "[/oops]" in run("imports", "rejects", str(run("imports", "list", "--json").document["imports"][0]["id"])).out
    )


def test_ids_have_no_separators_and_counts_have(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({}, output.table("", ("id", "leads"), [(1234567, 1234567), (2, None)]))
    printed = capsys.readouterr().out
    assert "1234567" in printed
    assert "1,234,567" in printed


def test_what_is_piped_is_not_folded(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output.emit({}, output.table("", ("id", "about", "more"), [(1, "a word " * 40, "x" * 200)]))
    lines = [line for line in capsys.readouterr().out.splitlines() if "a word" in line or "x" in line]
    assert len(lines) == 1
    assert "x" * 200 in lines[0]


@pytest.mark.parametrize("glued", [True, False])
def test_short_options_may_be_glued_to_their_value(run: Run, workspace: str, glued: bool) -> None:
    ended = run("segment", "list", *(["-wnobody"] if glued else ["-w", "nobody"]))
    assert (ended.status, "no workspace named 'nobody'" in ended.err) == (1, True)
    ended = run(
        *(["-dpostgresql://x@127.0.0.1:1/none"] if glued else ["-d", "postgresql://x@127.0.0.1:1/none"]),
        "workspace",
        "list",
    )
    assert "no answer from none on 127.0.0.1:1" in ended.err


def test_the_embedded_server_s_commands_take_no_other_database(run: Run) -> None:
    for command in ("up", "down", "status"):
        ended = run(command, "-d", "postgresql://x@127.0.0.1:1/none")
        assert ended.status == 2
        assert "does not run" in ended.err
