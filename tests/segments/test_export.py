"""Export: every field, byte for byte, and without what spreadsheets would run."""

from __future__ import annotations

import asyncio
import csv
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from outreachdb import segments
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.leads.models import Lead
from outreachdb.segments.partial import partial

export_room: Any = importlib.import_module("outreachdb.segments.export")  # the room's name for it is the function
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


async def test_two_exports_to_one_file_don_t_meet(leads: Tenant, tmp_path: Path) -> None:
    """Each writes a file of its own; the last one to end is the one that stays, whole."""
    path = tmp_path / "all.csv"
    await segments.export(leads, {}, path)
    whole = path.read_bytes()
    first_wrote, second_is_done = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        with partial(path) as part:
            part.write_text("first")
            first_wrote.set()
            await second_is_done.wait()
            assert part.read_text() == "first"

    waiting = asyncio.create_task(first())
    await first_wrote.wait()
    await asyncio.gather(*(segments.export(leads, {}, path) for _ in range(3)))
    assert path.read_bytes() == whole
    second_is_done.set()
    await waiting
    assert (path.read_text(), files(tmp_path)) == ("first", ["all.csv"])


async def test_what_a_killed_export_left_goes_with_the_next(leads: Tenant, tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250 + ".csv")
    code = "import os, sys, pathlib\nfrom outreachdb.segments.partial import partial\n"
    code += (
        "with partial(pathlib.Path(sys.argv[1])) as part:\n    part.write_text('half')\n    os.kill(os.getpid(), 9)\n"
    )
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(path))
    assert await killed.wait() == -9
    [left] = files(tmp_path)
    assert left.endswith(".part")
    await segments.export(leads, {}, path)
    assert files(tmp_path) == [path.name]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask, "as any other file that is made here"


@pytest.mark.parametrize("name", ["one.csv", "one.parquet"])
async def test_columns_and_rows_are_of_one_instant(
    leads: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A lead with a new custom field comes between the statement that finds the columns and the one that reads rows."""
    rows_of = export_room._Source.rows

    def later(source: Any, columns: Sequence[sql.Composable]) -> sql.Composed:
        with psycopg.connect(leads.pools.url("admin")) as connection:
            connection.execute(
                "INSERT INTO outreach.leads (workspace_id, email, custom_fields) VALUES (%s, 'new@x.example', %s)",
                [leads.workspace_id, '{"brand new": 1}'],
            )
        return rows_of(source, columns)

    there = len(await rows(leads))
    with monkeypatch.context() as patched:
        patched.setattr(export_room._Source, "rows", later)
        done = await segments.export(leads, {}, tmp_path / name)
    assert (done.leads, len(await rows(leads))) == (there, there + 1)
    again = await segments.export(leads, {}, tmp_path / name)
    assert (again.leads, set(again.columns) - set(done.columns)) == (there + 1, {"custom.brand new"})
