"""The pooler's process and files: started once, found after a kill, never somebody else's; its sizes; its logins."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_env import environment

from outreachdb import pooling
from outreachdb.cli.main import main
from outreachdb.config import WORKLOADS, Settings
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.home import Home
from outreachdb.db.embedded.processes import alive, wait_until
from outreachdb.errors import Conflict, InvalidInput, ServerError, UsageError
from outreachdb.pooling import POOLS, Limits, PoolFolder, sized

limits = st.builds(
    Limits, st.integers(1, 2000), st.integers(0, 20), st.none() | st.integers(0, 200), st.none() | st.integers(0, 200)
)


def test_the_pools_are_those_of_the_sources() -> None:
    assert {pool.workload: (pool.size, pool.mode) for pool in POOLS} == {
        "web": (25, "transaction"), "analytics": (10, "session"), "jobs": (15, "session"), "admin": (5, "session"),
    }  # fmt: skip


@given(limits)
def test_pools_fit_the_server(given_limits: Limits) -> None:
    wanted = {pool.workload: pool.size for pool in POOLS}
    if given_limits.available < 4:
        with pytest.raises(Conflict, match="raise max_connections"):
            sized(given_limits)
        return
    sizing = sized(given_limits)
    assert set(sizing.sizes) == set(WORKLOADS)
    assert all(1 <= sizing.sizes[each] <= wanted[each] for each in wanted)
    if given_limits.available >= sum(wanted.values()):
        assert (sizing.sizes, sizing.warnings) == (wanted, ())
    else:
        assert sizing.total == given_limits.available
        assert "smaller in proportion" in sizing.warnings[0]
        assert sizing.sizes["web"] >= sizing.sizes["jobs"] >= sizing.sizes["analytics"] >= sizing.sizes["admin"]


@pytest.fixture
def written(server: EmbeddedServer, database_url: str, place: PoolFolder) -> Iterator[pooling.Written]:
    """A configuration of the test's own in a folder beside; whatever runs from it is stopped."""
    own = PoolFolder(place.path.parent / f"own '{os.getpid()}\" ä", place.account)
    passwords = {"outreachdb": str(Home(server.home).password())}
    yield asyncio.run(
        pooling.write(own, dict.fromkeys(WORKLOADS, database_url), port=pooling.free_port(), passwords=passwords)
    )
    pooling.stop(own, 0)


def _folder(written: pooling.Written, place: PoolFolder) -> PoolFolder:
    return PoolFolder(written.folder, place.account)


@pytest.mark.pgbouncer
def test_it_starts_once_and_comes_back_after_a_kill(written: pooling.Written, place: PoolFolder) -> None:
    folder = _folder(written, place)
    pooling.start(folder)
    first = folder.process()
    assert first is not None
    assert first.uids().real == place.account.uid != 0
    assert {each.laddr.ip for each in first.net_connections() if each.status == "LISTEN"} == {"127.0.0.1"}
    pooling.start(folder)
    assert folder.process() == first
    folder.pid_file.unlink()
    assert folder.process() == first  # known by what it is, not by a file

    first.kill()
    assert wait_until(lambda: not alive(first), 60)
    assert folder.process() is None
    # The number of the killed one now belongs to an innocent process of the same account.
    identity = {"user": place.account.uid, "group": place.account.gid} if place.account.lent else {}
    innocent = subprocess.Popen(["sleep", "600"], **identity)  # type: ignore[call-overload]
    try:
        folder.write(folder.pid_file, f"{innocent.pid}\n", for_pooler=True)
        assert pooling.stop(folder) is False
        pooling.start(folder)
        second = folder.process()
        assert second is not None
        assert second.pid != innocent.pid
        assert pooling.stop(folder, 0) is True
        assert not alive(second)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.pgbouncer
def test_a_changed_configuration_is_loaded_by_the_next_start(written: pooling.Written, place: PoolFolder) -> None:
    folder = _folder(written, place)
    pooling.start(folder)
    text = folder.ini.read_text()
    folder.write(folder.ini, text.replace("query_wait_timeout = 30", "query_wait_timeout = 7"), for_pooler=True)
    pooling.start(folder)
    with psycopg.connect(str(folder.console_url()), autocommit=True) as console:
        shown = {row[0]: row[1] for row in console.execute("SHOW CONFIG").fetchall()}
    assert shown["query_wait_timeout"] == "7"
    assert shown["max_client_conn"] == "500"


