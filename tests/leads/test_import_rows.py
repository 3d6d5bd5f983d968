"""An application's own rows: dicts from all kinds of iterators, Arrow data, and ``db.leads``."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections import OrderedDict
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from lead_rows import leads, value

from outreachdb import OutreachDB
from outreachdb.errors import Conflict, InvalidInput, NotFound, UsageError
from outreachdb.leads.importing import import_file, import_rows, listed, rejects, resume, undo

PEOPLE = [
    {"email": "ann@x.com", "first name": "Ann", "tags": ["a", "b"], "since": dt.date(2024, 5, 1)},
    {"email": "ann@x.com", "revenue": Decimal("1.50")},
    OrderedDict(email="ben@x.com", vip=True, nested={"k": [1, None]}),
    {"email": "not an address", "first name": "Bo\x00"},
    {"email": "ann@x.com", "city": "Rome", "employees": 7.0},
]  # fmt: skip


async def _async(rows):
    for row in rows:
        yield row


def _table(rows):
    return pa.table(
        {"email": [f"p{n}@x.com" for n in range(rows)], "city": ["Rome"] * rows, "staff": list(range(rows))}
    )


def _counts(report):
    return (report.rows_read, report.inserted, report.updated, report.skipped, report.rejected)


async def test_dicts_are_a_file_of_json_lines(tenant, other_tenant, tmp_path):
    path = tmp_path / "people.jsonl"
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in PEOPLE))
    of_file = await import_file(other_tenant, path)
    report = await import_rows(tenant, iter(PEOPLE), name="crm sync")
    assert _counts(report) == _counts(of_file) == (5, 2, 0, 2, 1)
    columns = "email, first_name, city, tags"
    assert await leads(tenant, columns) == await leads(other_tenant, columns)
    (ann, _) = await leads(tenant)
    assert (ann["first_name"], ann["city"], ann["tags"]) == ("Ann", "Rome", ["a", "b"])
    assert str(ann["custom_fields"]["since"]) == "2024-05-01"
    (row,) = await listed(tenant)
    assert (row["file_name"], row["status"]) == ("crm sync", "done")
    assert [each["row_number"] async for each in rejects(tenant, report.import_id)] == [4]


@pytest.mark.parametrize("kind", ["async", "table", "reader", "batches", "async batches", "generator"])
async def test_every_kind_of_rows(tenant, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    table = _table(5000)
    rows = {
        "async": lambda: _async(table.to_pylist()),
        "table": lambda: table,
        "reader": lambda: table.to_reader(1000),
        "batches": lambda: iter(table.to_batches(1000)),
        "async batches": lambda: _async(table.to_batches(1000)),
        "generator": lambda: (row for row in table.to_pylist()),
    }[kind]
    seen = []
    report = await import_rows(
        tenant, rows(), progress=lambda phase, done, total=None: seen.append((phase, done, total))
    )
    assert _counts(report) == (5000, 5000, 0, 0, 0)
    assert list(report.mapping) == ["email", "city", "staff"]
    assert _counts(await import_rows(tenant, rows())) == (5000, 0, 0, 5000, 0)
    assert list(tmp_path.iterdir()) == []
    phases = [phase for phase, _, _ in seen]
    assert [phase for phase in dict.fromkeys(phases) if phase != "taking rows"] == [
        "reading", "checking", "matching", "inserting", "finishing",
    ]  # fmt: skip
    assert ("inserting", 5000, 5000) in seen
    assert all(total is None or done <= total for _, done, total in seen)


async def test_what_are_no_rows_is_refused_and_leaves_nothing(tenant, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def breaks():
        yield {"email": "a@x.com"}
        raise ConnectionError("the source is gone")

    for rows, message in (
        ([], "there are no rows"), ([{"email": "a@x.com"}, ["b"]], "row 2 is no dict but list"),
        ("email", "not str"), ({"email": "a@x.com"}, "not dict"), (7, "not int"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=message):
            await import_rows(tenant, rows)
    with pytest.raises(ConnectionError):
        await import_rows(tenant, breaks())
    assert await listed(tenant) == []
    assert list(tmp_path.iterdir()) == []


async def test_rows_can_be_given_again_but_not_resumed(tenant):
    report = await import_rows(tenant, PEOPLE)
    await undo(tenant, report.import_id)
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.imports SET status = 'failed' WHERE workspace_id = %s", [tenant.workspace_id]
        )
    with pytest.raises(Conflict, match="from an application"):
        await resume(tenant, report.import_id)
    again = await import_rows(tenant, PEOPLE)
    assert (again.import_id, again.inserted) == (report.import_id, 2)


async def test_db_leads(own_database_url, tmp_path: Path, monkeypatch):
    path = tmp_path / "contacts.csv"
    path.write_text("email\na@x.com\nb@x.com\n")
    async with OutreachDB.open(own_database_url) as db:
        acme = await db.create_workspace("acme")
        with pytest.raises(UsageError, match="which workspace"):
            await db.leads.import_file(path)
        told = []
        report = await db.leads.import_file(path, workspace="acme", progress=lambda *where: told.append(where))
        assert (report.inserted, told[0][0]) == (2, "reading")
        more = await db.leads.import_rows([{"email": "c@x.com"}], workspace=acme)
        assert (await db.leads.resume_import(more.import_id, workspace=acme)).inserted == 1
        assert (await db.leads.undo_import(report.import_id, workspace="acme")).removed == 2
        assert await value(acme, "SELECT count(*) FROM outreach.leads") == 1
        await db.leads.import_file(path, workspace="acme", mapping={"email": "email"}, save_mapping="mine")
        again = await db.leads.import_file(path, workspace="acme", saved_mapping="mine", dry_run=True)
        assert (again.saved_mapping, again.skipped) == ("mine", 2)
        with pytest.raises(NotFound, match="no mapping 'other'"):
            await db.leads.import_file(path, workspace="acme", saved_mapping="other")
    monkeypatch.setenv("OUTREACHDB_WORKSPACE", "acme")
    async with OutreachDB.open(own_database_url) as db:
        assert (await db.leads.import_file(path)).skipped == 2
