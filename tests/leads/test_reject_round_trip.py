"""Rejected rows come back as a file that can be corrected and imported: nothing of them is lost on the way."""

from __future__ import annotations

import csv
import json

import pytest
from lead_rows import leads

from outreachdb.leads.importing import import_file, write_rejects

HEADER = ("Name", "Email", "Website", "Score", "Notes")
SAID = {"Website": "company_website", "Score": "qualification_score"}  # by their wrong values, custom fields
GOOD = [
    ("Ann Lee", "ann@x.com", "x.com", "1", 'says "hi", twice\nand more'),
    ("Bo Nowak", "bo@x.com", "", "2", "zwölf; elf | zehn"),
    ("Cy Díaz", "cy@x.com", "https://x.com", "3", ""),
    ("Dee", "dee@x.com", "", "", "tab\there"),
    ("Eve", "eve@x.com", "", "", "x"),
]
BROKEN = [
    ("Ann Lee", "ann@@x.com", "x.com", "1", 'says "hi", twice\nand more'),
    ("Bo Nowak", "bo@x.com", "", "many", "zwölf; elf | zehn"),
    ("Cy Díaz", "cy@x.com", "no address", "3", ""),
    ("Dee", "dee@x.com", "", "", "tab\there\x00"),
    ("Eve", "eve@x.com", "", "", "x"),
]
FIELDS = "email, first_name, last_name, company_website, qualification_score, notes"


def _written(path, kind, rows):
    if kind == "jsonl":
        path.write_text("".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in rows))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=kind).writerows([HEADER, *rows])


@pytest.mark.parametrize("kind", [",", ";", "\t", "|", "jsonl"])
async def test_corrected_rejects_are_the_rows_themselves(tenant, other_tenant, tmp_path, kind):
    path, target, twin = tmp_path / "broken", tmp_path / "rejects.csv", tmp_path / "good"
    _written(path, kind, BROKEN)
    report = await import_file(tenant, path, mapping=SAID)
    assert (report.inserted, report.rejected) == (1, 4)
    assert await write_rejects(tenant, report.import_id, target) == 4
    text = target.read_text()
    for wrong, right in (("ann@@", "ann@"), ("many", "2"), ("no address", "https://x.com"), ("here\u2400", "here")):
        assert wrong in text
        text = text.replace(wrong, right)
    target.write_text(text)
    again = await import_file(tenant, target)
    assert (again.inserted, again.rejected) == (4, 0)
    _written(twin, kind, GOOD)
    await import_file(other_tenant, twin)
    assert await leads(tenant, FIELDS) == await leads(other_tenant, FIELDS)


async def test_lines_without_columns_keep_their_text(tenant, tmp_path):
    path, target = tmp_path / "lines.jsonl", tmp_path / "rejects.csv"
    path.write_text('{"email": "a@x.com", "city": "Rome"}\n{"email": "b@x.com", "city": "Bern"\n["c@x.com", "Oslo"]\n')
    report = await import_file(tenant, path)
    await write_rejects(tenant, report.import_id, target)
    with target.open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == ['{"email": "b@x.com", "city": "Bern"', '["c@x.com", "Oslo"]']
    assert {len(row) for row in rows} == {5}


async def test_ragged_rows_come_back_in_their_columns(tenant, tmp_path):
    path, target = tmp_path / "ragged.csv", tmp_path / "rejects.csv"
    path.write_text("email,city,notes\na@x.com,Rome\nb@x.com,Bern,one, two\n")
    report = await import_file(tenant, path)
    assert report.rejected == 2
    await write_rejects(tenant, report.import_id, target)
    assert (await import_file(tenant, target)).inserted == 2
    assert await leads(tenant, "email, city, notes") == [
        {"email": "a@x.com", "city": "Rome", "notes": None},
        {"email": "b@x.com", "city": "Bern", "notes": "one, two"},
    ]


async def test_corrected_rejects_take_the_mapping_that_was_saved(tenant, tmp_path):
    path, target = tmp_path / "broken.csv", tmp_path / "rejects.csv"
    path.write_text("Kontakt,Umsatz (T)\na@x.com,1\nb@@x.com,2\n", encoding="utf-8")
    mapping = {"Kontakt": "email", "Umsatz (T)": "custom.Umsatz"}
    report = await import_file(tenant, path, mapping=mapping, save_mapping="mine")
    assert await write_rejects(tenant, report.import_id, target) == 1
    target.write_text(target.read_text(encoding="utf-8").replace("b@@x.com", "b@x.com"), encoding="utf-8")
    again = await import_file(tenant, target)
    assert (again.saved_mapping, again.inserted, again.rejected) == ("mine", 1, 0)
    async with tenant.session() as session:
        found = await session.all("SELECT custom_fields FROM outreach.leads ORDER BY email")
    assert [row["custom_fields"] for row in found] == [{"Umsatz": 1}, {"Umsatz": 2}]


async def test_the_corrected_original_is_the_corrected_rejects(tenant, tmp_path):
    """People without an address are known by their row, and what a file of rejects adds to it is no part of it."""
    path, target = tmp_path / "people.csv", tmp_path / "rejects.csv"
    path.write_text("Name,Company,Score,Plan\nAnn Lee,Acme,many,x\nBo Ek,Bolt,2,y\n")
    said = {"Score": "qualification_score"}
    report = await import_file(tenant, path, mapping=said)
    assert (report.inserted, report.rejected) == (1, 1)
    await write_rejects(tenant, report.import_id, target)
    target.write_text(target.read_text().replace("many", "1"))
    again = await import_file(tenant, target, mapping=said)
    assert (again.inserted, again.rejected) == (1, 0)
    path.write_text(path.read_text().replace("many", "1"))
    whole = await import_file(tenant, path, mapping=said)
    assert (whole.inserted, whole.updated, whole.skipped) == (0, 0, 2)
    assert [each["first_name"] for each in await leads(tenant, "first_name, id, email_key")] == ["Bo", "Ann"]
