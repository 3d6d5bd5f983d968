"""Importing: what becomes of the cells, rows, duplicates and leads that are there."""

from __future__ import annotations

import pytest
from lead_rows import leads, state, value

from outreachdb.errors import UsageError
from outreachdb.leads import suppression
from outreachdb.leads.importing import find, import_file, listed, rejects, write_rejects

NO_ADDRESS = "not an e-mail address: "
LONG_LABEL = "After the @-sign, periods cannot be separated by so many characters (127 characters too many)"


def counts(report):
    return (report.rows_read, report.inserted, report.updated, report.skipped, report.rejected)


async def test_cells_become_fields(tenant, csv_file):
    path = csv_file(
        ("E-Mail", "First Name", "Surname", "Company", "Website", "Tags", "Lead Score", "Deal size"),
        ("Zoe@Example.com", " Zoe\u0308 ", "O\nNeil", "Acme", "www.Acme.com/about", "a, b;a|c", "85,5 %", "10"),
    )
    report = await import_file(tenant, path)
    assert counts(report) == (1, 1, 0, 0, 0)
    (lead,) = await leads(tenant)
    assert (lead["email"], lead["email_key"]) == ("Zoe@Example.com", "zoe@example.com")
    assert (lead["first_name"], lead["last_name"]) == ("Zoë", "O\nNeil")
    assert lead["company_website"] == "https://www.Acme.com/about"
    assert lead["tags"] == ["a", "b", "c"]
    assert lead["qualification_score"] == 85.5
    assert lead["custom_fields"] == {"Deal size": 10}
    assert (lead["status"], lead["source_key"]) == ("new", None)
    async with tenant.session() as session:
        company = await session.one("SELECT * FROM outreach.companies")
    assert (company["id"], company["name"], company["domain"]) == (lead["company_id"], "Acme", "acme.com")


async def test_rejected_rows_keep_number_column_reason_and_text(tenant, csv_file):
    path = csv_file(
        ("Email", "Name", "Website", "Score"),
        ("good@example.com", "Good", "", ""),
        ("bad@@example.com", 'Say "Hi", Bob', "", ""),
        ("ann@example.com", "Ann", "no site", ""),
        ("ben@example.com", "Ben", "", "101"),
        ("nul@example.com", "N\x00ul", "", ""),
        ("short@example.com", "Short"),
        (f"{'x' * 64}@{'y' * 190}.com", "Long", "", ""),
    )
    said = {"Website": "company_website", "Score": "qualification_score"}  # by themselves these would be custom fields
    report = await import_file(tenant, path, mapping=said)
    assert counts(report) == (7, 1, 0, 0, 6)
    found = [row async for row in rejects(tenant, report.import_id)]
    assert [(row["row_number"], row["column_name"], row["reason"]) for row in found] == [
        (2, "Email", f"{NO_ADDRESS}The part after the @-sign contains invalid characters: '@'"),
        (3, "Website", "not a web address"),
        (4, "Score", "not a score between 0 and 100"),
        (5, None, "holds a NUL character"),
        (6, None, "2 cells, but the header has 4"),
        (
            7,
            "Email",
            NO_ADDRESS + LONG_LABEL,
        ),
    ]
    assert found[0]["raw"] == 'bad@@example.com,"Say ""Hi"", Bob",,'
    assert found[3]["raw"] == "nul@example.com,N\u2400ul,,"
    assert found[4]["raw"] == "short@example.com,Short"


async def test_rejects_can_be_corrected_and_imported(tenant, csv_file, tmp_path):
    path = csv_file(("Name", "Email", "Plan"), ("Al", "al@example", "x"), ("Bo", "bo@example.com", "y"), delimiter=";")
    report = await import_file(tenant, path)
    target = tmp_path / "rejects.csv"
    assert await write_rejects(tenant, report.import_id, target) == 1
    assert target.read_text().splitlines() == [
        "Name,Email,Plan,reject_row,reject_column,reject_reason",
        f"Al,al@example,x,1,Email,{NO_ADDRESS}The part after the @-sign is not valid. It should have a period",
    ]
    target.write_text(target.read_text().replace("al@example,", "al@example.com,"))
    assert counts(await import_file(tenant, target)) == (1, 1, 0, 0, 0)
    assert [lead["custom_fields"] for lead in await leads(tenant)] == [{"Plan": "x"}, {"Plan": "y"}]


