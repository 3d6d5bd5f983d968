"""Which header means which field."""

from __future__ import annotations

import pytest
from lead_rows import leads

from outreachdb.errors import UsageError
from outreachdb.leads.importing import import_file
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
        ("HubSpot Score", "qualification_score"),
        ("Hubspot score", "qualification_score"),
        ("HubSpotScore", "qualification_score"),
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


@pytest.mark.parametrize(
    ("header", "values", "field"),
    [
        ("Lead Score", ["12", "100", "", "87.5 %"], "qualification_score"),
        ("Lead Score", ["12", "135"], "custom.Lead Score"),
        ("Lead Score", ["-5", "10"], "custom.Lead Score"),
        ("Score", ["A", "B+", "C"], "custom.Score"),
        ("Website", ["example.com", "https://example.org/x", "n/a", "www.example.net:80/?a"], "company_website"),
        ("Website", ["see LinkedIn", "Example Ltd", "example.com"], "custom.Website"),
        ("Domain", ["Marketing", "Finance"], "custom.Domain"),
        ("LinkedIn", ["linkedin.com/in/ann", "https://www.linkedin.com/in/bo"], "linkedin_url"),
        ("LinkedIn", ["ann-lee", "yes"], "custom.LinkedIn"),
        ("Country Code", ["+49", "+1", "0044"], "custom.Country Code"),
        ("Country Code", ["49", "1"], "custom.Country Code"),
        ("Country Code", ["DE", "US", ""], "country"),
        ("Country", ["Germany", "49"], "custom.Country"),
        ("Country", ["Germany", "France", "49"], "country"),
    ],
)
def test_values_speak_against_a_header(header, values, field):
    assert map_columns([header], sample=[[value] for value in values]).targets == (field,)


async def test_a_secondary_column_costs_nobody(tenant, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(
        "Email,Lead Score,Website,Country Code\na@example.com,135,Example Ltd,+49\nb@example.com,-5,see notes,+1\n"
    )
    report = await import_file(tenant, path)
    assert (report.inserted, report.rejected) == (2, 0)
    assert (await leads(tenant))[0]["custom_fields"]["Lead Score"] == 135
    with pytest.raises(UsageError, match="two columns"):
        map_columns(["Lead Score", "S"], given={"S": "qualification_score", "Lead Score": "qualification_score"})


def test_headers_that_say_who_must_not_be_mailed():
    headers = ["descadastrado", "Cancelado", "Cancellato", "gesperrt", "Désabonnée", "Désinscrite"]
    for header in headers:
        assert map_columns(["Email", header]).marks() == [(1, "blocked" if header == "gesperrt" else "unsubscribed")]


def test_normal_form():
    assert normalised("  E-Mail_Adresse (privat) ") == "e mail adresse privat"
    assert normalised("firstName") == "first name"
