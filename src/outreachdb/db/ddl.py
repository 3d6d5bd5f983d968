"""Structure changes that spare writers; revisions call these, so what they do for given arguments must never change.

On an empty table the plain form is used, which is fast and atomic. On a table with rows a constraint is added ``NOT
VALID`` (`outreachdb constraints validate` lists offenders and validates) and an index is built concurrently. Offline
(`--sql`) it is not known whether there are rows, so the forms for a table with rows are written.

On a table with rows each call commits what its step did before it, so that a step never holds the locks of two busy
tables. Put such calls in a revision that does nothing else; a step that was interrupted runs again from its start, and
these functions replace what it left.

Tables are given as ``schema.table``; constraints, and indexes that are made, by their bare name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import sqlalchemy as sa

# A concurrent build waits for every older transaction; it blocks nobody meanwhile, so it may wait much longer than a
# lock that writers queue behind.
CONCURRENT_LOCK_TIMEOUT = "30min"


class Op(Protocol):
    """What is needed of ``alembic.op``."""

    def execute(self, sqltext: Any) -> Any:
        """Run a statement."""

    def get_context(self) -> Any:
        """The migration context."""

    def get_bind(self) -> Any:
        """The connection."""


def add_check(op: Op, table: str, name: str, expression: str) -> None:
    """Add a CHECK constraint; ``NOT VALID`` when the table has rows."""
    _add_constraint(op, table, name, f"CHECK ({expression})")


def add_foreign_key(op: Op, table: str, name: str, columns: str, references: str, *, actions: str = "") -> None:
    """Add a foreign key, e.g. ``columns="workspace_id, lead_id"``, ``references="outreach.leads (workspace_id, id)"``.

    ``NOT VALID`` when the table has rows; a partitioned table takes only the validated form before PostgreSQL 18.
    """
    definition = f"FOREIGN KEY ({columns}) REFERENCES {references} {actions}".rstrip()
    _add_constraint(op, table, name, definition)


def create_index_concurrently(op: Op, name: str, table: str, definition: str, *, unique: bool = False) -> None:
    """Create an index; ``definition`` is what follows the table's name: ``USING gin (tags) WHERE ...``.

    An invalid index of that name, left by an interrupted build, is dropped first; a valid one is kept when it has the
    same definition, else dropped. On a partitioned table: on the parent alone, concurrently on each partition, then
    attached.
    """
    kind = "CREATE UNIQUE INDEX" if unique else "CREATE INDEX"
    index = f"{table.split('.', 1)[0]}.{name}"
    if _offline(op):
        with _concurrently(op):
            op.execute(f"{kind} CONCURRENTLY {name} ON {table} {definition}")
        return
    if _keep_existing(op, index, table, kind, definition):
        return
    if not _has_rows(op, table):
        op.execute(f"{kind} {name} ON {table} {definition}")
    elif _is_partitioned(op, table):
        _create_on_partitions(op, index, table, kind, definition)
    else:
        with _concurrently(op):
            op.execute(f"{kind} CONCURRENTLY {name} ON {table} {definition}")


def drop_index_concurrently(op: Op, index: str) -> None:
    """Drop ``schema.index`` if it is there; a partitioned one can't be dropped concurrently and waits for its lock."""
    if not _offline(op):
        kind = _scalar(op, "SELECT relkind::text FROM pg_catalog.pg_class WHERE oid = to_regclass(:name)", index)
        if kind is None:
            return
        table = _scalar(
            op, "SELECT indrelid::regclass::text FROM pg_catalog.pg_index WHERE indexrelid = to_regclass(:name)", index
        )
        if kind == "I" or not _has_rows(op, str(table)):
            op.execute(f"DROP INDEX {index}")
            return
    with _concurrently(op):
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")


def drop_constraint(op: Op, table: str, name: str) -> None:
    """Drop a constraint if it is there; on a table with rows in a transaction of its own."""
    with _brief(op, table):
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


def _add_constraint(op: Op, qualified: str, name: str, definition: str) -> None:
    if _offline(op):
        op.execute(f"ALTER TABLE {qualified} ADD CONSTRAINT {name} {definition} NOT VALID")
        return
    form = f"{definition} NOT VALID" if _has_rows(op, qualified) else definition
    with _brief(op, qualified):
        # The step may run again after an interruption: what it left is replaced, in the same statement.
        op.execute(f"ALTER TABLE {qualified} DROP CONSTRAINT IF EXISTS {name}, ADD CONSTRAINT {name} {form}")


