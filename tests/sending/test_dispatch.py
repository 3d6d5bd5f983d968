"""The worker against a real SMTP server, with its faults."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from datetime import timedelta

import pytest
from mailing import Sink, add_leads, campaign_file, launched, rows, statuses

from outreachdb.campaigns import campaigns
from outreachdb.db.tenant import Tenant
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch, message_id, schedule
from outreachdb.sending.ledger import Ledger

MINUTE = timedelta(minutes=1)


async def due_again(tenant: Tenant) -> None:
    """Let the time that put-off sends wait for pass."""
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET scheduled_at = now() WHERE workspace_id = %s AND status = 'scheduled'",
            [tenant.workspace_id],
        )


async def expire_leases(tenant: Tenant) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET lease_expires_at = now() - interval '1 second' "
            "WHERE workspace_id = %s AND status = 'claimed'",
            [tenant.workspace_id],
        )


async def test_everybody_gets_one_mail_and_everything_is_recorded(
    hundred: Tenant, keyring: Keyring, sink: Sink
) -> None:
    launch = await launched(hundred, keyring, sink.port)
    report = await dispatch.run(hundred, keyring)
    assert (report.sent, report.failed, report.deferred, report.suppressed, report.unknown) == (100, 0, 0, 0, 0)
    assert sink.recipients() == {f"lead{n}@example.org": 1 for n in range(1, 101)}
    assert sink.connections <= 4, "connections are used again"
    assert await statuses(hundred) == {"sent": 100}
    workspace = hundred.workspace_id
    [log] = await rows(
        hundred,
        "SELECT count(*) AS n, count(DISTINCT message_id) AS ids, min(response) AS response FROM outreach.message_log "
        "WHERE workspace_id = %s",
        workspace,
    )
    assert log == {"n": 100, "ids": 100, "response": "250 2.0.0 taken"}
    [engagement] = await rows(
        hundred,
        "SELECT sum(sent_count)::int AS sent, count(last_contacted_at) AS contacted "
        "FROM outreach.lead_engagement WHERE workspace_id = %s",
        workspace,
    )
    assert engagement == {"sent": 100, "contacted": 100}
    assert await rows(
        hundred, "SELECT status, count(*) AS n FROM outreach.leads WHERE workspace_id = %s GROUP BY 1", workspace
    ) == [{"status": "contacted", "n": 100}]
    deltas = await rows(
        hundred,
        "SELECT grain, key, kind, sum(total)::int AS total, sum(people)::int AS people FROM analytics.rollups "
        "WHERE workspace_id = %s AND grain IN ('workspace', 'campaign', 'step') GROUP BY 1, 2, 3 ORDER BY 3, 1, 2",
        workspace,
    )
    keys = {"workspace": "", "campaign": str(launch.campaign_id), "step": f"{launch.campaign_id}:1"}
    assert deltas == [
        {"grain": grain, "key": keys[grain], "kind": kind, "total": 100, "people": 0 if grain == "workspace" else 100}
        for kind in ("scheduled", "sent")
        for grain in ("campaign", "step", "workspace")
    ]
    assert (await campaigns.find(hundred, launch.campaign_id)).status == "completed"


async def test_the_message_is_what_the_templates_say(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 1)
    step = {
        "subject": "Grüße,\n {{ first_name }}",
        "text": "Dear {{ first_name }},\n.dot\n",
        "html": "<b>{{ custom.x }}</b>",
    }
    async with tenant.trusted() as session:
        await session.execute(
            'UPDATE outreach.leads SET custom_fields = \'{"x": "<&>"}\' WHERE workspace_id = %s', [tenant.workspace_id]
        )
    await launched(tenant, keyring, sink.port, steps=[step])
    await dispatch.run(tenant, keyring)
    message = sink.parsed("lead1@example.org")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert message["Subject"] == "Grüße, Name1"
    assert message["From"] == "Änn Sender <ann@sender.example>"
    assert text.get_content().replace("\r\n", "\n") == "Dear Name1,\n.dot\n"
    assert "<b>&lt;&amp;&gt;</b>" in html.get_content()
    [send] = await rows(
        tenant, "SELECT id, created_at FROM outreach.email_sends WHERE workspace_id = %s", tenant.workspace_id
    )
    reference = message_id.parse(keyring, message["Message-ID"])
    assert reference is not None
    assert (reference.workspace_id, reference.send_id) == (tenant.workspace_id, send["id"])
    assert reference.month_start == send["created_at"].replace(day=1, hour=0, minute=0, second=0, microsecond=0)


async def test_two_workers_send_each_mail_once(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 300)
    await launched(tenant, keyring, sink.port)
    reports = await asyncio.gather(*(dispatch.run(tenant, keyring, batch=40, connections=2) for _ in range(2)))
    assert sum(report.sent for report in reports) == 300
    assert sink.recipients() == {f"lead{n}@example.org": 1 for n in range(1, 301)}
    assert await statuses(tenant) == {"sent": 300}


async def test_refusals(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 3)
    await add_leads(tenant, 2, "refused4-")
    await add_leads(tenant, 4, "refused5-")
    await launched(tenant, keyring, sink.port)
    report = await dispatch.run(tenant, keyring)
    assert (report.sent, report.failed, report.deferred) == (3, 4, 2)
    found = await rows(
        tenant,
        "SELECT split_part(recipient, '-', 1) AS kind, status, attempts, last_error, scheduled_at > now() AS later "
        "FROM outreach.email_sends WHERE workspace_id = %s AND recipient LIKE 'refused%%' "
        "GROUP BY 1, 2, 3, 4, 5 ORDER BY 1",
        tenant.workspace_id,
    )
    assert found == [
        {
            "kind": "refused4",
            "status": "scheduled",
            "attempts": 1,
            "last_error": "451 4.3.0 try again later",
            "later": True,
        },
        {
            "kind": "refused5",
            "status": "failed",
            "attempts": 1,
            "last_error": "550 5.1.1 nobody of that name",
            "later": False,
        },
    ]
    for _ in range(4):
        await due_again(tenant)
        report = await dispatch.run(tenant, keyring)
    assert report.failed == 2
    assert await statuses(tenant) == {"sent": 3, "failed": 6}
    assert sum(sink.recipients().values()) == 3


async def test_a_connection_lost_after_data_leaves_the_fate_unknown(
    tenant: Tenant, keyring: Keyring, sink: Sink
) -> None:
    await add_leads(tenant, 1, "dropped")
    await add_leads(tenant, 5)
    await launched(tenant, keyring, sink.port)
    first = await dispatch.run(tenant, keyring)
    await due_again(tenant)
    second = await dispatch.run(tenant, keyring)
    assert (first.sent, first.unknown) == (5, 1)
    assert (second.sent, second.unknown) == (0, 0)
    assert sink.recipients()["dropped1@example.org"] == 1
    assert await statuses(tenant) == {"sent": 5, "unknown": 1}


async def test_a_server_that_always_hangs_up_is_left_alone(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 60, "dropped")
    await launched(tenant, keyring, sink.port)
    report = await dispatch.run(tenant, keyring, connections=1)
    assert (report.sent, report.unknown) == (0, 3)
    assert "hangs up" in report.problems["ann@sender.example"]
    assert await statuses(tenant) == {"unknown": 3, "scheduled": 57}


async def test_no_server_no_loss(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 60)
    with socket.socket() as nobody:  # listens, and meanwhile nobody else can
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        await launched(tenant, keyring, port)
        report = await dispatch.run(tenant, keyring)
    assert (report.sent, report.failed, report.unknown) == (0, 0, 0)
    assert f"127.0.0.1:{port}" in report.problems["ann@sender.example"]
    [attempts] = await rows(
        tenant,
        "SELECT status, max(attempts) AS attempts, count(*) AS n FROM outreach.email_sends "
        "WHERE workspace_id = %s GROUP BY 1",
        tenant.workspace_id,
    )
    assert attempts == {"status": "scheduled", "attempts": 0, "n": 60}
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.mailboxes SET smtp_port = %s WHERE workspace_id = %s", [sink.port, tenant.workspace_id]
        )
    await due_again(tenant)
    assert (await dispatch.run(tenant, keyring)).sent == 60


async def test_a_refused_sender_is_the_mailbox_s_trouble_not_the_recipients(
    tenant: Tenant, keyring: Keyring, sink: Sink
) -> None:
    await add_leads(tenant, 30)
    smtp = {"host": "127.0.0.1", "port": sink.port, "security": "plain"}
    boxes = [{"address": name, "smtp": smtp} for name in ("sender5@sender.example", "ann@sender.example")]
    await launched(tenant, keyring, sink.port, mailboxes=boxes)
    report = await dispatch.run(tenant, keyring)
    assert (report.sent, report.failed) == (15, 0)
    assert report.problems == {"sender5@sender.example": f"127.0.0.1:{sink.port}: 550 5.7.1 not from you"}
    assert await statuses(tenant) == {"sent": 15, "scheduled": 15}


async def test_a_lead_that_breaks_a_template_fails_alone(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 3)
    async with tenant.trusted() as session:
        await session.execute(
            'UPDATE outreach.leads SET custom_fields = \'{"City": "Rome"}\' '
            "WHERE workspace_id = %s AND first_name <> 'Name2'",
            [tenant.workspace_id],
        )
    await launched(tenant, keyring, sink.port, check=False, steps=[{"subject": "Hi", "text": "{{ custom.City }}"}])
    report = await dispatch.run(tenant, keyring)
    assert (report.sent, report.failed) == (2, 1)
    [failed] = await rows(
        tenant,
        "SELECT recipient, last_error FROM outreach.email_sends WHERE workspace_id = %s AND status = 'failed'",
        tenant.workspace_id,
    )
    assert failed["recipient"] == "lead2@example.org"
    assert failed["last_error"].startswith("template: text: ")


async def test_international_addresses(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, first_name) VALUES (%s, 'jörg@bücher.example', 'Jörg')",
            [tenant.workspace_id],
        )
    await launched(tenant, keyring, sink.port)
    report = await dispatch.run(tenant, keyring)
    assert report.sent == 1
    assert sink.parsed("jörg@bücher.example")["To"] == "jörg@bücher.example"


async def test_sequences_wait_for_the_step_before_and_stop_on_replies(
    tenant: Tenant, keyring: Keyring, sink: Sink
) -> None:
    await add_leads(tenant, 4)
    await add_leads(tenant, 1, "refused5-")
    steps = [{"subject": f"step {n}", "text": "x", "delay": "2 days" if n > 1 else 0} for n in (1, 2)]
    made = await launched(tenant, keyring, sink.port, steps=steps)
    assert made.scheduled == 10
    assert (await dispatch.run(tenant, keyring)).sent == 4
    await due_again(tenant)
    early = await dispatch.run(tenant, keyring)
    assert (early.sent, early.suppressed) == (0, 1)
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET sent_at = sent_at - interval '3 days', "
            "replied_at = CASE recipient WHEN 'lead1@example.org' THEN now() END, "
            "bounced_at = CASE recipient WHEN 'lead2@example.org' THEN now() END "
            "WHERE workspace_id = %s AND status = 'sent'",
            [tenant.workspace_id],
        )
    await due_again(tenant)
    later = await dispatch.run(tenant, keyring)
    assert (later.sent, later.suppressed) == (2, 2)
    assert sink.recipients() == {f"lead{n}@example.org": 1 + (n > 2) for n in (1, 2, 3, 4)}
    reasons = await rows(
        tenant,
        "SELECT recipient, last_error FROM outreach.email_sends "
        "WHERE workspace_id = %s AND status = 'cancelled' ORDER BY 1",
        tenant.workspace_id,
    )
    assert [row["last_error"] for row in reasons] == [
        "the lead replied",
        "the lead bounced, complained or unsubscribed",
        "the step before was failed",
    ]
    assert (await campaigns.find(tenant, made.campaign_id)).status == "completed"


async def test_the_condition_of_a_step_decides_who_gets_it(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 3)  # one clicks (and opened), one opens, one does nothing
    for condition in ("no_click", "no_open", "no_reply"):
        later = {"subject": condition, "text": "x", "delay": 0, "condition": condition}
        await launched(tenant, keyring, sink.port, name=condition, steps=[{"subject": "1", "text": "x"}, later])
    # The second steps are looked at after the first ones left.
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET scheduled_at = now() + interval '1 hour' "
            "WHERE workspace_id = %s AND step = 2",
            [tenant.workspace_id],
        )
    assert (await dispatch.run(tenant, keyring)).sent == 9
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET opened_at = now(), "
            "clicked_at = CASE recipient WHEN 'lead1@example.org' THEN now() END "
            "WHERE workspace_id = %s AND step = 1 AND recipient <> 'lead3@example.org'",
            [tenant.workspace_id],
        )
    await due_again(tenant)
    report = await dispatch.run(tenant, keyring)
    assert (report.sent, report.suppressed) == (6, 3)
    refused = await rows(
        tenant,
        "SELECT c.name, s.recipient, s.last_error FROM outreach.email_sends AS s "
        "JOIN outreach.campaigns AS c ON c.workspace_id = s.workspace_id AND c.id = s.campaign_id "
        "WHERE s.workspace_id = %s AND s.status = 'cancelled' ORDER BY 1, 2",
        tenant.workspace_id,
    )
    assert [tuple(row.values()) for row in refused] == [
        ("no_click", "lead1@example.org", "the lead clicked"),
        ("no_open", "lead1@example.org", "the lead opened"),
        ("no_open", "lead2@example.org", "the lead opened"),
    ]


async def test_stopping_a_worker_gives_its_claims_back(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 200)
    await launched(tenant, keyring, sink.port)
    sink.notify_at = 10
    worker = asyncio.create_task(dispatch.run(tenant, keyring, connections=1))
    await asyncio.to_thread(sink.arrived.wait, 30)
    worker.cancel()
    sink.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await worker
    found = await statuses(tenant)
    assert found == {"sent": len(sink.messages), "scheduled": 200 - len(sink.messages)}
    await due_again(tenant)
    await dispatch.run(tenant, keyring)
    assert sink.recipients() == {f"lead{n}@example.org": 1 for n in range(1, 201)}


WORKER = """
import asyncio, sys
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch
from outreachdb.tenancy import workspaces

