"""Campaign files, and campaigns from draft to the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outreachdb.campaigns import campaigns, file
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound, OutreachDBError
from outreachdb.secrets import Keyring
from outreachdb.segments import segments
from outreachdb.sending import schedule

SMTP = {"host": "smtp.sender.example"}


def plain(**changes: Any) -> dict[str, Any]:
    return {
        "name": "spring",
        "segment": {"field": "country", "op": "equals", "value": "US"},
        "mailboxes": [{"address": "ann@sender.example", "smtp": SMTP}],
        "steps": [
            {"subject": "Hello {{ first_name }}", "text": "Dear {{ first_name | default('you') }} {{ custom.City }}"}
        ],
    } | changes


YAML = """
name: spring
segment: us
mailboxes:
  - address: Ann@Sender.example
    display_name: Ann
    smtp: {host: smtp.sender.example, port: 2525, security: plain, username: ann, password_env: ANN_PASSWORD}
    daily_cap: 50
steps:
  - subject: Hello {{ first_name }}
    text: |
      Dear {{ first_name }}
  - subject: Again
    text: Dear {{ first_name }}
    html: <p>{{ first_name }}</p>
    delay: 3 days
    condition: no_click
start: 2030-01-01T08:00:00Z
"""


async def test_a_campaign_from_yaml(
    tenant: Tenant, keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANN_PASSWORD", "s3cret")
    (tmp_path / "spring.yaml").write_text(YAML, encoding="utf-8")
    await segments.create(tenant, "us", {"field": "country", "op": "equals", "value": "US"})
    given = file.load(tmp_path / "spring.yaml")
    made = await campaigns.create(tenant, keyring, given)
    shown = await campaigns.show(tenant, "spring")
    assert (made.status, made.segment, made.launched_at) == ("draft", "us", None)
    assert [(step["step"], step["delay_seconds"], step["condition"]) for step in shown.steps] == [
        (1, 0, "no_reply"),
        (2, 3 * 86400, "no_click"),
    ]
    assert shown.mailboxes[0]["daily_cap"] == 50
    assert "s3cret" not in repr(shown) + repr(given)
    async with tenant.trusted() as session:
        sealed = await session.value(
            "SELECT password_encrypted FROM outreach.mailboxes WHERE workspace_id = %s", [tenant.workspace_id]
        )
    assert b"s3cret" not in sealed
    context = campaigns.secret_context(tenant.workspace_id, "ANN@sender.example")
    assert keyring.decrypt(sealed, context=context) == "s3cret"
    with pytest.raises(InvalidInput):
        keyring.decrypt(sealed, context=campaigns.secret_context(tenant.workspace_id, "bob@sender.example"))


async def test_names_ids_and_conflicts(tenant: Tenant, other_tenant: Tenant, keyring: Keyring) -> None:
    made = await campaigns.create(tenant, keyring, plain())
    again = await campaigns.create(tenant, keyring, plain(name="summer", mailboxes=[{"address": "ANN@sender.example"}]))
    assert await campaigns.find(tenant, str(made.id)) == await campaigns.find(tenant, "spring")
    assert [each.name for each in await campaigns.listed(tenant)] == ["summer", "spring"]
    assert [box["address"] for box in (await campaigns.show(tenant, again.id)).mailboxes] == ["ann@sender.example"]
    with pytest.raises(Conflict, match="a campaign of that name"):
        await campaigns.create(tenant, keyring, plain())
    with pytest.raises(NotFound) as raised:
        await campaigns.find(tenant, "sprnig")
    assert raised.value.hint == 'did you mean "spring"?'
    for given in (made.id, "sprnig"):
        with pytest.raises(NotFound) as raised:
            await campaigns.find(other_tenant, given)
        assert raised.value.hint == "outreachdb campaign list"  # other workspaces' names are not told


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"segment": "nobody"}, "no segment named 'nobody'"),
        ({"segment": {"field": "nope", "op": "is_set"}}, "there is no field"),
        ({"mailboxes": [{"address": "new@sender.example"}]}, "not known yet"),
        ({"mailboxes": [{"address": "a@b.example", "smtp": SMTP | {"password_env": "NOT_SET"}}]}, "NOT_SET is not set"),
    ],
)
async def test_what_the_database_refuses_leaves_nothing(
    tenant: Tenant, keyring: Keyring, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(OutreachDBError, match=problem):
        await campaigns.create(tenant, keyring, plain(**changes))
    assert await campaigns.listed(tenant) == []


@pytest.mark.parametrize(
    ("changes", "spot"),
    [
        ({"nmae": "x"}, 'nmae: unknown key "nmae"; did you mean "name"'),
        ({"name": " "}, "name: must be one line"),
        ({"segment": 3}, "segment: must be a segment's name or a definition"),
        ({"segment": {"all": 3}}, "segment: all"),
        ({"mailboxes": []}, "mailboxes: "),
        ({"mailboxes": [{"address": "no address"}]}, "mailboxes[0].address: is no e-mail address"),
        (
            {"mailboxes": [{"address": "a@b.example"}, {"address": "A@B.example"}]},
            "mailboxes[1]: a@b.example is listed twice",
        ),
        ({"mailboxes": [{"address": "a@b.example", "smtp": {"host": "h", "port": 99999}}]}, "mailboxes[0].smtp.port"),
        (
            {"mailboxes": [{"address": "a@b.example", "smtp": {"host": "h", "pass": "x"}}]},
            'smtp.pass: unknown key "pass"; did you mean "password_env"?',
        ),
        (
            {"mailboxes": [{"address": "a@b.example", "smtp": {"host": "h", "zzz": "x"}}]},
            'smtp.zzz: unknown key "zzz"; there are host, port,',
        ),
        ({"steps": []}, "steps: "),
        ({"steps": [{"subject": "x", "text": "{{ first_nam }}"}]}, "steps[0].text: 'first_nam' is undefined"),
        ({"steps": [{"subject": "{% if %}", "text": "x"}]}, "steps[0].subject, line 1"),
        ({"steps": [{"subject": "x", "text": "{{ ''.__class__.__mro__ }}"}]}, "steps[0].text: "),
        ({"steps": [{"subject": "x", "text": "{{ 1 / 0 }}"}]}, "ZeroDivisionError"),
        (
            {"steps": [{"subject": "x", "text": "y", "delay": "soon"}]},
            'steps[0].delay: must be seconds or a text such as "3 days"',
        ),
        ({"steps": [{"subject": "x", "text": "y", "delay": -1}]}, "steps[0].delay"),
        ({"start": "2030-01-01T08:00:00"}, "start: "),
    ],
)
def test_mistakes_are_pointed_at(changes: dict[str, Any], spot: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        file.parse(plain(**changes))
    assert spot in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("missing.yaml", None, "can't be read"),
        ("empty.yaml", b"", "holds no campaign"),
        ("list.json", b"[]", "holds no campaign"),
        ("broken.json", b"{", "no JSON at line 1"),
        ("broken.yaml", b"a: [\nb: }", "no YAML at line 2"),
        ("tag.yaml", b"a: !!python/object/apply:os.system [echo]", "no YAML at line 1"),
        ("binary.yaml", b"\xff\xfe\x00\x01", "not UTF-8"),
        ("deep.json", b"[" * 100_000, "nested too deep"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=problem):
        file.load(tmp_path / name)


def test_json_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "spring.json").write_text(json.dumps(plain()), encoding="utf-8")
    assert file.load(tmp_path / "spring.json") == file.parse(plain())


async def test_allowed_and_refused_transitions(tenant: Tenant, keyring: Keyring) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, country) VALUES (%s, 'a@example.org', 'US')",
            [tenant.workspace_id],
        )
    made = await campaigns.create(tenant, keyring, plain())
    with pytest.raises(Conflict, match="a campaign that is draft can't become paused"):
        await campaigns.pause(tenant, made.id)
    with pytest.raises(Conflict, match="or be launched"):
        await campaigns.resume(tenant, made.id)
    with pytest.raises(InvalidInput, match=r"step 1, lead \d+ \(a@example.org\): text: .*City"):
        await schedule.launch(tenant, made.id)
    await schedule.launch(tenant, made.id, check=False)
    assert (await campaigns.pause(tenant, made.id)).status == "paused"
    with pytest.raises(Conflict):
        await campaigns.pause(tenant, made.id)
    assert (await campaigns.resume(tenant, made.id)).status == "running"
    ended = await campaigns.cancel(tenant, made.id)
    assert ended.status == "cancelled"
    assert ended.completed_at is not None
    assert (await campaigns.show(tenant, made.id)).sends == {"cancelled": 1}
    for change in (campaigns.pause, campaigns.resume, campaigns.cancel):
        with pytest.raises(Conflict, match="it is closed"):
            await change(tenant, made.id)


@pytest.mark.parametrize("change", ["status = 'running'", "launched_at = now()", "completed_at = now()", "run = 2"])
async def test_tenants_can_t_move_a_status_by_hand(tenant: Tenant, keyring: Keyring, change: str) -> None:
    await campaigns.create(tenant, keyring, plain())
    with pytest.raises(OutreachDBError, match="permission denied"):
        async with tenant.session() as session:
            await session.execute(
                f"UPDATE outreach.campaigns SET {change} WHERE workspace_id = %s", [tenant.workspace_id]
            )


async def test_other_workspaces_are_out_of_reach(tenant: Tenant, other_tenant: Tenant, keyring: Keyring) -> None:
    made = await campaigns.create(tenant, keyring, plain())
    with pytest.raises(OutreachDBError, match="no campaign with the id"):
        async with other_tenant.session() as session:
            await session.execute("SELECT outreach.set_campaign_status(%s, 'cancelled')", [made.id])
    assert (await campaigns.find(tenant, made.id)).status == "draft"


async def test_a_draft_changes_of_a_known_mailbox_only_what_it_gives(tenant: Tenant, keyring: Keyring) -> None:
    first = {"address": "ann@sender.example", "display_name": "Ann", "daily_cap": 50, "smtp": SMTP}
    made = await campaigns.create(tenant, keyring, plain(mailboxes=[first]))
    await campaigns.create(
        tenant, keyring, plain(name="two", mailboxes=[{"address": "ANN@sender.example", "smtp": SMTP}])
    )
    [box] = (await campaigns.show(tenant, made.id)).mailboxes
    assert (box["display_name"], box["daily_cap"]) == ("Ann", 50)
    await campaigns.create(tenant, keyring, plain(name="three", mailboxes=[first | {"daily_cap": 60}]))
    [box] = (await campaigns.show(tenant, made.id)).mailboxes
    assert (box["display_name"], box["daily_cap"]) == ("Ann", 60)


@pytest.mark.parametrize(
    "other", [{"host": "elsewhere.example"}, {"port": 25}, {"security": "tls"}, {"username": "eve"}]
)
async def test_a_draft_does_not_move_a_known_mailbox(tenant: Tenant, keyring: Keyring, other: dict[str, Any]) -> None:
    made = await campaigns.create(tenant, keyring, plain())
    before = (await campaigns.show(tenant, made.id)).mailboxes
    moved = plain(name="two", mailboxes=[{"address": "ann@sender.example", "smtp": SMTP | other}])
    with pytest.raises(Conflict, match="known with another host") as caught:
        await campaigns.create(tenant, keyring, moved)
    assert "leave smtp out" in str(caught.value.hint)
    assert (await campaigns.show(tenant, made.id)).mailboxes == before
    assert [each.name for each in await campaigns.listed(tenant)] == ["spring"]
