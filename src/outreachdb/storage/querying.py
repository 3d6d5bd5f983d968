"""One query over what is in the database and what is archived, by DuckDB.

Each registered table that the query names stands for its live rows and those of its archives. Archives are read where
they lie, only the columns and row groups that the query needs; live rows are streamed into a temporary table of DuckDB
first. A tenant's query sees the rows of its workspace alone: live ones come through its session, archived ones through
a filter that the query can't take off, and DuckDB is closed to files and settings before it sees the query.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import psycopg
from psycopg import sql
from pyarrow import dataset

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import APP_ROLE, Tenant
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.storage import archive_files, erasing
from outreachdb.storage import columns as mapping
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.archiving import Archive, Q, Stopping, columns_of_table, in_thread, opened
from outreachdb.storage.columns import EXACT, Column
from outreachdb.storage.copying import copy_out
from outreachdb.storage.erasing import Erasure

MEMORY = "512MB"
OURS = "outreach"


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns and rows; how many live rows and how many archives were looked at."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    live_rows: int
    archives: int


@dataclass(frozen=True, slots=True)
class _Scope:
    """Whose rows, and of what time; ``None`` is no limit."""

    workspace_id: int | None
    since: datetime | None
    until: datetime | None


async def query(
    tenant: Tenant, statement: str, *, since: datetime | None = None, until: datetime | None = None,
    folder: Folder | None = None,
) -> Answer:  # fmt: skip
    """Ask about one workspace, in DuckDB's SQL; tables have the names of the registry, ours with their schema or not.

    ``since`` and ``until`` limit what is looked at by the partition key: give them where you can, live rows are copied.
    Raises InvalidInput with DuckDB's words where the query is wrong or wants more than these tables.
    """
    scope = _Scope(tenant.workspace_id, since, until)
    place = folder or Folder.of(tenant.pools.settings)
    # Settings and role are the transaction's own, so that a pooler's other clients see none of them.
    url = tenant.pools.url("analytics")
    return await in_thread(lambda stop: _answer(url, statement, scope, place, stop))


async def query_all(
    pools: Pools, statement: str, *, since: datetime | None = None, until: datetime | None = None,
    folder: Folder | None = None,
) -> Answer:  # fmt: skip
    """Ask about all workspaces: for the operator of the database, never for a tenant."""
    place = folder or Folder.of(pools.settings)
    url = pools.url("admin")
    return await in_thread(lambda stop: _answer(url, statement, _Scope(None, since, until), place, stop))


def _answer(url: str, statement: str, scope: _Scope, folder: Folder, stop: Stopping) -> Answer:
    with _duck() as duck:
        wanted = _tables(duck, statement)
        live, files = 0, 0
        with opened(url, stop) as work:
            # One snapshot: a partition that leaves meanwhile is either live or archived, never both and never neither.
            work.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            erased = erasing.standing(work)
            for place in _asked(work, wanted):
                source = _Source(work, place, scope, folder, erased)
                live += source.load(duck, stop)
                files += source.attach(duck)
        return _run(duck, statement, live, files)


@contextmanager
def _duck() -> Iterator[duckdb.DuckDBPyConnection]:
    duck = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
        },
    )
    try:
        duck.execute("SET TimeZone = 'UTC'")
        yield duck
    finally:
        duck.close()


def _tables(duck: duckdb.DuckDBPyConnection, statement: str) -> set[tuple[str, str]]:
    """Schema (or none) and name of the tables in a query, by DuckDB's own parser; none needs to be there yet."""
    try:
        statements = duck.extract_statements(statement)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UsageError(
                "one SELECT is asked for", hint="tables are named as `outreachdb partitions list` shows them"
            )
        row = duck.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchall()[0]
    except duckdb.Error as error:
        raise InvalidInput(f"the query can't be read: {_line(error)}") from None
    tree = json.loads(row[0])
    if tree.get("error"):
        raise InvalidInput(f"the query can't be read: {tree.get('error_message')}")
    return set(_named(tree))


