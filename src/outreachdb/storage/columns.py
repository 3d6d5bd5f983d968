"""How each PostgreSQL type lies in an archive, and what of it is hashed: writer, reader and hash share this table.

A type that Arrow holds exactly keeps it (whole numbers, floats, instants, dates, texts, bytes); every other is kept as
PostgreSQL prints it, which is exact by PostgreSQL's own promise for dump and restore. Instants and dates that Arrow or
DuckDB would misread (infinity, before the year 1 or after 9999) are NULL in their own column, and stand as text in the
column ``_exact``, a JSON object from column to text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from psycopg import sql

EXACT = "_exact"
# Longer texts are hashed by their md5: PostgreSQL and Python both compute that quickly, whatever the length.
LONG = 1024

# Which form a type of pg_catalog has; all others are texts.
FORMS = {
    "bool": "integer",
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "float4": "float",
    "float8": "float",
    "timestamptz": "instant",
    "timestamp": "instant",
    "date": "date",
    "bytea": "bytes",
}
ARROW = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "bytea": pa.binary(),
}
# What gives the binary form of those that have one size; instants are in UTC and without zone by then.
SENT = {
    "bool": "boolsend",
    "int2": "int2send",
    "int4": "int4send",
    "int8": "int8send",
    "float4": "float4send",
    "float8": "float8send",
    "timestamptz": "timestamp_send",
    "timestamp": "timestamp_send",
    "date": "date_send",
}
# Words are text by their own function; everything else is made text by a cast.
WORDS = {"text", "varchar"}
FIRST, AFTER_LAST = "0001-01-01", "10000-01-01"

# What the text of a value depends on, pinned for everything that reads or writes an archive.
SETTINGS = (
    "SET timezone = 'UTC'",
    "SET datestyle = 'ISO, YMD'",
    "SET intervalstyle = 'iso_8601'",
    "SET extra_float_digits = 1",
    "SET bytea_output = 'hex'",
    "SET client_encoding = 'UTF8'",
    "SET search_path = pg_catalog, pg_temp",
    "SET lc_monetary = 'C'",
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its type as PostgreSQL writes it, and the type's name in pg_catalog or ``other``."""

    name: str
    type: str
    kind: str
    nullable: bool = True
    generated: bool = False

    @property
    def form(self) -> str:
        """``integer``, ``float``, ``instant``, ``date``, ``bytes`` or ``text``."""
        return FORMS.get(self.kind, "text")

    @property
    def arrow(self) -> pa.DataType:
        """Its type in the file."""
        return ARROW.get(self.kind, pa.string())

    @property
    def ranged(self) -> bool:
        """Whether some of its values stand in ``_exact``."""
        return self.form in {"instant", "date"}

    @property
    def carried(self) -> pa.DataType:
        """Its type in the CSV between PostgreSQL and Arrow: instants travel without zone, bytes as hex."""
        if self.form == "instant":
            return pa.timestamp("us")
        return pa.string() if self.form == "bytes" else self.arrow

    def document(self) -> dict[str, Any]:
        """For the file's metadata."""
        return {"name": self.name, "type": self.type, "kind": self.kind}


def schema(columns: list[Column], metadata: dict[str, str] | None = None) -> pa.Schema:
    """The schema of the file."""
    fields = [pa.field(each.name, each.arrow) for each in columns]
    if any(each.ranged for each in columns):
        fields.append(pa.field(EXACT, pa.string()))
    return pa.schema(fields, metadata=metadata)


def carried(columns: list[Column]) -> dict[str, pa.DataType]:
    """Name -> type of what :func:`outgoing` selects."""
    types = {each.name: each.carried for each in columns}
    if any(each.ranged for each in columns):
        types[EXACT] = pa.string()
    return types


def outgoing(columns: list[Column], alias: str = "r") -> sql.Composed:
    """The select list that takes rows out: what :func:`carried` says."""
    listed: list[sql.Composable] = []
    for column in columns:
        value: sql.Composable = _value(column, alias)
        if column.form == "instant":
            value = _within(
                column, alias, sql.SQL("timezone('UTC', {})") if column.kind == "timestamptz" else sql.SQL("{}")
            )
        elif column.form == "date":
            value = _within(column, alias, sql.SQL("{}"))
        elif column.form == "bytes":
            value = sql.SQL("encode({}, 'hex')").format(value)
        elif column.form == "text" and column.kind not in WORDS:
            value = sql.SQL("{}::text").format(value)
        listed.append(value)
    ranged = [column for column in columns if column.ranged]
    if ranged:
        listed.append(_exact(ranged, alias))
    named = zip(listed, carried(columns), strict=True)
    return sql.SQL(", ").join(sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for value, name in named)


