"""The commands ``leads search`` and ``leads show``."""

from __future__ import annotations

from pathlib import Path

from commands import Run

FILE = "Email,First Name,Country\nann@example.com,Ann,US\nbo@example.com,Bo,GB\n"


def test_search_and_show(run: Run, workspace: str, tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text(FILE)
    assert run("import", str(tmp_path / "leads.csv")).status == 0
    first = run("leads", "search", "example", "--sort", "email", "--limit", "1", "--json").document
    assert ([lead["email"] for lead in first["leads"]], first["match"]) == (["ann@example.com"], "exact")
    cursor = first["next_cursor"]
    second = run("leads", "search", "example", "--sort", "email", "--limit", "1", "--cursor", cursor, "--json").document
    assert [lead["email"] for lead in second["leads"]] == ["bo@example.com"]
    assert second["next_cursor"] is None
    where = '{"field": "country", "op": "equals", "value": "GB"}'
    assert "bo@example.com" in run("leads", "search", "--where", where).out
    shown = run("leads", "show", "ANN@example.com", "--json").document["lead"]
    assert (shown["first_name"], shown["country"]) == ("Ann", "US")
    assert "ann@example.com" in run("leads", "show", str(shown["id"])).out
    assert run("leads", "show", "nobody@example.com").status == 1


def test_a_search_that_finds_nothing_says_so(run: Run, workspace: str, tmp_path: Path) -> None:
    assert run("leads", "search").out == "no leads here yet; outreachdb import FILE brings some\n"
    (tmp_path / "leads.csv").write_text(FILE)
    assert run("import", str(tmp_path / "leads.csv")).status == 0
    assert run("leads", "search", "zzzyx").out.startswith("no leads match; words are parts of a name, an address")
    nobody = '{"field": "country", "op": "equals", "value": "FR"}'
    assert run("leads", "search", "--where", nobody).out.startswith("no leads match; outreachdb segment explain")
    assert run("leads", "search", "zzzyx", "--json").document == {"leads": [], "next_cursor": None, "match": "exact"}


def test_a_wrong_filter_is_blamed_on_what_was_given(run: Run, workspace: str, tmp_path: Path) -> None:
    slip = '{"field": "score", "op": "gte", "value": 70}'
    ended = run("leads", "search", "--where", slip)
    told = 'field: there is no field "score" (did you mean "qualification_score"?)\n'
    assert (ended.status, ended.err) == (1, f"outreachdb: --where: {told}")
    (tmp_path / "hot.json").write_text(slip)
    assert run("leads", "search", "--where", f"@{tmp_path}/hot.json").err == f"outreachdb: {tmp_path}/hot.json: {told}"
    assert run("leads", "search", "--where", '{"not": ' * 40).err.startswith("outreachdb: --where: no JSON")
