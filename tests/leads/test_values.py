"""What becomes of a cell's text: phones, typed custom fields, blanks, limits, marks; by file and by call."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import phonenumbers
import pytest
from lead_rows import leads, value

from outreachdb.errors import NotFound, UsageError
from outreachdb.leads import suppression
from outreachdb.leads.importing import import_file, mappings, rejects
from outreachdb.leads.importing.cells import LIMITS
from outreachdb.leads.importing.fields import map_columns

ROOT = Path(__file__).parents[2]


async def by_address(tenant, column):
    return {lead["email_key"]: lead[column] for lead in await leads(tenant)}


async def test_a_phone_in_international_form_where_that_is_certain(tenant, csv_file):
    cells = {
        ("+49 (0)30 123456", ""): "+4930123456",
        ("(030) 12 34 56", "Deutschland"): "+4930123456",
        ("030 123456", "xx"): None,
        ("(415) 555-2671", "United States"): "+14155552671",
        ("1-415-555-2671", "US"): "+14155552671",
        ("415-555-2671 ext 5", "US"): None,
        ("555-2671", "US"): None,
        ("020 7946 0958", "UK"): "+442079460958",
        ("+1 555 0000001", "Atlantis"): "+15550000001",
        ("+999 123456", ""): None,
        ("n/a", "US"): None,
    }  # fmt: skip
    rows = [(f"p{n}@x.com", phone, country) for n, (phone, country) in enumerate(cells)]
    report = await import_file(tenant, csv_file(("email", "phone", "country"), *rows))
    assert report.details["new_leads"]["phones_normalised"] == 6
    found = await leads(tenant, "email_key, phone, phone_e164")
    by_key = {lead["email_key"]: (lead["phone"], lead["phone_e164"]) for lead in found}
    assert [by_key[f"p{n}@x.com"][1] for n in range(len(cells))] == list(cells.values())
    assert by_key["p1@x.com"][0] == "(030) 12 34 56"
    assert by_key["p10@x.com"][0] is None


async def test_a_normalised_phone_is_what_the_library_makes_of_it(tenant):
    """Example numbers of every region, in every form, and spoilt ones: never another number than phonenumbers'."""
    source, cases = random.Random(5), []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (0, 1, 3):
            number = phonenumbers.example_number_for_type(region, kind)
            for form in range(4) if number is not None else ():
                text = phonenumbers.format_number(number, form)
                spoilt = list(text)
                spoilt[source.randrange(len(spoilt))] = source.choice("0123456789 ()-+x.")
                cases += [(region, each.strip()) for each in (text, "".join(spoilt), text + "7", text[:-1])]
    async with tenant.session() as session:
        rows = await session.all(
            """SELECT region, phone,
                      outreach.phone_e164(outreach.phone_digits(phone), outreach.phone_rule(region)) AS e164
               FROM unnest(%s::text[], %s::text[]) AS t (region, phone)""",
            [[region for region, _ in cases], [phone for _, phone in cases]],
        )
    normalised = [row for row in rows if row["e164"]]
    assert len(normalised) > 3000
    assert [row for row in normalised if row["e164"] != _by_library(row["phone"], row["region"])] == []


def _by_library(phone, region):
    try:
        number = phonenumbers.parse(phone, region)
    except phonenumbers.NumberParseException:
        return None
    possible = phonenumbers.is_possible_number(number) and not number.extension
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if possible else None


async def test_custom_columns_keep_their_type(tenant, csv_file):
    columns = {
        "Employees": (["10", "-", "250"], [10, None, 250]),
        "Rate": (["0.5", "-1.25", "3"], [0.5, -1.25, 3]),
        "Active": (["TRUE", "false", ""], [True, False, None]),
        "Since": (["31.12.2024", "1.2.2023", ""], ["2024-12-31", "2023-02-01", None]),
        "Renewal": (["12/31/2024", "01/02/2023", ""], ["2024-12-31", "2023-01-02", None]),
        "Unclear": (["01/02/2023", "03/04/2024", ""], ["01/02/2023", "03/04/2024", None]),
        "Day": (["2024-12-31", "", ""], ["2024-12-31", None, None]),
        "ZIP": (["12345", "80331", "1010"], ["12345", "80331", "1010"]),
        "Leading": (["007", "12", "13"], ["007", "12", "13"]),
        "Customer number": (["1", "2", "3"], ["1", "2", "3"]),
        "Number of seats": (["1", "2", "3"], [1, 2, 3]),
        "Large": (["9007199254740993", "1", "2"], ["9007199254740993", "1", "2"]),
        "Mixed": (["1", "two", "3"], ["1", "two", "3"]),
        "Plan": (["free", "-", "none"], ["free", "-", "none"]),
    }  # fmt: skip
    rows = [(f"c{n}@x.com", *(cells[n] for cells, _ in columns.values())) for n in range(3)]
    report = await import_file(tenant, csv_file(("email", *columns), *rows))
    assert report.details["typed_columns"]["Since"] == "day.month.year"
    found = await by_address(tenant, "custom_fields")
    expected = [{name: right[n] for name, (_, right) in columns.items() if right[n] is not None} for n in range(3)]
    for n in range(3):
        for name in columns:
            assert found[f"c{n}@x.com"].get(name) == expected[n].get(name), name


