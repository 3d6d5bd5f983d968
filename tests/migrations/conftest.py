"""Throw-away clusters of both ends of the supported range, and a login such as managed services give."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.embedded import find_binaries, throwaway

LOGIN = "dba"
SMALL = Path(__file__).parent / "small_versions"
_numbers = itertools.count()


class Cluster:
    """A running server: databases for the CREATEROLE login, and the superuser for what only an administrator may."""

    def __init__(self, url: str) -> None:
        self.superuser_url = url
        self._template: str | None = None
        self.admin(f"CREATE ROLE {LOGIN} LOGIN CREATEROLE CREATEDB")

    def admin(self, statement: str) -> None:
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            connection.execute(statement)

    def database(self, *, template: str = "template1", owner: str = LOGIN) -> str:
        name = f"d{next(_numbers)}"
        # By files: a tenth of the time that the server's default takes, where the disk is memory.
        self.admin(f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {template} STRATEGY FILE_COPY")
        return make_conninfo(self.superuser_url, dbname=name, user=owner)

    def drop(self, url: str) -> None:
        self.admin(f"DROP DATABASE {psycopg.conninfo.conninfo_to_dict(url)['dbname']} WITH (FORCE)")

    def migrated(self, run: Callable[[str], Any]) -> str:
        if self._template is None:
            url = self.database()
            run(url)
            self._template = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        return self.database(template=str(self._template))


@pytest.fixture(scope="session")
def clusters() -> Iterator[Callable[[int], Cluster]]:
    """A running cluster of a version: started when first asked for, kept to the end (one per file took 20 s each)."""
    with ExitStack() as stack:

        @cache
        def of_version(version: int) -> Cluster:
            server = stack.enter_context(throwaway(find_binaries(version).path))
            return Cluster(server.start().url)

        yield of_version


@pytest.fixture(params=[pytest.param(15, marks=pytest.mark.postgres15), 18], ids=["pg15", "pg18"])
def cluster(request: pytest.FixtureRequest, clusters: Callable[[int], Cluster]) -> Cluster:
    return clusters(request.param)


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    """URL of an empty database that the login owns."""
    yield (url := cluster.database())
    cluster.drop(url)


@pytest.fixture
def migrated(cluster: Cluster) -> Iterator[str]:
    """URL of a database at the head of the real chain."""
    yield (url := cluster.migrated(_migrate))
    cluster.drop(url)


@pytest.fixture
def settings() -> Settings:
    return Settings.load({})


@pytest.fixture
def small() -> migrate.Chain:
    """A chain of three small revisions without routines."""
    return migrate.Chain(SMALL, ())


def _migrate(url: str) -> None:
    # An event loop of its own: the test that asks first may run in one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(migrate.upgrade(url, settings=Settings.load({})))).result()


@pytest.fixture
def sql() -> Callable[..., list[tuple[Any, ...]]]:
    """Run one statement as the owner and return its rows."""

    def run(url: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET ROLE outreachdb_owner")
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return run
