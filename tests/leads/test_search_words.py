"""Misspelt searches by the workspace's own words, hostile texts, and pages while others write."""

from __future__ import annotations

import random
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.tenant import Tenant
from outreachdb.leads.importing import import_file
from outreachdb.leads.search import search

WORDS = "SELECT array_agg(word ORDER BY word) FROM outreach.search_words WHERE workspace_id = %s"
FEW = (
    ("Email", "First Name", "Last Name", "Company"),
    ("james.kowalski@brightpath.example", "James", "Kowalski", "Brightpath Systems"),
    ("maria@northstone.example", "Maria", "Castillo", "Northstone"),
    ("michael.ito@cleargate.example", "Michael", "Ito", "Cleargate Médical"),
)


async def words(tenant: Tenant) -> list[str]:
    async with tenant.session() as session:
        return list(await session.value(WORDS, [tenant.workspace_id]) or [])


async def learn(tenant: Tenant) -> int:
    async with tenant.session() as session:
        return int(await session.value("SELECT outreach.learn_search_words()"))


async def names(tenant: Tenant, text: str, **more: Any) -> tuple[str, list[str]]:
    page = await search(tenant, text, **more)
    assert page.match == "exact" or page.next_cursor is None
    return page.match, [row["first_name"] for row in page.rows]


async def test_an_import_teaches_the_words_and_typos_find_their_leads(
    tenant: Tenant, other_tenant: Tenant, csv_file: Any
) -> None:
    await import_file(tenant, csv_file(*FEW))
    assert await words(tenant) == [
        "brightpath", "castillo", "cleargate", "example", "james", "kowalski", "maria", "michael", "médical",
        "northstone", "systems",
    ]  # fmt: skip
    for typo, name in (
        ("jmaes", "James"),
        ("kowalksi", "James"),
        ("brightpth", "James"),
        ("maira", "Maria"),
        ("castilo", "Maria"),
        ("notrhstone", "Maria"),
        ("micheal", "Michael"),
        ("micheal itto", "Michael"),
        ("clearagte", "Michael"),
        ("jmaes kowalksi", "James"),
        ("micheal@cleargat.example", "Michael"),
    ):
        match, found = await names(tenant, typo)
        if typo != "micheal itto":  # short words are taken as they stand
            assert (match, found[0]) == ("similar", name), typo
    assert (await names(tenant, "jmaes", where={"field": "last_name", "op": "equals", "value": "Ito"}))[1] == []
    assert await names(tenant, "qqqqwwww") == ("exact", [])
    # The neighbour knows none of these words, and his own are not ours.
    assert (await names(other_tenant, "kowalksi"), await words(other_tenant)) == (("exact", []), [])


async def test_the_nearest_spelling_comes_first_and_of_one_spelling_the_newest(tenant: Tenant, csv_file: Any) -> None:
    for name in ("Vineland", "Viniland", "Vinland", "Vineland", "Viniland"):  # one file after the other
        first = f"{name[3]}{len(await everybody(tenant))}"
        await import_file(tenant, csv_file(("First Name", "Last Name", "Phone"), (first, name, f"030 {first}")))
    assert await everybody(tenant) == ["i4", "e3", "l2", "i1", "e0"]
    assert await names(tenant, "vinleand") == ("similar", ["l2", "e3", "e0", "i4", "i1"])
    assert await names(tenant, "vinleand", limit=3) == ("similar", ["l2", "e3", "e0"])


ALIKE = """
INSERT INTO outreach.leads (workspace_id, email, first_name, last_name, country)
SELECT %(w)s, 'alike' || n || '@x.example', 'Alike', 'Vineland', 'DE' FROM generate_series(1, %(n)s) AS n
"""


async def test_what_a_small_workspace_has_in_no_word_is_found_exactly_before_anything_alike(tenant: Tenant) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            """INSERT INTO outreach.leads (workspace_id, email, first_name, last_name, country)
               VALUES (%(w)s, 'vinleand@y.example', 'Ann', 'Lee', 'US'), (%(w)s, 'bo@x.example', 'Bo', NULL, 'US')""",
            {"w": tenant.workspace_id},
        )
        await session.execute(ALIKE, {"w": tenant.workspace_id, "n": 3})
    await learn(tenant)
    german = {"field": "country", "op": "equals", "value": "DE"}
    # In an address only, of which words are not learned.
    assert await names(tenant, "vinleand") == ("exact", ["Ann"])
    assert await names(tenant, "vinleand ann") == ("exact", ["Ann"])
    assert await names(tenant, "vinleand", where=german) == ("similar", ["Alike"] * 3)
    assert await names(tenant, "vinelnad", limit=2) == ("similar", ["Alike"] * 2)
    assert await names(tenant, "vinelnad", where={"not": german}) == ("exact", [])
    assert await names(tenant, "zzzzqqqq") == ("exact", [])
    async with tenant.trusted() as session:  # more that are alike and newer than are looked at
        await session.execute(ALIKE.replace("alike'", "more'"), {"w": tenant.workspace_id, "n": 300})
    for text, sort in (("vinleand", "-created_at"), ("vinleand", "email"), ("inleand@y", "score")):
        assert await names(tenant, text, sort=sort) == ("exact", ["Ann"])


async def everybody(tenant: Tenant) -> list[str]:
    return (await names(tenant, ""))[1]


