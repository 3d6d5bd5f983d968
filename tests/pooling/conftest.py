"""A real PgBouncer in front of the test server."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pool_env import environment

from outreachdb import pooling
from outreachdb.config import WORKLOADS, Settings
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.home import Home
from outreachdb.db.pools import Pools
from outreachdb.pooling import PoolFolder, Written


@dataclass(frozen=True)
class Pooler:
    """A running pooler, its settings (all four URLs), and what was written."""

    folder: PoolFolder
    settings: Settings
    written: Written


@pytest.fixture(scope="session")
def place(server: EmbeddedServer) -> Iterator[PoolFolder]:
    """A folder that the server's account can enter (pytest's own are closed when root runs it)."""
    made = Path(tempfile.mkdtemp(prefix="odb-pool-", dir="/tmp"))
    made.chmod(0o755)
    yield PoolFolder(made / "pooling", Account.for_data(server.home / "data"))
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def pooler(server: EmbeddedServer, database_url: str, place: PoolFolder) -> Iterator[Pooler]:
    """Four pools in front of the worker's database, reached with the password of the server's login."""
    passwords = {"outreachdb": str(Home(server.home).password())}
    urls = dict.fromkeys(WORKLOADS, database_url)
    written = asyncio.run(pooling.write(place, urls, port=pooling.free_port(), passwords=passwords))
    pooling.start(place)
    yield Pooler(place, Settings.load(environment(written)), written)
    pooling.stop(place, 0)


@pytest.fixture
async def pooled(pooler: Pooler) -> AsyncIterator[Pools]:
    """The engine's pools, each workload through its own of the pooler."""
    async with Pools(pooler.settings) as opened:
        yield opened
