"""An address is what email-validator says it is (without DNS), through every way in: no disagreement on any of many."""

from __future__ import annotations

import csv
import itertools
import json
import random
import re
import unicodedata

import pytest
from email_validator import EmailNotValidError, validate_email
from lead_rows import leads, value

from outreachdb.leads.importing import import_file, rejects

LEAST = 10_000
# ruff: noqa: E501 - nasty on purpose
LOCALS = (
    "ann", "Ann.Lee", "a", "x" * 63, "x" * 64, "x" * 65, "x" * 200, "o'neil", "a+b", "a_b-c", "!#$%&'*+/=?^_`{|}~", "1", "info",
    "Info", "POSTMASTER", "gü", "GÜ", "josé", "jose\u0301", "björn.ek", "иван", "δοκιμή", "用户", "मेल", "a\u0338", "ß", "ſ", "İ", "ŉ",
    "", ".a", "a.", "a..b", "a b", '"a b"', '"a"', "a@b", "a,b", "a;b", "a:b", "a(b)", "a<b", "<a", "a>b", "a[b", "a\\b", "a\tb",
    "\u200ba", "a\u200bb", "a\u00a0b", "a\u00adb", "\u0301a", "a\u037eb", "😀", "a😀", "\ufb01n", "\u202ea", "a\u2028b", "\ue000", "à",
    "\u0378", "ａ", "a．b", "٣",
)  # fmt: skip
DOMAINS = (
    "example.com", "EXAMPLE.COM", "x.co", "a.b.c.d.example.org", "example.museum", "example.technology", "a-b.de", "a--b.de",
    "ab--c.de", "xn--mnchen-3ya.de", "XN--MNCHEN-3YA.de", "xn--.de", "xn--a.de", "xn--zzzzzz-.com", "x.xn--p1ai", "münchen.de",
    "MÜNCHEN.DE", "mu\u0308nchen.de", "straße.de", "faß.de", "пример.рф", "例え.jp", "例え。jp", "a．b．com", "ex\u00adample.com",
    "x\u200b.com", "x.\u0301com", "例え.テスト", "בדיקה.com", "1.בדיקה.com", "x.test", "x.TEST", "test", "x.invalid", "x.local", "localhost", "x.localhost",
    "x.onion", "1.168.192.in-addr.arpa", "x.example", "example", "x.mylocal", "latest.com", "contest", "x.contest",
    "x.com.", ".x.com", "x..com", "-x.com", "x-.com", "x.-com", "x.com-", "x_y.com", "x.1", "1.2.3.4", "[1.2.3.4]", "[IPv6:::1]",
    "x.c", "x.c1", "x.1c", "123.com", f"{'a' * 63}.com", f"{'a' * 64}.com", f"{'a.' * 120}com", f"{'abcdefghi.' * 24}com",
    f"{'abcdefghi.' * 25}com", f"{'ü' * 50}.de", f"{'ü' * 60}.de", "a b.com", "a,b.com", "a@b.com", "", "x.com>", "x.com/y", "x.com?z", "x.com:25",
    "ⓧ.com", "x⒈com", "€.com", "☃.net", "♥.ws", "\u1fefx.com", "xn--ls8h.la", "x.com\u00a0y", "ex ample.com", "x.c\u043em", "ab--ü.de",
)  # fmt: skip
PIECES = "abcXYZ019.-_+@'\"<>()[]:;,\\ éüßñžıμя用\u0301\u0338\u200d\u00ad．。😀"


