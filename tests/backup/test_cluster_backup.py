"""Copies of whole clusters: made while the server works, verified by starting a copy, restored into a new home."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from outreachdb import backup
from outreachdb.backup import programs
from outreachdb.db import catalogue, migrate
from outreachdb.db.embedded import EmbeddedServer, throwaway
from outreachdb.errors import Conflict, InvalidInput, OutreachDBError


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedServer]:
    with throwaway() as running:
        with psycopg.connect(running.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT n FROM generate_series(1, 5000) AS n")
        yield running


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's account can enter."""
    with tempfile.TemporaryDirectory(prefix="odb-backup-", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.slow
def test_a_cluster_comes_back_in_a_new_home(own: EmbeddedServer, place: Path) -> None:
    made = asyncio.run(backup.back_up_cluster(own.url(), place / "backups"))
    checked = asyncio.run(backup.verify_cluster(made.folder))
    assert (checked.where, checked.rows) == ("a copy of the cluster, started", 5000)
    home = EmbeddedServer(place / "home", durable=False)
    try:
        done = asyncio.run(backup.restore_cluster(made.folder, home.home))
        assert (done.rows, done.tables) == (5000, 1)
        with psycopg.connect(home.url()) as connection:
            assert connection.execute("SELECT sum(n) FROM kept").fetchone() == (12502500,)
        assert home.tcp_url() != own.tcp_url()
        with psycopg.connect(home.tcp_url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(Conflict, match="holds a cluster already"):
            asyncio.run(backup.restore_cluster(made.folder, home.home))
    finally:
        home.destroy()
    with pytest.raises(InvalidInput, match="is a copy of a whole cluster"):
        asyncio.run(backup.restore(made.folder, own.url("elsewhere")))

    page = next(
        path for path in (made.folder / "data" / "base").rglob("*") if path.is_file() and path.stat().st_size > 8192
    )
    content = page.read_bytes()
    page.write_bytes(content[:5000] + b"x" + content[5001:])
    with pytest.raises(OutreachDBError, match="is not what was written"):
        asyncio.run(backup.verify_cluster(made.folder))


@pytest.mark.slow
@pytest.mark.postgres15
def test_newer_programs_serve_an_older_server(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_restore sets a limit that PostgreSQL 15 does not know; that alone is overlooked."""
    newest = tuple(each for each in programs._all() if each.major >= 18)
    monkeypatch.setattr(programs, "_all", lambda: newest)
    with throwaway(Path("/usr/lib/postgresql/15/bin")) as old:
        asyncio.run(migrate.upgrade(old.url()))
        made = asyncio.run(backup.back_up(old.url(), place))
        assert made.manifest.program.startswith("pg_dump 18.")
        done = asyncio.run(backup.restore(made.folder, old.url("copy")))
        assert (done.rows, done.compared) == (made.manifest.rows, True)
        assert asyncio.run(catalogue.verify(old.url("copy"))) == []