def _named(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        if node.get("type") == "BASE_TABLE":
            yield str(node.get("schema_name") or "").lower(), str(node["table_name"]).lower()
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _named(each)


@dataclass(frozen=True, slots=True)
class _Place:
    """A registered table: as the registry names it, and where it stands."""

    table_name: str
    schema: str
    name: str

    @property
    def bare(self) -> str:
        """What it is called without a schema; a table that is not ours only by its whole name, in double quotes."""
        return self.name if self.schema == OURS else self.table_name


def _asked(work: psycopg.Connection[Any], wanted: set[tuple[str, str]]) -> list[_Place]:
    places = [_Place(**row) for row in work.execute(Q.registered).fetchall()]
    return [
        place
        for place in places
        if (place.schema.lower(), place.name.lower()) in wanted or ("", place.bare.lower()) in wanted
    ]


class _Source:
    """A table's live rows and archives."""

    def __init__(
        self, work: psycopg.Connection[Any], place: _Place, scope: _Scope, folder: Folder, erased: Sequence[Erasure]
    ) -> None:
        table = place.table_name
        self._place = place
        self._erased = erased
        self._work, self._table, self._scope, self._folder = work, table, scope, folder
        self._act_as(OWNER)
        parent = work.execute(Q.parent, {"table_name": table}).fetchone()
        assert parent is not None  # noqa: S101  (it is registered)
        self._parent = sql.SQL(parent["parent"])
        self._key, self._owner = str(parent["key"]), str(parent["owner"])
        # Its schema may be closed to us.
        self._act_as(self._owner)
        self._columns = columns_of_table(work, self._parent)
        self._act_as(OWNER)
        names = {column.name for column in self._columns}
        if scope.workspace_id is not None and "workspace_id" not in names:
            raise UsageError(f"{table} does not belong to workspaces", hint="ask about it with --all-workspaces")
        rows = work.execute(Q.listed, {"table_name": table, "partition_name": None}).fetchall()
        # What is verified and not dropped yet was detached: its rows are nowhere else to be seen.
        self._archives = [Archive(**row) for row in rows if row["state"] in {"verified", "dropped"}]
        self._leaving = [
            name
            for row in rows
            if row["state"] == "writing" and self._is_apart(name := row["leaving"] or row["partition_name"])
        ]

    def load(self, duck: duckdb.DuckDBPyConnection, stop: Stopping) -> int:
        """Copy the live rows; how many."""
        schema = mapping.schema(self._columns)
        duck.register("arriving", schema.empty_table())
        duck.execute("CREATE TEMP TABLE live_rows AS SELECT * FROM arriving".replace("live_rows", self._live))
        duck.unregister("arriving")
        rows = 0
        for source in self._live_sources():
            for table in copy_out(self._work, source, self._columns, stop=stop.asked):
                duck.register("arriving", table)
                duck.execute(f"INSERT INTO {self._live} SELECT * FROM arriving")  # noqa: S608 - a name of ours
                duck.unregister("arriving")
                rows += table.num_rows
        return rows

    def attach(self, duck: duckdb.DuckDBPyConnection) -> int:
        """Make the view of live rows and archives; how many archives may hold rows of the time."""
        chosen = [each for each in self._archives if self._overlaps(each)]
        schema = mapping.schema(self._columns)
        exact = EXACT in schema.names
        some = exact and duck.execute(f"SELECT count({EXACT}) FROM {self._live}").fetchall()[0][0]  # noqa: S608
        parts = [f"SELECT {self._listed(exact=bool(some))} FROM {self._live}"]  # noqa: S608 - names that were quoted
        if chosen:
            paths = [str(self._checked(each)) for each in chosen]
            some = exact and any(archive_files.has_values(path, EXACT) for path in paths)
            found: Any = dataset.dataset(paths, schema=schema, format="parquet")
            if self._scope.workspace_id is not None:
                found = found.filter(dataset.field("workspace_id") == self._scope.workspace_id)
            theirs = erasing.expression(erasing.naming(self._table, schema.names), self._erased)
            if theirs is not None:
                found = found.filter(~theirs)
            duck.register(self._archived, found)
            parts.append(f"SELECT {self._listed(exact=some)} FROM {self._archived}{self._within()}")  # noqa: S608
        bare, place = _quoted(self._place.bare), self._place
        duck.execute(f"CREATE TEMP VIEW {bare} AS {' UNION ALL '.join(parts)}")
        duck.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(place.schema)}")
        duck.execute(f"CREATE VIEW {_quoted(place.schema)}.{_quoted(place.name)} AS SELECT * FROM temp.{bare}")  # noqa: S608 - names that were quoted
        return len(chosen)

    @property
    def _live(self) -> str:
        return _quoted(f"live {self._table}")

    @property
    def _archived(self) -> str:
        return f"archived_{''.join(each if each.isalnum() else '_' for each in self._table)}"

    def _live_sources(self) -> Iterator[sql.Composed]:
        scope = self._scope
        conditions = [sql.SQL("true")]
        if scope.workspace_id is not None:
            conditions.append(sql.SQL("r.workspace_id = {}").format(sql.Literal(scope.workspace_id)))  # type: ignore[arg-type]
        for instant, operator in ((scope.since, ">="), (scope.until, "<")):
            if instant is not None:
                conditions.append(
                    sql.SQL(f"r.{{}} {operator} {{}}::timestamptz").format(  # type: ignore[arg-type]
                        sql.Identifier(self._key), sql.Literal(instant.isoformat())
                    )
                )
        where = sql.SQL(" AND ").join(conditions)
        self._act_as(self._owner if scope.workspace_id is None else APP_ROLE)
        if scope.workspace_id is not None:
            self._work.execute(sql.SQL("SET LOCAL app.workspace_id = {}").format(sql.Literal(str(scope.workspace_id))))
        yield sql.SQL("{} AS r WHERE {}").format(self._parent, where)
        self._act_as(self._owner)
        for each in self._leaving:
            # Detached and not archived yet: only the owner may read it, so the condition alone keeps tenants apart.
            names = erasing.naming(self._table, [column.name for column in self._columns])
            theirs = erasing.condition(names, self._erased, "r")
            yield sql.SQL("{} AS r WHERE {} AND NOT {}").format(sql.SQL(each), where, theirs)

    def _is_apart(self, qualified: str) -> bool:
        found = self._work.execute(Q.find_table, {"qualified": qualified}).fetchone()
        return found is not None and not found["attached"]

    def _act_as(self, role: str) -> None:
        self._work.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))

    def _overlaps(self, archive: Archive) -> bool:
        since, until = self._scope.since, self._scope.until
        return (since is None or archive.range_end > since) and (until is None or archive.range_start < until)

    def _checked(self, archive: Archive) -> Any:
        path = self._folder.place(archive.file)
        with archive_files.open_file(path) as file:
            kept = {each.name: each for each in archive_files.columns_of(archive_files.about(file))}
        for column in self._columns:
            if column.name in kept and kept[column.name].arrow != column.arrow:
                raise InvalidInput(
                    f"{column.name} of {self._table} was {kept[column.name].type} when {path.name} was written",
                    hint="query the file itself with DuckDB",
                )
        return path

    def _listed(self, *, exact: bool) -> str:
        """The columns as a query wants them: numbers as numbers, and what only a text could hold where DuckDB can."""
        return ", ".join(_shown(column, exact=exact and column.name != self._key) for column in self._columns)

    def _within(self) -> str:
        conditions = []
        for instant, operator in ((self._scope.since, ">="), (self._scope.until, "<")):
            if instant is not None:
                conditions.append(f"{_quoted(self._key)} {operator} TIMESTAMPTZ '{instant.isoformat()}'")
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _shown(column: Column, *, exact: bool) -> str:
    name = _quoted(column.name)
    if exact and column.ranged:
        kind = {"timestamptz": "TIMESTAMPTZ", "timestamp": "TIMESTAMP", "date": "DATE"}[column.kind]
        pointer = "$." + json.dumps(column.name, ensure_ascii=False).replace("'", "''")
        text = f"replace(json_extract_string({EXACT}, '{pointer}'), ' BC', ' (BC)')"
        return f"coalesce({name}, TRY_CAST({text} AS {kind})) AS {name}"
    if column.kind == "uuid":
        return f"CAST({name} AS UUID) AS {name}"
    if column.kind == "numeric":
        return f"TRY_CAST({name} AS {_decimal(column.type)}) AS {name}"
    if column.kind in {"json", "jsonb"}:
        return f"CAST({name} AS JSON) AS {name}"
    return name


def _decimal(declared: str) -> str:
    """numeric(12,6) is DECIMAL(12,6); without or with more digits than DuckDB has it is a DOUBLE."""
    digits = declared.partition("(")[2].rstrip(")").split(",")
    if not digits[0].isdigit() or int(digits[0]) > 38:
        return "DOUBLE"
    scale = int(digits[1]) if len(digits) > 1 and digits[1].isdigit() else 0
    return f"DECIMAL({digits[0]},{scale})" if scale <= int(digits[0]) else "DOUBLE"


def _run(duck: duckdb.DuckDBPyConnection, statement: str, live: int, files: int) -> Answer:
    # From here on the query is on its own: no files, no network, no settings.
    duck.execute("SET enable_external_access = false")
    duck.execute("SET lock_configuration = true")
    try:
        found = duck.execute(statement)
        columns = [str(each[0]) for each in found.description or []]
        return Answer(columns, found.fetchall(), live, files)
    except duckdb.Error as error:
        raise InvalidInput(f"the query failed: {_line(error)}") from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
