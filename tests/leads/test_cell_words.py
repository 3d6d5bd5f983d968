"""What cells say that say nothing, and tags that hold what tags are split at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lead_rows import leads, value

from outreachdb.db.tenant import Tenant
from outreachdb.leads.importing import import_file, import_rows

NOTHING = ("-", "--", "---", "–", "—", ".", "?", "n/a", "N/A", "n.a.", "#N/A", "null", "NULL", "(null)", "<null>",
           "[null]", "none", "(none)", "NaN", "NaT", "<NA>", "nil", "\\N", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?",
           "#NUM!", "#NULL!", "undefined", "(empty)", "(Blank)")  # fmt: skip
SAYS = ("NA", "unknown", "0", "no", "nothing", "N")


async def test_words_for_nothing_are_empty_cells_and_reject_no_row(
    tenant: Tenant, csv_file: Callable[..., Path]
) -> None:
    head = ("email", "title", "website", "linkedin url", "score", "country", "tags", "phone")
    rows = [(f"a{n}@x.example", word, word, word, word, word, word, word) for n, word in enumerate(NOTHING)]
    report = await import_file(tenant, csv_file(head, *rows))
    assert (report.inserted, report.rejected) == (len(NOTHING), 0)
    columns = "DISTINCT title, company_website, linkedin_url, qualification_score, country, tags, phone"
    found = await leads(tenant, f"{columns}, 1 AS email_key, 1 AS id")
    assert found == [{"title": None, "company_website": None, "linkedin_url": None, "qualification_score": None,
                      "country": None, "tags": [], "phone": None, "email_key": 1, "id": 1}]  # fmt: skip
    words = [(f"b{n}@x.example", word) for n, word in enumerate(SAYS)]
    kept = await import_file(tenant, csv_file(("email", "title"), *words))
    assert kept.inserted == len(SAYS)
    assert {row["title"] for row in await leads(tenant, "title, email_key, id")} == {None, *SAYS}


async def test_a_tag_in_quotes_may_hold_what_tags_are_split_at(tenant: Tenant, csv_file: Callable[..., Path]) -> None:
    cells = {
        'a, "b, c" ;d|"e ""f"""': ["a", "b, c", "d", 'e "f"'],
        '5" pipe, 6" pipe': ['5" pipe', '6" pipe'],
        '"open, end': ['"open', "end"],
        '"a"b, c': ['"a"b', "c"],
        ",;|, x ,x,": ["x"],
        "Team ::: * myContacts ::: a:b": ["Team", "myContacts", "a:b"],
        '"* starred", "x ::: y"': ["* starred", "x ::: y"],
        '"none"': ["none"],
        '""': [],
    }
    rows = [(f"a{n}@x.example", cell) for n, cell in enumerate(cells)]
    await import_file(tenant, csv_file(("email", "tags"), *rows))
    assert [row["tags"] for row in await leads(tenant, "tags, email_key, id")] == list(cells.values())
    joined = "SELECT bool_and(outreach.split_tags(outreach.joined_tags(tags)) = tags) FROM outreach.leads"
    assert await value(tenant, joined) is True
    await import_rows(tenant, [{"email": "a0@x.example", "tags": ["new, one", 'x"y', "a"]}])
    assert await value(tenant, "SELECT tags FROM outreach.leads WHERE email_key = 'a0@x.example'") == [
        *cells['a, "b, c" ;d|"e ""f"""'], "new, one", 'x"y',
    ]  # fmt: skip
