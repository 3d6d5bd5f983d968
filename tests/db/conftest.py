"""Fixtures of the ground floor's tests: homes for embedded servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from outreachdb.db.embedded import EmbeddedServer, throwaway
from outreachdb.db.embedded.server import fast_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path that the server's account can enter (pytest's own are closed when root runs it)."""
    made = Path(tempfile.mkdtemp(prefix="odb-", dir=fast_folder()))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedServer]:
    """A server of PostgreSQL 18 that has not been started."""
    fresh = EmbeddedServer(folder / "home", durable=False)
    yield fresh
    fresh.destroy()


@pytest.fixture(scope="session")
def made_once() -> Iterator[Path]:
    """The home of a stopped server, to be copied: making a cluster is most of a test's time."""
    with throwaway() as made:
        made.stop()
        yield made.home


@pytest.fixture
def made(made_once: Path, folder: Path) -> Iterator[EmbeddedServer]:
    """A server that has run before, now stopped."""
    subprocess.run(["cp", "-a", str(made_once), str(folder / "home")], check=True)
    server = EmbeddedServer(folder / "home", durable=False)
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddedServer]:
    """A running server that the tests of a module share."""
    with throwaway() as made:
        yield made


@pytest.fixture
def as_root() -> bool:
    return os.geteuid() == 0