async def test_last_row_of_a_file_wins_and_an_empty_cell_never_erases(tenant, csv_file):
    path = csv_file(
        ("email", "first name", "phone", "city", "tags", "x"),
        ("A@example.com", "Old", "1", "", "t1", "old"),
        ("b@example.com", "B", "", "", "", ""),
        ("a@EXAMPLE.com", "New", "", "Rome", "t2", ""),
    )
    assert counts(await import_file(tenant, path)) == (3, 2, 0, 1, 0)
    a, _ = await leads(tenant)
    assert (a["first_name"], a["phone"], a["city"], a["tags"]) == ("New", "1", "Rome", ["t1", "t2"])
    assert (a["email"], a["custom_fields"]) == ("a@EXAMPLE.com", {"x": "old"})


@pytest.mark.parametrize(
    ("policy", "expected", "updated"),
    [
        ("update", ("New", "1", "Rome", ["t1", "t2"], {"x": 2, "y": 3}), 1),
        ("fill", ("Old", "1", "Rome", ["t1"], {"x": 1, "y": 3}), 1),
        ("skip", ("Old", "1", None, ["t1"], {"x": 1}), 0),
    ],
)
async def test_policies(tenant, csv_file, policy, expected, updated):
    head = ("email", "first name", "phone", "city", "tags", "x", "y")
    await import_file(tenant, csv_file(head, ("a@example.com", "Old", "1", "", "t1", "1", "")))
    (before,) = await leads(tenant, "*, to_jsonb(leads) AS image")
    second = csv_file(head, ("A@example.com", "New", "", "Rome", "t2", "2", "3"), ("n@example.com", *[""] * 6))
    report = await import_file(tenant, second, on_conflict=policy)
    assert counts(report) == (2, 1, updated, 1 - updated, 0)
    lead, new = await leads(tenant)
    assert (lead["first_name"], lead["phone"], lead["city"], lead["tags"], lead["custom_fields"]) == expected
    assert lead["email"] == "a@example.com"
    async with tenant.session() as session:
        changes = await session.all(
            "SELECT lead_id, before FROM outreach.import_changes WHERE import_id = %s ORDER BY lead_id",
            [report.import_id],
        )
    images = [(lead["id"], before["image"])] if updated else []
    assert [(row["lead_id"], row["before"]) for row in changes] == images
    made = await find(tenant, report.import_id)
    assert (made["first_lead_id"], made["last_lead_id"], made["started_at"]) == (
        new["id"],
        new["id"],
        new["created_at"],
    )


async def test_importing_twice_changes_nothing_even_without_addresses(tenant, csv_file):
    path = csv_file(
        ("name", "company", "city"), ("Ann Lee", "Acme", "Rome"), ("Ann Lee", "Acme", "Rome"), ("Bo", "", "")
    )
    assert counts(await import_file(tenant, path)) == (3, 2, 0, 1, 0)
    before = await state(tenant)
    for policy in ("update", "fill", "skip"):
        assert counts(await import_file(tenant, path, on_conflict=policy)) == (3, 0, 0, 3, 0)
    assert await state(tenant) == before


async def test_external_ids_identify_leads(tenant, csv_file):
    head = ("external id", "email", "name")
    await import_file(tenant, csv_file(head, ("7", "old@example.com", "Ann Lee"), ("8", "", "Bo Ek")))
    report = await import_file(
        tenant,
        csv_file(head, ("7", "new@example.com", ""), ("8", "bo@example.com", ""), ("9", "x@example.com", ""),
                 ("9", "y@example.com", "")),
    )  # fmt: skip
    assert counts(report) == (4, 1, 2, 0, 1)
    found = [(row["source_key"], row["email"], row["last_name"]) for row in await leads(tenant)]
    assert found == [("8", "bo@example.com", "Ek"), ("7", "new@example.com", "Lee"), ("9", "y@example.com", None)]


