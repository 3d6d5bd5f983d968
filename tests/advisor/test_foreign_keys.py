"""Foreign keys without an index: what the planner says, key by key, also on databases that nobody made for the test."""

from __future__ import annotations

import random
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


def _random_schema(seed: int) -> str:
    """Twenty tables with keys and indexes of every kind, as no person would make them."""
    chance = random.Random(seed)
    made = ["CREATE TABLE p0 (a int, b int, c text, PRIMARY KEY (a), UNIQUE (a, b), UNIQUE (c))"]
    for number in range(1, 21):
        partitioned = chance.random() < 0.2
        tail = " PARTITION BY RANGE (at)" if partitioned else ""
        key = "" if partitioned else ", PRIMARY KEY (id, a)"
        made.append(f"CREATE TABLE t{number} (id int, a int, b int, c text, at date, gone_at date{key}){tail}")
        for year in (2025, 2026) if partitioned else ():
            bounds = f"FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
            made.append(f"CREATE TABLE t{number}_{year} PARTITION OF t{number} FOR VALUES {bounds}")
        for columns, parents in (("a", "a"), ("a, b", "a, b"), ("b, a", "b, a"), ("c", "c")):
            if chance.random() < 0.6:
                made.append(f"ALTER TABLE t{number} ADD FOREIGN KEY ({columns}) REFERENCES p0 ({parents})")
        for _ in range(chance.randint(0, 3)):
            method = chance.choices(("btree", "hash", "brin", "gin"), (12, 2, 2, 0))[0]
            some = chance.sample(
                ("a", "b", "c", "id", "at", "lower(c)"), 1 if method == "hash" else chance.randint(1, 3)
            )
            keys = ", ".join(each + chance.choice(("", "", " DESC")) if method == "btree" else each for each in some)
            where = chance.choices(
                ("", " WHERE a IS NOT NULL", " WHERE gone_at IS NULL", " WHERE b IS NOT NULL", " WHERE a > 0"),
                (6, 2, 2, 1, 1),
            )[0]
            made.append(f"CREATE INDEX ON t{number} USING {method} ({keys}){where}")
    return ";\n".join(made)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
async def test_schemas_that_nobody_designed(empty_database_url: str, seed: int) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(_random_schema(seed).encode())
    served = _planner(empty_database_url)
    assert served.keys > 25
    assert len(served.unserved) > 5
    assert await _ours(empty_database_url) == served.unserved