async def main(url, name):
    async with Pools(Settings.load({}, database_url=url)) as pools:
        await dispatch.run(await workspaces.tenant(pools, name), Keyring(bytes(range(32))), batch=60)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("killed_at", [1, 17, 80])
async def test_a_killed_worker_costs_no_second_mail(
    tenant: Tenant, keyring: Keyring, sink: Sink, database_url: str, killed_at: int
) -> None:
    await add_leads(tenant, 200)
    await launched(tenant, keyring, sink.port)
    sink.notify_at = killed_at
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, database_url, tenant.name)
    assert await asyncio.to_thread(sink.arrived.wait, 30)
    os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    sink.gate.set()

    untouched = await dispatch.run(tenant, keyring)
    assert untouched.unknown == 0, "leases that still run belong to their worker"
    await expire_leases(tenant)
    await dispatch.run(tenant, keyring)

    ledger = {
        row["recipient"]: row["status"]
        for row in await rows(
            tenant, "SELECT recipient, status FROM outreach.email_sends WHERE workspace_id = %s", tenant.workspace_id
        )
    }
    assert set(ledger.values()) <= {"sent", "unknown"}
    assert len(ledger) == 200
    assert max(sink.recipients().values()) == 1
    assert {to for to, status in ledger.items() if status == "sent"} <= set(sink.recipients())
    assert set(sink.recipients()) <= set(ledger)
    unknown = sum(status == "unknown" for status in ledger.values())
    assert 1 <= unknown <= 4 * dispatch.CHUNK