async def test_no_address_is_lost_to_an_external_id(tenant, csv_file):
    head = ("external id", "email")
    three = csv_file(head, ("7", "a@example.com"), ("7", "b@example.com"), ("7", "c@example.com"), ("7", ""))
    report = await import_file(tenant, three, on_conflict="fill")
    assert counts(report) == (4, 1, 0, 1, 2)
    assert report.import_id is not None
    refused = [(row["row_number"], row["reason"]) async for row in rejects(tenant, report.import_id)]
    reason = "row 1 has the same external id with another address"
    assert refused == [(2, reason), (3, reason)]
    taken = csv_file(head, ("8", "a@example.com"), ("7", "d@example.com"))
    report = await import_file(tenant, taken)
    assert counts(report)[4] == 1
    assert report.import_id is not None
    assert [row["reason"] async for row in rejects(tenant, report.import_id)] == [
        "its external id belongs to a lead that another row names"
    ]
    assert [row["email"] for row in await leads(tenant)] == ["a@example.com"]


async def test_percent_signs_in_a_header_are_only_percent_signs(tenant, csv_file):
    names = ("Rate %", "%s", "100%%", "%(workspace_id)s")
    await import_file(
        tenant, csv_file(("email", *names), ("a@example.com", "1", "2", "3", "4"), ("no", "", "", "", ""))
    )
    (lead,) = await leads(tenant)
    assert lead["custom_fields"] == dict(zip(names, (1, 2, 3, "4"), strict=True))


async def test_two_matches_of_one_lead_break_nothing(tenant, csv_file):
    head = ("external id", "email", "city")
    await import_file(tenant, csv_file(head, ("7", "a@example.com", "Rome")))
    path = csv_file(head, ("", "a@example.com", "Oslo"), ("7", "b@example.com", "Bern"))
    report = await import_file(tenant, path)
    assert counts(report) == (2, 0, 1, 0, 1)
    (lead,) = await leads(tenant)
    assert (lead["email"], lead["source_key"], lead["city"]) == ("a@example.com", "7", "Oslo")


async def test_blank_lines_are_no_rows_and_empty_rows_are_skipped(tenant, tmp_path):
    path = tmp_path / "blank.csv"
    path.write_text("\n\nemail,city\n\na@example.com,Rome\n\n,\n  , \n")
    report = await import_file(tenant, path)
    assert counts(report) == (3, 1, 0, 2, 0)
    assert report.header_line == 3


async def test_unsubscribes_are_never_brought_back(tenant, csv_file):
    head = ("email", "city", "state")
    await import_file(tenant, csv_file(head, ("a@example.com", "", ""), ("b@example.com", "", "")))
    await suppression.add(tenant, ["A@example.com"], reason="unsubscribed")
    await suppression.add(tenant, ["gone.example"], reason="bounced")
    path = csv_file(head, ("a@example.com", "Rome", "new"), ("c@gone.example", "", ""), ("b@example.com", "", "new"))
    report = await import_file(tenant, path, mapping={"state": "status"})
    assert counts(report) == (3, 1, 1, 1, 0)
    statuses = [(row["email"], row["status"]) for row in await leads(tenant)]
    assert statuses == [("a@example.com", "unsubscribed"), ("b@example.com", "new"), ("c@gone.example", "bounced")]


@pytest.mark.parametrize("policy", ["update", "fill", "skip"])
async def test_rows_marked_as_unsubscribed_are_suppressed(tenant, csv_file, policy):
    await import_file(tenant, csv_file(("email",), ("a@example.com",)))
    path = csv_file(
        ("email", "state"), ("a@example.com", "Unsubscribed"), ("b@example.com", "bounced"), ("a@example.com", "new"),
        ("c@example.com", "strange"),
    )  # fmt: skip
    report = await import_file(tenant, path, mapping={"state": "status"}, on_conflict=policy)
    assert (report.inserted, report.rejected) == (1, 1)
    assert [(row["email"], row["status"]) for row in await leads(tenant)] == [
        ("a@example.com", "unsubscribed"),
        ("b@example.com", "bounced"),
    ]
    suppressed = {row["target"]: row["reason"] for row in await suppression.listed(tenant)}
    assert suppressed == {"a@example.com": "unsubscribed", "b@example.com": "bounced"}


