"""The same path by the command line, as scripts use it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, Said, process
from mailing import Sink, add_leads, campaign_file, statuses

from outreachdb.db.tenant import Tenant
from outreachdb.sending.ledger import Ledger

Call = Callable[..., Awaitable[Said]]


@pytest.fixture
def call(command_line: CommandLine, tenant: Tenant, database_url: str, tmp_path: Path) -> Call:
    """A command, while the loop goes on: what it sends is received here."""
    environment = os.environ | {
        "OUTREACHDB_DATABASE_URL": database_url, "OUTREACHDB_WORKSPACE": tenant.name, "OUTREACHDB_HOME": str(tmp_path)
    }  # fmt: skip

    async def in_thread(*arguments: str, alone: bool = False) -> Said:
        run = process if alone else command_line
        return await asyncio.to_thread(run, environment, *arguments)

    return in_thread


async def test_segment_campaign_and_send(tenant: Tenant, sink: Sink, call: Call, tmp_path: Path) -> None:
    async def told(*arguments: str, alone: bool = False) -> dict[str, Any]:
        return (await call(*arguments, "--json", alone=alone)).document

    await add_leads(tenant, 12)
    where = '{"field": "first_name", "op": "not_equals", "value": "Name1"}'
    await told("segment", "create", "most", "--where", where)
    counted = await told("segment", "count", "most")
    assert counted.keys() == {"count", "estimated", "seconds"}
    assert (counted["count"], counted["estimated"]) == (11, False)
    (tmp_path / "spring.json").write_text(json.dumps(campaign_file(sink.port, segment="most")), encoding="utf-8")
    made = await told("campaign", "create", str(tmp_path / "spring.json"))
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.leads SET first_name = NULL WHERE workspace_id = %s AND email LIKE 'lead7@%%'",
            [tenant.workspace_id],
        )
    checked = await told("campaign", "check", "spring")
    assert (checked["leads_tried"], checked["leads_with_gaps"]) == (11, 1)
    assert "lead7@example.org): subject: an empty field is printed" in checked["gaps"][0]
    launched = await told("campaign", "launch", "spring")
    assert launched.keys() == {"campaign_id", "scheduled", "excluded", "seconds"}
    assert (launched["campaign_id"], launched["scheduled"], launched["excluded"]) == (made["campaign_id"], 11, {})
    report = await told("send", "run", "--once", alone=True)
    assert (report["sent"], report["unknown"], report["problems"]) == (11, 0, {})
    shown = await told("campaign", "show", "spring")
    assert (shown["status"], shown["sends"]) == ("completed", {"sent": 11})
    assert sum(sink.recipients().values()) == 11


async def test_a_server_that_is_not_there_is_one_error_with_a_remedy(
    tenant: Tenant, sink: Sink, call: Call, tmp_path: Path
) -> None:
    await add_leads(tenant, 6)
    with socket.socket() as nobody:  # listens, and meanwhile nobody else can
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        smtp = {"host": "127.0.0.1", "port": port, "security": "plain"}
        boxes = [{"address": f"{name}@sender.example", "smtp": smtp} for name in ("ann", "bo", "cy")]
        (tmp_path / "spring.json").write_text(json.dumps(campaign_file(port, mailboxes=boxes)), encoding="utf-8")
        assert (await call("campaign", "create", str(tmp_path / "spring.json"))).status == 0
        tried = await call("campaign", "test", "spring", "--to", "me@here.example")
        assert (tried.status, "connection refused (start the server" in tried.err) == (1, True)
        assert (await call("campaign", "launch", "spring")).status == 0
        ended = await call("send", "run", "--once", alone=True)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    told = f"outreachdb: nothing was sent: 127.0.0.1:{port}: connection refused (mailbox ann@sender.example and 2 more)"
    assert ended.err.startswith(f"{told} (start the server, or mend")
    at_once = await call("send", "run", "--once")
    assert (at_once.status, at_once.out.partition(";")[0]) == (0, "nothing is due now")
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET scheduled_at = now() WHERE workspace_id = %s", [tenant.workspace_id]
        )
        await session.execute(
            "UPDATE outreach.mailboxes SET smtp_port = %s WHERE workspace_id = %s AND address LIKE 'ann%%'",
            [sink.port, tenant.workspace_id],
        )
    some = await call("send", "run", "--once", "--json")
    assert (some.status, json.loads(some.out)["sent"]) == (0, 2)
    assert json.loads(some.out)["hints"].keys() == {"bo@sender.example", "cy@sender.example"}
    assert some.err.startswith("outreachdb: not everything was sent: 127.0.0.1:")


SPRING = """
name: spring
segment: {{}}
mailboxes:
  - address: ann@sender.example
    smtp: {{host: 127.0.0.1, port: {port}, security: plain}}
    daily_cap: 500
