"""Search: what it finds, in which order, page by page, and what it refuses."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from outreachdb.config import Settings
from outreachdb.db.pools import Pools, connect
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput, NotFound, UsageError
from outreachdb.leads.search import SORTS, find, search
from outreachdb.tenancy import workspaces

FILL = """
INSERT INTO outreach.leads (workspace_id, email, first_name, last_name, company_name, country, qualification_score,
                            qualified_at, created_at)
SELECT %(w)s, CASE WHEN n %% 10 > 0 THEN 'person' || n || '@acme' || n %% 7 || '.example' END, 'Person' || n,
       CASE WHEN n %% 6000 = 17 THEN 'Needle' ELSE 'Family' END, CASE WHEN n %% 4 > 0 THEN 'Company ' || n %% 9 END,
       (ARRAY['US', 'GB'])[1 + n %% 2], CASE WHEN n %% 3 > 0 THEN n %% 5 + 0.1 END,
       CASE WHEN n %% 3 = 0 THEN now() - n %% 11 * interval '1 day' END, now() - n %% 13 * interval '1 hour'
FROM generate_series(1, %(n)s) AS n
"""


async def fill(tenant: Tenant, rows: int) -> None:
    async with tenant.trusted() as session:
        await session.execute(FILL, {"w": tenant.workspace_id, "n": rows})


async def pages(tenant: Tenant, **asked: Any) -> list[int]:
    ids: list[int] = []
    cursor = None
    while True:
        page = await search(tenant, **asked, cursor=cursor)
        ids += [row["id"] for row in page.rows]
        cursor = page.next_cursor
        if cursor is None:
            return ids


@pytest.fixture
async def people(tenant: Tenant) -> Tenant:
    async with tenant.trusted() as session:
        await session.execute(
            """
            INSERT INTO outreach.leads (workspace_id, email, first_name, last_name, company_name, country)
            VALUES (%(w)s, 'Ann.Lee@x.example', 'Ann', 'Lee', 'Acme Corp', 'US'),
                   (%(w)s, 'bo@y.example', 'Bo', 'Michaels', '100%% Fun_Co', 'GB'),
                   (%(w)s, NULL, 'Жанна', 'O''Brien', 'Back\\slash', NULL)
            """,
            {"w": tenant.workspace_id},
        )
    return tenant


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, {"Ann", "Bo", "Жанна"}),
        ("  ", {"Ann", "Bo", "Жанна"}),
        ("ANN.LEE@X.EXAMPLE", {"Ann"}),
        ("cme", {"Ann"}),
        ("acme ann", {"Ann"}),
        ("lee  acme an", {"Ann"}),
        ("y.example", {"Bo"}),
        ("bo", {"Bo"}),
        ("b", {"Bo", "Жанна"}),
        ("% fun_co", {"Bo"}),
        ("u_c", set()),
        ("жанна", {"Жанна"}),
        ("o'brien", {"Жанна"}),
        ("k\\s", {"Жанна"}),
        ("'; DROP TABLE outreach.leads; --", set()),
    ],
)
async def test_every_word_must_occur(people: Tenant, text: str | None, names: set[str]) -> None:
    page = await search(people, text)
    found = {row["first_name"] for row in page.rows} if page.match == "exact" else set()
    assert (found, page.next_cursor) == (names, None)


async def test_a_misspelt_name_is_found_all_the_same(people: Tenant) -> None:
    for text, name in (("micheals", "Bo"), ("akme corp", "Ann")):
        page = await search(people, text)
        assert (page.match, [row["first_name"] for row in page.rows]) == ("similar", [name])
        assert (await search(people, text, {"field": "country", "op": "equals", "value": "DE"})).rows == []
    assert (await search(people, "zzzyyyxxx")).rows == []


async def test_filters_are_segment_definitions(people: Tenant) -> None:
    page = await search(people, "example", {"field": "country", "op": "equals", "value": "GB"})
    assert [row["email"] for row in page.rows] == ["bo@y.example"]
    with pytest.raises(InvalidInput, match="there is no field"):
        await search(people, None, {"field": "nope", "op": "is_set"})


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS)])
async def test_pages_hold_every_lead_once_in_order(tenant: Tenant, sort: str) -> None:
    await fill(tenant, 60)
    once = [row["id"] for row in (await search(tenant, sort=sort, limit=1000)).rows]
    assert len(set(once)) == len(once) == 60
    assert await pages(tenant, sort=sort, limit=7) == once
    column = {"score": "qualification_score", "email": "email_key"}.get(sort.lstrip("-"), sort.lstrip("-"))
    async with tenant.session() as session:
        values = [
            row["v"]
            for row in await session.all(
                f"SELECT {column} AS v FROM unnest(%s::bigint[]) WITH ORDINALITY AS f (id, n) "
                "JOIN outreach.leads AS l USING (id) ORDER BY n",
                [once],
            )
        ]
    there = [value for value in values if value is not None]
    assert values == sorted(there, reverse=sort.startswith("-")) + [None] * (60 - len(there))


@pytest.mark.parametrize("sort", ["-created_at", "score", "company_name"])
async def test_what_is_rare_in_a_large_workspace_is_found_through_the_indexes(
    tenant: Tenant, other_tenant: Tenant, sort: str
) -> None:
    await fill(tenant, 18_020)
    await fill(other_tenant, 30)
    found = await pages(tenant, text="needle", sort=sort, limit=2)
    async with tenant.session() as session:
        wanted = await session.all("SELECT id FROM outreach.leads WHERE last_name = 'Needle'")
    assert len(found) == 4
    assert set(found) == {row["id"] for row in wanted}
    assert len(await pages(other_tenant, text="needle", sort=sort)) == 1
    # Of a long word only some trigrams are asked of the index: nearly every lead here has these.
    assert [row["email"] for row in (await search(tenant, "person6017@acme", sort=sort)).rows] == [
        "person6017@acme4.example"
    ]
    rare = {"field": "last_name", "op": "equals", "value": "Needle"}
    assert await pages(tenant, where=rare, sort=sort, limit=3) == found


CONDITIONS = """
SELECT c AS exact, outreach.search_thinned(c) AS weak, outreach.search_seen(c) AS seen
FROM outreach.search_condition(%(q)s) AS c
"""
SAID = """
SELECT {exact} AS exact, {weak} AS weak, {seen} AS seen
FROM (SELECT NULL AS first_name, NULL AS last_name, %(text)s::text AS email, NULL AS company_name,
             '  ' || %(text)s::text || ' ' AS searched) AS l
