"""Conditions on what stands beside the lead: events, sends, engagement, companies, suppressions, imports, segments."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from launched import launch
from psycopg.types.json import Jsonb

from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput
from outreachdb.events.ingest import ingest
from outreachdb.leads.importing import import_file
from outreachdb.secrets import Keyring
from outreachdb.segments import definition as definitions
from outreachdb.segments import segments

MONTH = -1  # stands for the month of the test, which may not be that of the import
# Leads 1-6 by first name. Campaign 12 was launched 20 days ago; 1 and 2 got it, 1 opened it twice, 2 once 15 days ago.
FILL = [
    "SELECT outreach.ensure_partitions('email_sends', now() - interval '40 days', now())",
    "SELECT outreach.ensure_partitions('email_events', now() - interval '40 days', now())",
    """INSERT INTO outreach.companies (workspace_id, id, name, industry, renewal_month)
       VALUES (%(w)s, 1, 'Acme', 'SaaS', %(month)s), (%(w)s, 2, 'Globex', 'Retail', 1 + (%(month)s + 1) %% 12),
              (%(w)s, 3, 'Initech', NULL, NULL)""",
    """INSERT INTO outreach.leads (workspace_id, id, email, first_name, company_id)
       SELECT %(w)s, n, CASE WHEN n < 6 THEN 'p' || n || '@d' || n || '.example' END, 'n' || n,
              (ARRAY[1, 2, 3, 1])[n]
       FROM generate_series(1, 6) AS n""",
    """INSERT INTO outreach.campaigns (workspace_id, id, name, status, launched_at)
       VALUES (%(w)s, 12, 'twelve', 'running', now() - interval '20 days')""",
    """INSERT INTO outreach.mailboxes (workspace_id, id, address, smtp_host)
       VALUES (%(w)s, 1, 'me@x.example', 'localhost')""",
    """INSERT INTO outreach.email_sends (workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, status,
                                         recipient, scheduled_at, sent_at)
       SELECT %(w)s, now() - interval '20 days', 12, n, 1, 1, CASE WHEN n < 3 THEN 'sent' ELSE 'failed' END,
              'p' || n || '@d' || n || '.example', now(), CASE WHEN n < 3 THEN now() - interval '19 days' END
       FROM generate_series(1, 3) AS n""",
    """INSERT INTO outreach.email_events (workspace_id, event_key, created_at, event, provider, campaign_id, lead_id)
       VALUES (%(w)s, 'a', now() - interval '2 days', 'opened', 'x', 12, 1),
              (%(w)s, 'b', now() - interval '3 days', 'opened', 'x', 12, 1),
              (%(w)s, 'c', now() - interval '15 days', 'opened', 'x', 12, 2),
              (%(w)s, 'd', now() - interval '15 days', 'complained', 'x', 12, 2),
              (%(w)s, 'e', now() - interval '1 days', 'opened', 'x', NULL, NULL)""",
    """INSERT INTO outreach.lead_engagement (workspace_id, lead_id, sent_count, open_count, last_contacted_at,
                                             last_opened_at, level)
       VALUES (%(w)s, 1, 1, 2, now() - interval '19 days', now() - interval '2 days', 'hot'),
              (%(w)s, 2, 1, 1, now() - interval '19 days', now() - interval '15 days', 'warm'),
              (%(w)s, 3, 0, 0, NULL, NULL, 'cold')""",
    """INSERT INTO outreach.suppressions (workspace_id, target, expires_at)
       VALUES (%(w)s, 'p1@d1.example', NULL), (%(w)s, 'd2.example', now() + interval '1 day'),
              (%(w)s, 'd3.example', now() - interval '1 day')""",
    """INSERT INTO outreach.imports (workspace_id, id, file_name) VALUES (%(w)s, 42, 'list.csv')""",
    """INSERT INTO outreach.import_changes (workspace_id, import_id, lead_id, before)
       VALUES (%(w)s, 42, 4, '{}'), (%(w)s, 42, 5, '{}')""",
]


@pytest.fixture
async def people(tenant: Tenant) -> Tenant:
    async with tenant.trusted() as session:
        for statement in FILL:
            await session.execute(statement, {"w": tenant.workspace_id, "month": datetime.now(UTC).month})
    return tenant


async def members(tenant: Tenant, definition: dict[str, Any]) -> set[int]:
    return {lead["id"] for lead in await segments.preview(tenant, definition)}


def field(name: str, op: str, *value: Any) -> dict[str, Any]:
    return {"field": name, "op": op, **({"value": value[0]} if value else {})}


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"event": "opened"}, {1, 2}),
        ({"event": "opened", "at_least": 2}, {1}),
        ({"event": "opened", "within_days": 10}, {1}),
        ({"event": "opened", "at_least": 2, "within_days": 30}, {1}),
        ({"event": "opened", "campaign": 12}, {1, 2}),
        ({"event": "opened", "campaign": 12, "at_least": 2, "within_days": 30}, {1}),
        ({"event": "opened", "campaign": 12, "at_least": 3}, set()),
        ({"event": "complained"}, {2}),
        ({"event": "sent"}, {1, 2}),
        ({"event": "sent", "campaign": 12}, {1, 2}),
        ({"event": "sent", "campaign": 12, "within_days": 10}, set()),
        ({"event": "sent", "at_least": 2, "within_days": 30}, set()),
        ({"not": {"event": "sent"}}, {3, 4, 5, 6}),
        ({"event": "clicked"}, set()),
        ({"event": "replied", "within_days": 30}, set()),
        (field("engagement", "equals", "hot"), {1}),
        (field("engagement", "equals", "cold"), {3, 4, 5, 6}),
        (field("engagement", "in", ["cold", "hot"]), {1, 3, 4, 5, 6}),
        (field("engagement", "not_in", ["cold", "hot"]), {2}),
        (field("suppressed", "equals", True), {1, 2}),
        (field("suppressed", "equals", False), {3, 4, 5, 6}),
        (field("suppressed", "not_equals", True), {3, 4, 5, 6}),
        (field("company.industry", "equals", "SaaS"), {1, 4}),
        (field("company.industry", "not_equals", "SaaS"), {2, 3, 5, 6}),
        (field("company.industry", "is_set"), {1, 2, 4}),
        (field("company.name", "contains", "ACM"), {1, 4}),
        (field("company.name", "matches", "^(acme|init.*)$"), {1, 3, 4}),
        (field("company.renewal_month", "equals", MONTH), {1, 4}),
        (field("company.renewal_month", "within_next_months", 0), {1, 4}),
        (field("company.renewal_month", "within_next_months", 1), {1, 4}),
        (field("company.renewal_month", "within_next_months", 2), {1, 2, 4}),
        (field("company.renewal_month", "within_next_months", 11), {1, 2, 4}),
        (field("company.renewal_month", "is_not_set"), {3, 5, 6}),
        (field("first_name", "matches", "^N[1-3]$"), {1, 2, 3}),
        ({"import": 42}, {4, 5}),
        ({"not": {"import": 42}}, {1, 2, 3, 6}),
        ({"random_percent": 100}, {1, 2, 3, 4, 5, 6}),
        ({"random_percent": 0}, set()),
        (
            {"all": [{"event": "opened"}, {"not": {"any": [{"import": 42}, field("suppressed", "equals", True)]}}]},
            set(),
        ),
    ],
)
async def test_members(people: Tenant, definition: dict[str, Any], expected: set[int]) -> None:
    if definition.get("value") == MONTH:
        definition = definition | {"value": datetime.now(UTC).month}
    assert definitions.check(definition) == definition
    assert await members(people, definition) == expected
    assert (await segments.count(people, definition)).count == len(expected)


async def test_another_workspace_has_nothing_of_it(people: Tenant, other_tenant: Tenant) -> None:
    async with other_tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, id, email) VALUES (%s, 1, 'p1@d1.example')",
            [other_tenant.workspace_id],
        )
    for definition in ({"event": "opened"}, {"event": "complained"}, field("suppressed", "equals", True)):
        assert await members(other_tenant, definition) == set()
    for unknown in ({"event": "opened", "campaign": 12}, {"import": 42}):
        with pytest.raises(InvalidInput, match="there is no"):
            await members(other_tenant, unknown)


async def test_segments_of_segments(people: Tenant) -> None:
    opened = await segments.create(people, "opened", {"event": "opened"})
    await segments.create(people, "quiet", {"not": {"segment": "opened"}})
    assert await members(people, {"segment": opened.id}) == {1, 2}
    assert await members(people, {"all": [{"segment": "quiet"}, {"not": {"import": 42}}]}) == {3, 6}
    with pytest.raises(InvalidInput, match="there is no segment"):
        await members(people, {"any": [{"segment": "nobody"}]})


async def test_no_segment_is_made_of_itself(people: Tenant) -> None:
    await segments.create(people, "a", {})
    await segments.create(people, "b", {"not": {"segment": "a"}})
    async with people.session() as session:
        await session.execute(
            "UPDATE outreach.segments SET definition = %s WHERE workspace_id = %s AND name = 'a'",
            [Jsonb({"all": [{"segment": "b"}]}), people.workspace_id],
        )
    with pytest.raises(InvalidInput, match='the segment "a" would be made of itself'):
        await members(people, {"segment": "a"})


async def test_segments_stand_inside_each_other_three_deep(people: Tenant) -> None:
    await segments.create(people, "s0", {"event": "opened"})
    for n in range(1, 3):
        await segments.create(people, f"s{n}", {"segment": f"s{n - 1}"})
    assert await members(people, {"segment": "s2"}) == {1, 2}
    await segments.create(people, "s3", {"not": {"segment": "s2"}})
    with pytest.raises(InvalidInput, match="too deep"):
        await members(people, {"segment": "s3"})


async def test_a_random_part_stays_the_same_and_grows(tenant: Tenant) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, id) SELECT %s, n FROM generate_series(1, 4000) AS n",
            [tenant.workspace_id],
        )

    async def chosen(percent: float, **more: str) -> set[int]:
        found = await segments.preview(tenant, {"random_percent": percent, **more}, rows=4000)
        return {lead["id"] for lead in found}

    tenth, half, other = await chosen(10), await chosen(50), await chosen(10, seed="other")
    assert tenth == await chosen(10.0)
    assert tenth < half
    assert 320 < len(tenth) < 480
    assert 320 < len(other) < 480
    assert 10 < len(tenth & other) < 80


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ({"event": "opens"}, "event: no such event"),
        ({"any": [{"event": "opened", "campaign": 77}]}, "any[0].campaign: there is no campaign 77"),
        ({"event": "opened", "campaign": "x"}, "campaign: "),
        ({"event": "opened", "at_least": 0}, "at_least: "),
        ({"event": "opened", "within_days": 10_000}, "within_days: "),
        ({"event": "opened", "op": "equals"}, "op: unknown key"),
        ({"not": {"import": 43}}, "not.import: there is no import 43"),
        ({"random_percent": 101}, "random_percent: "),
        ({"segment": []}, "segment: "),
        (field("engagement", "equals", "lukewarm"), "value: must be cold"),
        (field("suppressed", "equals", "yes"), "value: must be true or false"),
        (field("company.renewal_month", "within_next_months", 12), "value: must be a number of months"),
        (field("company.nope", "is_set"), "field: there is no field"),
        (field("first_name", "matches", "("), "value: no regular expression"),
        (field("first_name", "matches", "(a)\\1"), "value: must hold no references back"),
        (field("first_name", "matches", "(?=a)b"), "value: must hold no references back"),
        (field("first_name", "matches", "***=a"), "value: must hold no references back"),
        (field("first_name", "matches", "(a{1,999}){1,99}"), "value: repeats too much"),
        (field("first_name", "matches", "((a?){30}){30}"), "value: repeats too much"),
        (field("first_name", "matches", "(((a{0,1}){0,31}){0,31})"), "value: repeats too much"),
        (field("first_name", "matches", "(a*|b*|c*|d*|e*|f*|g*|h*){99}"), "value: repeats too much"),
        (field("first_name", "matches", "x" * 201), "value: must be a regular expression of"),
        (field("title", "within_next_months", 1), "op: "),
    ],
)
async def test_mistakes_are_pointed_at(people: Tenant, definition: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await members(people, definition)
    assert problem in str(caught.value)
    with pytest.raises(InvalidInput):
        async with people.session() as session:
            await session.value("SELECT outreach.count_segmented_leads(%s)", [Jsonb(definition)])


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "(a|a?)+b", "(.*a){20}b", "((a{1,9}){1,9}){1,9}b", "((a*){10}){10}b", "(x+x+)+y"]
)
async def test_no_expression_runs_away(people: Tenant, pattern: str) -> None:
    async with people.trusted() as session:
        await session.execute(
            "UPDATE outreach.leads SET notes = repeat('a', 5000) || '!' WHERE workspace_id = %s", [people.workspace_id]
        )
    began = time.perf_counter()
    assert (await segments.count(people, field("notes", "matches", pattern))).count == 0
    assert time.perf_counter() - began < 20


async def test_what_a_machine_opened_or_clicked_counts_for_nobody(tenant: Tenant, keyring: Keyring) -> None:
    """Events and the counters kept with the lead, which ingest writes, answer alike."""
    campaign = await launch(tenant, keyring, leads=3)
    person, machine, both = campaign.sends
    happened = [
        campaign.event(send, kind, minutes, prefetched=by_machine)
        for kind in ("opened", "clicked")
        for send, minutes, by_machine in ((person, 1, False), (machine, 2, True), (both, 3, True), (both, 4, False))
    ]
    # Flagged as well, but of a kind that only counts apart for opens and clicks.
    happened.append(campaign.event(machine, "replied", 5, prefetched=True))
    await ingest(tenant, keyring, happened)
    people = {person.lead_id, both.lead_id}
    for kind in ("opened", "clicked"):
        for more in ({}, {"campaign": campaign.campaign_id}, {"within_days": 3}):
            assert await members(tenant, {"event": kind} | more) == people
            assert await members(tenant, {"event": kind, "at_least": 2} | more) == set()
    for more in ({}, {"campaign": campaign.campaign_id}, {"within_days": 3}):
        assert await members(tenant, {"event": "replied"} | more) == {machine.lead_id}


async def test_members_of_a_real_import_are_those_it_created_and_those_it_changed(
    tenant: Tenant, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("email,city\na@x.example,Rome\nb@x.example,Oslo\n")
    second.write_text("email,city\nb@x.example,Bern\nc@x.example,Kyiv\n")
    ids = [(await import_file(tenant, path)).import_id for path in (first, second)]
    found = [sorted(lead["email"] for lead in await segments.preview(tenant, {"import": each})) for each in ids]
    assert found == [["a@x.example", "b@x.example"], ["b@x.example", "c@x.example"]]
