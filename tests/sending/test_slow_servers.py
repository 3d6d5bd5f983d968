"""Servers that answer late: what is certainly not sent is tried again, what may have been is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from mailing import Sink, add_leads, launched, rows, statuses

from outreachdb.db.tenant import Tenant
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch, smtp
from outreachdb.sending.message import Message


async def due_again(tenant: Tenant) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET scheduled_at = now() WHERE workspace_id = %s AND status = 'scheduled'",
            [tenant.workspace_id],
        )


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit for an answer is short where the server is slow on purpose; a busy machine may take its time."""
    deliver = smtp.Line.deliver

    async def limited(line: smtp.Line, message: Message) -> smtp.Outcome:
        monkeypatch.setattr(smtp, "TIMEOUT", 0.5 if message.recipient.startswith("slow") else 30.0)
        if line.client is not None:
            line.client.timeout = smtp.TIMEOUT
        return await deliver(line, message)

    monkeypatch.setattr(smtp.Line, "deliver", limited)


async def test_an_answer_that_comes_in_time_counts(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    sink.delay = 0.2
    await add_leads(tenant, 3, "slowdata")
    await add_leads(tenant, 3, "slowrcpt")
    await launched(tenant, keyring, sink.port)
    report = await dispatch.run(tenant, keyring)
    assert (report.sent, report.unknown, report.deferred) == (6, 0, 0)
    assert set(sink.recipients().values()) == {1}


async def test_no_answer_after_the_message_leaves_its_fate_unknown(
    tenant: Tenant, keyring: Keyring, sink: Sink, hurried: None
) -> None:
    sink.delay = 60.0
    await add_leads(tenant, 2)
    await add_leads(tenant, 1, "slowdata")
    await launched(tenant, keyring, sink.port)
    first = await dispatch.run(tenant, keyring)
    assert (first.sent, first.unknown) == (2, 1)
    await due_again(tenant)
    second = await dispatch.run(tenant, keyring)
    assert (second.sent, second.unknown) == (0, 0), "the server had taken it: it isn't sent again"
    assert sink.recipients() == {"slowdata1@example.org": 1, "lead1@example.org": 1, "lead2@example.org": 1}
    assert await statuses(tenant) == {"sent": 2, "unknown": 1}


async def test_no_answer_before_the_message_is_tried_again(
    tenant: Tenant, keyring: Keyring, sink: Sink, hurried: None
) -> None:
    sink.delay = 60.0
    await add_leads(tenant, 2)
    await add_leads(tenant, 1, "slowrcpt")
    await launched(tenant, keyring, sink.port)
    first = await dispatch.run(tenant, keyring)
    assert (first.sent, first.unknown, first.failed, first.deferred) == (2, 0, 0, 1)
    [waiting] = await rows(
        tenant,
        "SELECT status, attempts, begun_at, scheduled_at > now() AS later FROM outreach.email_sends "
        "WHERE workspace_id = %s AND recipient LIKE 'slow%%'",
        tenant.workspace_id,
    )
    assert waiting == {"status": "scheduled", "attempts": 0, "begun_at": None, "later": True}
    sink.delay = 0.0
    await due_again(tenant)
    assert (await dispatch.run(tenant, keyring)).sent == 1
    assert set(sink.recipients().values()) == {1}


async def test_no_message_is_started_that_could_outlive_its_lease(tenant: Tenant, keyring: Keyring, sink: Sink) -> None:
    sink.delay = 0.4
    await add_leads(tenant, 8, "slowdata")
    await launched(tenant, keyring, sink.port)
    # Half a lease is long enough for three of them, and eight take longer than all of it.
    first = await dispatch.run(tenant, keyring, lease=timedelta(seconds=2), connections=1)
    assert 1 <= first.sent <= 4
    assert (first.sent + first.deferred, first.unknown) == (8, 0)
    sink.delay = 0.0
    await due_again(tenant)
    assert (await dispatch.run(tenant, keyring)).sent == 8 - first.sent
    assert set(sink.recipients().values()) == {1}