@contextmanager
def _brief(op: Op, qualified: str) -> Iterator[None]:
    """A transaction of its own where the table has rows.

    A step that keeps the locks of several busy tables deadlocks with writers that reach them in another order (by a
    foreign key's check, say), and PostgreSQL may pick the writer as its victim.
    """
    if _offline(op) or not _has_rows(op, qualified):
        yield
        return
    with op.get_context().autocommit_block():
        yield


def _create_on_partitions(op: Op, index: str, qualified: str, kind: str, definition: str) -> None:
    """Each attached index is one commit; the parent's becomes valid with the last."""
    name = index.split(".")[1]
    partitions = [
        row[0]
        for row in op.get_bind().execute(
            sa.text(
                "SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid "
                "WHERE i.inhparent = CAST(:parent AS regclass) ORDER BY c.relname"
            ),
            {"parent": qualified},
        )
    ]
    with _concurrently(op):
        op.execute(f"{kind} {name} ON ONLY {qualified} {definition}")
        for partition in partitions:
            child = _child_name(partition, name)
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS parts.{child}")
            op.execute(f"{kind} CONCURRENTLY {child} ON parts.{partition} {definition}")
            op.execute(f"ALTER INDEX {index} ATTACH PARTITION parts.{child}")


def _child_name(partition: str, name: str) -> str:
    """A name for the partition's index, within PostgreSQL's 63 bytes."""
    full = f"{partition}_{name}"
    return full if len(full) <= 63 else f"{full[:54]}_{hashlib.sha256(full.encode()).hexdigest()[:8]}"


def _keep_existing(op: Op, index: str, qualified: str, kind: str, definition: str) -> bool:
    """Whether a valid index of that name and definition is there already; any other of that name is dropped."""
    found = (
        op.get_bind()
        .execute(
            sa.text(
                "SELECT i.indisvalid, i.indrelid = to_regclass(:table), i.indisunique, "
                "regexp_replace(pg_catalog.pg_get_indexdef(c.oid), '^.*? USING ', '') "
                "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid "
                "WHERE c.oid = to_regclass(:index)"
            ),
            {"index": index, "table": qualified},
        )
        .first()
    )
    if found is None:
        return False
    valid, same_table, unique, text = found
    if valid and same_table and unique == ("UNIQUE" in kind) and text == _normal_form(op, qualified, definition):
        return True
    drop_index_concurrently(op, index)
    return False


def _normal_form(op: Op, qualified: str, definition: str) -> str:
    """The definition as PostgreSQL prints it, learned from an index on an empty copy of the table."""
    op.execute(f"CREATE TEMP TABLE outreachdb_probe (LIKE {qualified})")
    op.execute(f"CREATE INDEX outreachdb_probe_index ON outreachdb_probe {definition}")
    text = _scalar(
        op,
        "SELECT regexp_replace(pg_catalog.pg_get_indexdef(to_regclass(:name)), '^.*? USING ', '')",
        "pg_temp.outreachdb_probe_index",
    )
    op.execute("DROP TABLE pg_temp.outreachdb_probe")
    return str(text)


@contextmanager
def _concurrently(op: Op) -> Iterator[None]:
    """Outside a transaction, with patience for old transactions; afterwards the step's lock limit holds again."""
    context = op.get_context()
    with context.autocommit_block():
        op.execute(f"SET lock_timeout = '{CONCURRENT_LOCK_TIMEOUT}'")
        try:
            yield
        finally:
            op.execute(f"SET lock_timeout = '{context.opts.get('lock_timeout_ms', 3000)}ms'")


def _has_rows(op: Op, qualified: str) -> bool:
    statement = f"SELECT EXISTS (SELECT FROM {qualified})"  # noqa: S608 - a revision's own words
    return bool(op.get_bind().execute(sa.text(statement)).scalar())


def _is_partitioned(op: Op, qualified: str) -> bool:
    return bool(_scalar(op, "SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = to_regclass(:name)", qualified))


def _scalar(op: Op, query: str, name: str) -> Any:
    return op.get_bind().execute(sa.text(query), {"name": name}).scalar()


def _offline(op: Op) -> bool:
    return bool(op.get_context().as_sql)
