"""A registry of a test's own in the shared database, and a worker as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asking import asking

import outreachdb
from outreachdb.config import Settings
from outreachdb.db.pools import Pools

TICK_SECONDS = 3


@pytest.fixture
async def own_pools(own_database_url: str) -> AsyncIterator[Pools]:
    """Pools on a database of the test's own, given when no tick is about to come.

    What is due is asked of the clock: a test that asks twice in a row is told something else after a full minute.
    """
    left = 60 - datetime.now(UTC).second
    await asyncio.sleep(left if left <= TICK_SECONDS else 0)
    async with Pools(Settings.load({}, database_url=own_database_url)) as opened:
        yield opened


@pytest.fixture
def ask(pools: Pools) -> Callable[..., Any]:
    """Rows of a statement as the trusted role in the shared database."""
    return asking(pools)


@pytest.fixture
def ask_own(own_pools: Pools) -> Callable[..., Any]:
    return asking(own_pools)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `outreachdb worker` processes; what still runs is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(url: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        source = str(Path(outreachdb.__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, "-m", "outreachdb", "worker", *arguments],
            env=os.environ
            | {"OUTREACHDB_DATABASE_URL": url, "OUTREACHDB_HOME": str(tmp_path / "home"), "PYTHONPATH": source}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
