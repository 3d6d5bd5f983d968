"""A real PgBouncer in front of the server: its pool fills, then somebody waits, then it is gone."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from conftest import Ground

from outreachdb import pooling
from outreachdb.config import WORKLOADS, Settings
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.home import Home
from outreachdb.health import report
from outreachdb.health.configuration import Configuration
from outreachdb.health.report import Result
from outreachdb.pooling import PoolFolder


@pytest.fixture(scope="module")
def pooler(server: EmbeddedServer, ground: Ground) -> Iterator[tuple[PoolFolder, Settings]]:
    """Four pools in front of the ground."""
    made = Path(tempfile.mkdtemp(prefix="odb-pool-", dir="/tmp"))
    made.chmod(0o755)
    folder = PoolFolder(made / "pooling", Account.for_data(server.home / "data"))
    passwords = {"outreachdb": str(Home(server.home).password())}
    urls = dict.fromkeys(WORKLOADS, ground.url)
    written = asyncio.run(pooling.write(folder, urls, port=pooling.free_port(), passwords=passwords))
    lines = [line for line in written.environment.read_text().splitlines() if not line.startswith("#")]
    pairs = (line.partition("=") for line in lines)
    pooling.start(folder)
    yield folder, Settings.load({name: value.strip("'") for name, _, value in pairs})
    pooling.stop(folder, 0)
    shutil.rmtree(made)


async def look(ground: Ground, settings: Settings | None, name: str, **numbers: float) -> Result:
    found = await report.check(ground.url, Configuration({name: numbers}), only=[name], settings=settings)
    return found[name]


def enter(url: str) -> psycopg.Connection[tuple[object]]:
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=None)
    connection.execute("SELECT 1")
    return connection


async def test_pools(ground: Ground, pooler: tuple[PoolFolder, Settings]) -> None:
    """The pool for administration has five connections, each of them one client's until it leaves."""
    folder, settings = pooler
    url = str(settings.admin_url)
    assert (await look(ground, settings, "pool_use")).status == "green"
    assert (await look(ground, settings, "pool_waits")).status == "green"
    assert (await look(ground, settings, "pool_down")).status == "green"
    with ExitStack() as clients:
        for _ in range(4):
            clients.enter_context(enter(url))
        assert (await look(ground, settings, "pool_use")).status == "yellow"
        clients.enter_context(enter(url))
        full = await look(ground, settings, "pool_use")
        assert (full.status, full.value) == ("red", 100)
        assert "5 of 5" in full.summary
        waiting = asyncio.create_task(asyncio.to_thread(enter, url))
        async with asyncio.timeout(60):
            while (yellow := await look(ground, settings, "pool_waits", yellow=0.2)).status == "green":
                await asyncio.sleep(0.1)
            while (red := await look(ground, settings, "pool_waits", yellow=0.2, red=0.3)).status == "yellow":
                await asyncio.sleep(0.1)
        assert (yellow.status, red.status, red.evidence["waiting"]) == ("yellow", "red", 1)
    (await waiting).close()
    pooling.stop(folder, 0)
    gone = await look(ground, settings, "pool_down")
    assert (gone.status, "does not answer" in gone.summary) == ("red", True), "the settings name it"
    for name in ("pool_use", "pool_waits"):
        assert (await look(ground, settings, name)).status == "not applicable"
    unknown = await look(ground, None, "pool_waits")
    assert (unknown.status, bool(unknown.reason)) == ("not applicable", True)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the pooler's account can enter (pytest's own are closed when root runs it)."""
    made = Path(tempfile.mkdtemp(prefix="odb-pool-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


async def test_a_pooler_is_missed_only_where_somebody_started_it(
    ground: Ground, server: EmbeddedServer, home: Path
) -> None:
    """Configured is not started, stopped is meant, ended by itself is red: with what to do, and no figure made up."""
    folder = PoolFolder(home / "pooling", Account.for_data(server.home / "data"))
    settings = Settings.load({}, home=home, database_url=ground.url)

    async def seen() -> list[str]:
        return [(await look(ground, settings, name)).status for name in ("pool_down", "pool_use", "pool_waits")]

    try:
        assert await seen() == ["not applicable"] * 3
        passwords = {"outreachdb": str(Home(server.home).password())}
        urls = dict.fromkeys(WORKLOADS, ground.url)
        await pooling.write(folder, urls, port=pooling.free_port(), passwords=passwords)
        assert await seen() == ["not applicable"] * 3
        told = (await look(ground, settings, "pool_down")).summary
        assert told == "a pooler is configured and not started: outreachdb pool start"
        pooling.start(folder)
        assert await seen() == ["green"] * 3
        process = folder.process()
        assert process is not None
        process.kill()
        process.wait()
        assert await seen() == ["red", "not applicable", "not applicable"]
        down = await look(ground, settings, "pool_down")
        assert (down.value, down.unit) == (1, "poolers")
        assert down.summary.startswith("the pooler was started and runs no more: outreachdb pool start; ")
        await pooling.write(folder, urls, port=pooling.free_port(), passwords=passwords)
        assert (await seen())[0] == "red", "to configure it anew is not to stop it"
        assert pooling.stop(folder, 0) is False
        assert await seen() == ["not applicable"] * 3
    finally:
        pooling.stop(folder, 0)
