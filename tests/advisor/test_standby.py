"""What a primary with a standby is told, and what the standby itself is: each counts the use of indexes for itself."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outreachdb.advisor import Report, advise
from outreachdb.db.embedded import EmbeddedServer, find_binaries
from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.server import throwaway
from outreachdb.pooling import free_port

SCHEMA = """
    CREATE TABLE parents (id int PRIMARY KEY);
    CREATE TABLE orders (id int PRIMARY KEY, parent_id int REFERENCES parents, a int, b int, c int);
    CREATE INDEX read_there ON orders (c);
    CREATE INDEX unread ON orders (b, c);
    CREATE INDEX short ON orders (a);
    CREATE INDEX longer ON orders (a, b);
    INSERT INTO orders (id, c) SELECT n, n FROM generate_series(1, 1000) AS n;
"""
AT_ONCE = {"min_days": 0, "min_reads": 0}
RULES = ["foreign_key_without_index", "overlapping_index", "unused_index"]


@contextmanager
def standby_of(primary: EmbeddedServer, folder: Path) -> Iterator[str]:
    """URL of a hot standby that follows the primary."""
    programs, data = find_binaries().path, folder / "data"
    account = Account.for_data(primary.home / "data")
    account.give(folder)
    account.run(programs / "pg_basebackup", "-d", primary.url("postgres"), "-D", data, "-R", "-c", "fast")
    shutil.copy(primary.home / "outreachdb.conf", folder)  # what the copied configuration includes
    port = free_port()
    settings = {"port": port, "unix_socket_directories": folder, "listen_addresses": ""}
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, *arguments], stderr=subprocess.DEVNULL, **account.options()
    )
    try:
        yield f"postgresql://outreachdb@/postgres?host={folder}&port={port}"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's: the path of a socket must be short, and the server's account must get in.
    made = Path(tempfile.mkdtemp(prefix="odb-standby-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def row(url: str, query: str) -> Any:
    """The first value, once the server answers and it is true."""
    for _ in range(200):
        try:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                found = await (await connection.execute(query.encode())).fetchone()
                if found and found[0]:
                    return found[0]
        except psycopg.OperationalError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError(query)


def objects(report: Report, rule: str) -> set[str | None]:
    return {each.object for each in report.findings if each.rule == rule}


@pytest.mark.slow
async def test_each_server_counts_for_itself_and_says_so(folder: Path) -> None:
    with throwaway() as primary:
        url = primary.url("postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA)
        with standby_of(primary, folder) as standby:
            await row(standby, "SELECT pg_is_in_recovery()")
            await row(url, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
            async with await psycopg.AsyncConnection.connect(standby, autocommit=True) as reader:
                await reader.execute("SET enable_seqscan = off")
                await reader.execute("SELECT a FROM orders WHERE c = 7")
            await row(standby, "SELECT idx_scan > 0 FROM pg_stat_user_indexes WHERE indexrelname = 'read_there'")
            here, there = await advise(url, only=RULES, given=AT_ONCE), await advise(standby, only=RULES, given=AT_ONCE)
    # The primary can't know that the standby reads one of them: it says that there is one to look at.
    assert objects(here, "unused_index") == {"read_there", "unread", "short", "longer"}
    for each in here.findings:
        if each.rule == "unused_index":
            assert (each.severity, each.evidence["standbys"]) == ("info", 1)
            assert "a standby keeps counts of its own: look there" in each.evidence["summary"]
    (short,) = [each for each in here.findings if each.rule == "overlapping_index"]
    assert (short.object, short.evidence["scans"], short.evidence["standbys"]) == ("short", 0, 1)
    assert not [note for note in here.notes if "standby" in note]
    # The standby is read as well, sees what was read there, and points at the primary.
    assert objects(there, "unused_index") == {"unread", "short", "longer"}
    assert all("look at the primary" in e.evidence["summary"] for e in there.findings if e.rule == "unused_index")
    assert objects(there, "foreign_key_without_index") == {"orders_parent_id_fkey"}
    assert [note for note in there.notes if "this is a standby" in note]
