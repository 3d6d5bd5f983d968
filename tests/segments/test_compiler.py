"""The compiler in the database against a plain reading in Python, and against hostile text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from evaluator import COMPANIES, SAVED, SUPPRESSED, matches
from hypothesis import HealthCheck, given, settings
from pglast import parser
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from strategies import REQUIRED, definitions, leads

from outreachdb import segments
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput
from outreachdb.segments import definition as definitions_module
from outreachdb.segments import fields

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
                            qualification_score, qualification_latency_ms, qualified_at, email, company_id,
                            created_at, email_flags)
SELECT %(workspace_id)s, d.first_name, d.title, d.company_name, d.country, d.status, d.tags, d.custom_fields,
       d.qualification_score, d.qualification_latency_ms, d.qualified_at,
       replace(d.email, '@', ordinality || '@'), d.company_id, d.created_at, d.email_flags
FROM jsonb_populate_recordset(NULL::outreach.leads, %(leads)s) WITH ORDINALITY AS d
RETURNING *
"""
BESIDE = [
    """INSERT INTO outreach.companies (workspace_id, id, name, industry, renewal_month, created_at, last_crawled_at,
                                       updated_at)
       SELECT %(w)s, c.id, c.name, c.industry, c.renewal_month, c.created_at, c.last_crawled_at, c.updated_at
       FROM jsonb_populate_recordset(NULL::outreach.companies, %(companies)s) AS c""",
    "INSERT INTO outreach.suppressions (workspace_id, target) VALUES (%(w)s, %(suppressed)s)",
    """INSERT INTO outreach.segments (workspace_id, name, definition)
       SELECT %(w)s, s.key, s.value FROM jsonb_each(%(saved)s) AS s""",
    """INSERT INTO outreach.campaigns (workspace_id, id, name, status, launched_at)
       SELECT %(w)s, n, 'campaign ' || n, 'running', now() - interval '35 days' FROM generate_series(1, 2) AS n""",
    """INSERT INTO outreach.mailboxes (workspace_id, id, address, smtp_host)
       VALUES (%(w)s, 1, 'me@x.example', 'localhost')""",
    "INSERT INTO outreach.imports (workspace_id, id, file_name) VALUES (%(w)s, 7, 'list.csv')",
]
DONE = (
    "jsonb_to_recordset(%(done)s) AS d (lead_id bigint, event text, campaign bigint, days integer, prefetched boolean)"
)
# What a machine did counts for nobody: ingest leaves it out of the counters and latest instants.
BY_A_PERSON = "AND d.prefetched IS NOT TRUE"
# What is known of the leads beside their rows. A cold lead that did nothing may have a row of engagement or none.
KNOWN = [
    f"""INSERT INTO outreach.lead_engagement (workspace_id, lead_id, level, sent_count, open_count, click_count,
           reply_count, bounce_count, last_contacted_at, last_opened_at, last_clicked_at, last_replied_at)
       SELECT %(w)s, id, level, count(*) FILTER (WHERE event = 'sent'),
              count(*) FILTER (WHERE event = 'opened' {BY_A_PERSON}),
              count(*) FILTER (WHERE event = 'clicked' {BY_A_PERSON}), count(*) FILTER (WHERE event = 'replied'),
              count(*) FILTER (WHERE event = 'bounced'),
              now() - min(days) FILTER (WHERE event = 'sent') * interval '1 day',
              now() - min(days) FILTER (WHERE event = 'opened' {BY_A_PERSON}) * interval '1 day',
              now() - min(days) FILTER (WHERE event = 'clicked' {BY_A_PERSON}) * interval '1 day',
              now() - min(days) FILTER (WHERE event = 'replied') * interval '1 day'
       FROM unnest(%(ids)s::bigint[], %(levels)s::text[]) AS g (id, level)
       LEFT JOIN {DONE} ON d.lead_id = g.id
       GROUP BY id, level
       HAVING level <> 'cold' OR id %% 2 = 0 OR count(event) > 0""",
    f"""INSERT INTO outreach.email_sends (workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, status,
                                         recipient, scheduled_at, sent_at)
       SELECT %(w)s, now() - interval '35 days', campaign, lead_id, 1, 1, 'sent', 'x@x.example', now(),
              now() - days * interval '1 day'
       FROM {DONE} WHERE event = 'sent'""",
    f"""INSERT INTO outreach.email_events (workspace_id, event_key, created_at, event, provider, campaign_id, lead_id,
                                          prefetched)
       SELECT %(w)s, 'e' || row_number() OVER (), now() - days * interval '1 day', event, 'x', campaign, lead_id,
              coalesce(prefetched, false)
       FROM {DONE} WHERE event <> 'sent'""",
    """INSERT INTO outreach.import_changes (workspace_id, import_id, lead_id, before)
       SELECT %(w)s, 7, id, '{}' FROM unnest(%(imported)s::bigint[]) AS id""",
]  # fmt: skip


