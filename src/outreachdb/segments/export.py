"""Leads of a segment as a CSV or Parquet file, streamed: memory stays the same however many there are."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from psycopg import sql
from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Session, Tenant
from outreachdb.errors import InvalidInput, OutreachDBError, UsageError
from outreachdb.leads.vocabulary import LEAD_COLUMNS
from outreachdb.progress import Progress, silent
from outreachdb.segments import cost, segments
from outreachdb.segments.partial import partial
from outreachdb.segments.segments import NameOrDefinition

Q = Queries("outreachdb.segments")
Format = Literal["csv", "parquet"]
BATCH = 5_000
MAX_KEYS = 500
LEFT_OUT = {"workspace_id", "email_key", "custom_fields"}
FIELDS = tuple(name for name in LEAD_COLUMNS if name not in LEFT_OUT)
TEXTS = frozenset(name for name in FIELDS if LEAD_COLUMNS[name] is str)
CUSTOM = "custom."
# The columns are found by one statement and the rows read by another.
ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(frozen=True, slots=True)
class Exported:
    """How many ``leads`` stand in the ``file``, and its columns."""

    file: str
    leads: int
    columns: list[str]


async def export(
    tenant: Tenant,
    segment: NameOrDefinition,
    path: str | Path,
    *,
    file_format: Format | None = None,
    spreadsheet_safe: bool = False,
    confirmed: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Write every field of every lead of a segment, in order of id; a custom field is the column ``custom.<name>``.

    An import of the file changes nothing. The file appears when it is whole, with the leads of one instant.
    ``spreadsheet_safe`` puts an apostrophe before texts of a CSV file that a spreadsheet would take for a formula.
    Raises UsageError for another format, TooCostly, InvalidInput where the leads have too many custom fields or the
    file can't be written.
    """
    path = Path(path)
    chosen = file_format or path.suffix.lower().removeprefix(".")
    if chosen not in get_args(Format):
        raise UsageError(f"{path.name}: csv or parquet?", hint="name the file .csv or .parquet, or give --format")
    if spreadsheet_safe and chosen == "parquet":
        raise UsageError("only CSV files need to be safe for spreadsheets")
    definition = await segments.resolve(tenant, segment)
    # Trusted for its indexes: the policy of tenants would switch off those of tags and custom fields. The compiled
    # condition and the workspace stand in the statement.
    async with tenant.trusted("analytics", doing="exporting the segment") as session:
        await session.execute(ONE_SNAPSHOT)
        await cost.guard(session, tenant, Jsonb(definition), confirmed=confirmed)
        condition = await session.value(Q.segment_condition, {"definition": Jsonb(definition)})
        source = _Source(tenant.workspace_id, condition)
        keys = [row["key"] for row in await session.all(source.keys())]
        if len(keys) > MAX_KEYS:
            raise InvalidInput(f"the leads have {len(keys)} custom fields", hint=f"at most {MAX_KEYS} fit a file")
        try:
            with partial(path) as part:
                if chosen == "csv":
                    leads = await _csv(session, source, keys, part, progress, safe=spreadsheet_safe)
                else:
                    leads = await _parquet(session, source, keys, part, progress)
        except OSError as error:
            raise InvalidInput(f"{path} can't be written: {error.strerror}") from None
    return Exported(str(path), leads, [*FIELDS, *(CUSTOM + key for key in keys)])


class _Source:
    """The statements that read a segment's leads."""

    def __init__(self, workspace_id: int, condition: str) -> None:
        self._workspace = sql.Literal(workspace_id)
        # The compiler's text: what people wrote stands in it as literals only.
        self._condition = sql.SQL(condition)

    def keys(self) -> sql.Composed:
        """The names of all custom fields, sorted, and one more than a file may have."""
        return sql.SQL(
            "SELECT DISTINCT k.key FROM outreach.leads AS l"
            " CROSS JOIN LATERAL jsonb_object_keys(l.custom_fields) AS k (key)"
            " WHERE l.workspace_id = {} AND ({}) ORDER BY k.key LIMIT {}"
        ).format(self._workspace, self._condition, sql.Literal(MAX_KEYS + 1))

    def rows(self, columns: Sequence[sql.Composable]) -> sql.Composed:
        """The leads by id."""
        return sql.SQL("SELECT {} FROM outreach.leads AS l WHERE l.workspace_id = {} AND ({}) ORDER BY l.id").format(
            sql.SQL(", ").join(columns), self._workspace, self._condition
        )


async def _csv(
    session: Session, source: _Source, keys: list[str], part: Path, progress: Progress, *, safe: bool
) -> int:
    columns = [_cell(sql.SQL("l.{}").format(sql.Identifier(name)), safe=safe and name in TEXTS) for name in FIELDS]
    columns += [_cell(sql.SQL("(l.custom_fields ->> {})").format(sql.Literal(key)), safe=safe) for key in keys]
    names = [*FIELDS, *(CUSTOM + key for key in keys)]
    columns[FIELDS.index("tags")] = _cell(sql.SQL("outreach.joined_tags(l.tags)"), safe=safe)  # as imports read them
    # Names of any length: PostgreSQL's own header would cut them.
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(source.rows(columns))
    connection = await session.connection()
    async with connection.cursor() as cursor:
        # ISO dates and UTC, whatever the server's settings are.
        await cursor.execute("SET LOCAL timezone = 'UTC'")
        await cursor.execute("SET LOCAL datestyle = 'ISO, YMD'")
        with part.open("wb") as file:
            size = file.write(_header(names))
            async with cursor.copy(statement) as copy:
                async for block in copy:
                    size += file.write(block)
                    progress("written, kB", size // 1024)
        return cursor.rowcount


def _cell(value: sql.Composable, *, safe: bool) -> sql.Composable:
    if not safe:
        return value
    return sql.SQL("CASE WHEN {v} ~ '^[=+@\t\r-]' THEN '''' || {v} ELSE {v} END").format(v=value)


def _header(columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(columns)
    return text.getvalue().encode()


async def _parquet(session: Session, source: _Source, keys: list[str], part: Path, progress: Progress) -> int:
    try:
        import pyarrow as pa  # noqa: PLC0415  (an extra; only this needs it)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise OutreachDBError("Parquet needs pyarrow", hint="pip install 'outreachdb[formats]'") from None
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float32(), list: pa.list_(pa.string())}
    own = [pa.field(name, kinds.get(LEAD_COLUMNS[name], pa.timestamp("us", tz="UTC"))) for name in FIELDS]
    schema = pa.schema([*own, *(pa.field(CUSTOM + key, pa.string()) for key in keys)])
    columns: list[sql.Composable] = [sql.SQL("l.{}").format(sql.Identifier(field)) for field in FIELDS]
    columns += [sql.SQL("l.custom_fields ->> {}").format(sql.Literal(key)) for key in keys]
    leads = 0
    with parquet.ParquetWriter(part, schema) as file:
        async for rows in _batches(session, source.rows(columns)):
            cells = zip(*rows, strict=True)
            arrays = [pa.array(column, type=field.type) for column, field in zip(cells, schema, strict=True)]
            file.write_batch(pa.record_batch(arrays, schema=schema))
            leads += len(rows)
            progress("leads", leads)
    return leads


async def _batches(session: Session, statement: sql.Composed) -> AsyncIterator[list[tuple[Any, ...]]]:
    from psycopg.rows import tuple_row  # noqa: PLC0415  (beside its only use)

    connection = await session.connection()
    async with connection.cursor("segment_export", row_factory=tuple_row) as cursor:
        await cursor.execute(statement)
        while rows := await cursor.fetchmany(BATCH):
            yield rows
