"""The same path by the command line, as scripts use it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, Said, process
from mailing import Sink, add_leads, campaign_file

from outreachdb.db.tenant import Tenant

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


async def test_errors_are_one_line(call: Call, tmp_path: Path) -> None:
    wrong = [
        (("segment", "count", "--where", "{"), 1, "no JSON at line 1"),
        (("segment", "count"), 2, "give either a segment's NAME or --where"),
        (("segment", "count", "nobody"), 1, "no segment named 'nobody'"),
        (("campaign", "create", str(tmp_path / "missing.yaml")), 1, "can't be read"),
        (("campaign", "create", str(tmp_path)), 1, "can't be read"),
        (("campaign", "launch", "nobody"), 1, "no campaign named 'nobody'"),
        (("send", "run", "--once", "--batch", "0"), 2, "--batch"),
    ]
    for arguments, expected, problem in wrong:
        said = await call(*arguments, alone=arguments[0] == "send")
        assert (said.status, said.out) == (expected, "")
        assert problem in said.err
        assert "Traceback" not in said.err