"""
LETTERS = st.text(alphabet="aaabbb111ééé.@-_%'\\", max_size=24)
LONG = st.text(alphabet="aaab1é.@-", min_size=11, max_size=24)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.connect(database_url, row_factory=dict_row, autocommit=True) as opened:
        yield opened


def test_of_a_long_word_the_index_is_asked_for_every_third_trigram(
    connection: psycopg.Connection[dict[str, Any]],
) -> None:
    asked = "carla.castillo christian.li@gmail.com größenänderungsliste brightmind a.b.c.d.e.f.g"
    row = connection.execute(CONDITIONS, {"q": asked}).fetchone()
    assert row is not None
    assert [re.sub("%+", "%", each.strip("%")) for each in re.findall("LIKE '%(.*?)%' ?(?:AND|$)", row["weak"])] == [
        "car%la.%cas%til%lo", "chr%ist%ian%.li@%gma%il.%com", "größenä%nde%run%gsl%ist%e", "brightmind",
        "a.b.c.d.e.f.g",
    ]  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=LETTERS, word=LETTERS | LONG, after=LETTERS | LONG, twice=st.booleans())
@example(before="ab", word="carla.castillo", after="@acme-company.example", twice=True)
def test_what_the_index_is_asked_for_is_implied_and_a_walk_asks_the_same(
    connection: psycopg.Connection[dict[str, Any]], before: str, word: str, after: str, twice: bool
) -> None:
    query = f"{word} {after}" if twice else word
    assume(any(character.isalnum() for character in query) and max(map(len, query.split())) > 2)
    row = connection.execute(CONDITIONS, {"q": query}).fetchone()
    assert row is not None
    statement = sql.SQL(SAID).format(**{name: sql.SQL(text.replace("%", "%%")) for name, text in row.items()})
    for text in (before + word + after, after + word, before, query):
        said = connection.execute(statement, {"text": text.lower()}).fetchone()
        assert said is not None
        assert said["weak"] or not said["exact"]
        assert said["seen"] == said["exact"]
        assert said["exact"] or text != query


TAGGED = """
INSERT INTO outreach.leads (workspace_id, email, first_name, tags, created_at, updated_at)
SELECT %(w)s, 'tagged' || n || '@x.example', 'Tagged' || n,
       CASE WHEN n BETWEEN 600 AND 19400 AND n %% 37 = 0 THEN '{rare}' ELSE '{common}' END::text[],
       now() - n / 3 * interval '1 minute', now() - (n * 7919 %% 20000) * interval '1 minute'
FROM generate_series(1, 20000) AS n
"""
ORDERED = """
SELECT l.id FROM outreach.leads AS l
WHERE l.workspace_id = %(w)s AND l.tags @> '{{rare}}' ORDER BY l.{key} {way}, l.id {way}
"""
WINDOW = """
SELECT outreach.search_window(%(w)s, %(condition)s, '', '{created_at,id}', true, 'l.created_at DESC, l.id DESC', 5000,
                              101) AS ids
