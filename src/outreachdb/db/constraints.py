"""Validate the constraints that were added to tables with rows: report who breaks them, validate the clean ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from psycopg import errors as pg
from psycopg import sql

from outreachdb.config import Settings
from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Connection, connect
from outreachdb.db.queries import Queries
from outreachdb.errors import from_database

Q = Queries("outreachdb.db", "constraints.sql")

State = Literal["validated", "violated", "busy"]
SAMPLE = 10


@dataclass(frozen=True, slots=True)
class Offender:
    """A row that breaks a constraint: its primary key, and the values of the columns that the constraint reads."""

    key: dict[str, Any]
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One constraint: now ``validated``, or ``violated`` by ``rows`` rows, or ``busy``: its table stayed locked."""

    table: str
    constraint: str
    definition: str
    state: State
    rows: int = 0
    offenders: list[Offender] = field(default_factory=list)


async def validate(url: str, *, settings: Settings | None = None, sample: int = SAMPLE) -> list[Finding]:
    """Try every ``NOT VALID`` constraint of our schemas; each finding tells what became of it.

    Validation lets writers go on and holds them up nowhere. For a violated one all offenders are counted and the first
    ``sample`` are returned. What remains is what is not ``validated``.
    """
    settings = settings or Settings.load()
    connection = await connect(url, autocommit=True, timeout=settings.connect_timeout)
    async with connection:
        try:
            await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
            await connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(settings.lock_timeout_ms)))
            # An empty path makes PostgreSQL qualify every name in an expression.
            await connection.execute("SET search_path = ''")
            pending = await (await connection.execute(Q.pending)).fetchall()
            return [await _examine(connection, row, sample) for row in pending]
        except psycopg.Error as error:
            raise from_database(error, doing="validating constraints") from error


async def _examine(connection: Connection, row: dict[str, Any], sample: int) -> Finding:
    """Validate first: a clean constraint then costs one scan; only a broken one is scanned for its offenders."""
    state: State = "validated"
    try:
        await connection.execute(
            sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(sql.SQL(row["table"]), sql.Identifier(row["name"]))
        )
    except (pg.CheckViolation, pg.ForeignKeyViolation):
        state = "violated"
    except pg.LockNotAvailable:
        state = "busy"
    rows, offenders = await _offenders(connection, row, sample) if state == "violated" else (0, [])
    return Finding(row["table"], row["name"], row["definition"], state, rows, offenders)


async def _offenders(connection: Connection, row: dict[str, Any], sample: int) -> tuple[int, list[Offender]]:
    breaks = _breaks(row)
    table = sql.SQL(row["table"])
    counted = await connection.execute(sql.SQL("SELECT count(*) AS n FROM {} AS t WHERE {}").format(table, breaks))
    total = await counted.fetchone()
    key: list[str] = row["key"] or ["ctid"]
    columns = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in [*key, *row["columns"]])
    order = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in key)
    found = await connection.execute(
        sql.SQL("SELECT {} FROM {} AS t WHERE {} ORDER BY {} LIMIT {}").format(
            columns, table, breaks, order, sql.Literal(sample)
        )
    )
    offenders = [
        Offender({name: item[name] for name in key}, {name: item[name] for name in row["columns"]})
        for item in await found.fetchall()
    ]
    return (total["n"] if total else 0), offenders


def _breaks(row: dict[str, Any]) -> sql.Composed:
    """The condition under which a row breaks the constraint; NULL breaks neither kind."""
    if row["kind"] == "c":
        return sql.SQL("({}) IS FALSE").format(sql.SQL(row["expression"]))
    pairs = list(zip(row["columns"], row["referenced_columns"], strict=True))
    present = sql.SQL(" AND ").join(sql.SQL("t.{} IS NOT NULL").format(sql.Identifier(own)) for own, _ in pairs)
    match = sql.SQL(" AND ").join(
        sql.SQL("r.{} = t.{}").format(sql.Identifier(other), sql.Identifier(own)) for own, other in pairs
    )
    return sql.SQL("{} AND NOT EXISTS (SELECT FROM {} AS r WHERE {})").format(
        present, sql.SQL(row["referenced"]), match
    )
