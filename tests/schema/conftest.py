"""Fixtures of the tests that judge the schema as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from outreachdb.benchmarks.catalogue import fill
from outreachdb.db.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def filled(server: EmbeddedServer, template: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """URL of a clone with some 1.7M rows, and the parameters that fit them."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE filled TEMPLATE {template} STRATEGY FILE_COPY".encode())
        yield server.url("filled"), fill(server.url("filled"), indexes_last=True)
        connection.execute("DROP DATABASE filled WITH (FORCE)")
