"""Any database, any role, any configuration: health says what it can't see, and never fails because of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outreachdb.cli.main import main
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.pools import Connection
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.health import configuration, report
from outreachdb.health.checkbook import checks
from outreachdb.health.configuration import Configuration

KEYS = {"name", "status", "value", "yellow", "red", "unit", "advice", "reason", "evidence"}


async def test_a_foreign_database(empty_database_url: str) -> None:
    """Nothing of ours is there: what is ours does not apply, the rest is looked at."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
    # The disk is the machine's, and may be full for other reasons.
    found = await report.check(empty_database_url, Configuration({"disk": {"yellow": 99.9, "red": 100}}))
    assert found.status == "green"
    assert {each.name for each in found.checks} == set(checks())
    away = {each.name: each.reason for each in found.checks if each.status == "not applicable"}
    assert away["queue_sends"] == "there is no table outreach.email_sends"
    assert away["partition_runway"] == "no table is partitioned by time"
    assert not any("not looked at" in str(reason) for reason in away.values())
    assert {"connections", "sequences", "duplicate_indexes", "wraparound"} <= {each.name for each in found.applying}
    assert all(each.reason for each in found.checks if each.status == "not applicable")
    assert all(each.evidence.get("summary") for each in found.applying)


async def test_a_login_that_may_nothing(own_database_url: str, server: EmbeddedServer) -> None:
    name = own_database_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS stranger")
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    url = psycopg.conninfo.make_conninfo(server.tcp_url(name), user="stranger", password="x")
    found = await report.check(url)
    away = {each.name: str(each.reason) for each in found.checks if each.status == "not applicable"}
    assert away["queue_sends"] == "stranger may not read outreach.email_sends"
    assert away["disk"].startswith("the server is on another machine")
    assert [each for each in away.items() if "not looked at" in each[1]] == []
    assert found["connections"].status == "green"
    assert found.notes == ["stranger sees only its own sessions and queries (GRANT pg_monitor)"]
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("GRANT outreachdb_app TO stranger")
    found = await report.check(url, only=["queue_sends"])
    assert found["queue_sends"].reason == "row-level security hides rows of outreach.email_sends from stranger"
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("GRANT outreachdb_reader TO stranger")
    found = await report.check(url)
    assert found["queue_sends"].status == "green"
    assert found.notes == []


async def test_a_check_that_takes_too_long_costs_itself_only(database_url: str) -> None:
    with psycopg.connect(database_url) as blocking:
        blocking.execute("LOCK TABLE analytics.rollup_deltas")
        found = await report.check(database_url, only=["rollup_lag", "connections"], statement_ms=1000)
    assert found["rollup_lag"].status == "not applicable"
    assert str(found["rollup_lag"].reason).startswith("not looked at: canceling statement")
    assert found["connections"].status == "green"
    with pytest.raises(UsageError, match="there is no check nonsense"):
        await report.check(database_url, only=["nonsense"])


async def test_no_lock_outlives_its_check(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever detaches a partition waits for one check, not for all of them."""
    seen: list[int] = []
    run = report._run

    async def look(connection: Connection, *rest: Any) -> report.Result:
        result = await run(connection, *rest)
        query = "SELECT count(*) AS n FROM pg_locks WHERE pid = pg_backend_pid() AND relation = %s::regclass"
        row = await (await connection.execute(query, ["outreach.email_sends"])).fetchone()
        seen.append((row or {})["n"])
        return result

    monkeypatch.setattr(report, "_run", look)
    found = await report.check(database_url, only=["queue_sends", "queue_expired_leases", "connections"])
    assert found["queue_sends"].status == "green"
    assert seen == [0, 0, 0]


def test_headers_are_whole() -> None:
    for each in checks().values():
        assert each.yellow >= each.red if each.lower_is_worse else each.yellow <= each.red, each.name
        assert each.advice.endswith("."), each.name
        assert len(each.advice) <= 140, each.name


def test_the_sources_thresholds_are_the_defaults() -> None:
    found = checks()
    sources = {"cache_hit_tables": 95, "cache_hit_indexes": 98, "mean_query_time": 1000, "pool_use": 80}
    assert {name: found[name].yellow for name in sources} == sources
    assert found["slow_queries"].given["slow_ms"] == 100
    assert {found[name].given["days"] for name in ("crawl_staleness", "profile_staleness")} == {30}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[checks.nonsense]\nyellow = 1", "there is no check nonsense"),
        ("[checks.connections]\norange = 1", "there is no checks.connections.orange"),
        ('[checks.connections]\nyellow = "70"', "must be a number"),
        ("[checks.connections]\nyellow = 95", "red \\(90\\) is reached before yellow \\(95\\)"),
        ("[checks.partition_runway]\nred = 5", "red \\(5\\) is reached before yellow \\(2\\)"),
        ("[checks.connections]\noff = 1", "must be true or false"),
        ("[checks\n", "is not TOML"),
        ("[surprise]\n", "there is no surprise"),
    ],
)
def test_a_wrong_configuration_is_one_clear_error(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "health.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=problem):
        configuration.load(file)


async def test_the_configuration_decides(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "health.toml"
    file.write_text("[checks.connections]\nyellow = 0\n[checks.disk]\noff = true\n")
    found = await report.check(database_url, configuration.load(file))
    assert (found["connections"].status, found["connections"].yellow) == ("yellow", 0)
    assert "disk" not in {each.name for each in found.checks}
    assert Configuration().given(checks()["slow_queries"])["slow_ms"] == 100


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_command(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def health(*arguments: str) -> tuple[int, str, str]:
        return run(capsys, "health", "-d", database_url, "--check", "connections", *arguments)

    status, out, err = health("--json", "--exit-code")
    document = json.loads(out)
    assert (status, err, document["status"]) == (0, "", "green")
    assert [set(each) for each in document["checks"]] == [KEYS]
    for level, number in (("yellow = 0\nred = 99", 10), ("yellow = 0\nred = 0", 20)):
        file = tmp_path / "health.toml"
        file.write_text(f"[checks.connections]\n{level}\n")
        status, out, _ = health("--exit-code", "--config", str(file))
        assert status == number
        assert checks()["connections"].advice in " ".join(out.split())
        assert health("--config", str(file))[0] == 0
    assert run(capsys, "health", "--watch", "--json")[0] == 2
    assert run(capsys, "health", "-d", "postgresql://127.0.0.1:1/none")[0] == 1


@pytest.mark.slow
def test_watching_ends_with_ctrl_c(database_url: str) -> None:
    command = [sys.executable, "-m", "outreachdb", "health", "-d", database_url, "--watch", "--every", "0.2"]
    command += ["--check", "connections"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        drawn = ""
        while drawn.count("are taken") < 2:  # two looks
            line = watching.stdout.readline()
            assert line, "it ended by itself"
            drawn += line
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=20)
    assert (watching.returncode, err) == (0, "")
