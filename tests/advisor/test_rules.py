"""Every rule on what it must find and what it must leave alone."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from planted import Case, cases, identity, plant

from outreachdb.advisor import Report, advise, rules
from outreachdb.db.embedded import EmbeddedServer


@pytest.fixture(scope="module")
def planted_url(server: EmbeddedServer) -> Iterator[str]:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE planted TEMPLATE template0")
        plant(server.url("planted"))
        yield server.url("planted")
        connection.execute("DROP DATABASE planted WITH (FORCE)")


@pytest.fixture(scope="module")
def report(planted_url: str) -> Report:
    import asyncio

    return asyncio.run(advise(planted_url))


def test_every_rule_has_cases() -> None:
    assert {case.rule for case in cases()} == set(rules())


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.rule)
def test_finds_what_is_there(report: Report, case: Case) -> None:
    found = [each for each in report.findings if each.rule == case.rule]
    there = [identity(each) for each in found if each.schema in {f"yes_{case.rule}", "public", None}]
    assert sorted(there) == sorted(case.finds)
    assert all(each.evidence["summary"] for each in found)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.rule)
def test_leaves_alone_what_is_right(report: Report, case: Case) -> None:
    assert [
        each.document() for each in report.findings if (each.rule, each.schema) == (case.rule, f"no_{case.rule}")
    ] == []
