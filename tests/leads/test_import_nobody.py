"""Rows that say nothing of whom they speak, and custom fields without end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lead_rows import leads

from outreachdb.db.tenant import Tenant
from outreachdb.leads.importing import import_file, rejects
from outreachdb.leads.importing.cells import CUSTOM_LENGTH, NOBODY

LINKEDIN = ("First Name", "Last Name", "URL", "Email Address", "Company", "Position", "Connected On")


async def test_a_row_that_speaks_of_nobody_is_no_lead(tenant: Tenant, csv_file: Callable[..., Path]) -> None:
    path = csv_file(
        LINKEDIN,
        ("Ann", "Lee", "https://www.linkedin.com/in/ann", "", "Acme", "CEO", "29 Apr 2026"),
        ("", "", "", "", "", "", "30 Apr 2026"),  # somebody who left LinkedIn
        ("", "", "", "", "", "CEO", ""),
        ("", "", "", "", "", "", ""),
        ("", "", "", "", "", "-", "1 May 2026"),
        ("-", "n/a", "n/a", "", "null", "", "30 Apr 2026"),
        ("-", "", "", "", "", "", ""),
        ("", "", "", "", "Bolt", "", ""),
        ("Bo", "", "", "", "", "", ""),
        ("", "", "https://www.linkedin.com/in/cy", "", "", "", ""),
        ("", "", "", "dee@x.com", "", "", "1 May 2026"),
    )
    report = await import_file(tenant, path)
    assert (report.rows_read, report.inserted, report.skipped, report.rejected) == (11, 6, 2, 3)
    assert report.import_id is not None
    found = [
        (each["row_number"], each["column_name"], each["reason"]) async for each in rejects(tenant, report.import_id)
    ]
    assert found == [(2, None, NOBODY), (5, None, NOBODY), (6, None, NOBODY)]
    again = await import_file(tenant, path)
    assert (again.inserted, again.updated, again.skipped, again.rejected) == (0, 0, 8, 3)


async def test_an_id_beside_custom_columns_is_enough(tenant: Tenant, csv_file: Callable[..., Path]) -> None:
    path = csv_file(("external id", "Plan"), ("7", "free"), ("", "team"), ("8", ""))
    report = await import_file(tenant, path)
    assert (report.inserted, report.rejected) == (2, 1)
    found = await leads(tenant, "source_key, custom_fields, id, email_key")
    assert [(each["source_key"], each["custom_fields"]) for each in found] == [("7", {"Plan": "free"}), ("8", {})]


async def test_a_call_takes_nobody_either(tenant: Tenant) -> None:
    rows = [{"Plan": "free"}, {"source": "fair", "qualification_score": 1}, {"phone": "1"}, {"city": "-"}, {},
            {"source_key": "7", "Plan": "x"}, {"tags": ["a"], "first_name": "-"}, {"full_name": "Ann"}]  # fmt: skip
    async with tenant.session() as session:
        found = await session.one("SELECT * FROM outreach.bulk_insert_leads(%s)", [json.dumps(rows)])
    assert found is not None
    assert (found["inserted"], found["skipped"], found["rejected"]) == (3, 2, 3)
    assert [(each["row"], each["column"], each["reason"]) for each in found["errors"]] == [
        (1, None, NOBODY), (2, None, NOBODY), (7, None, NOBODY)]  # fmt: skip


async def test_a_custom_field_is_as_long_as_notes_at_most(tenant: Tenant, csv_file: Callable[..., Path]) -> None:
    head = ("email", "Umsatz 100%", "Bio")
    longest = "ü" * CUSTOM_LENGTH
    rows = [("a@x.com", "1", longest), ("b@x.com", "1", longest + "x"), ("c@x.com", longest, longest)]
    report = await import_file(tenant, csv_file(head, *rows), mapping={"Bio": "custom.Life"})
    assert (report.inserted, report.rejected) == (2, 1)
    assert report.import_id is not None
    reason = f"longer than {CUSTOM_LENGTH:,} characters"
    assert [(each["row_number"], each["column_name"], each["reason"])
            async for each in rejects(tenant, report.import_id)] == [(2, "Bio", reason)]  # fmt: skip
    documents = [{"email": "d@x.com", "Life": longest}, {"email": "e@x.com", "custom_fields": {"Life": longest + "x"}}]
    async with tenant.session() as session:
        found = await session.one("SELECT * FROM outreach.bulk_insert_leads(%s)", [json.dumps(documents)])
    assert found is not None
    assert (found["inserted"], found["errors"]) == (1, [{"row": 2, "column": "Life", "reason": reason}])
