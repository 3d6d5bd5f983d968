"""The embedded server's life: start, stop, crashes, other people's processes and folders, on real servers."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import psutil
import psycopg
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import outreachdb.cli.server as commands
from outreachdb import config
from outreachdb.cli.main import main
from outreachdb.config import Settings
from outreachdb.db.embedded import Binaries, EmbeddedServer, binaries, cluster, find_binaries, processes
from outreachdb.db.embedded import server as server_module
from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.home import Home
from outreachdb.db.embedded.settings import settings_for
from outreachdb.db.fitting import GB, MB
from outreachdb.db.machine import Machine
from outreachdb.errors import ServerError
from outreachdb.secrets import Keyring

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
START = """
import sys, time
from pathlib import Path
from outreachdb.db.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), durable=False)
print(server.start().url, flush=True)
time.sleep(float(sys.argv[2]))
"""


def query(server: EmbeddedServer, statement: str, *, url: str | None = None) -> object:
    with psycopg.connect(url or server.url(), autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def starter(home: Path, seconds: float = 0) -> subprocess.Popen[str]:
    """Another process, in a process group of its own, that starts the server and stays for some seconds."""
    return subprocess.Popen(
        [sys.executable, "-c", START, str(home), str(seconds)], stdout=subprocess.PIPE, text=True, process_group=0
    )


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def server_process(server: EmbeddedServer) -> psutil.Process:
    found = processes.postmaster(server.home / "data")
    assert found is not None
    return found


def kill_server(server: EmbeddedServer) -> None:
    process = server_process(server)
    process.kill()
    assert processes.wait_until(lambda: not processes.alive(process), 60)


def as_other_user(function: Callable[[], object]) -> object:
    """What a function returns in a child process of the user nobody (of this user where we are not root)."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: the child uses none of them
        pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                nobody = pwd.getpwnam("nobody")
                os.setgroups([])
                os.setgid(nobody.pw_gid)
                os.setuid(nobody.pw_uid)
            os.environ["HOME"] = "/"
            answer = function()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            answer = f"{type(error).__name__}: {error}"
        os.write(write, json.dumps(answer, default=str).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return answer


def test_start_stop_and_status_keep_the_data(server: EmbeddedServer) -> None:
    before = server.status()
    assert before.document() == {"url": None, "version": None, "running": False, "home": str(server.home)}
    assert not server.home.exists()  # looking makes nothing

    first = server.start()
    assert first.running
    assert first.version is not None
    assert first.version.startswith("18.")
    query(server, "CREATE TABLE kept AS SELECT 42 AS answer")

    stopped = server.stop()
    assert (stopped.running, stopped.url, stopped.version) == (False, None, "18")
    assert server.stop() == stopped

    again = server.start()
    assert again == first == server.status()
    assert query(server, "SELECT answer FROM kept") == 42


def test_starting_a_running_server_changes_nothing(running: EmbeddedServer) -> None:
    process = server_process(running)
    assert running.start() == EmbeddedServer(running.home).start()
    assert server_process(running) == process


def test_cluster_is_utf8_sorted_by_code_point_with_checksums(running: EmbeddedServer) -> None:
    assert query(running, "SELECT 'Z' < 'a' AND lower('ÄÖ') = 'äö'") is True
    assert query(running, "SHOW server_encoding") == "UTF8"
    assert query(running, "SHOW data_checksums") == "on"
    assert query(running, "SHOW timezone") == "UTC"
    assert query(running, "SHOW shared_preload_libraries") == "pg_stat_statements,auto_explain"
    # Where the advisor would put it, and open to every login.
    place = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_stat_statements'"
    assert query(running, place) == "extensions"
    assert query(running, "SELECT has_schema_privilege('pg_monitor', 'extensions', 'USAGE')") is True


@pytest.mark.postgres15
def test_server_of_postgresql_15(folder: Path) -> None:
    old = EmbeddedServer(folder / "home", DEBIAN_15, durable=False)
    try:
        version = old.start().version
        assert version is not None
        assert version.startswith("15.")
        assert query(old, "SELECT 'Z' < 'a' AND lower('ÄÖ') = 'äö'") is True
        old.stop()
        assert EmbeddedServer(old.home).start().version == version  # the version that made it is looked for
        old.stop()

        newest = EmbeddedServer(old.home, find_binaries(18).path)
        with pytest.raises(ServerError, match=r"made by PostgreSQL 15, but here is PostgreSQL 18\..*pg_dump"):
            newest.start()
        assert old.start().version == version
    finally:
        old.destroy()


def test_home_of_a_version_that_is_not_here(made: EmbeddedServer) -> None:
    (made.home / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(ServerError, match=r"made by PostgreSQL 16, but here is PostgreSQL 18"):
        made.start()
    assert made.status().version == "16"


def test_killed_server_starts_again_with_its_data(made: EmbeddedServer) -> None:
    made = EmbeddedServer(made.home)  # as people run it: what was committed is on disk
    made.start()
    query(made, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    # A backend that computes does not notice that its server is gone, and holds the shared memory.
    with psycopg.connect(made.url()) as connection:
        busy = connection.info.backend_pid
        thread = threading.Thread(target=_run_for_long, args=(connection,))
        thread.start()
        assert processes.wait_until(
            lambda: query(made, f"SELECT state FROM pg_stat_activity WHERE pid = {busy}") == "active", 60
        )
        kill_server(made)
        assert not made.status().running

        assert made.start().running
        thread.join(60)
    assert not thread.is_alive()
    assert not processes.lives(busy)
    assert query(made, "SELECT count(*) FROM kept") == 1000


@pytest.mark.parametrize("room", ["a full disk", "hardly any"])
def test_a_server_is_made_without_wal_files_where_they_have_no_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    free = {"a full disk": 1 << 40, "hardly any": 2 << 30}[room]  # it fills while they are written
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    if room == "a full disk":
        monkeypatch.setattr(cluster, "bytes", full, raising=False)
    server = EmbeddedServer(folder / "own")
    try:
        server.start()
        assert len(list((server.home / "data" / "pg_wal").glob("0" * 7 + "1" + "?" * 16))) == 1
    finally:
        server.destroy()


def test_wal_files_are_there_before_they_are_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 40))
    server = EmbeddedServer(folder / "own")  # durable, as people run it
    try:
        server.start()
        wal = server.home / "data" / "pg_wal"
        made = {path.name: path.stat().st_ino for path in wal.glob("0" * 7 + "1" + "?" * 16)}
        assert len(made) == cluster.WAL_FILES + 1
        query(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        for _ in range(3):
            query(server, "SELECT pg_switch_wal() FROM pg_logical_emit_message(true, '', '')")
        current = str(query(server, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
        assert made[current] == (wal / current).stat().st_ino  # taken, not made again

        # The power fails before the disk has the one in which the log ends, and the next two.
        names = sorted(made)
        following = names.index(current)
        for size in (0, 100_000):
            kill_server(server)
            for name, left in zip(names[following : following + 3], (size, 0, 100_000), strict=True):
                os.truncate(wal / name, left)
            server.start()
            assert query(server, "SELECT count(*) FROM kept") == 1000
        for _ in range(cluster.WAL_FILES + 2):
            query(server, "INSERT INTO kept SELECT FROM pg_logical_emit_message(true, '', '')")
            query(server, "SELECT pg_switch_wal()")
        kill_server(server)
        server.start()
        assert query(server, "SELECT count(*) FROM kept") == 1000 + cluster.WAL_FILES + 2
    finally:
        server.destroy()


def _run_for_long(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b")


def test_server_outlives_its_starter(made: EmbeddedServer) -> None:
    process = starter(made.home, 60)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    kill_group(process)
    assert query(made, "SELECT 1", url=url) == 1
    assert made.start().url == url
    assert not made.stop().running


def test_starter_killed_while_it_makes_the_cluster(server: EmbeddedServer) -> None:
    process = starter(server.home)
    assert processes.wait_until(lambda: bool(list(server.home.glob("new-*/data/PG_VERSION"))), 60)
    kill_group(process)
    assert not (server.home / "data").exists()
    assert not server.status().running
    assert server.start().running
    assert not list(server.home.glob("new-*"))


def test_starter_killed_before_it_made_the_database(made: EmbeddedServer) -> None:
    made.start()
    query(made, "DROP DATABASE outreachdb", url=made.url("postgres"))
    (made.home / "password").unlink()
    assert made.start().running
    assert query(made, "SELECT current_database()") == "outreachdb"
    assert query(made, "SELECT 1", url=made.tcp_url()) == 1


def test_two_starters_share_one_server(server: EmbeddedServer) -> None:
    both = [starter(server.home), starter(server.home)]
    urls = [process.communicate(timeout=120)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert urls[0] == urls[1] == server.status().url


@pytest.mark.parametrize("stale", ["pid file", "socket lock"])
def test_stale_pid_of_an_innocent_process(made: EmbeddedServer, stale: str) -> None:
    made.start()
    data = made.home / "data"
    claims = (data / "postmaster.pid").read_text().splitlines()
    sockets = list((made.home / "run").glob(".s.*.lock"))
    kill_server(made)
    # It has the server's user and works in its folder: all that a pid alone could tell speaks for it.
    identity = {"user": data.stat().st_uid, "group": data.stat().st_gid} if os.geteuid() == 0 else {}
    innocent = subprocess.Popen(["sleep", "600"], cwd=data if os.geteuid() == 0 else "/", **identity)  # type: ignore[call-overload]
    try:
        (data / "postmaster.pid").write_text("\n".join([str(innocent.pid), *claims[1:]]) + "\n")
        if stale == "socket lock":
            sockets[0].write_text("\n".join([str(innocent.pid), *claims[1:5]]) + "\n")
        assert not made.stop().running
        assert not made.status().running
        assert made.start().running
        made.stop()
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_empty_pid_file_after_a_power_cut(made: EmbeddedServer) -> None:
    made.start()
    kill_server(made)
    pid_file = made.home / "data" / "postmaster.pid"
    pid_file.write_text("")
    os.utime(pid_file, (0, 0))
    assert made.start().running


def test_server_started_by_other_means_is_left_alone(made: EmbeddedServer, folder: Path) -> None:
    data = made.home / "data"
    command = [str(find_binaries(18).path / "postgres"), "-D", str(data), "-p", "20999", "-k", str(made.home / "run")]
    other = subprocess.Popen(command, **Account.for_data(data).options())
    try:
        assert processes.wait_until(lambda: (claim := processes.PidFile.read(data)) is not None and claim.ready, 60)
        with pytest.raises(ServerError, match=r"did not start runs on .*, on port 20999 .*pg_ctl stop"):
            made.start()
        assert other.poll() is None
    finally:
        other.terminate()
        other.wait()


def test_server_in_another_container_is_respected(made: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pids mean nothing here, but its lock does."""
    monkeypatch.setattr(server_module, "HOLD_SECONDS", 0.1)
    with (made.home / "running").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ServerError, match="can't be seen from here"):
            made.start()
    assert made.start().running
    with (made.home / "running").open("w") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_home_by_another_name(made: EmbeddedServer, folder: Path) -> None:
    (folder / "link").symlink_to(made.home)
    first, second = made.start(), EmbeddedServer(folder / "link").start()
    assert (first.url, first.version) == (second.url, second.version)
    assert server_process(made) == server_process(EmbeddedServer(folder / "link"))


def test_moved_home(made: EmbeddedServer, folder: Path) -> None:
    made.start()
    made.stop()
    moved = EmbeddedServer(made.home.rename(folder / "moved"), durable=False)
    try:
        assert moved.start().running
        assert Home(moved.home).socket_folder() == moved.home / "run"
    finally:
        moved.destroy()


def test_taken_port_is_chosen_anew(made: EmbeddedServer) -> None:
    made.start()
    port = Home(made.home).state()["port"]
    made.stop()
    with socket.create_server(("127.0.0.1", port)):
        assert made.start().running
        assert Home(made.home).state()["port"] != port
    assert query(made, "SELECT 1", url=made.tcp_url()) == 1


@pytest.mark.parametrize("temporary", ["short", "long"])
def test_long_path_of_home(folder: Path, temporary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets take 107 bytes of path: then a private folder elsewhere, and where that is long as well, TCP."""
    far = folder / ("a 'quoted\" comma, " + "x" * 90)
    far.mkdir(mode=0o755)
    if temporary == "long":
        monkeypatch.setattr(tempfile, "tempdir", str(far))
    server = EmbeddedServer(far / "home", durable=False)
    try:
        server.start()
        kept = Home(server.home).socket_folder()
        if temporary == "long":
            assert kept is None
            assert "@127.0.0.1:" in server.url()
        else:
            assert kept.stat().st_mode & 0o777 == 0o700
            server.stop()
            server.start()
            assert Home(server.home).socket_folder() == kept
        assert query(server, "SELECT 1") == 1
    finally:
        server.destroy()
    assert kept is None or not kept.exists()


def test_quoted_path_of_home(folder: Path) -> None:
    odd = folder / 'o\'dd, "näme" %41'
    server = EmbeddedServer(odd, durable=False)
    try:
        assert server.start().running
        assert query(server, "SELECT 1") == 1
    finally:
        server.destroy()


def test_peoples_settings_win_and_a_full_server_counts_as_running(made: EmbeddedServer) -> None:
    made.start()
    query(made, "ALTER SYSTEM SET work_mem = '7MB'")
    made.stop()
    with (made.home / "data" / "postgresql.conf").open("a") as file:
        file.write("max_connections = 4\nreserved_connections = 0\nsuperuser_reserved_connections = 0\n")
    made.start()
    assert query(made, "SHOW work_mem") == "7MB"
    crowd = [_admitted(made) for _ in range(4)]
    assert made.status().running
    assert made.start().running
    for connection in crowd:
        connection.close()


def _admitted(server: EmbeddedServer) -> psycopg.Connection:
    """A connection; the backend of the one before may be about to end, and takes a place until then."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return psycopg.connect(server.url())
        except psycopg.OperationalError as error:
            if "too many clients" not in str(error) or time.monotonic() > deadline:
                raise


def test_setting_that_the_server_refuses_is_told(made: EmbeddedServer) -> None:
    with (made.home / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(ServerError, match=r"did not start: .*server\.log"):
        made.start()


def test_ordinary_user_has_a_server_of_their_own(folder: Path) -> None:
    folder.chmod(0o777)

    def live() -> object:
        server = EmbeddedServer(folder / "own", durable=False)
        try:
            url = server.start().url
            owner = (folder / "own" / "data").stat().st_uid
            return [url, owner == os.geteuid(), query(server, "SELECT 1"), server.stop().running]
        finally:
            server.destroy()

    answer = as_other_user(live)
    assert isinstance(answer, list), answer
    assert answer[1:] == [True, 1, False]


def test_other_users_are_kept_out(running: EmbeddedServer, as_root: bool) -> None:
    """The socket needs no password, so nobody else may reach it; TCP asks for the password, which they can't read."""
    run = running.home / "run"
    assert run.stat().st_mode & 0o777 == 0o700
    assert run.stat().st_uid == server_process(running).uids().effective
    assert (server_process(running).uids().effective == 0) is False
    assert (running.home / "password").stat().st_mode & 0o777 == 0o600
    assert query(running, "SELECT 1", url=running.tcp_url()) == 1
    guess = running.tcp_url().replace(Home(running.home).password() or "?", "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        query(running, "SELECT 1", url=guess)
    url = running.url()
    refused = as_other_user(lambda: query(running, "SELECT 1", url=url))
    assert refused == 1 if not as_root else "Permission denied" in str(refused)
    foreign = as_other_user(lambda: EmbeddedServer(running.home).status().running)
    assert foreign is True if not as_root else "belongs to root" in str(foreign)


def test_home_that_the_account_cannot_enter(folder: Path, as_root: bool) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedServer(closed / "home", durable=False)
    try:
        if as_root:
            with pytest.raises(ServerError, match=r"account can't enter .*set OUTREACHDB_HOME"):
                server.start()
            assert closed.stat().st_mode & 0o777 == 0o700
        else:
            assert server.start().running
    finally:
        server.destroy()


def test_wheel_that_the_account_cannot_read_is_copied(made: EmbeddedServer, folder: Path, as_root: bool) -> None:
    original = find_binaries(18)
    package = original.prefix.parent
    closed = folder / "site"
    closed.mkdir(mode=0o700)
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, closed / name, ignore=shutil.ignore_patterns("include"))
    hidden = EmbeddedServer(made.home, closed / package.name / "pginstall" / "bin", durable=False)
    assert hidden.start().running
    assert query(hidden, "SELECT 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700
    assert (made.home / f"binaries-{original.version}").exists() is as_root


def test_folders_that_are_not_ours_are_not_touched(folder: Path) -> None:
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(ServerError, match="not empty and was not made by outreachdb"):
        EmbeddedServer(folder).start()
    with pytest.raises(ServerError, match="is not a folder"):
        EmbeddedServer(folder / "letter.txt").start()
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]

    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(ServerError, match="everybody may write"):
        EmbeddedServer(shared).start()
    assert not list(shared.iterdir())


def test_damaged_homes_are_refused(folder: Path) -> None:
    server = EmbeddedServer(folder, durable=False)
    (folder / "outreachdb.json").write_text('{"format": 1}')
    (folder / "data").mkdir()
    with pytest.raises(ServerError, match="has no PG_VERSION"):
        server.start()
    (folder / "data").rmdir()
    (folder / "outreachdb.json").write_text("{")
    with pytest.raises(ServerError, match="is damaged"):
        server.start()
    (folder / "outreachdb.json").write_text('{"format": 99}')
    with pytest.raises(ServerError, match="another version of outreachdb"):
        server.start()
    assert [path.name for path in folder.iterdir()] == ["outreachdb.json"]


def test_url_before_the_first_start(folder: Path) -> None:
    with pytest.raises(ServerError, match="no server has been started"):
        EmbeddedServer(folder / "home").url()


def test_machine_without_postgresql(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(binaries, "DEBIAN", folder)
    monkeypatch.setattr(binaries.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ServerError, match=r"no PostgreSQL server found .*outreachdb\[embedded\]"):
        find_binaries()
    with pytest.raises(ServerError, match=r"no PostgreSQL server in"):
        Binaries.at(folder)

    for major in ("14", "19"):
        _pretend(folder / major / "bin", f"{major}.1")
    with pytest.raises(ServerError, match=r"no PostgreSQL 15 to 18 found .*only 19\.1 in .*14\.1 in"):
        find_binaries()
    with pytest.raises(ServerError, match=r"19\.1 in .* is not supported"):
        Binaries.at(folder / "19" / "bin")

    for major in ("15", "16"):
        _pretend(folder / major / "bin", f"{major}.2")
    assert find_binaries().version == "16.2"
    assert find_binaries(15).path == folder / "15" / "bin"

    _pretend(folder / "own", "17.3")
    monkeypatch.setenv("PATH", str(folder / "own"))
    assert find_binaries().path == folder / "own"


def _pretend(folder: Path, version: str) -> None:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)


def test_roots_default_home_is_one_that_its_account_can_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert config.default_home() == Path("/var/lib/outreachdb")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert config.default_home() == Path("/somewhere/outreachdb")


def _bytes(size: str) -> int:
    return int(size[:-2]) * {"kB": 1024, "MB": MB, "GB": GB}[size[-2:]]


@given(memory=st.integers(256 * MB, 4096 * GB), cores=st.integers(1, 512), shm=st.none() | st.integers(0, GB))
def test_settings_fit_every_machine(memory: int, cores: int, shm: int | None) -> None:
    settings = settings_for(Machine(memory, cores, shm))
    shared, cache = _bytes(settings["shared_buffers"]), _bytes(settings["effective_cache_size"])
    assert 16 * MB <= shared <= min(memory // 4, 8 * GB)
    assert shared <= cache <= memory
    busy = shared + int(settings["max_connections"]) * _bytes(settings["work_mem"])
    assert busy <= memory
    assert _bytes(settings["maintenance_work_mem"]) <= max(memory // 8, 16 * MB)
    assert int(settings["max_parallel_workers_per_gather"]) <= int(settings["max_parallel_workers"]) == cores
    assert int(settings["max_worker_processes"]) > cores
    assert ("dynamic_shared_memory_type" in settings) == (shm is not None and shm < 256 * MB)
    assert "fsync" not in settings
    assert settings_for(Machine(memory, cores), durable=False)["fsync"] == "off"
    more = settings_for(Machine(memory * 2, cores))
    assert _bytes(more["shared_buffers"]) >= shared


def test_machine_is_measured() -> None:
    here = Machine.here()
    assert 0 < here.memory_bytes <= psutil.virtual_memory().total
    assert 1 <= here.cores <= (os.cpu_count() or 1)


def test_commands(made: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTREACHDB_HOME", str(made.home))
    shown: list[dict[str, object]] = []
    monkeypatch.setattr(commands, "emit", lambda document, _: shown.append(document))
    app = typer.Typer()
    commands.register(app)
    for command in ("status", "up", "status", "down"):
        done = CliRunner().invoke(app, [command])
        assert done.exit_code == 0, done.output
    assert [document["running"] for document in shown] == [False, True, True, False]
    assert list(shown[2]) == ["url", "version", "running", "home"]
    assert (shown[2]["url"], shown[2]["home"]) == (made.url(), str(made.home))


def test_what_a_person_took_down_stays_down_until_they_start_it(
    made: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTREACHDB_HOME", str(made.home))

    def outreachdb(*command: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(command))
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    assert made.ensure().running, "nobody took it down: whoever needs it starts it"
    status, out, _ = outreachdb("down")
    assert (status, "Start it again: outreachdb up" in out) == (0, True)
    for command in (("migrate", "verify"), ("workspace", "list"), ("health",), ("pool", "config")):
        status, out, err = outreachdb(*command)
        assert (status, out, len(err.splitlines())) == (1, "", 1), command
        assert "was taken down at" in err
        assert "(start it: outreachdb up)" in err
    assert not made.status().running
    assert "start it: outreachdb up" in outreachdb("status")[1]
    assert outreachdb("up")[0] == 0
    made.stop()
    assert made.ensure().running, "a stop that nobody asked to last"


def test_a_starter_that_waits_for_down_does_not_undo_it(made: EmbeddedServer) -> None:
    """Both hold the home's lock in turn; who needs the server and comes second finds it taken down."""
    made.start()
    home = Home(made.home, durable=False)
    with ThreadPoolExecutor() as threads:
        with home.lock(10):
            kill_server(made)
            needing = threads.submit(made.ensure)
            time.sleep(0.3)
            assert not needing.done()
            home.remember(down_since="2026-01-01T00:00:00+00:00")  # as `down` does under the lock
        with pytest.raises(ServerError, match="was taken down at 2026-01-01"):
            needing.result()
    assert made.start().running, "who asks for it gets it"


def test_a_home_that_holds_our_key_already_can_be_used(folder: Path) -> None:
    home = folder / "home"
    home.mkdir()
    home.chmod(0o711)
    Keyring.load(Settings.load({}, home=home))
    server = EmbeddedServer(home, durable=False)
    try:
        assert server.start().running
    finally:
        server.destroy()