async def test_words_for_nothing_are_nothing_but_not_in_names(tenant, csv_file):
    head = ("email", "first name", "last name", "company", "website", "score", "city", "external id")
    path = csv_file(
        head, ("a@x.com", "None", "Null", "N/A", "n/a", "-", "null", "-"), ("b@x.com", "-", "N/A", "-", "", "", "", "-")
    )
    report = await import_file(tenant, path)
    assert (report.inserted, report.rejected) == (2, 0)
    a, b = await leads(tenant)
    assert (a["first_name"], a["last_name"], a["company_name"], a["city"]) == ("None", "Null", None, None)
    assert (b["first_name"], b["last_name"], b["source_key"]) == (None, None, None)
    assert await value(tenant, "SELECT count(*) FROM outreach.companies") == 0


async def test_a_cell_that_is_too_long_rejects_its_row(tenant, csv_file):
    long = {"title": 501, "first name": 201, "phone": 101, "city": 201, "industry": 501}
    rows = [
        (f"l{n}@x.com", *("x" * size if name == each else "" for each in long))
        for n, (name, size) in enumerate(long.items())
    ]
    report = await import_file(
        tenant, csv_file(("email", *long), *rows, ("ok@x.com", *("ü" * (size - 1) for size in long.values())))
    )
    assert (report.inserted, report.rejected) == (1, 5)
    found = [(row["column_name"], row["reason"]) async for row in rejects(tenant, report.import_id)]
    assert found == [(name, f"longer than {size - 1} characters") for name, size in long.items()]


EXPORTS = {
    "Brevo": (("EMAIL", "EMAIL_BLACKLISTED"), ("yes", "no"), "blocked", "unsubscribed"),
    "Mailchimp, left": (("Email Address", "UNSUB_TIME"), ("2024-01-02 10:00:00", ""), "unsubscribed", "unsubscribed"),
    "Mailchimp, cleaned": (("Email Address", "CLEAN_TIME"), ("2024-01-02 10:00:00", ""), "bounced", "bounced"),
    "HubSpot": (("Email", "Unsubscribed from all email"), ("true", ""), "unsubscribed", "unsubscribed"),
    "HubSpot, bounced": (("Email", "Email hard bounce reason"), ("UNKNOWN_USER", ""), "bounced", "bounced"),
    "Salesforce": (("Email", "Email Opt Out"), ("1", "0"), "unsubscribed", "unsubscribed"),
    "Mautic": (("email", "Do Not Contact"), ("1", "0"), "blocked", "unsubscribed"),
    "listmonk": (("email", "status"), ("blocklisted", "enabled"), "blocked", "unsubscribed"),
    "Keila": (("Email", "Status"), ("unreachable", "active"), "bounced", "bounced"),
    "ActiveCampaign": (("Email", "Status"), ("Unsubscribed", "Active"), "unsubscribed", "unsubscribed"),
    "SharpSpring": (("Email", "Is Unsubscribed"), ("1", "0"), "unsubscribed", "unsubscribed"),
    "MailUp": (("E-mail address", "OptOut_Date"), ("20110122T111244", ""), "unsubscribed", "unsubscribed"),
    "Klaviyo": (("Email", "Email Marketing Consent"), ("UNSUBSCRIBED", "SUBSCRIBED"), "unsubscribed", "unsubscribed"),
    "Apollo": (("Email", "Email Bounced"), ("true", "false"), "bounced", "bounced"),
}  # fmt: skip


