"""Replicas that fall behind, a standby that stands still, archiving that fails: with the server's own programs."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import Ground

from outreachdb.db.embedded import EmbeddedServer, find_binaries
from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.server import throwaway
from outreachdb.pooling import free_port

WRITE = (
    "SET synchronous_commit = on",
    "INSERT INTO trouble.shipped SELECT n, repeat(md5(n::text), 60) FROM generate_series(1, 1000) AS n",
)


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="odb-replica-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def programs(url: str) -> Path:
    with psycopg.connect(url) as connection:
        return find_binaries(connection.info.server_version // 10000).path


def test_replication_lag(ground: Ground, server: EmbeddedServer, folder: Path) -> None:
    """A reader of the log that is stopped in its tracks."""

    def look() -> str:
        return asyncio.run(ground.look("replication_lag", yellow=0.3, red=2.5)).status

    assert look() == "not applicable"
    ground.do(
        "CREATE TABLE trouble.shipped (id int, word text)",
        "ALTER TABLE trouble.shipped ALTER word SET STORAGE EXTERNAL",
    )
    program = programs(ground.url) / "pg_receivewal"
    reader = subprocess.Popen(
        [program, "-D", folder, "-d", server.url("postgres"), "--no-loop", "--synchronous", "-s", "1"],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: look() == "green")
        reader.send_signal(signal.SIGSTOP)
        ground.do(*WRITE)
        assert look() == "yellow"
        ground.do(*WRITE, WRITE[1])
        assert look() == "red"
        reader.send_signal(signal.SIGCONT)
        until(lambda: look() == "green")
    finally:
        reader.kill()
        reader.wait()


@pytest.mark.slow
def test_a_standby_and_an_archive(folder: Path) -> None:
    with throwaway() as primary:
        ground = Ground(primary.url())
        ground.do(
            "CREATE SCHEMA trouble",
            "CREATE TABLE trouble.shipped (id int, word text)",
            "ALTER SYSTEM SET archive_mode = on",
            "ALTER SYSTEM SET archive_command = 'true'",
        )
        primary.stop()
        primary.start()

        def archiving(**numbers: float) -> str:
            return asyncio.run(ground.look("wal_archiving", **numbers)).status

        ground.do("SELECT pg_switch_wal()")
        until(lambda: bool(ground.do("SELECT archived_count > 0 FROM pg_stat_archiver")))
        assert archiving() == "green"
        ground.do("ALTER SYSTEM SET archive_command = 'false'", "SELECT pg_reload_conf()")
        ground.do(*WRITE, "SELECT pg_switch_wal()")
        until(lambda: bool(ground.do("SELECT last_failed_time > last_archived_time FROM pg_stat_archiver")))
        assert archiving(yellow=0.0001, red=60) == "yellow"
        assert archiving(yellow=0.0001, red=0.001) == "red"
        _with_standby(primary, ground, folder)


def _with_standby(primary: EmbeddedServer, ground: Ground, folder: Path) -> None:
    account, bin_folder, data = Account.for_data(primary.home / "data"), programs(ground.url), folder / "data"
    account.give(folder)
    account.run(bin_folder / "pg_basebackup", "-d", primary.url("postgres"), "-D", data, "-R", "-c", "fast")
    shutil.copy(primary.home / "outreachdb.conf", folder)  # what the copied configuration includes
    port = free_port()
    settings = {"port": port, "unix_socket_directories": folder, "listen_addresses": "", "archive_mode": "off"}
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    process = subprocess.Popen(
        [bin_folder / "postgres", "-D", data, *arguments], stderr=subprocess.DEVNULL, **account.options()
    )
    standby = Ground(f"postgresql://outreachdb@/outreachdb?host={folder}&port={port}")
    try:
        until(lambda: _answers(standby))

        def delay(**numbers: float) -> str:
            return asyncio.run(standby.look("standby_delay", **numbers)).status

        until(lambda: delay() == "green")
        away = {name: asyncio.run(standby.look(name)) for name in ("replication_slots", "wal_archiving", "connections")}
        assert [away[name].reason for name in ("replication_slots", "wal_archiving")] == ["this is a standby"] * 2
        assert away["connections"].status == "green"
        assert asyncio.run(ground.look("standby_delay")).reason == "this is a primary"
        standby.do("SELECT pg_wal_replay_pause()")
        ground.do(*WRITE)
        until(lambda: delay(yellow=0.2, red=1000) == "yellow")
        until(lambda: delay(yellow=0.1, red=0.2) == "red")
        standby.do("SELECT pg_wal_replay_resume()")
        until(lambda: delay(yellow=0.1, red=0.2) == "green")
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()


def _answers(standby: Ground) -> bool:
    try:
        return bool(standby.do("SELECT pg_is_in_recovery()"))
    except psycopg.OperationalError:
        return False
