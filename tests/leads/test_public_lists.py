"""Real lists: every row arrives, checked against the file as PostgreSQL's own CSV reader and csv.DictReader see it."""

from __future__ import annotations

import csv

import pytest
from lead_rows import leads, value

from outreachdb.leads.importing import import_file

pytestmark = pytest.mark.data
TEXTS = "(SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(custom_fields))"
SPARE = {"last_name", "first_name", "phone", "city"}


async def _by_postgres(tenant, path):
    """The file's rows by COPY ... CSV, as dicts without empty cells."""
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    columns = ", ".join(f'"{name}" text' for name in header)
    async with tenant.session() as session:
        connection = await session.connection()
        await connection.execute(f"CREATE TEMP TABLE as_read ({columns}) ON COMMIT DROP")
        async with (
            connection.cursor() as cursor,
            cursor.copy("COPY as_read FROM STDIN (FORMAT csv, HEADER, ENCODING 'UTF8')") as copy,
        ):
            await copy.write(path.read_bytes())
        rows = await session.all("SELECT * FROM as_read")
    # The lists hold "Virgil H. " and the like: an import trims.
    return [{name: cell.strip() for name, cell in row.items() if cell and cell.strip()} for row in rows]


def _as_row(lead):
    """The lead in the file's own columns."""
    row = dict(lead["texts"] or {})  # numbers as they are written in the file
    return row | {name: lead[name] for name in SPARE if lead[name]}


def _key(row):
    return sorted(row.items())


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("legislators-current.csv", 537),
        ("legislators-historical.csv", 12_230),
        ("legislators-district-offices.csv", 1_312),
    ],
)
async def test_every_row_and_cell_arrives(tenant, contacts, name, rows):
    path = contacts / name
    report = await import_file(tenant, path)
    expected = await _by_postgres(tenant, path)
    assert len(expected) == rows
    distinct = {tuple(_key(row)) for row in expected}
    assert (report.rows_read, report.inserted, report.skipped) == (rows, len(distinct), rows - len(distinct))
    assert (report.updated, report.rejected) == (0, 0)
    found = await leads(tenant, f"*, {TEXTS} AS texts")
    assert sorted(_key(_as_row(lead)) for lead in found) == sorted(map(list, distinct))
    assert {lead["email"] for lead in found} == {None}
    again = await import_file(tenant, path)
    assert (again.inserted, again.updated, again.skipped) == (0, 0, rows)


async def test_a_dozen_values_by_another_reader(tenant, contacts):
    path = contacts / "legislators-current.csv"
    await import_file(tenant, path)
    with path.open(encoding="utf-8", newline="") as file:
        chosen = list(csv.DictReader(file))[::44]
    assert len(chosen) >= 12
    for row in chosen:
        async with tenant.session() as session:
            lead = await session.one(
                "SELECT * FROM outreach.leads WHERE custom_fields ->> 'bioguide_id' = %s", [row["bioguide_id"]]
            )
        assert (lead["first_name"], lead["last_name"]) == (row["first_name"], row["last_name"])
        assert (lead["phone"] or "") == row["phone"]
        assert lead["custom_fields"].get("birthday", "") == row["birthday"]
        assert lead["custom_fields"].get("fec_ids", "") == row["fec_ids"]
    assert await value(tenant, "SELECT count(*) FROM outreach.leads WHERE email IS NOT NULL") == 0