async def test_the_ledger_of_a_lost_worker_still_counts(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    await add_leads(tenant, 3)
    await launched(tenant, keyring, sink.port)
    slow = Ledger(tenant, MINUTE)
    sends, _ = await slow.claim(10, [])
    assert len(await slow.begin(sends[:2])) == 2
    await expire_leases(tenant)
    other = Ledger(tenant, MINUTE)
    assert await other.release_expired() == {"released": 1, "unknown": 2}
    assert await other.begin(sends) == {}, "claims of others can't be begun"
    results = [{"id": send.send_id, "created_at": send.created_at, "outcome": "sent"} for send in sends]
    assert (await other.record(results))["sent"] == 0
    assert (await slow.record(results))["sent"] == 2, "what was begun is settled by its own worker, however late"
    assert (await slow.record(results))["sent"] == 0, "once"
    assert await statuses(tenant) == {"sent": 2, "scheduled": 1}


async def test_workers_stop_where_a_password_can_t_be_read(
    tenant: Tenant, keyring: Keyring, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_leads(tenant, 2)
    monkeypatch.setenv("ANN_PASSWORD", "s3cret-ünïcode")
    smtp = {
        "host": "127.0.0.1",
        "port": sink.port,
        "security": "plain",
        "username": "ann",
        "password_env": "ANN_PASSWORD",
    }
    made = await campaigns.create(
        tenant, keyring, campaign_file(sink.port, mailboxes=[{"address": "ann@sender.example", "smtp": smtp}])
    )
    await schedule.launch(tenant, made.id)
    report = await dispatch.run(tenant, keyring)
    assert report.sent == 0
    assert "ann@sender.example" in report.problems
    assert "s3cret" not in repr(report)
    assert await statuses(tenant) == {"scheduled": 2}
