"""Alerts: hysteresis, repeats, restarts, several workers; told to a real HTTP server and a real SMTP server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from aiosmtpd.controller import Controller
from conftest import Ground

from outreachdb import logs
from outreachdb.cli.main import main
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.errors import InvalidInput
from outreachdb.health import alerts, configuration, report
from outreachdb.health.alerts import Alerting
from outreachdb.health.channels import Channel, NotDelivered
from outreachdb.health.configuration import Configuration
from outreachdb.health.report import Report, Result

SECRET = "T0P/SECRET-hook-9d1f"
NOON = datetime.now(UTC) - timedelta(hours=3)


class Sink(ThreadingHTTPServer):
    """Takes what is posted; answers with the next of ``answers``, else with 200."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.answers: list[int] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{SECRET}"

    def events(self) -> list[str]:
        return [body["event"] for _, _, body in self.received]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Sink)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 200:
            self.server.received.append((self.path, dict(self.headers), body))
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def pools(ground: Ground) -> AsyncIterator[Pools]:
    ground.do("TRUNCATE ops.alerts, ops.alert_messages")
    async with Pools(Settings.load({}, database_url=ground.url)) as opened:
        yield opened


def seen(**statuses: str) -> Report:
    """A report in which checks have these statuses; the others are away."""
    results = [
        Result(
            name,
            status,
            None if status == "not applicable" else 7.0,
            5,
            10,
            "MB",
            "Do it.",
            None,
            {"summary": "7 of 9"},
        )  # type: ignore[arg-type]
        for name, status in statuses.items()
    ]
    return Report("shop", "18.0", NOON, 0.1, results)


def wanted(*channels: Channel, **values: Any) -> Alerting:
    return Alerting(**{"bad": 3, "good": 2, "repeat_hours": 1, **values}, channels=channels)


class Clock:
    """Rounds a minute apart."""

    def __init__(self, pools: Pools, plan: Alerting) -> None:
        self.pools, self.plan, self.now = pools, plan, NOON

    async def rounds(self, *statuses: str, minutes: float = 1) -> list[int | None]:
        written = []
        for status in statuses:
            self.now += timedelta(minutes=minutes)
            written.append(await alerts.step(self.pools, seen(disk=status), self.plan, now=self.now))
        return written


async def test_fires_late_and_resolves_late(pools: Pools, sink: Sink) -> None:
    clock = Clock(pools, wanted(Channel("hook", "webhook", url=sink.url)))
    # Two bad rounds are forgotten by a good one; the third bad in a row fires; one good round resolves nothing.
    assert await clock.rounds("red", "red", "green", "yellow", "yellow") == [0] * 5
    assert await clock.rounds("yellow", "green", "yellow", "yellow") == [1, 0, 0, 0]
    # It is worse when it was red three times in a row, and resolved after two good rounds.
    assert await clock.rounds("red", "red", "red", "red") == [0, 0, 1, 0]
    assert await clock.rounds("not applicable", "green", "not applicable", "green", "green") == [0, 0, 0, 1, 0]
    assert await alerts.deliver(pools, clock.plan) == (3, 0)
    assert sink.events() == ["firing", "worse", "resolved"]
    bodies = [body for _, _, body in sink.received]
    assert [body["level"] for body in bodies] == ["yellow", "red", "red"]
    assert {"check": "disk", "database": "shop", "value": 7.0, "advice": "Do it."}.items() <= bodies[0].items()
    assert len({headers["Idempotency-Key"] for _, headers, _ in sink.received}) == 3
    assert await alerts.deliver(pools, clock.plan) == (0, 0)


async def test_repeats_after_a_while_and_not_after_a_restart(pools: Pools, sink: Sink) -> None:
    clock = Clock(pools, wanted(Channel("hook", "webhook", url=sink.url)))
    assert await clock.rounds("red", "red", "red") == [0, 0, 1]
    # Another process, its state is the database's: nothing fires anew.
    again = Clock(pools, clock.plan)
    again.now = clock.now
    assert await again.rounds("red", "red", "red", minutes=10) == [0, 0, 0]
    assert await again.rounds("red", "red", minutes=30) == [1, 0]
    await alerts.deliver(pools, clock.plan)
    assert sink.events() == ["firing", "repeat"]


