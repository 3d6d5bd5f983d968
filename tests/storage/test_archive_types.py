"""Whatever a column holds comes back as it was: every type, NULLs, any text, any JSON."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from months import MONTH, content

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.storage import archiving, checking, hashing, querying, restoring
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.columns import Column

MONTHS = 15
FAR = ["infinity", "-infinity", "0044-03-15 BC", "0001-01-01", "9999-12-31", "10000-01-01", None]
TEXTS = [
    None,
    "",
    " ",
    "NULL",
    "\\N",
    "\\.",
    'a,"b"',
    "line\nfeed\r\n",
    "é漢😀",
    "\t",
    "(",
    ")",
    "x" * 3000,
    "\\",
    "''",
]
FLOATS = ["NaN", "Infinity", "-Infinity", "-0", "0", "0.1", None]
# Type -> texts of values that PostgreSQL takes for it.
KINDS: dict[str, list[str | None]] = {
    "text": TEXTS,
    "varchar(4000)": TEXTS,
    "char(5)": ["a", " b", None],
    "smallint": ["-32768", "32767", None],
    "integer": ["-2147483648", "2147483647", None],
    "bigint": ["-9223372036854775808", "9223372036854775807", "0", None],
    "boolean": ["t", "f", None],
    "real": [*FLOATS, "1e-40", "3.4028235e38"],
    "double precision": [*FLOATS, "5e-324", "1.7976931348623157e308", "0.30000000000000004"],
    "numeric": ["NaN", "Infinity", "0.00", "1e300", "-12345678901234567890123456789012345678901234567890.00100", None],
    "numeric(12,6)": ["123456.654321", "0", None],
    "bytea": ["\\x", "\\x00ff5c22", "\\xdeadbeef", None],
    "jsonb": ['{"a": [1, 2.10, {"b": null}], "é": "😀\\n"}', "null", '""', "{}", None],
    "json": ['{"b" :  1, "a":2, "b":3}', None],
    "uuid": ["6f1d2c3e-0000-4000-8000-00000000ffff", None],
    "date": FAR,
    "timestamp": [*FAR, "294276-12-31 23:59:59.999999", "2026-01-01 10:00:00.1"],
    "timestamptz": [*FAR, "294276-12-31 23:59:59.999999+00", "2026-01-01 10:00:00.123456+05:30", "4714-11-24 0:00Z BC"],
    "time": ["24:00:00", "12:13:14.15", None],
    "timetz": ["12:13:14.000001+02", None],
    "interval": ["1 year -2 days 03:04:05.678901", "-1 mon", "0", None],
    "inet": ["192.0.2.7", "192.0.2.0/24", "2001:db8::1", None],
    "text[]": ['{a,NULL,"",",","\\"",é}', "{}", "{{a,b},{c,d}}", None],
    "bigint[]": ["{1,NULL,-3}", "[2:3]={1,2}", None],
    "int4range": ["[1,5)", "empty", "(,)", None],
    "bit varying": ["", "10101", None],
    "tsvector": ["'a':1 'b':2", None],
    "money": ["$1,234.56", None],
}  # fmt: skip
NAMES = {kind: f"c{number}" for number, kind in enumerate(KINDS)}
NAMES["text"], NAMES["date"] = 'odd "name", %s', "c'quote"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class Ground:
    """A table of all types, registered, with the month that is archived."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True)
        columns = ", ".join(f"{quoted(NAMES[kind])} {kind}" for kind in KINDS)
        # A column that was dropped leaves a hole in the numbering; one is generated.
        for statement in (
            "SET timezone = 'Asia/Kolkata'",
            "SET ROLE outreachdb_owner",
            f"""CREATE TABLE outreach.kinds (
                at timestamptz NOT NULL, gone text, {columns}, n bigint GENERATED ALWAYS AS IDENTITY,
                twice bigint GENERATED ALWAYS AS (c3 * 2) STORED) PARTITION BY RANGE (at)""",
            "ALTER TABLE outreach.kinds DROP COLUMN gone",
            "RESET ROLE",
            "SELECT outreach.register_partitioned_table('kinds')",
            f"SELECT outreach.ensure_partitions('kinds', {MONTH.format(months=MONTHS)}, {MONTH.format(months=MONTHS)})",
        ):
            self.connection.execute(statement.encode())
        row = self.connection.execute("SELECT partition_name FROM outreach.get_partition_info('kinds')").fetchone()
        assert row is not None
        self.partition = str(row[0])

    def store(self, rows: list[dict[str, str | None]]) -> None:
        listed = ", ".join(quoted(NAMES[kind]) for kind in KINDS).replace("%", "%%")
        casts = ", ".join(f"(r ->> %s)::{kind}" for kind in KINDS)
        self.connection.execute(
            f"INSERT INTO outreach.kinds (at, {listed}) SELECT {MONTH.format(months=MONTHS)}, {casts}"
            " FROM jsonb_array_elements(%s::jsonb) AS r".encode(),
            [*KINDS, json.dumps(rows)],
        )

    def there_and_back(self, rows: list[dict[str, str | None]]) -> None:
        """Archive, verify, look, restore; the table is what it was."""
        self.connection.execute("DELETE FROM outreach.kinds")
        self.store(rows)
        before = content(self.connection, "outreach.kinds")

        async def work() -> None:
            async with Pools(Settings.load({}, database_url=self.url)) as pools:
                with tempfile.TemporaryDirectory() as name:
                    folder = Folder(Path(name))
                    left = await archiving.archive(pools, "kinds", self.partition, folder=folder)
                    assert left.rows == len(rows)
                    assert [each.problem for each in await checking.verify(pools, "kinds", folder=folder)] == [None]
                    asked = await querying.query_all(pools, "SELECT count(*), count(c3) FROM kinds", folder=folder)
                    assert asked.rows == [(len(rows), sum(row["smallint"] is not None for row in rows))]
                    await restoring.restore(pools, "kinds", self.partition, folder=folder)

        asyncio.run(work())
        assert content(self.connection, "outreach.kinds") == before