@pytest.mark.pgbouncer
def test_clients_may_end_their_transaction(written: pooling.Written, place: PoolFolder) -> None:
    folder = _folder(written, place)
    pooling.start(folder)
    url = environment(written)["OUTREACHDB_WEB_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1")
        with ThreadPoolExecutor() as background:
            stopping = background.submit(pooling.stop, folder, 60)
            assert not wait_until(stopping.done, 0.7)
            connection.execute("SELECT 1")
            connection.commit()
            assert stopping.result(60) is True
    assert folder.process() is None


@pytest.mark.pgbouncer
def test_what_is_in_the_way_is_named(written: pooling.Written, place: PoolFolder) -> None:
    folder = _folder(written, place)
    with socket.create_server(("127.0.0.1", written.port)), pytest.raises(ServerError, match="somebody else listens"):
        pooling.start(folder)
    folder.write(folder.ini, folder.ini.read_text() + "no_such_setting = 1\n", for_pooler=True)
    with pytest.raises(ServerError, match=r"PgBouncer .*no_such_setting"):
        pooling.start(folder)
    nowhere = PoolFolder(place.path.parent / "nowhere", place.account)
    with pytest.raises(UsageError, match="no configuration"):
        pooling.start(nowhere)
    assert pooling.stop(nowhere) is False
    assert not nowhere.path.exists()


def test_secrets_are_closed_to_others(written: pooling.Written, place: PoolFolder, server: EmbeddedServer) -> None:
    password = str(Home(server.home).password())
    modes = {path.name: path.stat().st_mode & 0o777 for path in written.folder.iterdir()}
    assert modes["pool.env"] == modes["pool.json"] == 0o600
    assert modes["userlist.txt"] == (0o640 if place.account.lent else 0o600)
    assert modes["run"] == 0o700
    assert not written.folder.stat().st_mode & 0o007
    assert "SCRAM-SHA-256$" in (written.folder / "userlist.txt").read_text()
    assert (
        password not in (written.folder / "userlist.txt").read_text() + (written.folder / "pgbouncer.ini").read_text()
    )
    assert password not in str(written.document())
    assert password in environment(written)["OUTREACHDB_JOBS_URL"]


def test_servers_that_pgbouncer_cannot_serve(server: EmbeddedServer, database_url: str, place: PoolFolder) -> None:
    own = PoolFolder(place.path.parent / "refused", place.account)

    def tried(url: str, **more: object) -> None:
        asyncio.run(pooling.write(own, dict.fromkeys(WORKLOADS, url), port=6499, **more))  # type: ignore[arg-type]

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE pool_small LOGIN PASSWORD 'secret' CONNECTION LIMIT 3")
        connection.execute("CREATE ROLE pool_plain LOGIN")
    try:
        with pytest.raises(UsageError, match="can't take options"):
            tried(psycopg.conninfo.make_conninfo(database_url, options="-c jit=off"))
        plain = psycopg.conninfo.make_conninfo(database_url, user="pool_plain")
        with pytest.raises(InvalidInput, match="can't log in as pool_plain"):
            tried(plain)
        small = psycopg.conninfo.make_conninfo(database_url, user="pool_small", password="secret")
        with pytest.raises(Conflict, match="room for 3 pooled connections"):
            tried(small)
        with pytest.raises(UsageError, match="the pooler itself"):
            asyncio.run(
                pooling.write(
                    own,
                    dict.fromkeys(WORKLOADS, server.tcp_url()),
                    port=int(server.tcp_url().split(":")[-1].split("/")[0]),
                )
            )
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("DROP ROLE pool_small, pool_plain")
    assert not own.path.exists()


