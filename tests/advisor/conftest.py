"""One database with all cases of all rules, and what the advisor says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from planted import plant

from outreachdb.advisor import Report, advise
from outreachdb.db.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def planted_url(server: EmbeddedServer) -> Iterator[str]:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE planted TEMPLATE template0")
        plant(server.url("planted"))
        yield server.url("planted")
        connection.execute("DROP DATABASE planted WITH (FORCE)")


@pytest.fixture(scope="session")
def report(planted_url: str) -> Report:
    """Of a database that is minutes old, as if its counts of use were not."""
    return asyncio.run(advise(planted_url, given={"min_days": 0}))


@pytest.fixture
def planted_copy(server: EmbeddedServer, planted_url: str) -> Iterator[str]:
    """A clone that a test may change."""
    name = f"copy_{uuid4().hex[:12]}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE planted STRATEGY FILE_COPY".encode())
        yield server.url(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
