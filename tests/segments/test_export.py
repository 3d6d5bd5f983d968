"""Export: every field, byte for byte, and without what spreadsheets would run."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from outreachdb import segments
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.leads.models import Lead

FORMULAS = ["=1+1", "+49 30", "-2", "@SUM(A1)", "\tx", "\rx"]
PLAIN = ['quote " comma , line\nbreak', "Ж日本 ä", "100% {} \\ ' $$", ""]
LONG = "a column whose name is far longer than the sixty-three bytes that PostgreSQL leaves of it"
INSERT = """
INSERT INTO outreach.leads (workspace_id, email, first_name, tags, custom_fields, qualification_score, created_at)
SELECT %(w)s, 'p' || n || '@x.example', t, ARRAY['=x', 'b"c'], jsonb_build_object('note', t, %(long)s::text, n,
       'deep', jsonb_build_object('a', ARRAY[n])), 70.1, '2026-01-31T12:00:00.000001+02:00'
FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS u (t, n)
"""


@pytest.fixture
async def leads(tenant: Tenant) -> Tenant:
    async with tenant.trusted() as session:
        await session.execute(INSERT, {"w": tenant.workspace_id, "texts": FORMULAS + PLAIN, "long": LONG})
    return tenant


async def rows(tenant: Tenant) -> list[dict[str, Any]]:
    async with tenant.session() as session:
        return await session.all("SELECT * FROM outreach.leads ORDER BY id")


def files(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def test_csv_holds_every_field_of_every_lead(leads: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    done = await segments.export(leads, {}, path)
    stored = await rows(leads)
    assert done.leads == len(stored) == 10
    own = [column.name for column in Lead.__table__.columns]
    assert set(own) - set(done.columns) == {"workspace_id", "email_key", "custom_fields"}
    assert done.columns[-3:] == [f"custom.{LONG}", "custom.deep", "custom.note"]
    read = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
    assert [row["first_name"] for row in read] == [row["first_name"] for row in stored] == FORMULAS + PLAIN
    assert [row["custom.note"] for row in read] == FORMULAS + PLAIN
    assert [row[f"custom.{LONG}"] for row in read] == [str(n) for n in range(1, 11)]
    assert read[0]["custom.deep"] == '{"a": [1]}'
    assert read[0]["created_at"] == "2026-01-31 10:00:00.000001+00"
    assert read[0]["tags"] == '=x,b"c'
    assert read[0]["qualification_score"] == "70.1"
    again = tmp_path / "again.csv"
    await segments.export(leads, {}, again)
    assert again.read_bytes() == path.read_bytes()
    assert files(tmp_path) == ["again.csv", "all.csv"]


async def test_no_cell_of_a_safe_file_is_a_formula(leads: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "safe.csv"
    await segments.export(leads, {}, path, spreadsheet_safe=True)
    read = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
    assert [row["first_name"] for row in read] == [f"'{text}" for text in FORMULAS] + PLAIN
    assert [row["custom.note"] for row in read] == [f"'{text}" for text in FORMULAS] + PLAIN
    assert not [cell for row in read for cell in row.values() if cell[:1] in set("=+-@\t\r")]


async def test_parquet_holds_the_same_with_types(leads: Tenant, tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    chosen = {"field": "first_name", "op": "contains", "value": "1"}
    done = await segments.export(leads, chosen, path)
    table = pq.read_table(path)
    assert table.num_rows == done.leads == 3
    read = table.to_pylist()
    stored = [row for row in await rows(leads) if "1" in (row["first_name"] or "")]
    for ours, theirs in zip(read, stored, strict=True):
        assert ours["created_at"] == theirs["created_at"]
        assert (ours["id"], ours["tags"], ours["first_name"]) == (theirs["id"], theirs["tags"], theirs["first_name"])
        assert ours["qualification_score"] == pytest.approx(70.1, abs=1e-4)
        assert ours["custom.note"] == theirs["custom_fields"]["note"]
    empty = await segments.export(leads, {"any": []}, tmp_path / "none.parquet")
    assert (empty.leads, pq.read_table(tmp_path / "none.parquet").num_rows) == (0, 0)


async def test_leads_pass_through_in_batches(tenant: Tenant, tmp_path: Path) -> None:
    """However many they are, no more than one batch is held."""
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email) SELECT %s, 'p' || n || '@x.example'"
            " FROM generate_series(1, 12000) AS n",
            [tenant.workspace_id],
        )
    told: list[tuple[str, int]] = []

    def progress(phase: str, done: int, total: int | None = None) -> None:
        told.append((phase, done))

    await segments.export(tenant, {}, tmp_path / "all.parquet", progress=progress)
    assert told == [("leads", 5_000), ("leads", 10_000), ("leads", 12_000)]
    assert pq.ParquetFile(tmp_path / "all.parquet").num_row_groups == len(told)
    told.clear()
    await segments.export(tenant, {}, tmp_path / "all.csv", progress=progress)
    assert len(told) > 10
    assert told == sorted(told)


async def test_what_can_t_be_written_leaves_nothing(leads: Tenant, other_tenant: Tenant, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="csv or parquet"):
        await segments.export(leads, {}, tmp_path / "x.xlsx")
    with pytest.raises(InvalidInput, match="can't be written"):
        await segments.export(leads, {}, tmp_path / "nowhere" / "x.csv")
    async with leads.trusted() as session:
        await session.execute(
            "UPDATE outreach.leads SET custom_fields = (SELECT jsonb_object_agg('k' || n, n)"
            " FROM generate_series(1, 600) AS n) WHERE workspace_id = %s",
            [leads.workspace_id],
        )
    with pytest.raises(InvalidInput, match="custom fields"):
        await segments.export(leads, {}, tmp_path / "x.csv")
    assert (await segments.export(other_tenant, {}, tmp_path / "other.csv")).leads == 0
    assert files(tmp_path) == ["other.csv"]