@pytest.fixture(scope="module")
def ground(server: Any, template: str) -> Iterator[Ground]:
    name = "all_kinds"
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        made = Ground(server.url(name))
        yield made
        made.connection.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_every_corner_of_every_type_comes_back(ground: Ground) -> None:
    longest = max(len(values) for values in KINDS.values())
    rows = [{kind: values[number % len(values)] for kind, values in KINDS.items()} for number in range(longest * 3)]
    ground.there_and_back([*rows, dict.fromkeys(KINDS)])


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
).map(json.dumps)
GENERATED: dict[str, st.SearchStrategy[str | None]] = {
    "text": words,
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "real": st.floats(width=32).map(repr),
    "double precision": st.floats().map(repr),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False).map(str),
    "bytea": st.binary(max_size=40).map(lambda value: "\\x" + value.hex()),
    "jsonb": documents,
    "json": documents,
    "timestamptz": st.datetimes().map(str),
    "date": st.dates().map(str),
    "uuid": st.uuids().map(str),
    "text[]": st.lists(words | st.none(), max_size=4).map(
        lambda values: (
            "{" + ",".join("NULL" if v is None else json.dumps(v, ensure_ascii=False) for v in values) + "}"
            if all(v is None or not any(ord(each) < 32 for each in v) for v in values)
            else None
        )
    ),
}
generated_rows = st.lists(
    st.fixed_dictionaries(
        {kind: st.none() | GENERATED.get(kind, st.sampled_from(values)) for kind, values in KINDS.items()}
    ),
    max_size=12,
)


@settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
@given(generated_rows)
def test_whatever_a_row_says_comes_back(ground: Ground, rows: list[dict[str, str | None]]) -> None:
    ground.there_and_back(rows)


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60), min_size=1),
    st.integers(1, 1600),
)
def test_the_hash_is_postgresqls_own(ground: Ground, texts: list[str], seed: int) -> None:
    hashes, _ = hashing.column_hashes(Column("c", "text", "text"), seed, pa.table({"c": texts}))
    numbers = [hash(text) for text in texts]
    whole, _ = hashing.column_hashes(Column("c", "bigint", "int8"), seed, pa.table({"c": numbers}))
    told = ground.connection.execute(
        'SELECT hashtextextended(t COLLATE "C", %(seed)s), hashtextextended(%(seed)s::text, n)'
        " FROM unnest(%(texts)s::text[], %(numbers)s::bigint[]) WITH ORDINALITY AS u (t, n, o) ORDER BY o",
        {"seed": seed, "texts": texts, "numbers": numbers},
    ).fetchall()
    assert told == list(zip(hashes.view(np.int64).tolist(), whole.view(np.int64).tolist(), strict=True))