async def test_companies_are_one_per_domain_or_name(tenant, csv_file):
    path = csv_file(
        ("email", "company", "website"),
        ("a@example.com", "Acme", "acme.com"),
        ("b@example.com", "ACME", "HTTPS://www.acme.com/en"),
        ("c@example.com", "acme", ""),
        ("d@example.com", "Solo", ""),
        ("e@example.com", "SOLO", ""),
        ("f@example.com", "", ""),
    )
    await import_file(tenant, path)
    found = await leads(tenant, "email, company_id")
    ids = [row["company_id"] for row in found]
    assert ids[0] == ids[1] == ids[2]
    assert ids[3] == ids[4] != ids[0]
    assert ids[5] is None
    assert await value(tenant, "SELECT count(*) FROM outreach.companies") == 2
    assert await value(tenant, "SELECT company_website FROM outreach.leads WHERE email_key = 'b@example.com'") == (
        "https://www.acme.com/en"
    )


async def test_dry_run_counts_and_changes_nothing(tenant, csv_file):
    await import_file(tenant, csv_file(("email", "city"), ("a@example.com", "Rome")))
    before, imports = await state(tenant), await listed(tenant)
    path = csv_file(("email", "city", "Plan"), ("a@example.com", "Oslo", ""), ("b@example.com", "", "x"), delimiter="|")
    report = await import_file(tenant, path, dry_run=True, ignore=["Plan"])
    assert await state(tenant) == before
    assert await listed(tenant) == imports
    document = report.document()
    assert document.pop("custom_fields") == []
    assert document.pop("seconds") > 0
    assert document.pop("rows_per_second") > 0
    assert [column["target"] for column in document.pop("preview")] == ["email", "city", None]
    changes = [(row["email"], row["field"], row["before"], row["after"]) for row in document.pop("changes")]
    assert changes == [("a@example.com", "city", "Rome", "Oslo")]
    assert document.pop("new_leads")["without_address"] == 0
    assert document == {
        "rejects": [],
        "suppressed": 0, "typed_columns": {}, "saved_mapping": None,
        "import_id": None, "rows_read": 2, "inserted": 1, "updated": 1, "skipped": 0, "rejected": 0, "format": "csv",
        "encoding": "utf-8", "delimiter": "|", "header_line": 1,
        "mapping": {"email": "email", "city": "city", "Plan": None},
    }  # fmt: skip


async def test_the_import_is_on_record(tenant, csv_file):
    report = await import_file(tenant, csv_file(("Plan", "email"), ("x", "a@example.com")))
    row = await find(tenant, report.import_id)
    assert row["status"] == "done"
    assert list(row["mapping"].items()) == [("Plan", "custom.Plan"), ("email", "email")]
    assert (row["rows_read"], row["inserted"], row["header_line"], row["encoding"]) == (1, 1, 1, "utf-8")
    assert row["finished_at"] >= row["started_at"]
    assert len(row["file_sha256"]) == 64


async def test_another_workspace_sees_and_loses_nothing(tenant, other_tenant, csv_file):
    path = csv_file(("email", "company"), ("a@example.com", "Acme"))
    await import_file(other_tenant, path)
    before = await state(other_tenant)
    assert counts(await import_file(tenant, path)) == (1, 1, 0, 0, 0)
    assert await state(other_tenant) == before
    assert len(await listed(tenant)) == 1


async def test_values_that_an_index_could_not_hold_are_rejected(tenant, csv_file):
    path = csv_file(
        ("email", "company", "tags", "notes"),
        ("a@example.com", "x" * 501, "", ""),
        ("b@example.com", "", "y" * 201, ""),
        ("c@example.com", "", "", "z" * 100_000),
        ("d@example.com", "ü" * 500, ",".join(f"tag{i}" for i in range(100)), ""),
    )
    report = await import_file(tenant, path)
    assert counts(report) == (4, 2, 0, 0, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapping": {"nowhere": "city"}}, "the file has no column 'nowhere'"),
        ({"mapping": {"Town X": "nothing"}}, "there is no field 'nothing'"),
        ({"mapping": {"Town X": "email", "email": "email"}}, "two columns are mapped to email"),
        ({"ignore": ["nowhere"]}, "the file has no column"),
        ({"on_conflict": "replace"}, "on_conflict is update, fill or skip"),
    ],
)
async def test_wrong_options_are_refused(tenant, csv_file, options, message):
    with pytest.raises(UsageError, match=message):
        await import_file(tenant, csv_file(("email", "Town X"), ("a@example.com", "Rome")), **options)
    assert await listed(tenant) == []
