"""Which header means which field."""

from __future__ import annotations

import pytest

from outreachdb.errors import UsageError
from outreachdb.leads.importing.fields import map_columns, normalised


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Email", "email"),
        ("E-Mail-Adresse", "email"),
        ("EmailAddress", "email"),
        ("Vorname", "first_name"),
        ("Prénom", "first_name"),
        ("LAST_NAME", "last_name"),
        ("Full Name", "full_name"),
        ("Job Title", "title"),
        ("Organization Name", "company_name"),
        ("Company Domain", "company_website"),
        ("Person Linkedin Url", "linkedin_url"),
        ("Country/Region", "country"),
        ("Lead Score", "qualification_score"),
        ("Record ID", "source_key"),
        ("Email Status", "custom.Email Status"),
        ("Owner email", "custom.Owner email"),
        ("Company Name for Emails", "custom.Company Name for Emails"),
        ("Status", "custom.Status"),
    ],
)
def test_one_header(header, field):
    assert map_columns([header]).targets == (field,)


def test_the_best_of_two_headers_is_taken():
    columns = map_columns(["Work Email", "Email", "Mobile", "Phone"])
    assert columns.targets == ("custom.Work Email", "email", "custom.Mobile", "phone")


def test_a_full_name_is_split_only_without_its_parts():
    assert map_columns(["Name", "Email"]).targets == ("full_name", "email")
    assert map_columns(["Name", "Last Name"]).targets == ("custom.Name", "last_name")


def test_repeated_and_empty_headers_get_names():
    columns = map_columns(["Email", "", "Email", "email"])
    assert columns.columns == ("Email", "column 2", "Email (2)", "email")
    assert columns.document() == {
        "Email": "email", "column 2": "custom.column 2", "Email (2)": "custom.Email (2)", "email": "custom.email",
    }  # fmt: skip


def test_given_and_ignored_columns():
    columns = map_columns(["A", "B", "Email"], given={"a": "email", "B": "custom.Bee"}, ignore=["email"])
    assert columns.targets == ("email", "custom.Bee", None)


@pytest.mark.parametrize(
    ("given", "ignore", "message"),
    [
        ({"A": "city", "B": "city"}, (), "two columns are mapped to city"),
        ({"A": "custom.C"}, (), "two columns are mapped to custom.C"),
        ({"A": "city"}, ("A",), "both mapped and ignored"),
        ({"A": "custom."}, (), "there is no field"),
        ({"Z": "city"}, (), "no column 'Z'"),
    ],
)
def test_contradictions(given, ignore, message):
    with pytest.raises(UsageError, match=message):
        map_columns(["A", "B", "C"], given=given, ignore=ignore)


def test_normal_form():
    assert normalised("  E-Mail_Adresse (privat) ") == "e mail adresse privat"
    assert normalised("firstName") == "first name"