def sent(columns: list[Column]) -> tuple[list[sql.Composable], list[sql.Composable]]:
    """What a portion of rows is sent as: values taken from a row beside those that are hashed, and the joined ones.

    Each column is one value, joined of all rows' values; after it comes what tells its NULLs: of texts and bytes the
    lengths, of others, where there may be any, which are there. What can't be sent as it is hashed is ``w<number>``.
    """
    values: list[sql.Composable] = []
    joined: list[sql.Composable] = []
    for number, column in enumerate(columns, start=1):
        as_hashed = column.form in {"instant", "text"} or (column.form == "integer" and column.kind != "bool")
        name = sql.Identifier(f"v{number}" if as_hashed else f"w{number}")
        if not as_hashed:
            values.append(_as(_value(column, "r"), name))
        joined += _joined(column, name)
    ranged = [column for column in columns if column.ranged]
    if ranged:
        name = sql.Identifier(EXACT)
        values.append(_as(_exact(ranged, "r"), name))
        joined += _joined(Column(EXACT, "text", "text"), name)
    return values, joined


def _joined(column: Column, name: sql.Identifier) -> list[sql.Composable]:
    if column.kind not in SENT:
        lengths = sql.SQL("string_agg(int4send(coalesce(octet_length({}), -1)), '')").format(name)
        return [sql.SQL("string_agg({}, '')").format(name), lengths]
    values = sql.SQL("string_agg({}({}), '')").format(sql.SQL(SENT[column.kind]), name)
    return [values, sql.SQL("string_agg(boolsend({} IS NOT NULL), '')").format(name)] if column.nullable else [values]


def hashed(column: Column, number: int, alias: str = "r") -> tuple[sql.Composed, sql.Composed]:
    """What of a column is hashed in the database: the value as taken from the row, and its hash (of ``v<number>``).

    Two steps, so that a text which is made by a cast is made once.
    """
    value, name = _value(column, alias), sql.Identifier(f"v{number}")
    seed, text = sql.Literal(number), sql.Literal(str(number))
    inner: sql.Composable
    if column.form == "integer":
        cast = sql.SQL("{}::integer") if column.kind == "bool" else sql.SQL("{}")
        return _as(cast.format(value), name), sql.SQL("hashtextextended({}, {}::bigint)").format(text, name)
    if column.form == "instant":
        inner = sql.SQL("timezone('UTC', {})") if column.kind == "timestamptz" else sql.SQL("{}")
        return _as(inner.format(value), name), sql.SQL(
            "CASE WHEN {v} >= {first} AND {v} < {after} THEN timestamp_hash_extended({v}, {seed})"
            " ELSE hashtextextended({v}::text, {seed}) END"
        ).format(v=name, first=_stamp(FIRST), after=_stamp(AFTER_LAST), seed=seed)
    if column.form == "float":
        # -0 is not 0, and every NaN is the same, as PostgreSQL prints them.
        send = sql.SQL("float4send({})" if column.kind == "float4" else "float8send({})").format(value)
        inner = sql.SQL("CASE WHEN {v} = 'NaN' THEN 'NaN' ELSE encode({send}, 'hex') END").format(v=value, send=send)
        return _as(inner, name), sql.SQL("hashtextextended({}, {})").format(name, seed)
    if column.form == "bytes":
        inner = sql.SQL("encode({}, 'hex')").format(value)
    else:
        inner = sql.SQL('{}::text COLLATE "C"').format(value)
    return _as(inner, name), sql.SQL(
        "CASE WHEN octet_length({v}) > {long} THEN hashtextextended(md5({v}), {seed})"
        " ELSE hashtextextended({v}, {seed}) END"
    ).format(v=name, long=sql.Literal(LONG), seed=seed)


def _value(column: Column, alias: str) -> sql.Composed:
    return sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(column.name))


def _as(value: sql.Composable, name: sql.Identifier) -> sql.Composed:
    return sql.SQL("{} AS {}").format(value, name)


def _stamp(text: str) -> sql.Composed:
    return sql.SQL("timestamp {}").format(sql.Literal(text))


def _limits(column: Column) -> tuple[sql.Composed, sql.Composed]:
    zone = "+00" if column.kind == "timestamptz" else ""
    kind = {"timestamptz": "timestamptz", "timestamp": "timestamp", "date": "date"}[column.kind]
    first, after = (sql.SQL(kind + " {}").format(sql.Literal(each + zone)) for each in (FIRST, AFTER_LAST))
    return first, after


def _inside(column: Column, alias: str) -> sql.Composed:
    first, after = _limits(column)
    return sql.SQL("({v} >= {first} AND {v} < {after})").format(v=_value(column, alias), first=first, after=after)


def _within(column: Column, alias: str, form: sql.SQL) -> sql.Composed:
    return sql.SQL("CASE WHEN {} THEN {} END").format(_inside(column, alias), form.format(_value(column, alias)))


def _exact(ranged: list[Column], alias: str) -> sql.Composed:
    outside = [sql.SQL("NOT {}").format(_inside(each, alias)) for each in ranged]
    pairs = [
        sql.SQL("{}, CASE WHEN NOT {} THEN {}::text END").format(
            sql.Literal(each.name), _inside(each, alias), _value(each, alias)
        )
        for each in ranged
    ]
    return sql.SQL("CASE WHEN {} THEN jsonb_strip_nulls(jsonb_build_object({}))::text END").format(
        sql.SQL(" OR ").join(outside), sql.SQL(", ").join(pairs)
    )
