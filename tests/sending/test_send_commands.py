"""The same path by the command line, in processes of their own, as scripts use it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from mailing import Sink, add_leads, campaign_file

from outreachdb.db.tenant import Tenant


async def outreachdb(*arguments: str, url: str, tenant: Tenant, home: Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "outreachdb.cli.main",
        *arguments,
        env=os.environ
        | {"OUTREACHDB_DATABASE_URL": url, "OUTREACHDB_WORKSPACE": tenant.name, "OUTREACHDB_HOME": str(home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_segment_campaign_and_send(tenant: Tenant, sink: Sink, database_url: str, tmp_path: Path) -> None:
    async def call(*arguments: str) -> dict[str, Any]:
        status, out, err = await outreachdb(*arguments, "--json", url=database_url, tenant=tenant, home=tmp_path)
        assert (status, err) == (0, "")
        document: dict[str, Any] = json.loads(out)
        return document

    await add_leads(tenant, 12)
    where = '{"field": "first_name", "op": "not_equals", "value": "Name1"}'
    await call("segment", "create", "most", "--where", where)
    counted = await call("segment", "count", "most")
    assert counted.keys() == {"count", "estimated", "seconds"}
    assert (counted["count"], counted["estimated"]) == (11, False)
    (tmp_path / "spring.json").write_text(json.dumps(campaign_file(sink.port, segment="most")), encoding="utf-8")
    made = await call("campaign", "create", str(tmp_path / "spring.json"))
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.leads SET first_name = NULL WHERE workspace_id = %s AND email LIKE 'lead7@%%'",
            [tenant.workspace_id],
        )
    checked = await call("campaign", "check", "spring")
    assert (checked["leads_tried"], checked["leads_with_gaps"]) == (11, 1)
    assert "lead7@example.org): subject: an empty field is printed" in checked["gaps"][0]
    launched = await call("campaign", "launch", "spring")
    assert launched.keys() == {"campaign_id", "scheduled", "excluded", "seconds"}
    assert (launched["campaign_id"], launched["scheduled"], launched["excluded"]) == (made["campaign_id"], 11, {})
    report = await call("send", "run", "--once")
    assert (report["sent"], report["unknown"], report["problems"]) == (11, 0, {})
    shown = await call("campaign", "show", "spring")
    assert (shown["status"], shown["sends"]) == ("completed", {"sent": 11})
    assert sum(sink.recipients().values()) == 11


async def test_errors_are_one_line(tenant: Tenant, database_url: str, tmp_path: Path) -> None:
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
        status, out, err = await outreachdb(*arguments, url=database_url, tenant=tenant, home=tmp_path)
        assert (status, out) == (expected, "")
        assert problem in err
        assert "Traceback" not in err