async def test_what_a_source_marks_arrives_suppressed(tenant, csv_file):
    """Its own export's column and values; the one beside it is free."""
    for n, (tool, (head, (marked, free), reason, status)) in enumerate(EXPORTS.items()):
        path = csv_file(head, (f"Gone{n}@x.com", marked), (f"here{n}@x.com", free))
        report = await import_file(tenant, path)
        assert report.details["new_leads"]["arrived_suppressed"] == 1, tool
        statuses = await by_address(tenant, "status")
        assert (statuses[f"gone{n}@x.com"], statuses[f"here{n}@x.com"]) == (status, "new"), tool
        (found,) = await suppression.find(tenant, [f"gone{n}@x.com", f"here{n}@x.com"])
        assert (found["target"], found["reason"]) == (f"gone{n}@x.com", reason), tool
        stored = await value(tenant, f"SELECT source FROM outreach.suppressions WHERE target = 'gone{n}@x.com'")
        assert stored == f"import {report.import_id}"
    # The column itself is kept, and no later import brings anybody back.
    assert (await by_address(tenant, "custom_fields"))["gone0@x.com"] == {"EMAIL_BLACKLISTED": "yes"}
    for policy in ("update", "fill"):
        await import_file(tenant, csv_file(("Email", "Status"), ("gone0@x.com", "active")), on_conflict=policy)
    assert (await by_address(tenant, "status"))["gone0@x.com"] == "unsubscribed"


async def test_what_a_spreadsheet_writes_for_false_suppresses_nobody(tenant, csv_file):
    words = {
        "FALSE": False, "FALSCH": False, "FAUX": False, "FALSO": False, "ONWAAR": False, "FAŁSZ": False, "0": False,
        "TRUE": True, "WAHR": True, "VRAI": True, "VERDADERO": True, "2024-05-01": True, "asked by phone": True,
    }  # fmt: skip
    rows = [(f"p{n}@x.com", word) for n, word in enumerate(words)]
    await import_file(tenant, csv_file(("email", "Abgemeldet"), *rows))
    statuses = await by_address(tenant, "status")
    assert [statuses[f"p{n}@x.com"] == "unsubscribed" for n in range(len(words))] == list(words.values())


async def test_marks_reach_leads_that_are_there_and_dry_runs_count_them(tenant, csv_file):
    await import_file(tenant, csv_file(("email",), ("a@x.com",), ("b@x.com",)))
    path = csv_file(("email", "Opted out"), ("a@x.com", "yes"), ("c@x.com", "yes"), ("b@x.com", ""), ("a@x.com", ""))
    rehearsed = await import_file(tenant, path, dry_run=True)
    assert rehearsed.details["suppressed"] == 2
    assert await value(tenant, "SELECT count(*) FROM outreach.suppressions") == 0
    await import_file(tenant, path, on_conflict="skip")
    assert await by_address(tenant, "status") == {
        "a@x.com": "unsubscribed",
        "b@x.com": "new",
        "c@x.com": "unsubscribed",
    }


async def test_a_column_mapped_to_a_mark_is_no_custom_field(tenant, csv_file):
    path = csv_file(("email", "Nicht anschreiben"), ("a@x.com", "ja"), ("b@x.com", "nein"))
    await import_file(tenant, path, mapping={"Nicht anschreiben": "blocked"})
    assert await by_address(tenant, "custom_fields") == {"a@x.com": {}, "b@x.com": {}}
    assert await by_address(tenant, "status") == {"a@x.com": "unsubscribed", "b@x.com": "new"}


async def test_a_call_follows_the_same_rules(tenant):
    rows = [
        {"email": "a@x.com", "phone": "(415) 555-2671", "country": "US", "company_name": "n/a", "unsubscribed": True},
        {"email": "info@mailinator.com", "bounced": "yes", "first_name": "None"},
        {"email": "c@x.com", "blocked": 1, "unsubscribed": False}, {"email": "d@x.com", "title": "x" * 501},
    ]  # fmt: skip
    async with tenant.session() as session:
        found = await session.one("SELECT * FROM outreach.bulk_insert_leads(%s)", [json.dumps(rows)])
    assert found["errors"] == [{"row": 4, "column": "title", "reason": "longer than 500 characters"}]
    assert await by_address(tenant, "status") == {
        "a@x.com": "unsubscribed", "info@mailinator.com": "bounced", "c@x.com": "unsubscribed"}  # fmt: skip
    assert (await by_address(tenant, "phone_e164"))["a@x.com"] == "+14155552671"
    assert (await by_address(tenant, "email_flags"))["info@mailinator.com"] == ["disposable", "role"]
    async with tenant.session() as session:
        stored = await session.all("SELECT target, reason FROM outreach.suppressions ORDER BY target")
    assert [(row["target"], row["reason"]) for row in stored] == [
        ("a@x.com", "unsubscribed"), ("c@x.com", "blocked"), ("info@mailinator.com", "bounced")]  # fmt: skip


