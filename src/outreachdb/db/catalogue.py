"""Compare the live catalogue with what its revision promises, object by object, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from outreachdb.config import Settings
from outreachdb.db import promises
from outreachdb.db.migrate import OURS, Chain, current
from outreachdb.db.pools import connect
from outreachdb.db.queries import Queries
from outreachdb.errors import MigrationError, from_database

Q = Queries("outreachdb.db", "catalogue.sql")

Snapshot = dict[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is not as promised; ``promised`` or ``live`` is ``None`` where the object is missing there."""

    kind: Literal["missing", "extra", "changed"]
    object: str
    promised: str | None
    live: str | None

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"missing: {self.object} (promised: {self.promised})"
        if self.kind == "extra":
            return f"extra: {self.object} (found: {self.live}) belongs to no revision"
        return f"changed: {self.object} is {self.live!r}, promised {self.promised!r}"


async def snapshot(connection: psycopg.AsyncConnection[Any]) -> Snapshot:
    """Every object of our schemas, as key -> description; the same text on every supported version."""
    async with connection.transaction():
        # An empty path makes PostgreSQL qualify every name that it prints.
        await connection.execute("SET LOCAL search_path = ''")
        # Constants in bodies and defaults are printed as instants of the session's zone.
        await connection.execute("SET LOCAL timezone = 'UTC'")
        await connection.execute("SET LOCAL datestyle = 'ISO'")
        cursor = connection.cursor(row_factory=psycopg.rows.tuple_row)
        await cursor.execute(Q.snapshot)
        return dict(sorted(await cursor.fetchall()))


async def verify(url: str, *, settings: Settings | None = None, chain: Chain = OURS) -> list[Difference]:
    """The differences between the live catalogue and its revision's promise; empty when there are none."""
    settings = settings or Settings.load()
    revision = await current(url, settings=settings)
    if revision is None:
        raise MigrationError("the database has no schema of OutreachDB", hint="run `outreachdb migrate`")
    promised = promises.promised(revision, chain)
    connection = await connect(url, timeout=settings.connect_timeout)
    async with connection:
        try:
            live = await snapshot(connection)
        except psycopg.Error as error:
            raise from_database(error, doing="reading the catalogue") from error
    return compare(promised, live)


def compare(promised: Mapping[str, str], live: Mapping[str, str]) -> list[Difference]:
    """Each difference once; what belongs to a table that is missing or extra as a whole is not listed again."""
    found = [Difference("missing", key, promised[key], None) for key in promised.keys() - live.keys()]
    found += [Difference("extra", key, None, live[key]) for key in live.keys() - promised.keys()]
    found += [
        Difference("changed", key, promised[key], live[key])
        for key in promised.keys() & live.keys()
        if promised[key] != live[key]
    ]
    whole = [item for item in found if item.kind != "changed" and _RELATION.match(item.object)]
    kept = [item for item in found if not any(_is_part(item, of) for of in whole)]
    return sorted(kept, key=lambda item: (item.kind, item.object))


_PARTS = "column|constraint|policy|row security|trigger|rule|partitions|grant (?:table|view|materialized view|column)"
_RELATION = re.compile(r"(table|view|materialized view) (.+)")


def _is_part(item: Difference, of: Difference) -> bool:
    """Whether ``item`` is a column, index, grant ... of the missing or extra relation ``of``."""
    if item is of or item.kind != of.kind:
        return False
    match = _RELATION.match(of.object)
    name = re.escape(match.group(2)) if match else ""
    own = rf"({_PARTS}) {name}([. ]|$)"
    text = item.promised or item.live or ""
    return bool(
        re.match(own, item.object)
        or (item.object.startswith("index ") and re.search(rf" ON (ONLY )?{name} ", text))
        or (item.object.startswith(("sequence ", "grant sequence ")) and re.search(rf"owned by {name}\.", text))
    )
