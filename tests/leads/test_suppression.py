"""Suppressing addresses and domains."""

from __future__ import annotations

import json

import pytest
from lead_rows import leads

from outreachdb.errors import InvalidInput, UsageError
from outreachdb.leads import suppression
from outreachdb.leads.importing import import_file
from outreachdb.leads.search import find


async def _statuses(tenant):
    return {row["email"]: row["status"] for row in await leads(tenant)}


@pytest.fixture
async def filled(tenant, csv_file):
    await import_file(
        tenant, csv_file(("email",), *[(f"{name}@{host}",) for name in "Ab" for host in ("x.com", "y.org")])
    )
    return tenant


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("unsubscribed", "unsubscribed"),
        ("complained", "unsubscribed"),
        ("bounced", "bounced"),
        ("blocked", "new"),
        ("erased", "new"),
        ("imported", "new"),
        ("manual", "new"),
    ],
)
async def test_the_reason_decides_the_status(filled, reason, status):
    done = await suppression.add(filled, ["a@X.com", "nobody@x.com"], reason=reason)
    assert (done.added, done.leads) == (2, int(status != "new"))
    assert await _statuses(filled) == {"A@x.com": status, "A@y.org": "new", "b@x.com": "new", "b@y.org": "new"}


async def test_a_domain_hits_its_leads_only(filled, csv_file):
    await import_file(filled, csv_file(("email",), ("c@sub.x.com",)))
    done = await suppression.add(filled, ["@X.com"], reason="unsubscribed")
    assert (done.added, done.leads) == (1, 2)
    statuses = await _statuses(filled)
    assert [address for address, status in statuses.items() if status == "unsubscribed"] == ["A@x.com", "b@x.com"]
    found = await suppression.find(filled, ["B@X.com", "b@y.org"])
    assert [(row["address"], row["target"], row["reason"]) for row in found] == [("B@X.com", "x.com", "unsubscribed")]


async def test_a_domain_s_leads_are_found_without_reading_all(tenant):
    domains = ["x1_.example", "münchen.de", "x%.example"]
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email) SELECT %s, 'p' || n || '@' || CASE WHEN n < 9 THEN"
            " (%s::text[])[1 + n / 3] ELSE 'host' || n || '.example' END FROM generate_series(0, 12000) AS n",
            [tenant.workspace_id, domains],
        )
        await session.execute("SELECT outreach.refresh_statistics('leads')")
    scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'outreach.leads'::regclass"
    async with tenant.trusted() as session:
        before = await session.value(scans) or 0
        found = await session.all("SELECT * FROM outreach.leads_of_domains(%s, %s)", [tenant.workspace_id, domains])
        assert (len(found), (await session.value(scans) or 0) - before) == (9, 0)
        many = [*domains, *(f"host{n}.example" for n in range(100, 160))]
        found = await session.all("SELECT * FROM outreach.leads_of_domains(%s, %s)", [tenant.workspace_id, many])
        assert len(found) == 69
    done = await suppression.add(tenant, ["X1_.example"], reason="bounced")
    assert (done.added, done.leads) == (1, 3)


async def test_twice_is_once_and_an_unsubscribe_outlives_a_bounce(filled):
    await suppression.add(filled, ["a@x.com"], reason="unsubscribed", source="form")
    again = await suppression.add(filled, ["A@X.com", "a@x.com"], reason="bounced")
    assert (again.added, again.leads) == (0, 0)
    (row,) = await suppression.listed(filled)
    assert (row["target"], row["reason"], row["source"]) == ("a@x.com", "unsubscribed", "form")
    assert (await _statuses(filled))["A@x.com"] == "unsubscribed"


async def test_a_passing_suppression_becomes_lasting(filled):
    async with filled.session() as session:
        await session.execute(
            "INSERT INTO outreach.suppressions (workspace_id, target, expires_at) VALUES (%s, 'a@x.com', now())",
            [filled.workspace_id],
        )
    assert await suppression.find(filled, ["a@x.com"]) == []
    assert (await suppression.add(filled, ["a@x.com"])).added == 1
    (row,) = await suppression.listed(filled)
    assert row["expires_at"] is None
    assert len(await suppression.find(filled, ["a@x.com"])) == 1