steps:
  - variants:
      - {{name: A, subject: "Hello {{{{ first_name }}}}", text: "x"}}
      - {{name: B, subject: "A question", text: "x"}}
  - {{subject: "Again", text: "x", delay: 3 days}}
"""


async def test_a_campaign_from_draft_to_its_next_run(tenant: Tenant, sink: Sink, call: Call, tmp_path: Path) -> None:
    """What people do with a campaign beside launching it; each answer is one JSON document."""

    async def told(*arguments: str) -> dict[str, Any]:
        return (await call(*arguments, "--json")).document

    await add_leads(tenant, 6)
    (tmp_path / "spring.yaml").write_text(SPRING.format(port=sink.port), encoding="utf-8")
    assert (await told("campaign", "create", str(tmp_path / "spring.yaml")))["status"] == "draft"
    assert (await told("campaign", "schema"))["title"] == "OutreachDB campaign"
    tried = await told("campaign", "test", "spring", "--to", "me@here.example", "--lead", "lead2@example.org")
    assert (tried["subject"], tried["variant"], sink.recipients()) == ("Hello Name2", "A", {"me@here.example": 1})
    foreseen = await told("campaign", "forecast", "spring")
    assert (foreseen["sends"], foreseen["binding"]) == (12, "step_delays")
    assert datetime.fromisoformat(foreseen["ends_at"]) - datetime.fromisoformat(foreseen["as_of"]) > timedelta(days=2)
    assert (await told("campaign", "launch", "spring"))["scheduled"] == 12
    assert (await told("campaign", "pause", "spring"))["status"] == "paused"
    why = (await told("leads", "why", "lead1@example.org", "--campaign", "spring"))["timeline"]
    assert ("schedule", "step 1: the campaign is paused") in {(line["kind"], line["what"]) for line in why}
    everywhere = await told("leads", "why", "lead1@example.org")
    assert [(each["campaign"], each["status"], each["concerned"]) for each in everywhere["campaigns"]] == [
        ("spring", "paused", True)
    ]
    assert [line["what"] for line in everywhere["campaigns"][0]["timeline"]] == [line["what"] for line in why]
    assert "campaign spring, run 1: paused\n" in (await call("leads", "why", "lead1@example.org")).out
    assert (await told("campaign", "resume", "spring"))["status"] == "running"
    await add_leads(tenant, 2, "late")
    added = await told("campaign", "add", "spring")
    assert (added["scheduled"], added["excluded"]) == (4, {"already_in_campaign": 6})

    assert await told("send", "limit", "--mails", "2", "--days", "3") == {"mails": 2, "days": 3}
    assert await told("send", "limit", "--none") == await told("send", "limit") == {"mails": None, "days": None}
    lost = Ledger(tenant, timedelta(minutes=5))
    await lost.begin((await lost.claim(1, []))[0])
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.email_sends SET lease_expires_at = now() WHERE workspace_id = %s AND status = 'claimed'",
            [tenant.workspace_id],
        )
    report = await told("send", "run", "--once", "--maildir", str(tmp_path / "mail"))
    assert (report["sent"], report["unknown"]) == (7, 1)
    [dark] = (await told("send", "unknown", "--campaign", "spring"))["unknown"]
    decided = await told("send", "unknown", "--send", str(dark["send_id"]), "--decide", "sent")
    assert decided == {"decided": 1, "decision": "sent"}
    again = await call("send", "unknown", "--send", str(dark["send_id"]), "--decide", "resend")
    assert (again.status, again.out) == (1, "")
    assert f"not unknown: send {dark['send_id']}" in again.err

    shown = await told("campaign", "show", "spring")
    assert shown["sends"] == {"sent": 8, "scheduled": 8}
    assert sum(row["sends"] for row in shown["variants"]) == 8
    assert (await told("campaign", "cancel", "spring"))["status"] == "cancelled"
    closed = await call("campaign", "pause", "spring")
    assert (closed.status, closed.out) == (1, "")
    assert "a campaign that is cancelled can't become paused (it is closed)" in closed.err
    assert (await told("campaign", "next-run", "spring"))["run"] == 2
    runs = (await told("campaign", "list"))["campaigns"]
    assert [(each["run"], each["status"]) for each in runs] == [(2, "draft"), (1, "cancelled")]


async def test_a_launch_names_the_lead_that_breaks_a_template(
    tenant: Tenant, sink: Sink, call: Call, tmp_path: Path
) -> None:
    await add_leads(tenant, 3)
    async with tenant.trusted() as session:
        await session.execute(
            'UPDATE outreach.leads SET custom_fields = \'{"City": "Rome"}\' '
            "WHERE workspace_id = %s AND email <> 'lead2@example.org'",
            [tenant.workspace_id],
        )
    steps = [{"subject": "Hi", "text": "x"}, {"subject": "Hi", "text": "How is {{ custom.City }}?"}]
    (tmp_path / "c.json").write_text(json.dumps(campaign_file(sink.port, "cities", steps=steps)), encoding="utf-8")
    assert (await call("campaign", "create", str(tmp_path / "c.json"))).status == 0
    at = ("--at", "2099-01-01T08:00:00+01:00")
    for arguments in (("check", "cities"), ("launch", "cities"), ("launch", "cities", *at)):
        said = await call("campaign", *arguments)
        assert (said.status, said.out) == (1, ""), arguments
        assert re.search(r"campaign cities: step 2, lead \d+ \(lead2@example\.org\): text: .*City", said.err)
        assert "lead1@" not in said.err + said.out
    assert (await call("campaign", "show", "cities", "--json")).document["status"] == "draft"
    assert await statuses(tenant) == {}
    forced = (await call("campaign", "launch", "cities", "--force", "--json")).document
    assert forced["scheduled"] == 6


async def test_errors_are_one_line(call: Call, tmp_path: Path) -> None:
    wrong = [
        (("segment", "count", "--where", "{"), 1, "no JSON at line 1"),
        (("segment", "count"), 2, "give either a segment's NAME or --where"),
        (("segment", "count", "nobody"), 1, "no segment named 'nobody'"),
        (("campaign", "create", str(tmp_path / "missing.yaml")), 1, "can't be read"),
        (("campaign", "create", str(tmp_path)), 1, "can't be read"),
        (("campaign", "launch", "nobody"), 1, "no campaign named 'nobody'"),
        (("campaign", "launch", "nobody", "--at", "2099-01-01T08:00"), 2, "has no time zone"),
        (("campaign", "test", "nobody", "--to", "no address"), 1, "'no address' is no e-mail address"),
        (("send", "run", "--once", "--batch", "0"), 2, "--batch"),
    ]
    for arguments, expected, problem in wrong:
        said = await call(*arguments, alone=arguments[0] == "send")
        assert (said.status, said.out) == (expected, "")
        assert problem in said.err
        assert "Traceback" not in said.err