async def test_levels_and_muted_checks(pools: Pools, sink: Sink) -> None:
    calm, loud = Channel("calm", "webhook", "red", sink.url + "/calm"), Channel("loud", "webhook", url=sink.url)
    plan = wanted(calm, loud, bad=1, good=1, mute=frozenset({"connections"}))
    await alerts.step(pools, seen(disk="yellow", connections="red"), plan, now=NOON)
    await alerts.step(pools, seen(disk="red", connections="red"), plan, now=NOON)
    await alerts.step(pools, seen(disk="green", connections="red"), plan, now=NOON)
    await alerts.deliver(pools, plan)
    told = [(path.rpartition("/")[2], body["check"], body["event"]) for path, _, body in sink.received]
    assert sorted(each for each in told if each[0] == "calm") == [
        ("calm", "disk", "resolved"),
        ("calm", "disk", "worse"),
    ]
    assert [each[1:] for each in told if each[0] != "calm"] == [
        ("disk", "firing"),
        ("disk", "worse"),
        ("disk", "resolved"),
    ]
    only_red = wanted(loud, bad=1, level="red")
    assert await alerts.step(pools, seen(disk="yellow"), only_red, now=NOON) == 0


async def test_several_workers_take_one_step_and_tell_once(pools: Pools, sink: Sink, ground: Ground) -> None:
    plan = wanted(Channel("hook", "webhook", url=sink.url), bad=1, every_seconds=60)
    async with Pools(Settings.load({}, database_url=ground.url)) as other:
        workers = [pools, other] * 4
        steps = await asyncio.gather(
            *(alerts.step(each, seen(disk="red", connections="red"), plan) for each in workers)
        )
        assert sorted(step for step in steps if step is not None) == [2]
        await asyncio.gather(*(alerts.deliver(each, plan) for each in workers))
    assert sorted(body["check"] for _, _, body in sink.received) == ["connections", "disk"]


async def test_what_can_not_be_told_is_told_later_and_in_order(pools: Pools, sink: Sink, ground: Ground) -> None:
    plan = wanted(Channel("hook", "webhook", url=sink.url), bad=1, good=1)
    sink.answers = [503]
    await alerts.step(pools, seen(disk="red"), plan, now=NOON)
    assert await alerts.deliver(pools, plan) == (0, 1)
    await alerts.step(pools, seen(disk="green"), plan, now=NOON)
    assert await alerts.deliver(pools, plan) == (0, 0)  # "resolved" waits behind "firing", which waits for its time
    assert ground.do("SELECT error FROM ops.alert_messages WHERE error IS NOT NULL") == "ValueError: it answered 503"
    ground.do("UPDATE ops.alert_messages SET next_at = now()")
    assert await alerts.deliver(pools, plan) == (2, 0)
    assert sink.events() == ["firing", "resolved"]
    # A worker that died while telling leaves its message; the lease ends, and the next one tells it under the same key.
    ground.do("UPDATE ops.alert_messages SET sent_at = NULL, next_at = now() WHERE event = 'resolved'")
    assert await alerts.deliver(pools, plan) == (1, 0)
    assert sink.received[-1][1]["Idempotency-Key"] == sink.received[-2][1]["Idempotency-Key"]
    ground.do("UPDATE ops.alert_messages SET created_at = now() - interval '100 days'")
    await alerts.deliver(pools, plan)
    assert ground.do("SELECT count(*) FROM ops.alert_messages") == 0


class Mailbox:
    def __init__(self) -> None:
        self.messages: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.messages.append(envelope.content.decode())
        return "250 taken"


async def test_slack_and_mail(pools: Pools, sink: Sink) -> None:
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        mail = {"to": ["ops@acme.example"], "from": "db@acme.example", "host": "127.0.0.1", "port": port}
        plan = wanted(
            Channel("chat", "slack", url=sink.url), Channel("post", "email", mail=mail | {"security": "plain"}), bad=1
        )
        await alerts.step(pools, seen(disk="red"), plan, now=NOON)
        assert await alerts.deliver(pools, plan) == (2, 0)
    finally:
        controller.stop()
    words = "[red] Disk in use firing on shop\n7 MB. 7 of 9\nDo it."
    assert sink.received[0][2] == {"text": words}
    (message,) = mailbox.messages
    assert "Subject: [red] Disk in use firing on shop" in message
    assert "To: ops@acme.example" in message
    assert "7 MB. 7 of 9" in message


