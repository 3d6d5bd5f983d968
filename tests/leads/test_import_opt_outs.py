"""An opt-out in a file holds whatever else becomes of its row, and only what says that it is one counts as one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lead_rows import leads, value

from outreachdb.db.tenant import Tenant
from outreachdb.leads import suppression
from outreachdb.leads.importing import import_file, undo
from outreachdb.leads.importing.policy import OnConflict


async def statuses(tenant: Tenant) -> dict[str, str]:
    return {each["email_key"]: each["status"] for each in await leads(tenant)}


async def suppressed(tenant: Tenant) -> dict[str, str]:
    return {each["target"]: each["reason"] for each in await suppression.listed(tenant)}


# Values that speak against a header are no reason to reject anybody, unless the column is said to be that field.
SAID = {"Score": "qualification_score", "Website": "company_website"}


@pytest.mark.parametrize("policy", ["update", "fill", "skip"])
async def test_an_opt_out_counts_though_its_row_is_rejected(
    tenant: Tenant, csv_file: Callable[..., Path], policy: OnConflict
) -> None:
    await import_file(tenant, csv_file(("email",), ("opt@x.com",), ("id@x.com",), ("free@x.com",)))
    path = csv_file(
        ("email", "Unsubscribed", "Score", "Website", "external id"),
        ("Opt@x.com", "yes", "many", "", ""),
        ("free@x.com", "no", "many", "", ""),
        ("later@x.com", "yes", "", "no address", ""),
        ("one@x.com", "", "1", "", "7"),
        ("id@x.com", "yes", "1", "", "7"),
        ("one@x.com", "", "1", "", "7"),
        ("no@@x.com", "yes", "", "", ""),
        ("ragged@x.com", "yes"),
        ("plain@x.com", "", "3", "", ""),
    )
    report = await import_file(tenant, path, on_conflict=policy, mapping=SAID)
    assert (report.inserted, report.rejected) == (2, 6)
    expected = {"opt@x.com": "unsubscribed", "later@x.com": "unsubscribed", "id@x.com": "unsubscribed"}
    assert await suppressed(tenant) == expected
    assert await statuses(tenant) == {"free@x.com": "new", "id@x.com": "unsubscribed", "one@x.com": "new",
                                      "opt@x.com": "unsubscribed", "plain@x.com": "new"}  # fmt: skip
    # Corrected, the rejected row of somebody who was not there yet arrives suppressed.
    await import_file(tenant, csv_file(("email", "Website"), ("later@x.com", "x.com")), on_conflict=policy)
    assert (await statuses(tenant))["later@x.com"] == "unsubscribed"


async def test_a_call_takes_the_opt_out_of_a_rejected_row(tenant: Tenant) -> None:
    rows = [
        {"email": "opt@x.com", "unsubscribed": True, "qualification_score": "many"},
        {"email": "nested@x.com", "bounced": "yes", "city": {"name": "Rome"}},
        {"email": "no@@x.com", "unsubscribed": True},
        {"email": "empty@x.com", "unsubscribed": [], "blocked": {}},
        {"email": "free@x.com", "unsubscribed": False, "qualification_score": "many"},
    ]
    async with tenant.session() as session:
        await session.execute("SELECT outreach.bulk_insert_leads(%s)", ['[{"email": "opt@x.com"}]'])
        found = await session.one("SELECT * FROM outreach.bulk_insert_leads(%s)", [json.dumps(rows)])
    assert found is not None
    assert (found["rows_read"], found["rejected"]) == (5, 5)
    assert await suppressed(tenant) == {"opt@x.com": "unsubscribed", "nested@x.com": "bounced"}
    assert await statuses(tenant) == {"opt@x.com": "unsubscribed"}
    assert await value(tenant, "SELECT count(*) FROM outreach.leads") == 1


SUPPRESSED = {"gone@x.com": "unsubscribed", "dead@x.com": "bounced", "closed.example": "complained"}


@pytest.mark.parametrize("by_call", [False, True])
async def test_a_lead_takes_over_the_opt_out_of_an_address_that_it_gets(
    tenant: Tenant, csv_file: Callable[..., Path], *, by_call: bool
) -> None:
    for target, reason in SUPPRESSED.items():
        await suppression.add(tenant, [target], reason=reason)
    head = ("external id", "email")

    async def give(rows: list[tuple[str, str]], policy: OnConflict) -> None:
        if not by_call:
            await import_file(tenant, csv_file(head, *rows), on_conflict=policy)
            return
        documents = json.dumps([{"source_key": key, "email": email or None} for key, email in rows])
        async with tenant.session() as session:
            await session.execute("SELECT outreach.bulk_insert_leads(%s, %s)", [documents, policy])

    async def by_id() -> dict[str, str]:
        return {each["source_key"]: each["status"] for each in await leads(tenant)}

    await give(
        [("1", "old@x.com"), ("2", ""), ("3", "c@x.com"), ("4", "d@x.com"), ("5", "e@x.com"), ("6", "")], "update"
    )
    await suppression.add(tenant, ["e@x.com"], reason="unsubscribed")
    assert await by_id() == {**dict.fromkeys("12346", "new"), "5": "unsubscribed"}
    await give([("2", "gone@x.com"), ("6", "f@x.com")], "fill")
    assert await by_id() == {**dict.fromkeys("1346", "new"), "2": "unsubscribed", "5": "unsubscribed"}
    await give([("1", "dead@x.com"), ("3", "any@closed.example"), ("4", "fine@x.com"), ("5", "dead2@x.com")], "update")
    assert await by_id() == {"1": "bounced", "2": "unsubscribed", "3": "unsubscribed", "4": "new", "5": "unsubscribed",
                             "6": "new"}  # fmt: skip
    assert [each["email"] for each in await leads(tenant)] == [
        "any@closed.example", "dead2@x.com", "dead@x.com", "f@x.com", "fine@x.com", "gone@x.com"]  # fmt: skip


async def test_where_somebody_may_opt_out_is_no_opt_out(tenant: Tenant, csv_file: Callable[..., Path]) -> None:
    says = {
        "https://news.example/u?x=1": False, "http://news.example/u": False, "www.news.example/unsubscribe": False,
        "mailto:leave@news.example?subject=unsubscribe": False,
        "<mailto:a@news.example>, <https://news.example/u>": False,
        '<a href="https://news.example/u">Unsubscribe</a>': False, "[]": False,
        "550 5.7.1 see https://news.example/why": True, "clicked the link": True, "yes": True,
    }  # fmt: skip
    path = csv_file(("email", "Unsubscribe"), *((f"p{n}@x.com", cell) for n, cell in enumerate(says)))
    await import_file(tenant, path)
    assert [(await statuses(tenant))[f"p{n}@x.com"] == "unsubscribed" for n in range(len(says))] == list(says.values())
    assert len(await suppressed(tenant)) == sum(says.values())


async def test_words_of_several_languages_say_that_somebody_opted_out(
    tenant: Tenant, csv_file: Callable[..., Path]
) -> None:
    words = {
        "Descadastrado": "unsubscribed", "descadastrada": "unsubscribed", "Inscrição cancelada": "unsubscribed",
        "DÉSABONNÉE": "unsubscribed", "Désinscrite": "unsubscribed", "Disiscritta": "unsubscribed",
        "Iscrizione annullata": "unsubscribed", "dada de baja": "unsubscribed", "Gesperrt": "blocked",
        # These may be an order or a contract.
        "Cancelado": None, "Cancellato": None, "Ativo": None,
    }  # fmt: skip
    path = csv_file(("email", "Status"), *((f"p{n}@x.com", word) for n, word in enumerate(words)))
    await import_file(tenant, path)
    found = await suppressed(tenant)
    assert [found.get(f"p{n}@x.com") for n in range(len(words))] == list(words.values())


async def test_an_undo_gives_the_address_back_and_keeps_the_opt_out(
    tenant: Tenant, csv_file: Callable[..., Path]
) -> None:
    await suppression.add(tenant, ["gone@x.com"], reason="unsubscribed")
    await import_file(tenant, csv_file(("external id", "email"), ("1", "old@x.com")))
    path = csv_file(
        ("external id", "email", "Unsubscribed", "Score"), ("1", "gone@x.com", "", ""), ("", "b@x.com", "1", "x")
    )
    report = await import_file(tenant, path, mapping={"Score": "qualification_score"})
    assert (report.updated, report.rejected) == (1, 1)
    assert report.import_id is not None
    undone = await undo(tenant, report.import_id)
    assert undone.restored == 1
    assert await statuses(tenant) == {"old@x.com": "unsubscribed"}
    assert set(await suppressed(tenant)) == {"b@x.com", "gone@x.com"}
