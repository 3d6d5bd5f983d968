from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import CommandLine, process
from launched import Launched, launch
from signing import SendGrid, body_of

from outreachdb.db.tenant import Tenant
from outreachdb.secrets import Keyring


def _items(campaign: Launched) -> list[dict[str, Any]]:
    return [
        {
            "email": send.recipient,
            "event": "delivered",
            "timestamp": int(send.launched_at.timestamp()) + 5,
            "smtp-id": send.message_id,
            "sg_event_id": f"delivered-{send.id}",
        }
        for send in campaign.sends
    ]


@pytest.fixture
def environment(database_url: str, tenant: Tenant) -> dict[str, str]:
    return os.environ | {
        "OUTREACHDB_DATABASE_URL": database_url,
        "OUTREACHDB_WORKSPACE": tenant.name,
        "OUTREACHDB_SECRET_KEY": base64.b64encode(bytes(range(32))).decode(),
    }


async def test_events_from_a_file_to_statistics(
    environment: dict[str, str], command_line: CommandLine, tenant: Tenant, keyring: Keyring, tmp_path: Path
) -> None:
    campaign = await launch(tenant, keyring)
    file = tmp_path / "body.json"
    file.write_bytes(body_of(_items(campaign)))
    parsed = command_line(environment, "--json", "events", "parse", str(file), "--provider", "sendgrid").document
    assert [event["event"] for event in parsed["events"]] == ["delivered"] * 5
    counts = process(environment, "--json", "events", "ingest", str(file), "--provider", "sendgrid").document
    assert counts == {"received": 5, "stored": 5, "duplicates": 0, "rejected": 0, "unknown": 0, "reasons": {}}
    found = command_line(environment, "--json", "stats", "campaign", campaign.name).document
    assert (found["delivered"], found["campaign_id"]) == (5, campaign.campaign_id)
    assert "5 duplicates" in command_line(environment, "events", "ingest", str(file), "--provider", "sendgrid").out
    shown = command_line(environment, "stats", "campaign", str(campaign.campaign_id)).out
    assert "delivered" in shown
    assert command_line(environment, "--json", "stats", "workspace").document["delivered"] == 5


async def test_webhooks_are_made_listed_and_revoked(
    environment: dict[str, str], command_line: CommandLine, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(SendGrid().public + "\n")
    made = command_line(
        environment, "--json", "webhook", "create", "--provider", "sendgrid", "--key", f"@{key}"
    ).document
    assert made["path"] == f"/webhooks/sendgrid/{made['token']}"
    (listed,) = command_line(environment, "--json", "webhook", "list").document["webhooks"]
    assert listed == {name: made[name] for name in ("id", "provider", "created_at")}
    assert command_line(environment, "--json", "webhook", "revoke", str(made["id"])).document["revoked"] is True
    assert command_line(environment, "--json", "webhook", "list").document == {"webhooks": []}


async def test_inboxes_are_added_polled_and_removed(environment: dict[str, str], command_line: CommandLine) -> None:
    secret = environment | {"BOX_PASSWORD": "hushhush"}
    where = ("--host", "127.0.0.1", "--port", "1", "--security", "plain", "--password-env", "BOX_PASSWORD")
    assert "BOX_PASSWORD is not set" in command_line(environment, "inbox", "add", "a@b.example", *where).err
    made = command_line(secret, "--json", "inbox", "add", "a@b.example", *where).document
    assert (made["address"], made["imap_port"], made["last_uid"]) == ("a@b.example", 1, 0)
    polled = process(environment, "--json", "events", "poll")
    assert polled.status == 1
    assert "refused" in json.loads(polled.out)["problems"]["a@b.example"]
    (listed,) = command_line(environment, "--json", "inbox", "list").document["inboxes"]
    assert "refused" in listed["problem"]
    assert "hushhush" not in polled.out + polled.err + str(made) + str(listed)
    assert command_line(environment, "--json", "inbox", "remove", str(made["id"])).document["removed"] is True
    assert command_line(environment, "--json", "events", "poll").document["mails"] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "can't be read: no such file"), (b"", "not JSON"), (b"\x00\xff", "not UTF-8"), (b"{}", "not an array")],
)
async def test_a_bad_file_is_one_clear_line(
    environment: dict[str, str], command_line: CommandLine, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "body.json"
    if content is not None:
        file.write_bytes(content)
    done = command_line(environment, "--json", "events", "ingest", str(file), "--provider", "sendgrid")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert said in done.err
    assert str(file) in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("events", "parse", ".", "--provider", "sendgrid"), "is a directory"),
        (("events", "parse", "x", "--provider", "pigeon"), "there are amazon_ses, brevo"),
        (("stats", "campaign", "none"), "no campaign named 'none'"),
        (("webhook", "revoke", "7"), "no webhook 7"),
        (("webhook", "create", "--provider", "sendgrid", "--key", "x"), "not a SendGrid verification key"),
        (("serve", "--port", "70000"), "between 0 and 65535"),
        (("serve", "--host", "192.0.2.1"), "can't listen on 192.0.2.1"),
    ],
)
async def test_what_can_not_be_done_is_said(
    environment: dict[str, str], command_line: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    done = command_line(environment, *arguments)
    assert done.status in (1, 2)
    assert said in done.err
    assert "Traceback" not in done.err


async def test_the_server_takes_webhooks_and_stops_in_good_order(
    environment: dict[str, str], command_line: CommandLine, tenant: Tenant, keyring: Keyring
) -> None:
    provider = SendGrid()
    campaign = await launch(tenant, keyring)
    hook = command_line(
        environment, "--json", "webhook", "create", "--provider", "sendgrid", "--key", provider.public
    ).document
    body = body_of(_items(campaign))
    command = [sys.executable, "-m", "outreachdb.cli.main", "--json", "serve", "--port", "0"]
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    try:
        assert server.stdout is not None
        url = json.loads(await server.stdout.readline())["url"]
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            assert (await client.get("/health")).json()["status"] == "ok"
            answer = await client.post(hook["path"], content=body, headers=provider.headers(body))
    finally:
        server.send_signal(signal.SIGTERM)
        rest, errors = await server.communicate()
    assert answer.json()["stored"] == 5
    assert (server.returncode, rest, errors) == (0, b"", b"")
