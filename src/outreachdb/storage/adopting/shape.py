"""What an adoption is asked for, and what it found of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql

from outreachdb.db.pools import Connection
from outreachdb.db.queries import Queries
from outreachdb.errors import Conflict, InvalidInput, NotFound

Q = Queries("outreachdb.storage.adopting", "adopting.sql")
# Names that PostgreSQL cuts at 63 bytes must stay apart.
NAME_ROOM = 44
Statement = str | sql.SQL | sql.Composed


@dataclass(frozen=True, slots=True)
class Adoption:
    """What to make of a table.

    ``table`` is ``name`` (in public) or ``schema.name``. ``widen_key`` allows that unique keys without the partition
    column get it as their last column. ``retention`` is an interval in whole days or months; None keeps rows for ever.
    ``block_seconds`` is how long a writer may be held up at most, ``patience`` how many seconds to wait for a lock.
    """

    table: str
    column: str
    interval: str = "month"
    ahead: int = 3
    retention: str | None = None
    archive: bool = True
    widen_key: bool = False
    drop_old: bool = False
    block_seconds: float = 1.0
    patience: float = 600.0


@dataclass(frozen=True, slots=True)
class Adopted:
    """What came of it: ``content_hash`` is that of all rows before the exchange, the same for both tables.

    ``locked_seconds`` is how long the exchange held the table; ``old_table`` the table as it was, None where dropped.
    """

    table: str
    rows: int
    content_hash: str
    partitions: int
    seconds: float
    locked_seconds: float
    old_table: str | None


@dataclass(frozen=True, slots=True)
class Shape:
    """The table, the names of what stands beside it meanwhile, and what is known since the adoption began.

    ``qualified`` is the table's name as SQL writes it, which the registry will have.
    """

    plan: Adoption
    oid: int
    schema: str
    table: str
    qualified: str
    rows: int
    options: list[str] | None
    key: list[str]
    columns: list[str]
    definition: list[str]

    @classmethod
    def of(cls, row: Mapping[str, Any], plan: Adoption, known: Mapping[str, Any]) -> Shape:
        """From the table's row in the catalogue and what was recorded of it."""
        return cls(
            plan,
            row["oid"],
            row["schema_name"],
            row["table_name"],
            row["qualified"],
            row["rows"],
            row["options"],
            list(known["key"]),
            list(known["columns"]),
            list(known["definition"]),
        )

    def document(self) -> dict[str, Any]:
        """What is recorded when an adoption begins."""
        return {
            "adoption": asdict(self.plan),
            "oid": self.oid,
            "key": self.key,
            "columns": self.columns,
            "definition": self.definition,
        }

    @property
    def shadow(self) -> str:
        """The partitioned copy, quoted."""
        return self._quoted(self.beside("adopting"))

    @property
    def log(self) -> str:
        """The keys of changed rows, quoted; the triggers' function has the same name."""
        return self._quoted(self.beside("changes"))

    @property
    def retired(self) -> str:
        """The old table after the exchange, quoted."""
        return self._quoted(self.beside("unpartitioned"))

    def beside(self, suffix: str, name: str | None = None) -> str:
        """A name next to the table's, or to another's, within PostgreSQL's limit."""
        return f"{(name or self.table)[:NAME_ROOM]}_{suffix}"

    def _quoted(self, name: str) -> str:
        return sql.Identifier(self.schema, name).as_string()


async def examine(connection: Connection, plan: Adoption) -> Shape:
    """The table's shape; raises NotFound, or InvalidInput with every reason why it can't be adopted."""
    row = await one(connection, Q.look, {"table": plan.table})
    if row is None:
        raise NotFound(
            f"no table named {plan.table}", hint="a bare name stands in the schema public; others: schema.table"
        )
    if row["partitioned"]:
        raise Conflict(f"{plan.table} is partitioned already", hint="`outreachdb partitions register` cares for it")
    state = await one(connection, Q.find_state, {"table": row["qualified"]})
    if state is not None:
        return await _resumed(row, plan, state["plan"])
    given = {"oid": row["oid"], "column": plan.column}
    faults = [each["fault"] for each in await rows(connection, Q.faults, given)]
    key = await one(connection, Q.key, given)
    if not faults and key is None:
        faults.append("nothing tells its rows apart: it needs a primary key, or a unique key without NULLs")
    if not faults:
        faults = await _narrow_keys(connection, plan, given) if not plan.widen_key else []
    if faults:
        raise InvalidInput(
            f"{plan.table} can't be adopted: " + "; ".join(faults), hint="nothing was changed", reasons=faults
        )
    known = {
        "key": key["columns"] if key else [],
        "columns": [each["attname"] for each in await rows(connection, Q.columns, given)],
        "definition": await definition(connection, row["oid"]),
    }
    return Shape.of(row, plan, known)


async def _resumed(row: Mapping[str, Any], plan: Adoption, recorded: Mapping[str, Any]) -> Shape:
    before = Adoption(**recorded["adoption"])
    same = (before.column, before.interval, before.widen_key) == (plan.column, plan.interval, plan.widen_key)
    if not same or recorded["oid"] != row["oid"]:
        raise Conflict(
            f"an adoption of {plan.table} by {before.column}, {before.interval}, has begun already",
            hint="go on with the same options, or cancel it first (--cancel)",
        )
    return Shape.of(row, plan, recorded)


async def _narrow_keys(connection: Connection, plan: Adoption, given: Mapping[str, Any]) -> list[str]:
    """What becomes of unique keys that lack the partition column."""
    found = await rows(connection, Q.narrow_keys, given)
    return [_narrow_key(each["name"], ", ".join(each["columns"]), plan.column) for each in found]


def _narrow_key(name: str, columns: str, column: str) -> str:
    return (
        f"its key {name} ({columns}) lacks {column}, and every key of a partitioned table has the partition column; "
        f"--widen-key makes it ({columns}, {column}): the same {columns} may then stand at two instants, and "
        f"ON CONFLICT ({columns}) no longer finds a key"
    )


async def definition(connection: Connection, oid: int) -> list[str]:
    """Everything that an adoption keeps of a table, a line each."""
    return [str(each["line"]) for each in await rows(connection, Q.definition, {"oid": oid})]


async def check_unaltered(connection: Connection, shape: Shape) -> None:
    """Raise Conflict where the table is no longer what it was when its adoption began."""
    if await definition(connection, shape.oid) != shape.definition:
        raise Conflict(
            f"{shape.qualified} was altered during its adoption", hint="cancel it (--cancel) and begin again"
        )


async def one(
    connection: Connection, query: Statement, params: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """The first row."""
    return await (await connection.execute(query, params)).fetchone()


async def rows(
    connection: Connection, query: Statement, params: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """All rows."""
    return await (await connection.execute(query, params)).fetchall()


def names(columns: list[str], alias: str) -> sql.Composed:
    """The columns with an alias before each, separated by commas."""
    return sql.SQL(", ").join(sql.Identifier(alias, each) for each in columns)