@pytest.fixture
def connection(database_url: str) -> Any:
    """A connection whose work is rolled back."""
    with psycopg.connect(database_url, row_factory=dict_row) as opened:
        for table in ("email_sends", "email_events"):
            opened.execute("SELECT outreach.ensure_partitions(%s, now() - interval '40 days', now())", [table])
        opened.commit()
        yield opened
        opened.rollback()


def filled(connection: psycopg.Connection[dict[str, Any]], data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A new workspace with these leads and all beside them, as they are now; the session becomes its tenant's."""
    workspace = connection.execute(
        "INSERT INTO outreach.workspaces (name) VALUES (gen_random_uuid()::text) RETURNING id"
    ).fetchone()
    assert workspace is not None
    companies = _json([{"id": number} | company for number, company in COMPANIES.items()])
    beside = {"w": workspace["id"], "companies": companies, "suppressed": SUPPRESSED, "saved": Jsonb(SAVED)}
    for statement in BESIDE:
        connection.execute(statement, beside)
    rows = connection.execute(INSERT, {"workspace_id": workspace["id"], "leads": _json(data)}).fetchall()
    more = [{key: lead[key] for key in ("engagement", "done", "imported")} for lead in data]
    rows = [row | known for row, known in zip(rows, more, strict=True)]
    done = Jsonb([{"lead_id": row["id"]} | one for row in rows for one in row["done"]])
    known = {
        "w": workspace["id"],
        "ids": [row["id"] for row in rows],
        "levels": [lead["engagement"] for lead in data],
        "imported": [row["id"] for row in rows if row["imported"]],
    }
    for statement in KNOWN:
        connection.execute(statement, known | {"done": done})
    connection.execute(f"SET LOCAL app.workspace_id = '{workspace['id']}'")
    connection.execute("SET LOCAL ROLE outreachdb_app")
    return rows


def _json(data: list[dict[str, Any]]) -> Jsonb:
    return Jsonb(data, dumps=lambda value: json.dumps(value, default=str))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=leads(), definition=definitions())
def test_compiler_agrees_with_a_plain_reading(
    connection: psycopg.Connection[dict[str, Any]], data: list[dict[str, Any]], definition: dict[str, Any]
) -> None:
    definitions_module.check(definition)
    with connection.transaction(force_rollback=True):
        rows = filled(connection, data)
        found = connection.execute(
            "SELECT id FROM outreach.get_segmented_leads(%s, 100)", [Jsonb(definition)]
        ).fetchall()
        counted = connection.execute("SELECT outreach.count_segmented_leads(%s) AS n", [Jsonb(definition)]).fetchone()
    expected = sorted(row["id"] for row in rows if matches(definition, row))
    assert [row["id"] for row in found] == expected
    assert counted == {"n": len(expected)}


