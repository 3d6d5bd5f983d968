"""Undoing imports: before-images return, what was created goes, what was used or opted out since stays."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lead_rows import leads, state, value

from outreachdb import segments
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.errors import Conflict, InvalidInput, NotFound, OutreachDBError
from outreachdb.leads import suppression
from outreachdb.leads.importing import find, import_file, undo
from outreachdb.leads.importing.undoing import _Undo
from outreachdb.tenancy import workspaces

SEND = """
    WITH campaign AS (
        INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at)
        VALUES (%(ws)s, 'spring', 'running', now()) RETURNING id, launched_at
    ), mailbox AS (
        INSERT INTO outreach.mailboxes (workspace_id, address, smtp_host)
        VALUES (%(ws)s, 'us@sender.example', '127.0.0.1') RETURNING id
    )
    INSERT INTO outreach.email_sends (
        workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, attempts, status, recipient, scheduled_at,
        sent_at)
    SELECT %(ws)s, c.launched_at, c.id, %(lead)s, m.id, 1, 1, 'sent', 'mailed@x.com', now(), now()
    FROM campaign AS c, mailbox AS m
"""
HEAD = ("email", "first name", "company", "city", "tags", "score", "status", "Plan")


def row(email, *cells):
    return (email, *cells, *[""] * (len(HEAD) - 1 - len(cells)))


async def write(tenant, query, *values):
    async with tenant.trusted() as session:
        await session.execute(query, [*values, tenant.workspace_id])


async def test_an_undone_import_leaves_no_trace_in_leads_and_companies(tenant, csv_file):
    await import_file(tenant, csv_file(HEAD, row("a@x.com", "Ann", "Acme", "Rome", "t1", "7.1", "", "free")))
    before = await state(tenant)
    second = csv_file(
        HEAD, row("A@x.com", "Anna", "Globex", "Oslo", "t2", "8", "", "team"), row("b@x.com", "Bo", "Globex")
    )
    report = await import_file(tenant, second)
    undone = await undo(tenant, report.import_id)
    assert (undone.restored, undone.removed, undone.companies_removed, undone.kept) == (1, 1, 1, ())
    assert await state(tenant) == before
    found = await find(tenant, report.import_id)
    assert (found["status"], found["inserted"], found["updated"]) == ("undone", 1, 1)
    assert await value(tenant, "SELECT count(*) FROM pg_class WHERE relname LIKE 'undo\\_%'") == 0
    again = await import_file(tenant, second)
    assert (again.inserted, again.updated) == (1, 1)


async def test_imports_are_undone_from_the_newest_back(tenant, csv_file):
    states, reports = [await state(tenant)], []
    for city in ("Rome", "Oslo", "Bern"):
        reports.append(
            await import_file(tenant, csv_file(HEAD, row("a@x.com", "Ann", "Acme", city), row(f"{city}@x.com")))
        )
        states.append(await state(tenant))
    for report, expected in zip(reversed(reports), reversed(states[:-1]), strict=True):
        undone = await undo(tenant, report.import_id)
        assert undone.kept == ()
        assert await state(tenant) == expected


async def test_what_changed_since_stays_and_is_reported(tenant, csv_file):
    first = await import_file(tenant, csv_file(HEAD, row("a@x.com", "Ann"), row("b@x.com", "Bo"), row("c@x.com", "Cy")))
    later = await import_file(tenant, csv_file(HEAD, row("b@x.com", "Bob")))
    b = await value(tenant, "SELECT id FROM outreach.leads WHERE email_key = 'b@x.com'")
    await write(tenant, "DELETE FROM outreach.leads WHERE email_key = %s AND workspace_id = %s", "c@x.com")
    undone = await undo(tenant, first.import_id, keep_changed=True)
    assert undone.removed == 1
    assert [(each.reason, each.leads, each.sample) for each in undone.kept] == [
        ("changed since", 1, (b,)), ("created by the import, gone since", 1, ()),
    ]  # fmt: skip
    (lead,) = await leads(tenant)
    assert (lead["email_key"], lead["first_name"]) == ("b@x.com", "Bob")
    assert (await undo(tenant, later.import_id)).restored == 1


async def test_later_imports_are_undone_first(tenant, csv_file):
    """An undo that could do no more than half says which imports stand in its way; from the newest back all goes."""
    empty = await state(tenant)
    people = [row(f"{name}@x.com", name) for name in "abcd"]
    first = await import_file(tenant, csv_file(HEAD, *people))
    second = await import_file(tenant, csv_file(HEAD, row("a@x.com", "Ann"), row("b@x.com", "b")))
    third = await import_file(tenant, csv_file(HEAD, row("a@x.com", "Anna"), row("b@x.com", "Bob")))
    tagged = await segments.apply(
        tenant, {"field": "email", "op": "equals", "value": "c@x.com"}, segments.Action("add_tags", tags=["x"])
    )
    before = await state(tenant)
    names = f"segment action {tagged.action_id}, import {third.import_id}, import {second.import_id}"
    with pytest.raises(Conflict, match=f"import {first.import_id} were changed since by {names}") as refused:
        await undo(tenant, first.import_id)
    assert refused.value.hint.startswith(f"undo segment action {tagged.action_id} first")
    assert refused.value.context == {"later_imports": [tagged.action_id, third.import_id, second.import_id]}
    with pytest.raises(Conflict, match=rf"changed since by import {third.import_id} \(undo"):
        await undo(tenant, second.import_id)
    assert await state(tenant) == before
    for each in refused.value.context["later_imports"]:
        assert (await undo(tenant, each)).kept == ()
    done = await undo(tenant, first.import_id)
    assert (done.removed, done.kept) == (4, ())
    assert await state(tenant) == empty


async def test_used_leads_stay_whatever_uses_them(tenant, csv_file):
    people = [f"{name}@x.com" for name in ("activity", "engaged", "event", "free", "mailed", "profile")]
    report = await import_file(tenant, csv_file(HEAD, *map(row, people)))
    ids = {lead["email_key"].split("@")[0]: lead["id"] for lead in await leads(tenant)}
    await write(tenant, "INSERT INTO outreach.lead_engagement (lead_id, workspace_id) VALUES (%s, %s)", ids["engaged"])
    await write(
        tenant, "INSERT INTO outreach.contact_social_profiles (lead_id, platform, workspace_id)"
        " VALUES (%s, 'linkedin', %s)", ids["profile"],
    )  # fmt: skip
    await write(
        tenant, "INSERT INTO outreach.lead_activities (lead_id, activity_type, workspace_id) VALUES (%s, 'note', %s)",
        ids["activity"],
    )  # fmt: skip
    await write(
        tenant, "INSERT INTO outreach.email_events (lead_id, event, event_key, provider, created_at, workspace_id)"
        " VALUES (%s, 'opened', 'k', 'test', now(), %s)", ids["event"],
    )  # fmt: skip
    async with tenant.trusted() as session:
        await session.execute(SEND, {"ws": tenant.workspace_id, "lead": ids["mailed"]})
    undone = await undo(tenant, report.import_id)
    assert undone.removed == 1
    assert {each.reason: each.sample for each in undone.kept} == {
        "used in email_sends": (ids["mailed"],),
        "used in contact_social_profiles": (ids["profile"],),
        "used in email_events": (ids["event"],),
        "used in lead_activities": (ids["activity"],),
        "used in lead_engagement": (ids["engaged"],),
    }
    assert "free@x.com" not in {lead["email_key"] for lead in await leads(tenant)}


async def test_an_opt_out_outlives_every_undo(tenant, csv_file):
    await import_file(tenant, csv_file(HEAD, row("a@x.com", "Ann"), row("b@x.com", "Bo")))
    marked = csv_file(HEAD, row("a@x.com", "Anna", "", "", "", "", "unsubscribed"), row("b@x.com", "Bob"),
                      row("n@x.com", "New", "", "", "", "", "bounced"), row("m@x.com"))  # fmt: skip
    report = await import_file(tenant, marked, mapping={"status": "status"})
    await suppression.add(tenant, ["b@x.com", "m@x.com"], reason="unsubscribed")
    undone = await undo(tenant, report.import_id)
    assert {each.reason: each.leads for each in undone.kept} == {"changed since": 2}
    found = [(lead["email_key"], lead["first_name"], lead["status"]) for lead in await leads(tenant)]
    assert found == [
        ("a@x.com", "Ann", "unsubscribed"), ("b@x.com", "Bob", "unsubscribed"), ("m@x.com", None, "unsubscribed")
    ]  # fmt: skip
    async with tenant.session() as session:
        targets = await session.all("SELECT target, reason FROM outreach.suppressions ORDER BY target")
    assert [(each["target"], each["reason"]) for each in targets] == [
        ("a@x.com", "unsubscribed"), ("b@x.com", "unsubscribed"), ("m@x.com", "unsubscribed"), ("n@x.com", "bounced")
    ]  # fmt: skip
    again = await import_file(tenant, csv_file(HEAD, row("n@x.com", "New")))
    assert again.inserted == 1
    assert await value(tenant, "SELECT status FROM outreach.leads WHERE email_key = 'n@x.com'") == "bounced"


async def test_an_opt_out_without_suppression_keeps_its_lead(tenant, csv_file):
    path = csv_file(HEAD, row("a@x.com", "Ann", "", "", "", "", "unsubscribed"))
    report = await import_file(tenant, path, mapping={"status": "status"})
    await suppression.remove(tenant, ["a@x.com"])
    undone = await undo(tenant, report.import_id)
    assert [(each.reason, each.leads) for each in undone.kept] == [("unsubscribed or bounced", 1)]
    assert len(await leads(tenant)) == 1


async def test_an_address_that_another_lead_took_is_not_taken_back(tenant, csv_file):
    head = ("external id", "email", "name")
    await import_file(tenant, csv_file(head, ("7", "old@x.com", "Ann")))
    report = await import_file(tenant, csv_file(head, ("7", "new@x.com", "Ann")))
    await import_file(tenant, csv_file(head, ("8", "old@x.com", "Bo")))
    before = await state(tenant)
    undone = await undo(tenant, report.import_id)
    assert [(each.reason, each.leads) for each in undone.kept] == [("address or source key taken since", 1)]
    assert await state(tenant) == before


async def test_what_can_not_be_undone_is_refused(tenant, other_tenant, csv_file, tmp_path):
    report = await import_file(tenant, csv_file(HEAD, row("a@x.com")))
    with pytest.raises(NotFound, match="there is no import"):
        await undo(other_tenant, report.import_id)
    await undo(tenant, report.import_id)
    with pytest.raises(Conflict, match="it is undone already"):
        await undo(tenant, report.import_id)
    for status, reason in (
        ("running", "still running"),
        ("failed", "changed nothing"),
        ("cancelled", "changed nothing"),
    ):
        await write(tenant, "UPDATE outreach.imports SET status = %s WHERE workspace_id = %s", status)
        with pytest.raises(Conflict, match=reason):
            await undo(tenant, report.import_id)
    with pytest.raises(InvalidInput):
        await import_file(tenant, tmp_path / "none.csv")


async def test_an_undo_that_dies_has_done_nothing(tenant, csv_file, monkeypatch):
    await import_file(tenant, csv_file(HEAD, row("a@x.com", "Ann")))
    report = await import_file(tenant, csv_file(HEAD, row("a@x.com", "Anna"), row("b@x.com")))
    before = await state(tenant)

    async def die(self):
        raise ConnectionAbortedError

    with monkeypatch.context() as patched:
        patched.setattr(_Undo, "finish", die)
        with pytest.raises(ConnectionAbortedError):
            await undo(tenant, report.import_id)
    assert await state(tenant) == before
    assert (await find(tenant, report.import_id))["status"] == "done"
    assert (await undo(tenant, report.import_id)).removed == 1


async def test_what_refers_to_leads_from_outside_is_asked(own_database_url, csv_file):
    """A delete leaves out its own questions only where the undo has asked them all."""
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        await workspaces.create(pools, "acme")
        tenant = await workspaces.tenant(pools, "acme")
        async with pools.connection() as connection:
            await connection.execute(
                "CREATE TABLE public.note (workspace_id bigint, about bigint,"
                " FOREIGN KEY (workspace_id, about) REFERENCES outreach.leads (workspace_id, id))"
            )
        report = await import_file(tenant, csv_file(HEAD, row("a@x.com", "Ann"), row("b@x.com", "Bo")))
        async with pools.connection() as connection:
            await connection.execute(
                "INSERT INTO public.note SELECT workspace_id, min(id) FROM outreach.leads GROUP BY 1"
            )
        before = await state(tenant)
        with pytest.raises(OutreachDBError, match="note_workspace_id_about_fkey"):
            await undo(tenant, report.import_id)
        assert await state(tenant) == before
        async with pools.connection() as connection:
            await connection.execute("DELETE FROM public.note")
        assert (await undo(tenant, report.import_id)).removed == 2


async def test_a_stopped_undo_says_what_is_true(tenant, csv_file):
    report = await import_file(tenant, csv_file(HEAD, row("a@x.com", "Ann")))

    def stop(phase, done, total=None):
        if phase == "restoring":
            task.cancel()

    task = asyncio.ensure_future(undo(tenant, report.import_id, progress=stop))
    with pytest.raises(asyncio.CancelledError, match=f"the undo of import {report.import_id} was stopped; nothing was"):
        await task
    assert len(await leads(tenant)) == 1
    assert (await undo(tenant, report.import_id)).removed == 1


async def test_undo_and_imports_at_once(tenant, csv_file):
    numbers = [csv_file(HEAD, *(row(f"l{n}@x.com", "", f"C{n % 5}", str(k)) for n in range(k * 100, k * 100 + 400)),
                        name=f"{k}.csv") for k in range(4)]  # fmt: skip
    first = await import_file(tenant, numbers[0])
    done = await asyncio.gather(
        undo(tenant, first.import_id, keep_changed=True),
        undo(tenant, first.import_id, keep_changed=True),
        *(import_file(tenant, path) for path in numbers[1:]),
        return_exceptions=True,
    )
    refused = [each for each in done[:2] if isinstance(each, Conflict)]
    (undone,) = [each for each in done[:2] if not isinstance(each, Conflict)]
    assert len(refused) == 1
    assert undone.removed + sum(each.leads for each in undone.kept) == 400
    kept = {lead["email_key"] for lead in await leads(tenant)}
    assert {f"l{n}@x.com" for n in range(100, 700)} <= kept


person = st.tuples(
    st.sampled_from([f"p{n}@x.com" for n in range(8)]),
    st.sampled_from(["", "Ann", "Bo"]),
    st.sampled_from(["", "Acme", "Globex", "Initech"]),
    st.sampled_from(["", "Rome"]),
    st.sampled_from(["", "a", "b;c"]),
    st.sampled_from(["", "1", "99,5"]),
    st.just(""),
    st.sampled_from(["", "free", "team"]),
)
people = st.lists(person, min_size=1, max_size=12)


async def _check(url, write_csv, first, second, policy, used):
    async with Pools(Settings.load({}, database_url=url)) as pools:
        made = await workspaces.create(pools, f"undo-{uuid4().hex}")
        tenant = await workspaces.tenant(pools, made.name)
        await import_file(tenant, write_csv(HEAD, *first))
        before = await state(tenant)
        report = await import_file(tenant, write_csv(HEAD, *second), on_conflict=policy)
        after = {lead["id"]: lead for lead in (await state(tenant))["leads"]}
        created = set(after) - {lead["id"] for lead in before["leads"]}
        keep = {lead_id for lead_id in created if after[lead_id]["email_key"] in used}
        for lead_id in keep:
            await write(tenant, "INSERT INTO outreach.lead_engagement (lead_id, workspace_id) VALUES (%s, %s)", lead_id)
        undone = await undo(tenant, report.import_id)
        assert (undone.restored, undone.removed) == (report.updated, report.inserted - len(keep))
        assert sum(each.leads for each in undone.kept) == len(keep)
        found = await state(tenant)
        assert found["leads"] == sorted(before["leads"] + [after[lead] for lead in keep], key=lambda lead: lead["id"])
        named = {lead["company_id"] for lead in found["leads"]} - {None}
        known = [company for company in found["companies"] if company in before["companies"]]
        assert known == before["companies"]
        assert {company["id"] for company in found["companies"]} - {c["id"] for c in known} <= named


@pytest.mark.parametrize("policy", ["update", "fill", "skip"])
def test_undoing_any_import_gives_the_state_before_it(database_url, csv_file, policy):
    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(people, people, st.sets(st.sampled_from([f"p{n}@x.com" for n in range(8)])))
    def run(first, second, used):
        asyncio.run(_check(database_url, csv_file, first, second, policy, used))

    run()