async def test_a_domain_in_punycode_is_the_domain_in_letters(tenant, csv_file, tmp_path):
    puny = "xn--mnchen-3ya.de"
    await import_file(tenant, csv_file(("email",), ("a@münchen.de",), (f"b@{puny}",), ("c@XN--bcher-kva.example",)))
    async with tenant.session() as session:
        call = [json.dumps([{"email": f"d@{puny}"}])]
        assert (await session.one("SELECT * FROM outreach.bulk_insert_leads(%s)", call))["inserted"] == 1
    assert set(await _statuses(tenant)) == {"a@münchen.de", "b@münchen.de", "c@bücher.example", "d@münchen.de"}
    assert [(await find(tenant, given))["email"] for given in ("B@XN--mnchen-3ya.de", "b@MÜNCHEN.de")] == [
        "b@münchen.de"
    ] * 2
    done = await suppression.add(tenant, ["C@xn--bcher-kva.example"], reason="unsubscribed")
    assert (done.added, done.leads) == (1, 1)
    path = tmp_path / "stop.txt"
    path.write_text(f"@{puny.upper()}\nmünchen.de\nmu\u0308nchen.de\n", encoding="utf-8")
    done = await suppression.add_file(tenant, path, reason="unsubscribed")
    assert (done.added, done.leads) == (1, 3)
    assert set((await _statuses(tenant)).values()) == {"unsubscribed"}
    listed = {"c@bücher.example", "c@xn--bcher-kva.example", "münchen.de", puny}
    assert {row["target"] for row in await suppression.listed(tenant)} == listed
    found = await suppression.find(tenant, [f"new@{puny}", "new@MÜNCHEN.de", "new@x.com"])
    assert {row["address"] for row in found} == {f"new@{puny}", "new@MÜNCHEN.de"}
    assert (await suppression.add(tenant, ["münchen.de", puny])).added == 0
    assert set(await suppression.remove(tenant, ["münchen.de", "c@xn--bcher-kva.example"])) == listed


async def test_a_lead_that_direct_sql_stored_in_punycode_is_suppressed_under_its_spelling(tenant):
    async with tenant.session() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email) VALUES (%s, 'a@xn--mnchen-3ya.de')", [tenant.workspace_id]
        )
    done = await suppression.add(tenant, ["a@xn--mnchen-3ya.de"], reason="bounced")
    assert (done.added, done.leads) == (1, 1)
    assert {row["target"] for row in await suppression.listed(tenant)} == {"a@münchen.de", "a@xn--mnchen-3ya.de"}
    assert (await find(tenant, "A@xn--mnchen-3ya.de"))["email"] == "a@xn--mnchen-3ya.de"
    assert len(await suppression.remove(tenant, ["a@münchen.de"])) == 2
    assert (await suppression.add(tenant, ["xn--mnchen-3ya.de"], reason="unsubscribed")).leads == 1


@pytest.mark.parametrize("target", ["", "nothing", "a b@x.com", "a@b", "@", "a@@x.com", "a@x.com,b@x.com"])
async def test_all_or_nothing(filled, target):
    with pytest.raises(InvalidInput, match="neither an e-mail address nor a domain"):
        await suppression.add(filled, ["good@x.com", target])
    assert await suppression.listed(filled) == []


async def test_unknown_reason(filled):
    with pytest.raises(UsageError, match="there is no reason 'bored'"):
        await suppression.add(filled, ["a@x.com"], reason="bored")


async def test_a_file(filled, tmp_path):
    path = tmp_path / "stop.txt"
    path.write_text('\ufeffEmail\na@x.com\n\n "B@Y.org" \ny.org\n' + "".join(f"n{i}@z.io\n" for i in range(2000)))
    done = await suppression.add_file(filled, path, reason="unsubscribed")
    assert (done.added, done.leads) == (2003, 3)
    (newest,) = await suppression.listed(filled, limit=1)
    assert newest["source"] == "stop.txt"


async def test_a_bad_file_suppresses_nothing(filled, tmp_path):
    path = tmp_path / "stop.txt"
    path.write_text("a@x.com\nwhat is this\nb@x.com\nand this\n")
    with pytest.raises(InvalidInput, match="line 2: what is this, line 4: and this"):
        await suppression.add_file(filled, path)
    with pytest.raises(InvalidInput, match="can't be read"):
        await suppression.add_file(filled, tmp_path / "none")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        await suppression.add_file(filled, path)
    assert await suppression.listed(filled) == []
    assert set((await _statuses(filled)).values()) == {"new"}


async def test_lifting(filled):
    await suppression.add(filled, ["a@x.com", "y.org"], reason="unsubscribed")
    assert await suppression.remove(filled, ["A@x.com", "@y.org", "never@x.com"]) == ["a@x.com", "y.org"]
    assert await suppression.listed(filled) == []
    assert (await _statuses(filled))["A@x.com"] == "unsubscribed"


async def test_another_workspace_is_left_alone(filled, other_tenant, csv_file):
    await import_file(other_tenant, csv_file(("email",), ("a@x.com",)))
    await suppression.add(filled, ["a@x.com", "x.com"], reason="bounced")
    assert await _statuses(other_tenant) == {"a@x.com": "new"}
    assert await suppression.find(other_tenant, ["a@x.com"]) == []
    assert await suppression.remove(other_tenant, ["a@x.com"]) == []
    assert len(await suppression.listed(filled)) == 2
