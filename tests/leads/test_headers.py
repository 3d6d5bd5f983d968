"""Header rows of real tools: each column must go where a person would put it, and no decoy may be taken."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path

import pytest

from outreachdb.leads.importing import import_file
from outreachdb.leads.importing.fields import CUSTOM, ColumnMap, map_columns
from outreachdb.leads.importing.headers import header_place

# "source" is the page that shows the columns, or "recalled" where they are known without such a page at hand.
ROWS = json.loads((Path(__file__).parent / "headers.json").read_text(encoding="utf-8"))
# Rows that were collected after the synonyms were written and never used to write any: what a new tool can expect.
HELD_OUT = json.loads((Path(__file__).parent / "headers_held_out.json").read_text(encoding="utf-8"))
LEAST, LEAST_HELD_OUT = 0.97, 0.9


def mapped(row) -> ColumnMap:
    columns = [row.get("values", {}).get(name, []) for name in row["header"]]
    return map_columns(row["header"], sample=list(zip_longest(*columns, fillvalue="")))


def wrong(row) -> list[str]:
    expected = [target.replace("custom:", CUSTOM, 1) for target in row["expected"].values()]
    pairs = zip(mapped(row).pairs(), expected, strict=True)
    return [f"{column}: {target}, not {right}" for (column, target), right in pairs if target != right]


def test_accuracy(capsys):
    total = sum(len(row["header"]) for row in ROWS)
    errors = {row["tool"]: found for row in ROWS if (found := wrong(row))}
    missed = sum(map(len, errors.values()))
    documented = sum(row["source"] != "recalled" for row in ROWS)
    with capsys.disabled():
        print(f"\n{len(ROWS)} header rows ({documented} documented), {total} columns: {1 - missed / total:.2%} right")
        for tool, found in errors.items():
            print(f"  {tool}: {'; '.join(found)}")
    assert documented >= 60
    assert missed <= (1 - LEAST) * total


def test_accuracy_on_rows_that_the_synonyms_have_not_seen(capsys):
    total = sum(len(row["header"]) for row in HELD_OUT)
    missed = sum(len(wrong(row)) for row in HELD_OUT)
    with capsys.disabled():
        print(f"\n{len(HELD_OUT)} held-out header rows, {total} columns: {1 - missed / total:.2%} right")
    assert len(HELD_OUT) >= 25
    assert missed <= (1 - LEAST_HELD_OUT) * total


def test_no_row_is_held_out_and_known():
    known = {tuple(row["header"]) for row in ROWS}
    assert [row["tool"] for row in HELD_OUT if tuple(row["header"]) in known] == []
    pages = {row["source"] for row in ROWS} - {"recalled"}
    assert [row["tool"] for row in HELD_OUT if row["source"] in pages] == []
    assert len(known) == len(ROWS)


@pytest.mark.parametrize("row", [*ROWS, *HELD_OUT], ids=[row["tool"] for row in [*ROWS, *HELD_OUT]])
def test_no_decoy_is_taken(row):
    taken = {column: target for column, target in mapped(row).pairs() if not target.startswith(CUSTOM)}
    assert [column for column in taken if row["expected"][column].startswith("custom:")] == []


@pytest.mark.parametrize("row", ROWS, ids=[row["tool"] for row in ROWS])
def test_each_header_is_found_below_a_preamble(row):
    width = len(row["header"])
    if width > 1 and any(not target.startswith("custom:") for target in row["expected"].values()):
        rows = [["Export of May"], [], row["header"], *[["x"] * width] * 3]
        assert header_place(rows) == 2


@pytest.mark.parametrize(
    ("values", "field"),
    [
        (["Mr", "Mrs.", "Dr."], "custom.Title"),
        (["Herr", "Frau Dr.", ""], "custom.Title"),
        (["CEO", "Head of Sales", "Dr."], "title"),
        (["", ""], "title"),
        ([], "title"),
    ],
)
def test_a_title_is_judged_by_its_values(values, field):
    assert map_columns(["Title"], sample=[[value] for value in values]).targets == (field,)


def test_a_salutation_leaves_the_job_title_to_another_column():
    columns = map_columns(["Title", "Role"], sample=[["Mr", "CEO"], ["Ms", "CFO"]])
    assert columns.targets == ("custom.Title", "title")


@pytest.mark.parametrize("header", ["URL", "Website", "Link"])
def test_linkedin_profiles_are_known_by_their_values(header):
    columns = map_columns([header], sample=[["https://www.linkedin.com/in/ann"], ["linkedin.com/in/bo"]])
    assert columns.targets == ("linkedin_url",)


@pytest.mark.parametrize(
    ("header", "targets"),
    [
        (["Prénom", "Nom"], ("first_name", "last_name")),
        (["Nome", "Cognome"], ("first_name", "last_name")),
        (["Nombre", "Apellidos"], ("first_name", "last_name")),
        (["Vorname", "Name"], ("first_name", "last_name")),
        (["Name", "First Name"], ("custom.Name", "first_name")),
        (["Nom", "Email"], ("full_name", "email")),
        (["Nome", "E-mail"], ("full_name", "email")),
        (["Nombre completo", "Nombre"], ("full_name", "custom.Nombre")),
        (["Imię", "Nazwisko"], ("first_name", "last_name")),
        (["Full Name", "First Name", "Last Name"], ("custom.Full Name", "first_name", "last_name")),
    ],
)
def test_one_word_for_a_name(header, targets):
    assert map_columns(header).targets == targets


def test_confidence_and_preview():
    columns = map_columns(
        ["Email", "Role", "Shoe size", "X"], given={"X": "city"}, sample=[["a@b.co", "CEO", "", "Oslo"]]
    )
    assert columns.confidence == (0.9, 0.7, 0.0, 1.0)
    preview = columns.preview([["a@b.co", "CEO", "", "Oslo"]])
    assert preview[1] == {"column": "Role", "target": "title", "confidence": 0.7, "examples": ["CEO"]}
    assert preview[2]["examples"] == []


async def test_a_dry_run_shows_the_preview(tenant, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("E-Mail,Anrede,Position\na@example.com,Frau,CEO\n")
    report = await import_file(tenant, path, dry_run=True)
    assert [(each["target"], each["examples"]) for each in report.document()["preview"]] == [
        ("email", ["a@example.com"]),
        ("custom.Anrede", ["Frau"]),
        ("title", ["CEO"]),
    ]