# A routine as it is, but for one line: what a workspace of millions goes through, twelve leads go through as well.
AS_IF_LARGE = [
    ("outreach.workspace_is_small(bigint)", r"RETURN \(SELECT.*?\);", "RETURN false;"),
    (
        "outreach.search_part(bigint,text,text,text,text[],boolean,text[],integer)",
        r"step constant integer := outreach.small_workspace\(\);",
        "step constant integer := 2;",
    ),
]


# How such a workspace is asked.
WAYS = ("search_in_order(text,bigint)", "search_by_index(text,bigint)")


@pytest.fixture
def large(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """The connection, in whose transaction every workspace passes for a large one and nothing is read whole."""
    for routine, line, instead in AS_IF_LARGE:
        row = connection.execute(
            "SELECT pg_get_functiondef(%s::regprocedure) AS made, proowner FROM pg_proc WHERE oid = %s::regprocedure",
            [routine, routine],
        ).fetchone()
        assert row is not None
        changed, times = re.subn(line, instead, row["made"], flags=re.DOTALL)
        assert times == 1, row["made"]
        connection.execute(changed)
    connection.execute("SET LOCAL enable_seqscan = off")
    connection.execute("SET LOCAL track_functions = 'pl'")
    yield connection
    asked = (
        "SELECT pg_stat_get_xact_function_calls(('outreach.' || way)::regprocedure) AS n FROM unnest(%s::text[]) AS way"
    )
    called = [row["n"] for row in connection.execute(asked, [list(WAYS)])]
    assert all(calls and calls > 40 for calls in called), called


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=leads(most=20), definition=definitions())
def test_a_large_workspace_is_asked_in_other_ways_and_answers_the_same(
    large: psycopg.Connection[dict[str, Any]], data: list[dict[str, Any]], definition: dict[str, Any]
) -> None:
    """By index, in pages behind the last id, and in one piece of more than a thousand."""

    def ids(routine: str, *values: Any) -> list[int]:
        asked = f"SELECT id FROM outreach.{routine}(%s, {', '.join(['%s'] * len(values))})"
        return [row["id"] for row in large.execute(asked.encode(), [Jsonb(definition), *values])]

    def paged(routine: str, after: int | None) -> list[int]:
        found: list[int] = []
        while page := ids(routine, 2, found[-1] if found else after):
            found += page
        return found

    with large.transaction(force_rollback=True):
        rows = filled(large, data)
        middle = rows[len(rows) // 2]["id"]
        counted = large.execute("SELECT outreach.count_segmented_leads(%s) AS n", [Jsonb(definition)]).fetchone()
        pages = paged("get_segmented_leads", 0)
        rest = ids("get_segmented_leads", 1000, middle)
        pieces = ids("get_segmented_leads", 1001), ids("get_segmented_leads", 1001, middle)
        newest = paged("preview_segment", None)
    members = {row["id"]: row["created_at"] for row in rows if matches(definition, row)}
    expected = sorted(members)
    assert counted == {"n": len(expected)}
    assert pages == pieces[0] == expected
    assert rest == pieces[1] == [each for each in expected if each > middle]
    assert newest == sorted(members, key=lambda each: (members[each], each), reverse=True)


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
    deep = {"field": ["custom", text, text], "op": "contains", "value": text}
    listed = {"field": f"custom.{text}.{text}", "op": "has_any", "value": [text, 7]}
    for more in (
        deep,
        listed,
        {"random_percent": 0, "seed": text},
        {"not": {"field": f"custom.{text}", "op": "is_not_set"}},
    ):
        assert (await segments.count(three, more)).count <= 1
        assert (await segments.explain(three, more)).milliseconds > 0
        assert (await segments.breakdown(three, more))["count"] <= 1
    # A name is data as well: saved, used inside another, changed, deleted.
    await segments.create(three, text, {"field": "first_name", "op": "equals", "value": text}, by=text, note=text)
    assert (await segments.count(three, {"not": {"segment": text}})).count >= 2
    await segments.update(three, text, {"any": []}, by=text)
    assert [each.changed_by for each in await segments.history(three, text)] == [text, text]
    with pytest.raises(InvalidInput):
        await segments.update(three, text, {"segment": text})
    await segments.delete(three, text)
    for broken in (
        {"segment": f"{text}x"},
        {"field": text, "op": "is_set"},
        {"field": "email", "op": text, "value": "x"},
        {text: []},
    ):
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
        ({"field": "custom.since", "op": "between", "value": "2026-02-01"}, "value: must be a list of two"),
        (
            {"all": [{"field": "custom.x", "op": "between", "value": ["2026-02-01"] * 3}]},
            "all[0].value: must be a list",
        ),
        ({"field": "custom.x", "op": "between", "value": 7}, "value: must be a list of two"),
        ({"field": "qualification_score", "op": "gt", "value": 1e-60}, "value: must be a number below"),
        ({"field": "qualification_score", "op": "in", "value": [1, 1e300]}, "value[1]: must be a number below"),
        ({"field": "tags", "op": "has_any", "value": []}, "value: must be a list with at least one item"),
        ({"field": "email", "op": "is_set", "value": "x"}, "value: is_set takes no value"),
        ({"field": "email", "op": "equals"}, "value: is missing"),
    ],
)
async def test_errors_of_the_compiler_point_at_the_spot(tenant: Tenant, definition: dict[str, Any], spot: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await segments.count(tenant, definition)
    assert spot in str(caught.value)


async def test_the_definition_that_the_requirements_show(three: Tenant) -> None:
    async with three.trusted() as session:
        for statement in (
            "INSERT INTO outreach.campaigns (workspace_id, id, name) VALUES (%(w)s, 12, 'twelve')",
            "SELECT outreach.ensure_partitions('email_events', now(), now())",
            """INSERT INTO outreach.email_events
                   (workspace_id, event_key, created_at, event, provider, campaign_id, lead_id)
               SELECT l.workspace_id, l.id || '-' || n, now(), 'opened', 'x', 12, l.id
               FROM outreach.leads AS l, generate_series(1, 2) AS n WHERE l.workspace_id = %(w)s""",
        ):
            await session.execute(statement, {"w": three.workspace_id})
    async with three.session() as session:
        rows = await session.all("SELECT email FROM outreach.get_segmented_leads(%s, 10, NULL)", [Jsonb(REQUIRED)])
    assert [row["email"] for row in rows] == ["Ann@Example.org"]
    assert (await segments.count(three, REQUIRED)).count == 1


# One condition of each kind with each operator; every key and value of it is replaced by hostile text in turn.
KINDS = {
    "title": "x", "id": 7, "qualification_score": 7, "created_at": "2026-01-31", "tags": "x", "company.name": "x",
    "company.updated_at": "2 days ago", "company.renewal_month": 7, "country_code": "DE", "engagement": "hot",
    "suppressed": True, "custom.x": "x", "custom.x.y": 7, "email": "x@y.example",
}  # fmt: skip
LISTED = {"in", "not_in", "has_any", "has_all", "has_none"}
OTHERS: list[dict[str, Any]] = [
    {"event": "opened", "campaign": 12, "at_least": 2, "within_days": 30},
    {"event": "sent", "within_days": 30},
    {"import": 7},
    {"segment": "x"},
    {"segment": 7},
    {"random_percent": 10, "seed": "x"},
    {"field": ["custom", "x", "y"], "op": "in", "value": ["x", 7, True]},
    {"field": "title", "op": "matches", "value": "^(x|y)"},
]


def conditions() -> list[dict[str, Any]]:
    found = [*OTHERS]
    for field, value in KINDS.items():
        for op in fields.operators(field) or ():
            some = [value] if op in LISTED else [value, value] if op == "between" else value
            some = "3 days" if op == "within_last" else 3 if op == "within_next_months" else some
            found.append({"field": field, "op": op} | ({} if op.endswith("_set") else {"value": some}))
    return [*found, {"any": [{"not": found[0]}, {"all": [found[-1]]}]}]


def replaced(node: Any, text: Any) -> Iterator[Any]:
    """Copies with one key or one value replaced."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(text, str):
                yield {(text if each == key else each): value for each, value in node.items()}
            yield from (node | {key: other} for other in replaced(value, text))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from ([*node[:place], other, *node[place + 1 :]] for other in replaced(value, text))
    else:
        yield text


@pytest.mark.parametrize("text", ["') OR true; DROP TABLE leads; --", "\\' OR $$ \"%s%L$1{} /* E'\\x27"])
def test_no_text_becomes_code_wherever_it_stands(connection: psycopg.Connection[Any], text: str) -> None:
    """Asked of the compiler itself: what it writes differs from what it writes for a harmless word in literals only."""
    connection.execute("INSERT INTO outreach.workspaces (id, name) VALUES (987654, gen_random_uuid()::text)")
    connection.execute("SET LOCAL app.workspace_id = '987654'")
    written = 0
    for condition in conditions():
        pairs = [*zip(replaced(condition, text), replaced(condition, "harmless"), strict=True)]
        if str(condition.get("field")).startswith("custom."):
            pairs.append((condition | {"field": f"custom.{text}"}, condition | {"field": "custom.harmless"}))
        for hostile, harmless in pairs:
            said = [_compiled(connection, each) for each in (hostile, harmless)]
            if None not in said:
                written += 1
                shapes = [parser.fingerprint(f"SELECT FROM outreach.leads AS l WHERE {each}") for each in said]
                assert shapes[0] == shapes[1], said[0]
                found = f"SELECT FROM outreach.leads AS l WHERE l.workspace_id = 987654 AND ({said[0]})"
                assert connection.execute(found.encode()).rowcount == 0
    assert written > 80


@pytest.mark.slow
def test_no_value_of_another_type_is_more_than_an_error(connection: psycopg.Connection[Any]) -> None:
    """Refused at its spot, or taken and then run without an error: no cast fails in the middle of a count."""
    connection.execute("INSERT INTO outreach.workspaces (id, name) VALUES (987655, gen_random_uuid()::text)")
    connection.execute(
        "INSERT INTO outreach.leads (workspace_id, email, custom_fields, qualification_score)"
        """ VALUES (987655, 'a@x.example', '{"x": {"y": "7"}}', 7), (987655, NULL, '{"x": "2026-01-31"}', NULL)"""
    )
    connection.execute("SET LOCAL app.workspace_id = '987655'")
    wrong = (None, True, -1, 0.5, 1e36, 1e-300, 10**400, "", "9" * 40, [], {}, [None], [[1]], [1, "x", True], {"a": 1})
    ran = 0
    for condition in conditions():
        for value in wrong:
            for each in replaced(condition, value):
                if (said := _compiled(connection, each)) is not None:
                    found = f"SELECT FROM outreach.leads AS l WHERE l.workspace_id = 987655 AND ({said})"
                    assert connection.execute(found.encode()).rowcount <= 2
                    ran += 1
    assert ran > 100


def _compiled(connection: psycopg.Connection[Any], definition: Any) -> str | None:
    """What the compiler writes; None where it refuses, naming the spot."""
    spot = None
    try:
        with connection.transaction():
            row = connection.execute("SELECT outreach.segment_condition(%s) AS it", [Jsonb(definition)]).fetchone()
            return str(row["it"]) if row else None
    except psycopg.errors.InvalidParameterValue as error:
        spot = error.diag.message_detail
    assert spot is not None, definition
    return None


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


def test_the_compiler_may_use_every_index(database_url: str) -> None:
    """The count does without plain index scans, but a hint at a misspelt field read all leads without one."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT proname, 'enable_indexscan=off' = ANY (proconfig) FROM pg_proc"
            " WHERE pronamespace = 'outreach'::regnamespace AND proname IN ('count_condition', 'count_segmented_leads')"
        ).fetchall()
    assert dict(rows) == {"count_condition": True, "count_segmented_leads": False}