async def test_a_changed_address_or_phone_changes_what_is_known_of_it(tenant, csv_file):
    head = ("external id", "email", "phone")
    await import_file(tenant, csv_file(head, ("1", "info@x.com", "+14155552671"), ("2", "bo@x.com", "+14155552671")))
    await import_file(tenant, csv_file(head, ("1", "ann@x.com", "12"), ("2", "sales@x.com", "")))
    assert await by_address(tenant, "email_flags") == {"ann@x.com": None, "sales@x.com": ["role"]}
    assert await by_address(tenant, "phone_e164") == {"ann@x.com": None, "sales@x.com": "+14155552671"}


async def test_saved_mappings(tenant, other_tenant, csv_file):
    path = csv_file(("A", "B", "C"), ("a@x.com", "Rome", "x"))
    with pytest.raises(NotFound):
        await import_file(tenant, path, saved_mapping="mine", mapping={"A": "email"})
    given = {"mapping": {"A": "email", "B": "custom:Town"}, "ignore": ["C"], "save_mapping": "mine"}
    report = await import_file(tenant, path, **given, dry_run=True)
    assert report.mapping == {"A": "email", "B": "custom.Town", "C": None}
    assert await mappings.listed(tenant) == []  # a dry run changes nothing
    await import_file(tenant, path, **given)
    again = await import_file(tenant, path)  # the same header: found by itself
    assert (again.saved_mapping, again.mapping) == ("mine", report.mapping)
    changed = await import_file(tenant, path, mapping={"B": "city"})
    assert changed.mapping == {"A": "email", "B": "city", "C": None}
    wider = csv_file(("C", "A", "Phone"), ("x", "b@x.com", "1"))
    named = await import_file(tenant, wider, saved_mapping="mine")
    assert named.mapping == {"C": None, "A": "email", "Phone": "phone"}
    assert [row["name"] for row in await mappings.listed(tenant)] == ["mine"]
    assert await mappings.listed(other_tenant) == []
    with pytest.raises(UsageError):
        await import_file(tenant, path, save_mapping="auto")
    await mappings.delete(tenant, "mine")
    with pytest.raises(NotFound):
        await mappings.delete(tenant, "mine")


async def test_segments_know_flags_and_phones(tenant, csv_file):
    path = csv_file(("email", "phone", "Seats"), ("info@x.com", "+14155552671", "9"), ("ann@x.com", "", "10"))
    await import_file(tenant, path)
    for definition, count in (
        ({"field": "email_flags", "op": "has_any", "value": ["role"]}, 1),
        ({"field": "email_flags", "op": "has_none", "value": ["role", "disposable"]}, 1),
        ({"field": "phone_e164", "op": "starts_with", "value": "+1415"}, 1),
        ({"field": "custom.Seats", "op": "gte", "value": 10}, 1),
    ):
        async with tenant.session() as session:
            found = await session.value("SELECT outreach.count_segmented_leads(%s)", [json.dumps(definition)])
        assert found == count, definition


def test_the_generated_lists_are_those_of_the_pinned_packages():
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "lists.py"), "--check"], check=False)
    assert done.returncode == 0, "run scripts/lists.py"


async def test_limits_are_the_same_in_sql_and_python(tenant):
    async with tenant.session() as session:
        limits = await session.all("SELECT field, characters FROM outreach.field_limits()")
    assert {row["field"]: row["characters"] for row in limits} == LIMITS


def test_marks_stay_custom_fields_in_the_mapping():
    columns = map_columns(["Email", "Status", "Unsub Time", "Opted out of email: News"])
    assert columns.document()["Status"] == "custom.Status"
    assert columns.marks() == [(1, "words"), (2, "unsubscribed"), (3, "unsubscribed")]
    assert [each.get("marks") for each in columns.preview([])] == [None, "words", "unsubscribed", "unsubscribed"]


async def test_a_full_name_on_two_lines_is_split_like_one_on_one(tenant):
    names = ["Dee\nOkafor", "Dee Okafor", "Ana\nMaria de\nSouza", "Okafor,\nDee", "Dee"]
    async with tenant.trusted() as session:
        found = await session.all(
            "SELECT outreach.first_of_name(n) AS first, outreach.last_of_name(n) AS last FROM unnest(%s::text[]) AS n",
            [names],
        )
    assert [(row["first"], row["last"]) for row in found] == [
        ("Dee", "Okafor"), ("Dee", "Okafor"), ("Ana Maria de", "Souza"), ("Dee", "Okafor"), ("Dee", None),
    ]  # fmt: skip
