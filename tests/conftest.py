"""A real PostgreSQL for every test: one throw-away server per worker, one migrated template, one clone per test.

``OUTREACHDB_TEST_POSTGRES`` names the major version (18, the embedded one, by default; 15 is Debian 12's).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from command_line import CommandLine
from hypothesis import settings
from psycopg import sql

from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.server import throwaway
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.secrets import Keyring
from outreachdb.tenancy import workspaces

# A shell's background job ignores Ctrl-C, and so would every process that a test starts and stops that way.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Examples are the same in every run, and a machine that stands still for a second in the middle of one fails no test;
# OUTREACHDB_TEST_RANDOM=1 looks for new ones.
settings.register_profile("steady", deadline=None, derandomize="OUTREACHDB_TEST_RANDOM" not in os.environ)
settings.load_profile("steady")
# Before midnight (UTC) no test begins that the day would end in, seconds; nor right after, where ages are still zero.
BEFORE_MIDNIGHT, AFTER_MIDNIGHT = 45, 10
DAY_SECONDS = 24 * 60 * 60
MAJOR = os.environ.get("OUTREACHDB_TEST_POSTGRES", "18")
BINARIES = {"18": None, "15": Path("/usr/lib/postgresql/15/bin")}
TEMPLATE = "migrated"
MISSING = pytest.StashKey[list[str]]()
DATA = Path(os.environ.get("OUTREACHDB_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


# What some tests need beside Python: where it is looked for, and what to do without it.
COMPONENTS = {
    "data": (DATA / "contacts", "set OUTREACHDB_TEST_DATA to the folder of public lists"),
    "hypopg": (Path("/usr/share/postgresql/15/extension/hypopg.control"), "apt-get install postgresql-15-hypopg"),
    "partman": (Path("/usr/share/postgresql/15/extension/pg_partman.control"), "apt-get install postgresql-15-partman"),
    "pgbouncer": (Path("/usr/sbin/pgbouncer"), "apt-get install pgbouncer"),
    "systemd": (Path("/usr/bin/systemd-analyze"), "apt-get install systemd"),
    "pg_cron": (Path("/usr/share/postgresql/15/extension/pg_cron.control"), "apt-get install postgresql-15-cron"),
    "postgres15": (Path("/usr/lib/postgresql/15/bin/initdb"), "apt-get install postgresql-15"),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and say so, what can't run on this machine; in CI a missing component is an error."""
    for marker, (path, remedy) in COMPONENTS.items():
        needing = [item for item in items if item.get_closest_marker(marker)]
        if not needing or path.exists():
            continue
        if os.environ.get("CI"):
            raise pytest.UsageError(f"{len(needing)} tests need {path}, which is missing: {remedy}")
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]
        config.stash.setdefault(MISSING, []).append(f"{len(needing)} tests need {path}: {remedy}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left out."""
    for line in config.stash.get(MISSING, []):
        terminalreporter.write_line(f"not run: {line}", yellow=True)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> None:
    """The developer's own settings must not reach the tests."""
    for name in list(os.environ):
        if name == "DATABASE_URL" or (name.startswith("OUTREACHDB_") and not name.startswith("OUTREACHDB_TEST_")):
            del os.environ[name]


@pytest.fixture(autouse=True)
def _one_day() -> None:
    """What counts per day (caps, rollups, forecasts, partitions) is asked on one day; what a midnight changes is tested
    by instants that are given."""
    now = datetime.now(UTC)
    seconds = (now.hour * 60 + now.minute) * 60 + now.second
    if seconds >= DAY_SECONDS - BEFORE_MIDNIGHT:
        time.sleep(DAY_SECONDS - seconds + AFTER_MIDNIGHT)
    elif seconds < AFTER_MIDNIGHT:
        time.sleep(AFTER_MIDNIGHT - seconds)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A running server of the major version under test."""
    with throwaway(BINARIES[MAJOR]) as running:
        yield running


@pytest.fixture(scope="session")
def template(server: EmbeddedServer) -> str:
    """Name of a database that holds the migrated, empty schema."""
    _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    asyncio.run(migrate.upgrade(server.url(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def empty_database_url(server: EmbeddedServer) -> Iterator[str]:
    """URL of a new database without our schema."""
    yield from _database(server, "template1")


@pytest.fixture
def own_database_url(server: EmbeddedServer, template: str) -> Iterator[str]:
    """URL of a fresh clone of the migrated template, for tests that change the schema or count across workspaces."""
    yield from _database(server, template)


@pytest.fixture(scope="session")
def database_url(server: EmbeddedServer, template: str) -> Iterator[str]:
    """URL of a clone that the tests of a worker share: each works in workspaces of its own, as tenants do."""
    yield from _database(server, template)


@pytest.fixture
async def pools(database_url: str) -> AsyncIterator[Pools]:
    """Open pools on the shared database."""
    async with Pools(Settings.load({}, database_url=database_url)) as opened:
        yield opened


@pytest.fixture
async def tenant(pools: Pools) -> Tenant:
    """A new workspace of the test's own."""
    return await _new_workspace(pools, "acme")


@pytest.fixture
async def other_tenant(pools: Pools) -> Tenant:
    """A second new workspace, whose rows the first must never see."""
    return await _new_workspace(pools, "globex")


@pytest.fixture
def keyring() -> Keyring:
    """A key of the tests' own."""
    return Keyring(bytes(range(32)))


@pytest.fixture(scope="session")
def command_line() -> Iterator[CommandLine]:
    """Runs commands of the command line for tests that are in an event loop themselves."""
    with CommandLine() as child:
        yield child


@pytest.fixture(scope="session")
def contacts() -> Path:
    """The folder of public contact lists; tests that use it are marked ``data``."""
    return DATA / "contacts"


async def _new_workspace(pools: Pools, kind: str) -> Tenant:
    made = await workspaces.create(pools, f"{kind}-{uuid4().hex[:12]}")
    return await workspaces.tenant(pools, made.name)


def _database(server: EmbeddedServer, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    _execute(
        server,
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
            sql.Identifier(name), sql.Identifier(template)
        ),
    )
    try:
        yield server.url(name)
    finally:
        _execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(server: EmbeddedServer, statement: sql.Composed) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(statement)