def collected():
    """Nasty parts with each other, ordinary ones, and texts of nasty pieces: always the same."""
    source = random.Random(20_260_101)
    yield from (f"{local}@{domain}" for local, domain in itertools.product(LOCALS, DOMAINS))
    yield from (address for address in (*LOCALS, *DOMAINS) if address)
    words = [word for word in (*LOCALS, *DOMAINS) if word.isalnum() and len(word) < 20]
    for _ in range(4000):
        local = source.choice("._-+").join(source.choices(words, k=source.randint(1, 3)))
        yield f"{local}@{source.choice('.-').join(source.choices(words, k=source.randint(1, 3)))}.{source.choice(words)}"
    plain = ("ann", "bo", "lee-1", "x_y", "o'neil", "gü", "josé", "example", "mail2", "de", "com", "co", "io", "agency")
    for _ in range(4000):
        host = source.choice(".-").join(source.choices(("acme", "x1", "big", "mail"), k=source.randint(1, 4)))
        yield f"{'.'.join(source.choices(plain, k=source.randint(1, 3)))}{source.randint(1, 999)}@{host}.{source.choice(plain)}"
    for _ in range(4000):
        yield "".join(source.choices(PIECES, k=source.randint(1, 12))) + source.choice(("", "@x.com", "@", ".com"))
    for _ in range(2000):
        address = list(f"{source.choice(LOCALS)}@{source.choice(DOMAINS)}")
        address[source.randrange(len(address))] = source.choice(PIECES)
        yield "".join(address)


def cases():
    """Each once, composed as every cell of an import is. White space and invisible characters around a cell are trimmed; "<a@b.co>" is a form of its own."""
    found = {}
    for address in collected():
        edges = {address[:1], address[-1:]}
        around = any(edge.isspace() or unicodedata.category(edge) in {"Cf", "Cc"} for edge in edges if edge)
        if address and not around and not address.endswith(">") and not address.lower().startswith("mailto:"):
            found[unicodedata.normalize("NFC", address)] = None
    return list(found)


def judged(address):
    """The address that email-validator makes of a text, None where it refuses."""
    try:
        return validate_email(address, check_deliverability=False).normalized
    except EmailNotValidError:
        return None


@pytest.fixture(scope="module")
def verdicts():
    found = {address: judged(address) for address in cases()}
    assert len(found) >= LEAST
    assert min(sum(each is None for each in found.values()), sum(each is not None for each in found.values())) > 2000
    return found


async def test_a_file_import_agrees_with_email_validator(tenant, tmp_path, verdicts, capsys):
    path = tmp_path / "addresses.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["email", "name"], *([address, "x"] for address in verdicts)])
    report = await import_file(tenant, path)
    refused = {row["row_number"] async for row in rejects(tenant, report.import_id)}
    wrong = [
        (address, right)
        for number, (address, right) in enumerate(verdicts.items(), start=1)
        if (right is None) != (number in refused)
    ]
    with capsys.disabled():
        print(f"\n{len(verdicts):,} addresses, {len(verdicts) - len(refused):,} accepted: {len(wrong)} disagreements")
    assert wrong == []
    async with tenant.session() as session:
        lowered = await session.all(
            "SELECT DISTINCT lower(a) AS key FROM unnest(%s::text[]) AS a", [[a for a in verdicts.values() if a]]
        )
    assert {lead["email_key"] for lead in await leads(tenant)} == {row["key"] for row in lowered}


async def test_sql_refuses_only_what_is_certain_and_all_of_ascii(tenant, verdicts):
    given = list(verdicts)
    async with tenant.session() as session:
        rows = await session.all(
            """SELECT a, outreach.email_problem(outreach.cell_of(a)) IS NULL AS taken,
                      outreach.ordinary_email(outreach.cell_of(a)) AS ordinary
               FROM unnest(%s::text[]) AS a""",
            [given],
        )
        found = await session.one(
            "SELECT * FROM outreach.bulk_insert_leads(%s)", [json.dumps([{"email": address} for address in given])]
        )
    assert [row["a"] for row in rows if row["ordinary"] and verdicts[row["a"]] is None] == []
    assert [row["a"] for row in rows if not row["taken"] and verdicts[row["a"]] is not None] == []
    certain = [row for row in rows if row["a"].isascii() and not re.search("xn--", row["a"], re.IGNORECASE)]
    assert [row["a"] for row in certain if row["taken"] and verdicts[row["a"]] is None] == []
    assert sum(row["ordinary"] for row in rows) > 2000
    by_call = {each["row"] for each in found["errors"]}
    # A call looks at the domain with plain dots: it may refuse more, never what is an address.
    assert by_call >= {number for number, row in enumerate(rows, start=1) if not row["taken"]}
    assert [given[number - 1] for number in by_call if verdicts[given[number - 1]] is not None] == []
    assert await value(tenant, "SELECT count(*) FROM outreach.leads WHERE email_status <> 'unchecked'") == 0


