"""Foreign keys without an index: what the planner says, key by key, also on databases that nobody made for the test."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from foreign_key_check import Served, ask

from outreachdb.advisor import advise

NOT_OURS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"


def _planner(url: str) -> Served:
    with psycopg.connect(url) as connection:
        schemas = [name for (name,) in connection.execute(NOT_OURS).fetchall()]
        connection.commit()
        return ask(connection, schemas)


async def _ours(url: str) -> set[tuple[str | None, str | None, str | None]]:
    report = await advise(url, only=["foreign_key_without_index"])
    return {(each.schema, each.table, each.object) for each in report.findings}


async def test_every_shape_of_index(planted_url: str) -> None:
    served = _planner(planted_url)
    assert await _ours(planted_url) == served.unserved
    assert (served.keys, len(served.unserved)) == (40, 27)


async def test_the_products_own_keys(own_database_url: str) -> None:
    served = _planner(own_database_url)
    assert served.keys > 20
    assert await _ours(own_database_url) == served.unserved == set()


# The true numbers: keys, keys without an index, and those of them for which no plan by an index exists at all. The
# difference is keys whose column stands second in a primary key: it would be read from end to end.
@pytest.mark.data
@pytest.mark.parametrize(("name", "keys", "unserved", "no_plan"), [("chinook", 11, 0, 0), ("northwind", 13, 10, 7)])
async def test_public_schemas(
    empty_database_url: str, contacts: Path, name: str, keys: int, unserved: int, no_plan: int
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute((contacts.parent / "schemas" / f"{name}.sql").read_bytes())
    served = _planner(empty_database_url)
    assert (served.keys, len(served.unserved), served.any_plan) == (keys, unserved, no_plan)
    assert await _ours(empty_database_url) == served.unserved
