"""The argument by which a provider's events find their send when they come without a Message-ID."""

from __future__ import annotations

import json
import time
from email import message_from_bytes
from email.policy import default

import pytest
from mailing import Sink, add_leads, launched, rows

from outreachdb.campaigns.templates import Rendered
from outreachdb.db.tenant import Tenant
from outreachdb.demo import reports
from outreachdb.demo.sink import Received
from outreachdb.events import webhooks
from outreachdb.events.ingest import IngestReport, ingest
from outreachdb.secrets import Keyring
from outreachdb.sending import dispatch
from outreachdb.sending.message import build


@pytest.mark.parametrize("domain", ["sender.example", "bücher.example", "long-label." * 20 + "example"])
def test_the_header_is_ascii_json_in_short_lines(domain: str) -> None:
    identity = f"<o1.1.2.202611.0123456789abcdef01234567@{domain}>"
    made = build("Ann", f"ann@{domain}", "bob@example.org", Rendered("Grüße", "Text", "<p>x</p>"), identity)
    header = made.content.split(b"\r\n\r\n")[0]
    assert b"X-SMTPAPI" in header
    assert max(map(len, header.split(b"\r\n"))) <= 998
    message = message_from_bytes(made.content, policy=default)
    assert json.loads(message["X-SMTPAPI"]) == {"unique_args": {"outreachdb_message_id": identity}}
    lines = made.content[made.content.index(b"X-SMTPAPI") :].split(b"\r\n")[:3]
    assert all(line.isascii() for line in lines)
    assert [line[:1] for line in lines[1:]] == [b" ", b" "]


async def test_opens_and_complaints_without_smtp_id_find_their_sends(
    tenant: Tenant, keyring: Keyring, sink: Sink
) -> None:
    await add_leads(tenant, 3)
    await launched(tenant, keyring, sink.port)
    await dispatch.run(tenant, keyring)
    arguments = json.loads(sink.parsed("lead1@example.org")["X-SMTPAPI"])["unique_args"]
    told = [
        {"event": kind, "email": "lead1@example.org", "timestamp": int(time.time()), "sg_event_id": kind, **arguments}
        for kind in ("open", "click", "spamreport", "unsubscribe")
    ]
    parsed = webhooks.adapter("sendgrid").parse(json.dumps(told).encode())
    assert await ingest(tenant, keyring, parsed.events) == IngestReport(4, 4)
    [send] = await rows(
        tenant,
        "SELECT opened_at, clicked_at, complained_at, unsubscribed_at FROM outreach.email_sends "
        "WHERE workspace_id = %s AND recipient = 'lead1@example.org'",
        tenant.workspace_id,
    )
    assert None not in send.values()


def test_the_demo_reports_as_the_provider_does() -> None:
    messages = [Received(f"{n}@example.org", f"<{n}@x>", {"outreachdb_message_id": f"<{n}@x>"}) for n in range(2000)]
    told = list(reports.events(messages))
    delivery = {event["event"] for event in told if "smtp-id" in event}
    others = {event["event"] for event in told if "smtp-id" not in event}
    assert delivery == {"delivered", "bounce"}
    assert others == {"open", "click", "unsubscribe", "spamreport"}
    assert all(event["outreachdb_message_id"] == f"<{event['email'].split('@')[0]}@x>" for event in told)
