"""Leads by direct SQL: the same rules as an import, callable by a tenant, with an error report."""

from __future__ import annotations

import json
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lead_rows import leads, value

from outreachdb.errors import InvalidInput, OutreachDBError
from outreachdb.leads import suppression
from outreachdb.leads.importing import import_file
from outreachdb.tenancy import workspaces

COUNTS = ("rows_read", "inserted", "updated", "skipped", "rejected")


async def bulk(tenant, rows, policy="skip"):
    async with tenant.session() as session:
        found = await session.one("SELECT * FROM outreach.bulk_insert_leads(%s, %s)", [json.dumps(rows), policy])
    assert found["rows_read"] == found["inserted"] + found["updated"] + found["skipped"] + found["rejected"]
    return found


def counts(found):
    return tuple(found[name] for name in COUNTS)


async def test_rows_become_leads_and_errors_name_row_column_and_reason(tenant):
    rows = [
        {"email": " Zoe@Example.com ", "full_name": "Zoe\u0308 Lee", "company_name": "Acme", "tags": ["a", "b", "a"],
         "company_website": "www.acme.com", "qualification_score": 85.5, "seats": 3, "custom_fields": {"plan": "x"}},
        {"email": "no address"},
        "text",
        {"email": "b@example.com", "qualification_score": 101},
        {"email": "c@example.com", "city": {"name": "Rome"}},
        {"email": "d@example.com", "linkedin_url": "not an url"},
        {"email": "e@example.com", "status": "sleepy", "custom_fields": []},
        {},
        {"first_name": "Nameless", "city": None},
        {"email": "zoe@example.com", "first_name": "Other"},
    ]  # fmt: skip
    found = await bulk(tenant, rows)
    assert counts(found) == (10, 2, 0, 2, 6)
    assert [(each["row"], each["column"], each["reason"]) for each in found["errors"]] == [
        (2, "email", "not an e-mail address"),
        (3, None, "not a JSON object"),
        (4, "qualification_score", "not a score between 0 and 100"),
        (5, "city", "neither text nor number"),
        (6, "linkedin_url", "not a web address"),
        (7, "status", "not a status"),
    ]
    lead, nameless = await leads(tenant)
    assert (lead["email"], lead["first_name"], lead["last_name"], lead["tags"]) == (
        "Zoe@Example.com", "Zoë", "Lee", ["a", "b"])  # fmt: skip
    assert (lead["qualification_score"], lead["email_status"], lead["status"]) == (85.5, "unchecked", "new")
    assert lead["custom_fields"] == {"seats": 3, "plan": "x"}
    assert nameless["source_key"].startswith("sha256:")
    company = await value(tenant, "SELECT id FROM outreach.companies WHERE domain = 'acme.com' AND name = 'Acme'")
    assert lead["company_id"] == company
    assert counts(await bulk(tenant, rows)) == (10, 0, 0, 4, 6)


async def test_external_ids_are_judged_as_in_files(tenant):
    rows = [
        {"source_key": "7", "email": "a@x.com"},
        {"source_key": "7", "email": "b@x.com"},
        {"source_key": "7", "city": "Rome", "tags": ["one, two", "three"]},
        {"source_key": "8", "email": "a@x.com"},
    ]
    found = await bulk(tenant, rows, "fill")
    assert counts(found) == (4, 1, 0, 2, 1)
    reason = "row 1 has the same external id with another address"
    assert found["errors"] == [{"row": 2, "column": "source_key", "reason": reason}]
    (lead,) = await leads(tenant)
    assert (lead["source_key"], lead["city"], lead["tags"]) == ("7", "Rome", ["one, two", "three"])
    for policy in ("fill", "skip"):
        kept = await bulk(tenant, [{"source_key": "7", "email": "new@x.com"}, {"email": "c@x.com"}], policy)
        assert kept["errors"] == [{"row": 1, "column": "source_key", "reason": "the lead with its external id has"
                                   f' not this address, and "{policy}" leaves it so'}]  # fmt: skip
    taken = await bulk(tenant, [{"email": "a@x.com"}, {"source_key": "7", "email": "d@x.com"}], "update")
    assert (counts(taken), taken["errors"][0]["reason"]) == (
        (2, 0, 0, 1, 1), "its external id belongs to a lead that another row names")  # fmt: skip
    assert [each["email"] for each in await leads(tenant)] == ["a@x.com", "c@x.com"]
    assert await value(tenant, "SELECT count(*) FROM pg_class WHERE relname = 'bulk_insert_rows'") == 0


async def test_an_opt_out_is_never_brought_back(tenant):
    await bulk(tenant, [{"email": "a@x.com", "status": "unsubscribed"}])
    await suppression.add(tenant, ["gone.example"], reason="bounced")
    for policy in ("update", "fill"):
        await bulk(tenant, [{"email": "a@x.com", "status": "new"}, {"email": "b@gone.example"}], policy)
    assert [lead["status"] for lead in await leads(tenant)] == ["unsubscribed", "bounced"]
    assert await value(tenant, "SELECT reason FROM outreach.suppressions WHERE target = 'a@x.com'") == "unsubscribed"