@pytest.mark.pgbouncer
def test_logins_are_looked_up_where_an_administrator_allows_it(
    server: EmbeddedServer, database_url: str, place: PoolFolder
) -> None:
    own = PoolFolder(place.path.parent / "looked up", place.account)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE pool_asked LOGIN PASSWORD 'secret'")
    url = server.tcp_url(psycopg.conninfo.conninfo_to_dict(database_url)["dbname"])
    url = psycopg.conninfo.make_conninfo(url, user="pool_asked", password="secret")
    try:
        written = asyncio.run(pooling.write(own, dict.fromkeys(WORKLOADS, url), port=pooling.free_port(), auth="query"))
        assert "secret" not in (own.path / "userlist.txt").read_text()
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute((own.path / "pooler.sql").read_text().encode())
        pooling.start(own)
        given_urls = environment(written)
        with psycopg.connect(given_urls["OUTREACHDB_WEB_URL"]) as connection:
            assert connection.execute("SELECT session_user").fetchone() == ("pool_asked",)
        wrong = given_urls["OUTREACHDB_WEB_URL"].replace("secret", "guessed")
        with pytest.raises(psycopg.OperationalError, match=r"authentication failed|SASL"):
            psycopg.connect(wrong, connect_timeout=30)
        # An administrator is not looked up, so nobody tries passwords of one through the pooler.
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(wrong.replace("pool_asked", "outreachdb"), connect_timeout=30)
    finally:
        pooling.stop(own, 0)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS pooler CASCADE")
            connection.execute("DROP ROLE IF EXISTS pool_asked, outreachdb_pooler")


def test_status_without_a_pooler(tmp_path: Path) -> None:
    nothing = asyncio.run(pooling.status(Settings.load({}, home=tmp_path / "home")))
    assert (nothing.configured, nothing.running, nothing.pools) == (False, False, ())
    assert not (tmp_path / "home").exists()
    console = "postgresql://nobody@127.0.0.1:1/pgbouncer"
    silent = asyncio.run(pooling.status(Settings.load({}, pool_console_url=console, home=tmp_path / "home")))
    assert (silent.configured, silent.running) == (True, False)
    assert "does not answer" in str(silent.reason)


@pytest.mark.pgbouncer
def test_commands_in_front_of_the_embedded_server(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTREACHDB_HOME", str(server.home))

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["pool", *words])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    assert run("status") == (0, "no pooler is configured; outreachdb pool config configures one\n", "")
    status, out, err = run("config", "--port", "0", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert [(each["workload"], each["size"], each["database"]) for each in document["pools"]] == [
        (pool.workload, pool.size, f"outreachdb_{pool.workload}") for pool in POOLS
    ]
    assert (document["folder"], document["warnings"]) == (str(server.home / "pooling"), [])
    missed = "outreachdb: a pooler is configured and not started (outreachdb pool start)\n"
    assert run("status") == (1, "", missed)
    status, out, err = run("status", "--json")
    assert (status, json.loads(out)["wanted"], err) == (1, False, missed)
    try:
        assert run("start")[0] == 0
        found = json.loads(run("status", "--json")[1])
        assert (found["running"], len(found["pools"])) == (True, 4)
        # With the URLs of the pools in the environment the command still finds the server behind them.
        for line in Path(document["environment"]).read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals and name.startswith("OUTREACHDB_"):
                monkeypatch.setenv(name, value.strip("'"))
        again = json.loads(run("config", "--port", str(document["port"]), "--json")[1])
        assert again["pools"] == document["pools"]
        with psycopg.connect(os.environ["OUTREACHDB_ANALYTICS_URL"]) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("outreachdb",)
    finally:
        assert run("stop", "--wait", "0")[:2] == (0, "the pooler is stopped\n")
    assert run("stop")[:2] == (0, "no pooler was running\n")


def test_a_background_start_serves_this_machine_only(
    server: EmbeddedServer, database_url: str, place: PoolFolder
) -> None:
    own = PoolFolder(place.path.parent / "open", place.account)
    passwords = {"outreachdb": str(Home(server.home).password())}
    urls = dict.fromkeys(WORKLOADS, database_url)
    written = asyncio.run(pooling.write(own, urls, port=6498, listen="0.0.0.0", passwords=passwords))
    assert "can be reached from other machines" in " ".join(written.warnings)
    with pytest.raises(UsageError, match="serves this machine only"):
        pooling.start(own)