async def test_words_are_learned_from_changes_and_bulk_inserts_and_forgotten_with_their_leads(
    tenant: Tenant, csv_file: Any
) -> None:
    await import_file(tenant, csv_file(FEW[0], FEW[2]))
    await import_file(tenant, csv_file(FEW[0], ("maria@northstone.example", "Maria", "Montgomery", "Northstone")))
    assert "montgomery" in await words(tenant)
    async with tenant.session() as session:
        await session.execute(
            "SELECT outreach.bulk_insert_leads(%s)",
            [Jsonb([{"email": "z@x.example", "first_name": "Zbigniew"}, {"email": "no address"}])],
        )
    assert await names(tenant, "zbingiew") == ("similar", ["Zbigniew"])
    async with tenant.trusted() as session:
        await session.execute(
            "DELETE FROM outreach.leads WHERE workspace_id = %s AND first_name = 'Zbigniew'", [tenant.workspace_id]
        )
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, first_name) VALUES (%s, 'd@x.example', 'Dagmar')",
            [tenant.workspace_id],
        )
    assert await learn(tenant) == 1
    assert await words(tenant) == ["dagmar", "example", "maria", "montgomery", "northstone"]
    assert await learn(tenant) == 0


async def test_no_text_is_taken_for_a_pattern_or_for_sql(tenant: Tenant, csv_file: Any) -> None:
    hostile = ["100%", "a_b_c", "back\\slash", "O'Brien", '"quoted"', "$$dollar$$", "smile 😀 face",
               "%s %(x)s {} $1", "(or) 1=1 --", "E'\\x41'", "regex.*[a-z]+(?=x)", "ünïcödé", "日本語文字"]  # fmt: skip
    async with tenant.trusted() as session:
        for number, name in enumerate(hostile):
            await session.execute(
                "INSERT INTO outreach.leads (workspace_id, email, company_name) VALUES (%s, %s, %s)",
                [tenant.workspace_id, f"p{number}@x.example", name],
            )
    await learn(tenant)
    for name in hostile:
        page = await search(tenant, name)
        assert (page.match, [row["company_name"] for row in page.rows]) == ("exact", [name])
    for text in (
        "%%%a",
        "___a",
        "\\\\a",
        "'a''",
        "😀😀😀 abcd",
        "x" * 200,
        "a' OR 'a' = 'a",
        "((((aaaa",
        "-- aaaa",
        "/* aaaa",
    ):
        assert (await search(tenant, text)).match in ("exact", "similar")
        assert len((await search(tenant, text)).rows) < len(hostile)


async def test_pages_lose_and_repeat_nothing_while_others_insert(tenant: Tenant) -> None:
    source = random.Random(7)

    async def add(first: int, rows: int) -> None:
        async with tenant.trusted() as session:
            await session.execute(
                """
                INSERT INTO outreach.leads (workspace_id, email, first_name, company_name, qualification_score,
                                            qualified_at, created_at, updated_at)
                SELECT %(w)s, 'p' || n || '@x.example', 'Pat', CASE WHEN n %% 3 > 0 THEN 'Company ' || n %% 4 END,
                       CASE WHEN n %% 4 > 0 THEN n %% 3 END,
                       CASE WHEN n %% 2 = 0 THEN now() - n %% 5 * interval '1 day' END,
                       now() - n %% 6 * interval '1 hour', now() - n %% 7 * interval '1 minute'
                FROM generate_series(%(f)s::integer, %(f)s + %(n)s::integer - 1) AS n
                """,
                {"w": tenant.workspace_id, "f": first, "n": rows},
            )

    await add(1, 120)
    added = 121
    for sort in (
        "id",
        "-created_at",
        "updated_at",
        "-score",
        "score",
        "-qualified_at",
        "email",
        "-email",
        "company_name",
    ):
        for text in (None, "pat"):
            before = [row["id"] for row in (await search(tenant, text, sort=sort, limit=1000)).rows]
            seen: list[int] = []
            cursor = None
            while True:
                page = await search(tenant, text, sort=sort, limit=source.randint(5, 40), cursor=cursor)
                seen += [row["id"] for row in page.rows]
                cursor = page.next_cursor
                if cursor is None:
                    break
                await add(added, 2)
                added += 2
            assert len(set(seen)) == len(seen), sort
            known = set(before)
            assert [each for each in seen if each in known] == before, sort


async def test_a_page_needs_no_sort(tenant: Tenant) -> None:
    """Every order has an index down to the last key: what the plan of the walk shows."""
    orders = {
        "created_at DESC, id DESC": "ix_leads_created_at",
        "updated_at DESC, id DESC": "ix_leads_updated_at",
        "qualification_score DESC, created_at DESC, id DESC": "ix_leads_score_created",
        "qualified_at, id": "ix_leads_qualified_at",
        "company_name DESC, id DESC": "ix_leads_company_name",
        "email_key": "uq_leads_email_key",
    }
    async with tenant.trusted() as session:
        for kind in ("seqscan", "bitmapscan", "sort"):
            await session.execute(f"SET LOCAL enable_{kind} = off")
        for order, index in orders.items():
            key = order.split()[0].rstrip(",")
            plan = await session.all(
                f"EXPLAIN SELECT l.id FROM outreach.leads AS l WHERE l.workspace_id = (SELECT %s::bigint) "
                f"AND l.{key} IS NOT NULL ORDER BY {order} LIMIT 50",
                [tenant.workspace_id],
            )
            shown = "\n".join(row["QUERY PLAN"] for row in plan)
            assert index in shown, shown
            assert "Sort" not in shown, shown