async def test_no_secret_in_logs_errors_or_words(sink: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings.load({}, log_level="debug"))
    try:
        hook = Channel("hook", "webhook", url=sink.url)
        mail = Channel("post", "email", mail={"password": SECRET, "host": "127.0.0.1"})
        await hook.send({"event": "firing"}, "key")
        sink.answers = [500]
        with pytest.raises(NotDelivered) as answered:
            await hook.send({"event": "firing"}, "key")
        with pytest.raises(NotDelivered) as away:
            await Channel("hook", "webhook", url=f"http://127.0.0.1:1/{SECRET}").send({"event": "firing"}, "key")
        structlog.get_logger().warning("seen", channel=hook, other=mail)
    finally:
        logs.configure(Settings.load({}))
    told = capsys.readouterr()
    assert "seen" in told.err
    assert SECRET not in told.err + told.out + str(answered.value) + str(away.value) + repr([hook, mail])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[alerts]\nbad = 0", "alerts.bad can't be 0"),
        ("[alerts]\nnonsense = 1", "alerts.nonsense can't be 1"),
        ('[[alerts.channels]]\nkind = "pager"', "kind must be one of webhook, slack, email"),
        ('[[alerts.channels]]\nkind = "slack"', "needs url, url_env or url_file"),
        ('[[alerts.channels]]\nkind = "slack"\nurl_env = "NOT_SET_ANYWHERE"', "NOT_SET_ANYWHERE is empty or not set"),
        ('[[alerts.channels]]\nkind = "email"\nto = "ops"', "to must be a list"),
        ('[[alerts.channels]]\nkind = "slack"\nurl = "https://a.example/x"\ncolour = 1', "there is no colour"),
        ('[[alerts.channels]]\nkind = "slack"\nurl = "https://a.example/x"\n' * 2, "two are named slack"),
    ],
)
def test_a_wrong_section_is_one_clear_error(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "health.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=problem) as told:
        alerts.alerting(configuration.load(file))
    assert "a.example/x" not in str(told.value)


async def test_a_queue_over_its_threshold_is_told(
    pools: Pools, ground: Ground, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the file to the message: real leads wait, the round of the jobs finds them."""
    monkeypatch.setenv("HOOK", sink.url)
    file = tmp_path / "health.toml"
    file.write_text(
        "[checks.queue_email_checks]\nyellow = 3\nred = 100\n"
        '[alerts]\nbad = 2\nevery_seconds = 50\n[[alerts.channels]]\nkind = "webhook"\nurl_env = "HOOK"\n'
    )
    found = configuration.load(file)
    ground.do(
        "INSERT INTO outreach.workspaces (name) VALUES ('waiting')",
        "INSERT INTO outreach.leads (workspace_id, email) "
        "SELECT w.id, n || '@acme.example' FROM outreach.workspaces AS w, generate_series(1, 5) AS n",
    )
    rounds = [await alerts.run(pools, found)]
    assert not (await alerts.run(pools, found)).stepped  # a moment ago
    ground.do("UPDATE ops.alerts SET evaluated_at = now() - interval '1 minute'")
    rounds.append(await alerts.run(pools, found))
    assert [(each.stepped, each.sent) for each in rounds] == [(True, 0), (True, 1)]
    ((_, _, body),) = sink.received
    assert (body["check"], body["value"], body["event"]) == ("queue_email_checks", 5, "firing")
    (firing,) = await alerts.listed(pools)
    assert (firing["check_name"], firing["level"]) == ("queue_email_checks", "yellow")


def test_the_command(ground: Ground, sink: Sink, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["health", "alerts", "-d", ground.url, "--json", *arguments])
        out = capsys.readouterr().out
        return int(ended.value.code or 0), json.loads(out) if out else None

    with psycopg.connect(ground.url, autocommit=True) as connection:
        connection.execute("TRUNCATE ops.alerts")
        connection.execute("INSERT INTO ops.alerts (check_name, state, level) VALUES ('disk', 'firing', 'red')")
    status, listed = run()
    assert (status, [each["check_name"] for each in listed["alerts"]]) == (0, ["disk"])
    assert run("--test")[0] == 2
    file = tmp_path / "health.toml"
    file.write_text(f'[[alerts.channels]]\nkind = "webhook"\nurl = "{sink.url}"\n')
    sink.answers = [200, 404]
    assert run("--test", "--config", str(file)) == (0, {"channels": {"webhook": None}})
    status, answer = run("--test", "--config", str(file))
    assert (status, answer["channels"]["webhook"]) == (1, "ValueError: it answered 404")


def test_nothing_is_configured_by_default() -> None:
    assert alerts.alerting(Configuration()).channels == ()
    assert report.LEVELS[-1] == "red"