async def test_a_tenant_writes_into_its_own_workspace_only(tenant, other_tenant, database_url):
    await bulk(tenant, [{"email": "a@x.com"}])
    async with other_tenant.session() as session:
        found = await session.one(
            "SELECT * FROM outreach.fast_bulk_lead_import(%s)", ['[{"email": "a@x.com", "workspace_id": 1}]']
        )
    assert counts(found) == (1, 1, 0, 0, 0)
    assert [len(await leads(each)) for each in (tenant, other_tenant)] == [1, 1]
    with psycopg.connect(database_url) as connection:
        connection.execute("SET LOCAL ROLE outreachdb_app")
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="no workspace is set"):
            connection.execute("SELECT * FROM outreach.bulk_insert_leads('[]')")


@pytest.mark.parametrize(("given", "policy"), [({"email": "a@x.com"}, "skip"), ([], "overwrite"), (None, "skip")])
async def test_a_wrong_call_is_refused(tenant, given, policy):
    with pytest.raises((InvalidInput, OutreachDBError), match=r"JSON array|on_conflict is"):
        await bulk(tenant, given, policy)


CITIES = ["", "Rome", "Oslo"]
FIELDS = ("email", "first_name", "company_name", "company_website", "city", "tags", "qualification_score", "plan",
          "phone", "country", "unsubscribed", "bounced", "source_key")  # fmt: skip
# What a field's values say against it is asked of files only, which may be mapped in another way.
SAID = {name: name for name in FIELDS if name != "plan"}
person = st.fixed_dictionaries({
    "source_key": st.sampled_from(["", "", "1", "2", "3"]),
    "email": st.sampled_from(["a@x.com", "A@x.com", "info@x.com", "", "Cy <c@x.com>", "a@x.test", "bad"]),
    "first_name": st.sampled_from(["", "Ann", "Bo"]),
    "company_name": st.sampled_from(["", "Acme", "Globex", "n/a"]),
    "phone": st.sampled_from(["", "-", "030 123456", "+49 30 123456", "1"]),
    "country": st.sampled_from(["", "DE", "Germany"]),
    "unsubscribed": st.sampled_from(["", "", "", "no", "yes"]),
    "bounced": st.sampled_from(["", "", "", "", "2024-01-02"]),
    "company_website": st.sampled_from(["", "", "acme.com", "https://globex.com"]),
    "city": st.sampled_from(CITIES),
    "tags": st.sampled_from(["", "a", "b;c"]),
    "qualification_score": st.sampled_from(["", "1", "99,5", "101"]),
    "plan": st.sampled_from(["free", "team"]),
})  # fmt: skip
SHOWN = """email_key, CASE WHEN source_key LIKE 'sha256:%' THEN 'hash' ELSE source_key END AS source_key,
    first_name, company_name, company_website, city, tags, qualification_score, custom_fields, phone,
    phone_e164, country, email_flags, status"""


@pytest.mark.parametrize("policy", ["skip", "update", "fill"])
async def test_it_agrees_with_an_import(pools, csv_file, policy):
    """One rule, two doors: the same rows give the same leads."""

    async def check(first, second):
        made = [await workspaces.create(pools, f"{kind}-{uuid4().hex}") for kind in ("file", "call")]
        imported, called = [await workspaces.tenant(pools, each.name) for each in made]
        for rows, how in ((first, "update"), (second, policy)):
            path = csv_file(FIELDS, *([row[field] for field in FIELDS] for row in rows))
            report = await import_file(imported, path, on_conflict=how, mapping=SAID)
            found = await bulk(called, rows, how)
            assert counts(found) == tuple(getattr(report, name) for name in COUNTS)
        made_by_call, made_by_file = [sorted(map(repr, await leads(each, SHOWN))) for each in (called, imported)]
        assert made_by_call == made_by_file
        blocked = "SELECT target, reason FROM outreach.suppressions ORDER BY target"
        async with imported.session() as one, called.session() as two:
            assert await one.all(blocked) == await two.all(blocked)
        linked = """SELECT l.email_key, c.name, c.domain FROM outreach.leads AS l
            LEFT JOIN outreach.companies AS c ON c.id = l.company_id ORDER BY 1, 2, 3"""
        async with imported.session() as one, called.session() as two:
            assert await one.all(linked) == await two.all(linked)

    people = st.lists(person, min_size=1, max_size=8)
    examples = []

    @settings(max_examples=24, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(people, people)
    def collect(first, second):
        examples.append((first, second))

    collect()
    for first, second in examples:
        await check(first, second)