"""


async def test_what_is_rare_is_met_in_the_part_of_the_list_that_should_do(own_database_url: str) -> None:
    """None of the first 500 has the tag; 500 of 20,000 have it, so that 6,000 of them should hold a page of 100."""
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        await workspaces.create(pools, "tags")
        tenant = await workspaces.tenant(pools, "tags")
        given = {"w": tenant.workspace_id, "condition": "l.tags && '{rare}'::text[]"}
        async with tenant.trusted() as session:
            await session.execute(TAGGED, given)
        async with await connect(own_database_url, autocommit=True) as connection:
            await connection.execute("ANALYZE outreach.leads")
        orders = [(key, way) for key in ("created_at", "updated_at", "id") for way in ("DESC", "ASC")]
        async with tenant.trusted() as session:
            wanted = {
                order: [row["id"] for row in await session.all(ORDERED.format(key=order[0], way=order[1]), given)]
                for order in orders
            }
            assert await session.value(WINDOW, given) == wanted["created_at", "DESC"][:101]
            # Nobody has it, or nearly everybody: no part of the list is worth asking for.
            for tag in ("none", "common"):
                other = given | {"condition": f"l.tags && '{{{tag}}}'::text[]"}
                assert await session.value(WINDOW, other) is None
        filters = {"field": "tags", "op": "has_any", "value": ["rare"]}
        for key, way in orders:
            sort = f"-{key}" if way == "DESC" else key
            assert await pages(tenant, where=filters, sort=sort, limit=100) == wanted[key, way]


async def test_leads_that_come_meanwhile_move_no_page(tenant: Tenant) -> None:
    await fill(tenant, 30)
    before = await pages(tenant, limit=10)
    first = await search(tenant, limit=10)
    await fill_more(tenant)
    rest = await pages_from(tenant, first.next_cursor)
    assert [row["id"] for row in first.rows] + rest == before


async def fill_more(tenant: Tenant) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, created_at) "
            "SELECT %s, 'later' || n || '@x.example', now() + interval '1 hour' FROM generate_series(1, 20) AS n",
            [tenant.workspace_id],
        )


async def pages_from(tenant: Tenant, cursor: str | None) -> list[int]:
    ids: list[int] = []
    while cursor is not None:
        page = await search(tenant, limit=10, cursor=cursor)
        ids += [row["id"] for row in page.rows]
        cursor = page.next_cursor
    return ids


def encoded(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "ä", "' OR true", "a" * 5000, encoded([]), encoded({"s": "x"}), encoded({"s": None, "p": 0, "k": []})],
)
async def test_a_cursor_from_nowhere_is_refused(people: Tenant, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor: "):
        await search(people, cursor=cursor)


async def test_a_cursor_goes_with_its_own_search_only(people: Tenant) -> None:
    first = await search(people, limit=1)
    assert first.next_cursor
    for other in ({"text": "example"}, {"sort": "email"}, {"where": {"field": "email", "op": "is_set"}}):
        with pytest.raises(InvalidInput, match="belongs to another search"):
            await search(people, **other, cursor=first.next_cursor)
    content = json.loads(base64.urlsafe_b64decode(first.next_cursor + "=="))
    for key in (["soon", 1], [content["k"][0]], [content["k"][0], "1; DROP TABLE outreach.leads"], [None, None], "x"):
        with pytest.raises(InvalidInput, match="is not one that a search gave"):
            await search(people, cursor=encoded(content | {"k": key}))


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"text": "@"}, "too short"),
        ({"text": "..."}, "too short"),
        ({"text": "x" * 201}, "too long"),
        ({"text": "a " * 11}, "too long"),
        ({"text": "a\0b"}, "text: holds a character"),
        ({"text": "\ud800"}, "text: holds a character"),
        ({"limit": 0}, "limit: "),
        ({"where": {"field": "notes", "op": "equals", "value": "\0"}}, "where: holds a character"),
        ({"where": {"field": "notes", "op": "equals", "value": float("nan")}}, "no JSON"),
        ({"where": {"field": "notes", "op": "equals", "value": "x" * 2_000_000}}, "too large"),
    ],
)
async def test_what_can_not_be_searched_is_refused(people: Tenant, asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        await search(people, **asked)


async def test_the_orders_are_those_of_the_database(people: Tenant) -> None:
    for order in SORTS:
        for sort in (order, f"-{order}"):
            assert len((await search(people, sort=sort)).rows) > 1
    for sort in ("notes", "--id", "", "-"):
        with pytest.raises(UsageError, match="there is no order"):
            await search(people, sort=sort)
    with pytest.raises(InvalidInput, match="there is no order notes") as caught:
        async with people.session() as session:
            await session.value("SELECT count(*) FROM outreach.search_leads_optimized(sort => 'notes')")
    assert re.split(", | or ", str(caught.value.hint).partition(";")[0]) == list(SORTS)


async def test_one_lead_by_id_or_address(people: Tenant, other_tenant: Tenant) -> None:
    ann = await find(people, "ANN.lee@x.example")
    assert await find(people, ann["id"]) == ann
    assert ann["first_name"] == "Ann"
    for unknown in ("nobody@x.example", "9" * 30, "", "١"):
        with pytest.raises(NotFound):
            await find(people, unknown)
    with pytest.raises(NotFound):
        await find(other_tenant, ann["id"])
    assert (await search(other_tenant, "ann")).rows == []


async def test_a_definition_nested_without_end_is_refused(people: Tenant) -> None:
    for levels in (40, 10_000):
        deep: dict[str, Any] = {}
        for _ in range(levels):
            deep = {"not": deep}
        with pytest.raises(InvalidInput, match="nested too deep"):
            await search(people, where=deep)
