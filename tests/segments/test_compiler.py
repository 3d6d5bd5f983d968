"""The compiler in the database against a plain reading in Python, and against hostile text."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from evaluator import COMPANIES, SUPPRESSED, matches
from hypothesis import HealthCheck, given, settings
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from strategies import definitions, leads

from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput
from outreachdb.segments import definition as definitions_module
from outreachdb.segments import segments

HOSTILE = [
    "' OR true --",
    "'); DROP TABLE outreach.leads; --",
    "\\'",
    "$$",
    "%",
    "_",
    "\\",
    "{}",
    '"',
    "l.id",
    "%L",
    "%s%I",
]

INSERT = """
INSERT INTO outreach.leads (workspace_id, first_name, title, company_name, country, status, tags, custom_fields,
                            qualification_score, qualification_latency_ms, qualified_at, email, company_id)
SELECT %(workspace_id)s, d.first_name, d.title, d.company_name, d.country, d.status, d.tags, d.custom_fields,
       d.qualification_score, d.qualification_latency_ms, d.qualified_at,
       replace(d.email, '@', ordinality || '@'), d.company_id
FROM jsonb_populate_recordset(NULL::outreach.leads, %(leads)s) WITH ORDINALITY AS d
RETURNING *
"""
BESIDE = [
    """INSERT INTO outreach.companies (workspace_id, id, name, industry, renewal_month)
       SELECT %(w)s, c.id, c.name, c.industry, c.renewal_month
       FROM jsonb_populate_recordset(NULL::outreach.companies, %(companies)s) AS c""",
    "INSERT INTO outreach.suppressions (workspace_id, target) VALUES (%(w)s, %(suppressed)s)",
]
# A cold lead may have a row or none.
LEVELS = """
INSERT INTO outreach.lead_engagement (workspace_id, lead_id, level)
SELECT %(w)s, id, level FROM unnest(%(ids)s::bigint[], %(levels)s::text[]) AS g (id, level)
WHERE level <> 'cold' OR id %% 2 = 0
"""


@pytest.fixture
def connection(database_url: str) -> Any:
    """A connection whose work is rolled back."""
    with psycopg.connect(database_url, row_factory=dict_row) as opened:
        yield opened
        opened.rollback()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=leads(), definition=definitions())
def test_compiler_agrees_with_a_plain_reading(
    connection: psycopg.Connection[dict[str, Any]], data: list[dict[str, Any]], definition: dict[str, Any]
) -> None:
    definitions_module.check(definition)
    with connection.transaction(force_rollback=True):
        workspace = connection.execute(
            "INSERT INTO outreach.workspaces (name) VALUES (gen_random_uuid()::text) RETURNING id"
        ).fetchone()
        assert workspace is not None
        given_leads = Jsonb(data, dumps=lambda value: json.dumps(value, default=str))
        companies = Jsonb([{"id": number} | company for number, company in COMPANIES.items()])
        beside = {"w": workspace["id"], "companies": companies, "suppressed": SUPPRESSED}
        for statement in BESIDE:
            connection.execute(statement, beside)
        rows = connection.execute(INSERT, {"workspace_id": workspace["id"], "leads": given_leads}).fetchall()
        levels = [lead["engagement"] for lead in data]
        connection.execute(LEVELS, {"w": workspace["id"], "ids": [row["id"] for row in rows], "levels": levels})
        rows = [row | {"engagement": level} for row, level in zip(rows, levels, strict=True)]
        connection.execute(f"SET LOCAL app.workspace_id = '{workspace['id']}'")
        connection.execute("SET LOCAL ROLE outreachdb_app")
        found = connection.execute(
            "SELECT id FROM outreach.get_segmented_leads(%s, 100)", [Jsonb(definition)]
        ).fetchall()
        counted = connection.execute("SELECT outreach.count_segmented_leads(%s) AS n", [Jsonb(definition)]).fetchone()
    expected = sorted(row["id"] for row in rows if matches(definition, row))
    assert [row["id"] for row in found] == expected
    assert counted == {"n": len(expected)}


@pytest.fixture
async def three(tenant: Tenant) -> Tenant:
    """Three leads: plain, with a hostile name, and with nothing at all."""
    async with tenant.trusted() as session:
        await session.execute(
            """
            INSERT INTO outreach.leads (workspace_id, email, first_name, country, custom_fields, tags)
            VALUES (%(w)s, 'Ann@Example.org', 'Ann', 'US', '{"Employees": "1000", "x": "%%"}', '{vip}'),
                   (%(w)s, 'bob@example.org', '%% OR _', 'GB', '{"Employees": 50}', '{}'),
                   (%(w)s, NULL, NULL, NULL, '{}', '{}')
            """,
            {"w": tenant.workspace_id},
        )
    return tenant


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({}, 3),
        ({"all": []}, 3),
        ({"any": []}, 0),
        ({"field": "email", "op": "equals", "value": "ANN@example.ORG"}, 1),
        ({"field": "first_name", "op": "contains", "value": "%"}, 1),
        ({"field": "first_name", "op": "not_contains", "value": "ann"}, 2),
        ({"not": {"field": "country", "op": "equals", "value": "US"}}, 2),
        ({"field": "country", "op": "not_in", "value": ["US", "GB"]}, 1),
        ({"field": "tags", "op": "has_none", "value": ["vip"]}, 2),
        ({"field": "custom.Employees", "op": "gte", "value": 1000}, 1),
        ({"field": "custom.Employees", "op": "equals", "value": 1000}, 1),
        ({"field": "custom.Employees", "op": "equals", "value": "50"}, 1),
        ({"field": "created_at", "op": "within_last", "value": "2 hours"}, 3),
        ({"field": "status", "op": "equals", "value": "new"}, 3),
    ],
)
async def test_known_counts(three: Tenant, definition: dict[str, Any], expected: int) -> None:
    assert (await segments.count(three, definition)).count == expected


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_only_text(three: Tenant, text: str) -> None:
    for field in ("first_name", "email", f"custom.{text}", "custom.x"):
        for op in ("equals", "contains", "starts_with", "ends_with"):
            found = await segments.count(three, {"field": field, "op": op, "value": text})
            assert found.count <= 1
        assert (await segments.count(three, {"field": field, "op": "in", "value": [text, "zz"]})).count <= 1
    assert (await segments.count(three, {"field": "tags", "op": "has_any", "value": [text]})).count == 0
    for broken in ({"field": text, "op": "is_set"}, {"field": "email", "op": text, "value": "x"}, {text: []}):
        with pytest.raises(InvalidInput):
            await segments.count(three, broken)
    assert (await segments.count(three, {})).count == 3


@pytest.mark.parametrize(
    ("definition", "spot"),
    [
        ({"all": [{}, {"field": "nope", "op": "is_set"}]}, "all[1].field: there is no field"),
        ({"field": "country", "op": "gt", "value": 3}, 'op: "gt" does not go with the field country'),
        ({"any": [{"field": "country", "op": "equals", "value": 3}]}, "any[0].value: must be a text"),
        ({"not": {"field": "id", "op": "equals", "value": "x"}}, "not.value: must be a number"),
        ({"field": "created_at", "op": "before", "value": "2026-02-30"}, "value: there is no date 2026-02-30"),
        ({"field": "created_at", "op": "between", "value": ["2026-02-01"]}, "value: must be a list of two"),
        ({"field": "created_at", "op": "between", "value": ["2026-02-01", "noon"]}, "value[1]: must be a date"),
        ({"field": "created_at", "op": "within_last", "value": "soon"}, "value: must be a number of days"),
        ({"field": "tags", "op": "has_any", "value": []}, "value: must be a list with at least one item"),
        ({"field": "email", "op": "is_set", "value": "x"}, "value: is_set takes no value"),
        ({"field": "email", "op": "equals"}, "value: is missing"),
    ],
)
async def test_errors_of_the_compiler_point_at_the_spot(tenant: Tenant, definition: dict[str, Any], spot: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await segments.count(tenant, definition)
    assert spot in str(caught.value)


async def test_limits_hold_for_direct_sql(tenant: Tenant) -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"not": deep}
    wide = {"any": [{"field": "email", "op": "is_set"}] * 501}
    for definition in (deep, wide, {"field": "email", "op": "equals", "value": "x" * 300_000}):
        with pytest.raises(InvalidInput):
            async with tenant.session() as session:
                await session.value("SELECT outreach.count_segmented_leads(%s)", [Jsonb(definition)])


async def test_a_segment_never_leaves_its_workspace(three: Tenant, other_tenant: Tenant) -> None:
    assert (await segments.count(other_tenant, {})).count == 0
    assert await segments.preview(other_tenant, {"field": "country", "op": "equals", "value": "US"}) == []


async def test_no_workspace_no_answer(database_url: str) -> None:
    unset = pytest.raises(psycopg.errors.InvalidParameterValue, match="no workspace is set")
    with psycopg.connect(database_url) as connection, unset:
        connection.execute("SELECT outreach.count_segmented_leads('{}')")
