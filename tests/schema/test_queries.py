"""Every named statement of every room, and every owner query, is one that the migrated database can prepare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

import psycopg
import pytest

from outreachdb.db import index_catalogue
from outreachdb.db.queries import load
from outreachdb.db.rooms import ROOMS

PARAMETER = re.compile(r"%\((\w+)\)s")
# What a statement expects of its session.
BEFORE = {"suppress_staged": "CREATE TEMPORARY TABLE suppression_targets (target text)"}


def statements() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        if resources.files("outreachdb").joinpath(room, "queries.sql").is_file():
            yield from ((f"{room}.{name}", query) for name, query in load(f"outreachdb.{room}").items())
    yield from ((f"{entry.room}.{entry.name}", entry.query) for entry in index_catalogue.entries())


def numbered(query: str) -> str:
    """The statement with $1, $2 ... for its named parameters, the same number for the same name."""
    names = list(dict.fromkeys(PARAMETER.findall(query)))
    return PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", query).replace("%%", "%")


STATEMENTS = dict(statements())


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_statement_can_be_prepared(database_url: str, name: str) -> None:
    with psycopg.connect(database_url) as connection:
        before = BEFORE.get(name.split(".")[1])
        if before:
            connection.execute(before.encode())
        connection.execute(f"PREPARE given AS {numbered(STATEMENTS[name])}".encode())
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (1,)
        connection.rollback()


def test_a_wrong_statement_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.UndefinedColumn):
        connection.execute(f"PREPARE given AS {numbered('SELECT l.e_mail FROM outreach.leads AS l')}".encode())
