"""Actions on the leads of a segment, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
from lead_rows import state

from outreachdb import segments
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound, UsageError
from outreachdb.leads import importing, suppression
from outreachdb.leads.search import search
from outreachdb.segments import Action

US = {"field": "country", "op": "equals", "value": "US"}
FILL = """
INSERT INTO outreach.leads (workspace_id, email, country, tags, custom_fields, status, notes)
SELECT %(w)s, CASE WHEN n < 10 THEN 'p' || n || '@d' || n || '.example' END, (ARRAY['US', 'GB'])[1 + n %% 2],
       CASE WHEN n = 2 THEN '{vip}'::text[] ELSE '{}' END, '{"plan": 1}',
       CASE WHEN n = 4 THEN 'unsubscribed' ELSE 'new' END, 'it''s 100%%'
FROM generate_series(1, 10) AS n
"""


@pytest.fixture
async def ten(tenant: Tenant) -> Tenant:
    async with tenant.trusted() as session:
        await session.execute(FILL, {"w": tenant.workspace_id})
    await segments.create(tenant, "us", US)
    return tenant


async def values(tenant: Tenant, column: str) -> list[Any]:
    """Of the leads in the US, by id."""
    async with tenant.session() as session:
        rows = await session.all(f"SELECT {column} AS it FROM outreach.leads WHERE country = 'US' ORDER BY id")
    return [row["it"] for row in rows]


@pytest.mark.parametrize(
    ("action", "column", "after", "changed"),
    [
        (Action("add_tags", tags=["vip", "o'brien"]), "tags", [["vip", "o'brien"]] * 5, 5),
        (Action("remove_tags", tags=["vip"]), "tags", [[]] * 5, 1),
        (Action("set", field="city", value="'); DROP --%s{}"), "city", ["'); DROP --%s{}"] * 5, 5),
        (Action("set", field="notes", value=None), "notes", [None] * 5, 5),
        (Action("set", field="custom.o'clock %", value=7), "custom_fields", [{"plan": 1, "o'clock %": 7}] * 5, 5),
        (Action("set", field="custom.plan", value=1), "custom_fields", [{"plan": 1}] * 5, 0),
        (Action("set", field="custom.plan", value=None), "custom_fields", [{}] * 5, 5),
        (Action("set", field="qualification_score", value="70.5"), "qualification_score", [70.5] * 5, 5),
        (
            Action("set", field="status", value="qualified"),
            "status",
            ["qualified", "unsubscribed", "qualified", "qualified", "qualified"],
            4,
        ),
    ],
)
async def test_what_is_done_can_be_undone(
    ten: Tenant, action: Action, column: str, after: list[Any], changed: int
) -> None:
    before = await state(ten)
    tried = await segments.apply(ten, "us", action, dry_run=True)
    assert (tried.action_id, tried.matched, tried.changed) == (None, 5, changed)
    assert await state(ten) == before
    assert await segments.actions(ten) == []
    done = await segments.apply(ten, "us", action, by="ann")
    assert (done.matched, done.changed) == (5, changed)
    assert await values(ten, column) == after
    assert done.action_id is not None
    assert (await segments.count(ten, {"import": done.action_id})).count == changed
    [listed] = await segments.actions(ten)
    assert (listed["action"]["action"], listed["action"]["by"], listed["matched"]) == (action.kind, "ann", 5)
    assert (await segments.undo_action(ten, done.action_id)).restored == changed
    assert await state(ten) == before
    with pytest.raises(Conflict, match="undone already"):
        await segments.undo_action(ten, done.action_id)


async def test_what_others_wrote_since_stays(ten: Tenant) -> None:
    first = await segments.apply(ten, US, Action("set", field="city", value="Rome"))
    later = await segments.apply(
        ten, {"field": "tags", "op": "has_any", "value": ["vip"]}, Action("set", field="city", value="Oslo")
    )
    assert first.action_id is not None
    with pytest.raises(Conflict, match=f"undo segment action {later.action_id} first"):
        await segments.undo_action(ten, first.action_id)
    undone = await segments.undo_action(ten, first.action_id, keep_changed=True)
    assert (undone.restored, [(each.reason, each.leads) for each in undone.kept]) == (4, [("changed since", 1)])
    assert await values(ten, "city") == ["Oslo", None, None, None, None]


async def test_names_that_an_action_set_are_found_misspelt(ten: Tenant) -> None:
    await segments.apply(ten, US, Action("set", field="company_name", value="Northstone"))
    page = await search(ten, "northstome")
    assert (page.match, {row["company_name"] for row in page.rows}) == ("similar", {"Northstone"})


async def test_until_somebody_takes_it_back_is_no_date(ten: Tenant) -> None:
    await segments.apply(ten, US, Action("suppress"))
    assert {row["expires_at"] for row in await suppression.listed(ten)} == {None}


async def suppressed(tenant: Tenant) -> set[str]:
    return {row["target"] for row in await suppression.listed(tenant)}


async def test_a_suppression_is_lifted_only_by_its_only_source(ten: Tenant) -> None:
    await suppression.add(ten, ["p2@d2.example"], source="before")
    first = await segments.apply(ten, "us", Action("suppress"))
    second = await segments.apply(ten, {"field": "email", "op": "equals", "value": "p6@d6.example"}, Action("suppress"))
    assert (first.matched, first.changed, second.changed) == (5, 3, 0)
    assert (await segments.count(ten, {"field": "suppressed", "op": "equals", "value": True})).count == 4
    # Somebody else asks for p8 as well; 4 is an opt-out whose address nothing else remembers.
    await suppression.add(ten, ["p8@d8.example"], reason="complained")
    assert first.action_id is not None
    assert second.action_id is not None
    undone = await segments.undo_action(ten, first.action_id)
    assert undone.restored == 0
    assert await suppressed(ten) == {"p2@d2.example", "p4@d4.example", "p6@d6.example", "p8@d8.example"}
    assert (await segments.undo_action(ten, second.action_id)).restored == 1
    assert await suppressed(ten) == {"p2@d2.example", "p4@d4.example", "p8@d8.example"}


async def pause(tenant: Tenant) -> None:
    """A suppression of p6@d6.example that has an end of its own."""
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.suppressions (workspace_id, target, source, expires_at)"
            " VALUES (%s, 'p6@d6.example', 'pause', '2099-01-01')",
            [tenant.workspace_id],
        )


async def test_a_temporary_suppression_returns(ten: Tenant) -> None:
    await pause(ten)
    only = {"field": "email", "op": "equals", "value": "p6@d6.example"}
    ids = [(await segments.apply(ten, only, Action("suppress"))).action_id for _ in range(2)]
    for each in ids:
        assert each is not None
        await segments.undo_action(ten, each)
    [left] = await suppression.listed(ten)
    assert (left["source"], left["expires_at"].year) == ("pause", 2099)


async def prune(tenant: Tenant, action: int) -> None:
    """Let an action be old enough, and forget what it found."""
    values = [tenant.workspace_id, action]
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.imports SET finished_at = now() - interval '400 days' WHERE workspace_id = %s AND id = %s",
            values,
        )
        assert await session.value("SELECT outreach.prune_import_history('365 days')") > 0


async def test_a_temporary_suppression_outlives_the_history_of_the_action_that_found_it(ten: Tenant) -> None:
    await suppression.add(ten, ["p4@d4.example"])
    await pause(ten)
    only = {"field": "email", "op": "equals", "value": "p6@d6.example"}
    ids = [(await segments.apply(ten, only, Action("suppress"))).action_id or 0 for _ in range(3)]
    for each in ids[:2]:
        await segments.undo_action(ten, each)
        await prune(ten, each)
    assert (await segments.undo_action(ten, ids[2])).restored == 1
    [left] = [row for row in await suppression.listed(ten) if row["target"] == "p6@d6.example"]
    assert (left["source"], left["expires_at"].year) == ("pause", 2099)


@pytest.mark.parametrize(
    ("action", "instead"), [(Action("suppress"), "suppress remove"), (Action("delete"), "import the leads again")]
)
async def test_an_action_whose_history_is_pruned_stays(ten: Tenant, action: Action, instead: str) -> None:
    done = (await segments.apply(ten, US, action)).action_id or 0
    await prune(ten, done)
    before = await state(ten), await suppressed(ten)
    with pytest.raises(Conflict, match=f"the action {done} can't be undone any more: its history was pruned") as no:
        await segments.undo_action(ten, done)
    assert instead in (no.value.hint or "")
    assert (await state(ten), await suppressed(ten)) == before


async def test_the_last_of_two_actions_lifts(ten: Tenant) -> None:
    only = {"field": "email", "op": "equals", "value": "p6@d6.example"}
    ids = [(await segments.apply(ten, only, Action("suppress"))).action_id for _ in range(2)]
    assert await suppressed(ten) == {"p6@d6.example"}
    assert ids[0] is not None
    assert ids[1] is not None
    assert (await segments.undo_action(ten, ids[1])).restored == 0
    assert await suppressed(ten) == {"p6@d6.example"}
    assert (await segments.undo_action(ten, ids[0])).restored == 1
    assert await suppressed(ten) == set()


async def test_deleting_keeps_what_the_ledger_knows_and_comes_back(ten: Tenant) -> None:
    before = await state(ten)
    async with ten.trusted() as session:
        for table, more in (("lead_engagement", ""), ("email_sends", "x")):
            values_of = (
                """(workspace_id, lead_id) SELECT %(w)s, id FROM outreach.leads
                WHERE workspace_id = %(w)s AND email_key = 'p2@d2.example'"""
                if not more
                else """(workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, recipient, scheduled_at)
                SELECT %(w)s, c.launched_at, c.id, l.id, m.id, 1, l.email, now() FROM outreach.leads AS l, c, m
                WHERE l.workspace_id = %(w)s AND l.email_key = 'p6@d6.example'"""
            )
            parents = """WITH c AS (INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at)
                    VALUES (%(w)s, 'c', 'running', now()) RETURNING id, launched_at),
                m AS (INSERT INTO outreach.mailboxes (workspace_id, address, smtp_host)
                    VALUES (%(w)s, 'me@x.example', 'localhost') RETURNING id) """
            statement = f"{parents if more else ''}INSERT INTO outreach.{table} {values_of}"
            await session.execute(statement, {"w": ten.workspace_id})
    done = await segments.apply(ten, "us", Action("delete"))
    assert (done.matched, done.changed) == (5, 2)
    assert {each.reason: each.leads for each in done.kept} == {
        "used in email_sends": 1,
        "used in lead_engagement": 1,
        "unsubscribed or bounced, and no suppression remembers it": 1,
    }
    assert done.action_id is not None
    with pytest.raises(Conflict):
        await importing.undo(ten, done.action_id)
    async with ten.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email) VALUES (%s, 'P8@d8.example')", [ten.workspace_id]
        )
    undone = await segments.undo_action(ten, done.action_id)
    assert (undone.restored, [each.leads for each in undone.kept]) == (1, [1])
    async with ten.trusted() as session:
        await session.execute("DELETE FROM outreach.leads WHERE email = 'P8@d8.example'")
    now = (await state(ten))["leads"]
    assert [lead for lead in before["leads"] if lead["email"] != "p8@d8.example"] == now


NONSENSE: list[tuple[Action, str]] = [
    (Action("add_tags"), "no tag"),
    (Action("add_tags", tags=["a\nb"]), "no tag"),
    (Action("add_tags", tags=["\udcff"]), "no tag"),
    (Action("suppress", reason="bounced"), "can't suppress"),
    (Action("set", field="email", value="x@y.example"), "can't be set"),
    (Action("set", field="status", value="unsubscribed"), "made by suppressing"),
    (Action("set", field="city", value="x" * 201), "city: longer than 200 characters"),
    (Action("set", field="city", value="\udcff"), "city: holds a character"),
    (Action("set", field="city", value="a\0b"), "city: holds a character"),
    (Action("set", field="city", value="n/a"), "give no value"),
    (Action("set", field="company_name", value="x" * 10_000), "company_name: longer than 500 characters"),
    (Action("set", field="linkedin_url", value="foo"), r"linkedin_url: not a web address \(such as https://"),
    (Action("set", field="notes", value="x" * 100_001), "notes: longer than 100,000 characters"),
    (Action("set", field="custom."), "can't be set"),
    (Action("set", field="custom.a\0b", value="x"), "field: holds a character"),
    (Action("set", field="custom.\udcff", value="x"), "field: holds a character"),
    (Action("set", field="custom.n", value="x" * 100_001), "custom.n: too long"),
    (Action("set", field="custom.n", value=float("nan")), "custom.n: must be a text, a number"),
    (Action("set", field="custom.n", value=float("inf")), "custom.n: must be a text, a number"),
    (Action("set", field="custom.n", value=10**5000), "custom.n: must be a text, a number"),
]
SCORES: list[Any] = ["much", True, "1_0", "\u0663", "1e-50", 1e-50, -1, 100.5, "1e-99", float("nan"), 10**5000]


async def test_nonsense_is_refused_in_clear_words(ten: Tenant) -> None:
    before = await state(ten)
    scores = [(Action("set", field="qualification_score", value=each), "not a score between") for each in SCORES]
    for action, words in NONSENSE + scores:
        with pytest.raises((InvalidInput, UsageError), match=words):
            await segments.apply(ten, {}, action)
    assert await state(ten) == before
    assert await segments.actions(ten) == []


PEOPLE = [
    {"email": "a@x.example", "phone": "030 1234567", "country": "Germany", "company_name": "Acme"},
    {"email": "b@x.example", "phone": "020 7946 0958", "company_name": "Acme", "company_website": "acme.example"},
    {"email": "c@x.example", "phone": "+49 30 1234567", "country": "Germany", "company_name": "Globex"},
    {"email": "d@x.example"},
]


@pytest.mark.parametrize(
    ("field", "value", "changed"),
    [
        ("phone", "020 7946 0999", 4),
        ("country", "GB", 4),
        ("company_name", "GLOBEX", 4),
        ("company_name", "Initech", 4),
        ("company_website", "https://initech.example/about", 4),
        ("company_website", "acme.example", 3),
        ("linkedin_url", "linkedin.com/in/ada", 4),
        ("city", "  Zu\u0308rich ", 4),
        ("qualification_score", "85,5 %", 4),
        ("notes", "x" * 20_000, 4),
    ],
)
async def test_what_is_set_leaves_leads_as_an_import_of_it_would(
    tenant: Tenant, other_tenant: Tenant, field: str, value: str, changed: int
) -> None:
    for each in (tenant, other_tenant):
        await importing.import_rows(each, PEOPLE)
    before = await state(tenant)
    rows = [{"email": row["email"], field: value} for row in PEOPLE]
    assert (await importing.import_rows(other_tenant, rows)).updated == changed
    done = await segments.apply(tenant, {}, Action("set", field=field, value=value))
    assert done.changed == changed
    assert await told(tenant) == await told(other_tenant)
    assert (await segments.undo_action(tenant, done.action_id or 0)).restored == changed
    assert await state(tenant) == before


async def test_an_emptied_field_takes_along_what_followed_from_it(tenant: Tenant) -> None:
    await importing.import_rows(tenant, PEOPLE)
    before = await state(tenant)
    for field, following, left in (
        ("phone", "phone_e164", [None, None, None, None]),
        ("country", "phone_e164", [None, None, "+49301234567", None]),
        # b says by its web address, as well as by its company's name, whose it is.
        ("company_name", "company", [None, "acme.example", None, None]),
        ("company_website", "company", ["acme.example", "acme.example", "Globex", None]),
    ):
        done = await segments.apply(tenant, {}, Action("set", field=field, value=" "))
        found = await told(tenant)
        assert [row[field] for row in found] == [None] * 4
        assert [row[following] for row in found] == left
        await segments.undo_action(tenant, done.action_id or 0)
        assert await state(tenant) == before


async def told(tenant: Tenant) -> list[dict[str, Any]]:
    """The leads but for what differs between workspaces; the company by its domain, else its name."""
    async with tenant.session() as session:
        return await session.all(
            "SELECT l.email, l.first_name, l.phone, l.phone_e164, l.title, l.company_name, l.company_website,"
            " l.linkedin_url, l.country, l.city, l.notes, l.qualification_score, coalesce(c.domain, c.name) AS company"
            " FROM outreach.leads AS l LEFT JOIN outreach.companies AS c ON c.id = l.company_id ORDER BY l.email"
        )


async def test_a_tag_is_added_once(ten: Tenant) -> None:
    done = await segments.apply(ten, "us", Action("add_tags", tags=["x", "x", "y", "x "]))
    assert await values(ten, "tags") == [["vip", "x", "y"]] + [["x", "y"]] * 4
    assert (await segments.actions(ten))[0]["action"]["tags"] == ["x", "y"]
    assert (await segments.undo_action(ten, done.action_id or 0)).restored == 5


async def test_another_workspace_is_never_touched(ten: Tenant, other_tenant: Tenant) -> None:
    before = await state(ten)
    done = await segments.apply(other_tenant, {}, Action("delete"))
    assert (done.matched, done.changed) == (0, 0)
    assert await state(ten) == before
    mine = await segments.apply(ten, "us", Action("add_tags", tags=["x"]))
    assert mine.action_id is not None
    with pytest.raises(NotFound):
        await segments.undo_action(other_tenant, mine.action_id)