def test_every_letter_of_ordinary_addresses_is_taken_as_it_is():
    """The class of letters in outreach.ordinary_email, one by one: accepted, and composed already."""
    letters = [chr(code) for code in (*range(0xC0, 0xD7), *range(0xD8, 0xF7), *range(0xF8, 0x250))]
    assert [each for each in letters if judged(f"a{each}b.{each}@example.com") != f"a{each}b.{each}@example.com"] == []


async def test_sql_gives_accepted_addresses_the_library_s_form(tenant, verdicts):
    right = [(address, form) for address, form in verdicts.items() if form]
    rng = random.Random(3492)
    letters = "äßéłđabcz-09бдяЖπως東京都한국भारतกขابپ"
    labels = ("".join(rng.choices(letters, k=rng.randint(1, 12))) for _ in range(3000))
    hosts = (form[2:-4] for form in filter(None, (judged(f"a@{label}.com") for label in labels)) if not form.isascii())
    right += [(f"a@XN--{host.encode('punycode').decode()}.com", f"a@{host}.com") for host in hosts]
    async with tenant.session() as session:
        rows = await session.all(
            """SELECT a, outreach.normal_address(a) AS stored, outreach.suppression_target(a) AS target,
                      lower(outreach.normal_address(a)) AS stored_key, lower(split_part(a, '@', 1)) AS local,
                      outreach.suppression_target(split_part(a, '@', 2)) AS domain, lower(form) AS form
               FROM unnest(%s::text[], %s::text[]) AS t (a, form)""",
            [[address for address, _ in right], [form for _, form in right]],
        )
    # The library writes "info" for "Info"; letters' case in front of the @ is no difference here.
    wrong = [
        row
        for row in rows
        if not row["form"] == row["stored_key"] == row["target"] == f"{row['local']}@{row['domain']}"
    ]
    assert wrong == []
    assert sum("xn--" in address.lower() for address, _ in right) > 300
    ascii_only = [row for row in rows if row["a"].isascii() and "xn--" not in row["a"].lower()]
    assert [row for row in ascii_only if row["stored"] != row["a"]] == []


async def test_forms_of_cells(tenant, csv_file):
    rows = [
        ("mailto:a1@x.com",), ("MAILTO:a2@x.com?subject=Hi%20there",), ("Ann Lee <a3@x.com>",), ('"Lee, Ann" <A4@X.com>',),
        ("<a5@x.com>",), ("\u00a0a6@x.com\u200b",), ("\ufeffa7@x.com",), ("a8@xn--mnchen-3ya.de",), ("A8@MÜNCHEN.de",),
        ("\u00a0\u200b ",), ("<>",), ("Ann <not one>",), ("mailto:",),
    ]  # fmt: skip
    report = await import_file(tenant, csv_file(("email", "city"), *((*row, "Rome") for row in rows)))
    assert (report.rejected, report.inserted, report.skipped) == (3, 9, 1)
    found = {lead["email"] for lead in await leads(tenant)}
    assert found == {f"a{n}@x.com" for n in (1, 2, 3, 5, 6, 7)} | {"A4@X.com", "A8@münchen.de", None}
    async with tenant.session() as session:
        called = await session.one(
            "SELECT * FROM outreach.bulk_insert_leads(%s)",
            [json.dumps([{"email": row[0], "city": "Rome"} for row in rows])],
        )
    assert called["rejected"] == 3


async def test_role_and_disposable_addresses_are_flagged(tenant, csv_file):
    path = csv_file(("email",), ("Info@x.com",), ("ann@mailinator.com",), ("sales@MAILINATOR.com",), ("bo@x.com",))
    assert (await import_file(tenant, path)).inserted == 4
    flags = {lead["email_key"]: lead["email_flags"] for lead in await leads(tenant)}
    assert flags == {
        "info@x.com": ["role"], "ann@mailinator.com": ["disposable"], "sales@mailinator.com": ["disposable", "role"],
        "bo@x.com": None,
    }  # fmt: skip
