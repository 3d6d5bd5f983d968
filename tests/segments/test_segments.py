"""Saved segments, and definitions as they arrive: text, files, mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.segments import definition, fields, segments

US = {"field": "country", "op": "equals", "value": "US"}


async def test_saved_segments_are_counted_and_looked_into(tenant: Tenant) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, country) "
            "SELECT %s, 'lead' || n || '@example.org', (ARRAY['US','GB'])[1 + n %% 2] "
            "FROM generate_series(1, 100) AS n",
            [tenant.workspace_id],
        )
    made = await segments.create(tenant, "us", US)
    counted = await segments.count(tenant, "us")
    first = await segments.preview(tenant, "us", rows=30)
    second = await segments.preview(tenant, "us", rows=30, after=first[-1]["id"])
    assert (made.version, counted.count, counted.estimated) == (1, 50, False)
    assert (len(first), len(second)) == (30, 20)
    assert {lead["country"] for lead in first + second} == {"US"}
    assert [(each.name, each.last_count) for each in await segments.listed(tenant)] == [("us", 50)]


async def test_a_preview_shows_the_newest_and_goes_on_behind_a_lead(tenant: Tenant) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, country, created_at)"
            " SELECT %s, 'lead' || n || '@example.org', 'US', now() - (n / 3) * interval '10 days'"
            " FROM generate_series(1, 60) AS n",
            [tenant.workspace_id],
        )
    old = {"all": [US, {"field": "created_at", "op": "before", "value": "45 days ago"}]}
    pages, after = [], 0
    while page := await segments.preview(tenant, old, rows=7, after=after):
        pages.append(page)
        after = page[-1]["id"]
    keys = [(lead["created_at"], lead["id"]) for page in pages for lead in page]
    assert len(keys) == len(set(keys)) == (await segments.count(tenant, old)).count == 46
    assert keys == sorted(keys, reverse=True)
    with pytest.raises(InvalidInput, match="there is no lead with the id 999999999"):
        await segments.preview(tenant, old, after=999_999_999)


async def test_names_are_taken_once_and_checked(tenant: Tenant, other_tenant: Tenant) -> None:
    await segments.create(tenant, "us", US)
    with pytest.raises(Conflict, match="a segment of that name exists"):
        await segments.create(tenant, "us", {})
    with pytest.raises(InvalidInput):
        await segments.create(tenant, " \n", {})
    await segments.create(tenant, "german founders", {})
    for given, hint in (("germ founders", 'did you mean "german founders"?'), ("zzz", "outreachdb segment list")):
        with pytest.raises(NotFound, match="no segment named") as raised:
            await segments.count(tenant, given)
        assert raised.value.hint == hint
    with pytest.raises(NotFound) as raised:
        await segments.count(other_tenant, "us")
    assert raised.value.hint == "outreachdb segment list"  # other workspaces' names are not told


async def test_a_wrong_definition_is_not_saved(tenant: Tenant) -> None:
    with pytest.raises(InvalidInput, match="there is no field"):
        await segments.create(tenant, "bad", {"field": "nope", "op": "is_set"})
    assert await segments.listed(tenant) == []


@pytest.mark.parametrize(
    ("text", "spot"),
    [
        ("{", "no JSON at line 1, column 2"),
        ("[]", "definition: must be an object"),
        ('{"all": [{}, 3]}', "all[1]: must be an object"),
        ('{"all": [{"field": "title", "op": "wrong"}]}', "all[0].op: no such operator"),
        ('{"all": [{"field": "title", "op": "looks_like", "value": "("}]}', "all[0].op: no such operator"),
        ('{"field": "title", "op": "equals", "value": [1, {}]}', "value: must be a text, a number"),
        ('{"field": "title", "op": "equals", "value": 1e999}', "value: must be a text, a number"),
        ('{"field": "title", "op": "equals", "value": NaN}', "NaN is not JSON"),
        ('{"field": "title", "op": "equals", "value": "\\u0000"}', "NUL"),
        ('{"field": "title", "op": "equals", "value": "\\ud800"}', "no JSON"),
        ('{"field": "id", "op": "gte", "value": ' + "1" * 5_000 + "}", "number that is too long"),
        ('{"op": "is_set"}', "field: is missing"),
        ('{"field": "title", "op": "is_set", "extra": 1}', "extra: unknown key"),
        ('{"all": [], "any": []}', "unknown key"),
        ('{"not":' * 10_000, "nested too deep"),
        ('{"not":' * 33 + "{}" + "}" * 33, "nested too deep"),
        ('{"any": [' + ",".join(['{"field": "title", "op": "is_set"}'] * 501) + "]}", "too many conditions"),
        ('{"field": "title", "op": "equals", "value": "' + "x" * 300_000 + '"}', "too large"),
    ],
)
def test_malformed_definitions_are_pointed_at(text: str, spot: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        definition.parse(text)
    assert spot in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "pointer", "told"),
    [
        ({"all": [{}, {"field": "contry", "op": "is_set"}]}, "/all/1/field", 'did you mean "country"?'),
        ({"any": [{"field": "tags", "op": "contains", "value": "x"}]}, "/any/0/op", "has_any"),
        ({"not": {"field": ["custom"], "op": "is_set"}}, "/not/field", "there is no field"),
        ({"field": 3, "op": "is_set"}, "/field", "must be a field's name or a list of keys"),
        ({"event": "opend"}, "/event", 'no such event: "opend" (did you mean "opened"?)'),
        ({"field": "score", "op": "gte", "value": 70}, "/field", 'did you mean "qualification_score"?'),
        ({"field": "Company", "op": "is_set"}, "/field", 'did you mean "company_name"?'),
        ({"field": "mobile", "op": "is_set"}, "/field", 'did you mean "phone"?'),
        ({"field": "Shoe size", "op": "is_set"}, "/field", 'or "custom.Shoe size" for a column of your own)'),
        (
            {"field": "qualification_score", "op": ">=", "value": 70},
            "/op",
            'did you mean "gte"? this field takes equals',
        ),
        (
            {"field": "title", "op": "contain", "value": "x"},
            "/op",
            'no such operator: "contain" (did you mean "contains"?',
        ),
        ({"field": "tags", "op": "zzz", "value": "x"}, "/op", "(this field takes has_any, has_none, has_all, is_set"),
        ({"field": "title", "op": ["in"], "value": "x"}, "/op", "no such operator; there are equals"),
        ({"field": "title", "op": "in", "values": ["x"]}, "/values", 'unknown key; did you mean "value"?'),
        ({"event": "opened", "op": "equals"}, "/op", "unknown key; there are event, campaign, at_least, within_days"),
        ({"all": {}}, "/all", "list"),
    ],
)
def test_the_shape_is_pointed_at_and_names_are_suggested(wrong: dict[str, Any], pointer: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        definition.check(wrong)
    assert caught.value.problem()["path"] == pointer
    assert told in str(caught.value)


async def test_the_database_points_and_suggests_as_well(tenant: Tenant) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            """INSERT INTO outreach.leads (workspace_id, custom_fields) VALUES (%s, '{"Employees": 5}')""",
            [tenant.workspace_id],
        )
    for wrong, pointer, told in (
        ({"all": [{}, {"field": "contry", "op": "is_set"}]}, "/all/1/field", 'did you mean "country"?'),
        ({"not": {"field": "employees", "op": "is_set"}}, "/not/field", 'did you mean "custom.Employees"?'),
        ({"any": [{"field": "created_at", "op": "before", "value": "2026-02-30"}]}, "/any/0/value", "no date"),
        ({"field": "id", "op": "in", "value": [1, "x"]}, "/value/1", "must be a number"),
    ):
        with pytest.raises(InvalidInput) as caught:
            async with tenant.session() as session:
                await session.value("SELECT outreach.count_segmented_leads(%s)", [Jsonb(wrong)])
        assert caught.value.problem()["path"] == pointer
        assert told in str(caught.value)


async def test_both_lists_of_fields_are_one(tenant: Tenant) -> None:
    async with tenant.session() as session:
        listed = await session.all("SELECT field, kind, operators FROM outreach.segment_fields()")
        custom = await session.value("SELECT outreach.segment_custom_operators()")
        columns = await session.value(
            "SELECT array_agg(attname::text) FROM pg_attribute"
            " WHERE attrelid = 'outreach.leads'::regclass AND attnum > 0 AND NOT attisdropped"
        )
    ours = {field: (kind, ops) for kind, (ops, names) in fields.KINDS.items() for field in names}
    assert {row["field"]: (row["kind"], tuple(row["operators"])) for row in listed} == ours
    assert tuple(custom) == fields.CUSTOM
    assert set(columns) - set(ours) == {"workspace_id", "email_key", "custom_fields"}


def test_a_backslash_before_u0000_is_only_text() -> None:
    value: dict[str, Any] = {"field": "title", "op": "equals", "value": "\\u0000"}
    assert definition.check(value) == value


def test_definitions_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "us.json").write_text('{"field": "country", "op": "equals", "value": "US"}', encoding="utf-8")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "windows.json").write_text('{"field": "country", "op": "equals", "value": "US"}', encoding="utf-8-sig")
    assert definition.load(f"@{tmp_path}/us.json") == definition.load(f"@{tmp_path}/windows.json") == US
    for name in ("missing.json", "binary.json", ""):
        with pytest.raises(InvalidInput, match=str(tmp_path)):
            definition.load(f"@{tmp_path}/{name}")


async def test_a_country_is_meant_however_it_is_written(tenant: Tenant) -> None:
    written = ["DE", "de", "DEU", "Germany", "Deutschland", "Allemagne", "US", "U.S.A.", "United States of America",
               "Korea, Republic of", "NA", "Atlantis", None]  # fmt: skip
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, country)"
            " SELECT %s, 'p' || n || '@x.example', c FROM unnest(%s::text[]) WITH ORDINALITY AS u (c, n)",
            [tenant.workspace_id, written],
        )

    async def who(op: str, *value: Any) -> list[str | None]:
        asked = {"field": "country_code", "op": op} | ({"value": value[0]} if value else {})
        return [row["country"] for row in reversed(await segments.preview(tenant, asked))]

    assert await who("equals", "de") == written[:6]
    assert await who("in", ["US", "KR", "NA"]) == written[6:11]
    assert await who("not_equals", "DE") == written[6:]
    assert await who("is_not_set") == written[11:]
    # As it is written it can be asked for as ever.
    exactly = {"field": "country", "op": "equals", "value": "Germany"}
    assert len(await segments.preview(tenant, exactly)) == 1
    for wrong, hint in (("Germany", 'did you mean "DE"'), ("XX", "two letters of ISO 3166")):
        with pytest.raises(InvalidInput, match=f"there is no country .*{wrong}.*{hint}"):
            await who("equals", wrong)
