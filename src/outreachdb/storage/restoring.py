"""An archived partition comes back: rows, constraints, indexes, and its place in its table.

The rows are loaded into a table apart and compared with what the archive said of them, before anything else sees them.
Where the range has no partition the table takes that place; where late rows have made one, the rows join those. Each
step is a transaction; a restore that was interrupted is begun again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Pools
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.progress import Progress, silent
from outreachdb.storage import archive_files, erasing, fingerprints
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.archiving import Archive, Q, Stopping, archives, columns_of_table, in_thread, opened
from outreachdb.storage.columns import Column
from outreachdb.storage.copying import copy_in
from outreachdb.storage.leaving import names

LOCK_MS = 500
ATTEMPTS = 120


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back: rows in the file, how many of them were there already, and the partition they are in now.

    ``left_out`` are rows of people who are to be erased and whom the file still knows.
    """

    archive_id: int
    table: str
    partition: str
    rows: int
    there_already: int
    seconds: float
    left_out: int = 0


async def restore(
    pools: Pools,
    table: str,
    partition: str | None = None,
    *,
    archive_id: int | None = None,
    folder: Folder | None = None,
    progress: Progress = silent,
) -> list[Restored]:
    """Bring back the archives of a partition, or one archive by its number.

    Raises NotFound where there is none that has left, InvalidInput where a file is missing, damaged or not what was
    archived, Conflict where the table's columns have changed so that the rows no longer fit.
    """
    chosen = [each for each in await archives(pools, table) if each.state == "dropped"]
    if archive_id is not None:
        chosen = [each for each in chosen if each.id == archive_id]
    if partition is not None:
        chosen = [each for each in chosen if partition in names(each.partition_name)]
    if not chosen:
        raise NotFound(f"{table} has no such archive", hint="outreachdb partitions archives")
    place = folder or Folder.of(pools.settings)
    url = pools.url("admin")
    return [
        await in_thread(lambda stop, each=each: _restore(url, each, place, progress, stop))  # type: ignore[misc]
        for each in chosen
    ]


@dataclass(frozen=True, slots=True)
class _Parent:
    oid: int
    parent: str
    owner: str
    key: str
    key_type: str
    target: str
    secured: bool
    of_workspaces: bool
    options: str | None


def _restore(url: str, record: Archive, folder: Folder, progress: Progress, stop: Stopping) -> Restored:
    began = time.monotonic()
    with opened(url, stop, autocommit=True) as work:
        record = _alone(work, record)
        path = folder.place(record.file)
        with archive_files.open_file(path) as file:
            said = archive_files.about(file)
        kept = archive_files.columns_of(said)
        erased = erasing.standing(work)
        parent = _Parent(**_row(work, Q.parent, {"table_name": record.table_name}))
        live = _step(work, parent.owner, lambda: columns_of_table(work, sql.SQL(parent.parent)))
        columns = _fitting(live, kept, record)
        loose = sql.Identifier(parent.target, f"{record.partition_name.partition('.')[2][:40]}_restoring_{record.id}")
        _step(work, parent.owner, lambda: _load(work, record, parent, loose, columns, path, progress, stop))
        left_out = _step(work, parent.owner, lambda: _leave_out(work, record, loose, columns, erased))
        given = {"table": parent.parent}
        for key in _step(work, parent.owner, lambda: work.execute(Q.foreign_keys, given).fetchall()):
            _add_key(work, parent, loose, key)
        there = _take_place(work, record, parent, loose, columns, (record.row_count or 0) - left_out)
        progress("restored", record.row_count or 0, record.row_count)
    return Restored(
        record.id, record.table_name, record.partition_name, record.row_count or 0, there,
        round(time.monotonic() - began, 3), left_out,
    )  # fmt: skip


def _alone(work: psycopg.Connection[Any], record: Archive) -> Archive:
    """One restore of an archive at a time, by a session lock; the record as it is then: the file may be another."""
    key = f"outreachdb.archive.{record.id}"
    got = work.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS got", [key]).fetchone()
    if not (got and got["got"]):
        raise Conflict(f"somebody else restores {record.partition_name}")
    given = {"table_name": record.table_name, "partition_name": record.partition_name}
    found = [Archive(**row) for row in work.execute(Q.listed, given).fetchall() if row["id"] == record.id]
    if not found or found[0].state != "dropped":
        raise Conflict(f"somebody else restored {record.partition_name}")
    return found[0]


def _leave_out(
    work: psycopg.Connection[Any], record: Archive, loose: sql.Identifier, columns: list[Column],
    erased: Sequence[erasing.Erasure],
) -> int:  # fmt: skip
    """Who is to be erased does not come back."""
    names = erasing.naming(record.table_name, [column.name for column in columns])
    theirs = erasing.condition(names, erased, "r")
    return work.execute(sql.SQL("DELETE FROM {} AS r WHERE {}").format(loose, theirs)).rowcount


def _fitting(live: Sequence[Column], kept: Sequence[Column], record: Archive) -> list[Column]:
    """The archived columns as the table has them now; a column that was added since gets its default."""
    by_name = {column.name: column for column in live}
    for column in kept:
        now = by_name.get(column.name)
        if now is None or now.type != column.type:
            state = "is gone" if now is None else f"is {now.type} now and was {column.type}"
            raise Conflict(
                f"the column {column.name} of {record.table_name} {state}",
                hint="query the archive where it is: outreachdb partitions query",
            )
    return [by_name[column.name] for column in kept]


def _step(work: psycopg.Connection[Any], owner: str, action: Callable[[], Any]) -> Any:
    """One transaction as the table's owner, tried again where a lock is not to be had at once."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with work.transaction():
                work.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner)))
                work.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_MS}ms"])
                return action()
        except (pg.LockNotAvailable, pg.DeadlockDetected):
            if attempt == ATTEMPTS:
                raise
            time.sleep(0.5)
    raise AssertionError  # the last attempt returned or raised


def _load(
    work: psycopg.Connection[Any], record: Archive, parent: _Parent, loose: sql.Identifier, columns: list[Column],
    path: Any, progress: Progress, stop: Stopping,
) -> None:  # fmt: skip
    """The rows in a table apart, compared with what the archive said; its range is a rule: attaching needs no scan."""
    work.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(loose))
    work.execute(
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING IDENTITY EXCLUDING INDEXES){}").format(
            loose, sql.SQL(parent.parent), sql.SQL(f" WITH ({parent.options})" if parent.options else "")
        )
    )
    if parent.secured and parent.target != "parts":
        # As the parent's other partitions: its schema may be open to those whom only the parent's policies hold back.
        work.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(loose))
    with archive_files.open_file(path) as file:
        copy_in(work, loose, columns, archive_files.tables(path, file, stop.asked))
    progress("loaded", record.row_count or 0, record.row_count)
    told = fingerprints.of_table(work, loose, columns)
    wanted = fingerprints.of_document(record.fingerprint, columns)
    differences = wanted.differences(told)
    if differences or told.sha256 != record.content_sha256:
        raise InvalidInput(f"{path} is not what was archived: {'; '.join(differences) or 'another content'}")
    work.execute(
        sql.SQL(
            "ALTER TABLE {} ADD CONSTRAINT restored_range CHECK ({k} IS NOT NULL AND {k} >= {a} AND {k} < {b})"
        ).format(
            loose,
            k=sql.Identifier(parent.key),
            a=_bound(record.range_start, parent),
            b=_bound(record.range_end, parent),
        )
    )


def _bound(instant: Any, parent: _Parent) -> sql.Composed:
    """An end of the range in the type of the partition key; ranges are in UTC."""
    text = (
        instant.isoformat()
        if parent.key_type == "timestamp with time zone"
        else instant.replace(tzinfo=None).isoformat()
    )
    return sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(parent.key_type))


def _add_key(work: psycopg.Connection[Any], parent: _Parent, loose: sql.Identifier, key: dict[str, Any]) -> None:
    """A foreign key of the parent, in two steps that hold up writers of the referenced table for a moment only."""
    name = sql.Identifier(key["name"])
    add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID").format(loose, name, sql.SQL(key["definition"]))
    _step(work, parent.owner, lambda: work.execute(add))
    check = sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(loose, name)
    try:
        _step(work, parent.owner, lambda: work.execute(check))
    except pg.ForeignKeyViolation as error:
        raise Conflict(
            f"rows of the archive refer to what is gone: {error.diag.message_detail or error}",
            hint="query the archive where it is: outreachdb partitions query",
        ) from None


def _take_place(
    work: psycopg.Connection[Any], record: Archive, parent: _Parent, loose: sql.Identifier, columns: list[Column],
    rows: int,
) -> int:  # fmt: skip
    """Attach, or join what is there; how many rows were there already."""
    with suppress(pg.InvalidObjectDefinition):  # somebody made the range's partition this moment
        if not work.execute(Q.covering, _range(record)).fetchall():
            _step(work, parent.owner, lambda: _attach(work, record, parent, loose))
            _analyze(work, parent, record)
            return 0
    there: int = _step(work, parent.owner, lambda: _join(work, record, parent, loose, columns, rows))
    return there


def _attach(work: psycopg.Connection[Any], record: Archive, parent: _Parent, loose: sql.Identifier) -> None:
    name = sql.Identifier(record.partition_name.partition(".")[2].strip('"'))
    taken = work.execute(Q.find_table, {"qualified": record.partition_name}).fetchone()
    attach = sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})")
    work.execute(
        attach.format(
            sql.SQL(parent.parent), loose, _bound(record.range_start, parent), _bound(record.range_end, parent)
        )
    )
    work.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT restored_range").format(loose))
    if taken is None:
        work.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(loose, name))
    _restored(work, record)


def _join(
    work: psycopg.Connection[Any], record: Archive, parent: _Parent, loose: sql.Identifier, columns: list[Column],
    rows: int,
) -> int:  # fmt: skip
    """Rows join those that came late; one whose key is taken is there already: a redelivery made it again."""
    listed = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns if not column.generated)
    moved = work.execute(
        sql.SQL("INSERT INTO {} ({c}) OVERRIDING SYSTEM VALUE SELECT {c} FROM {} ON CONFLICT DO NOTHING").format(
            sql.SQL(parent.parent), loose, c=listed
        )
    ).rowcount
    work.execute(sql.SQL("DROP TABLE {}").format(loose))
    _restored(work, record)
    return rows - moved


def _restored(work: psycopg.Connection[Any], record: Archive) -> None:
    work.execute(f"SET LOCAL ROLE {OWNER}")
    if work.execute(Q.restored, {"id": record.id}).rowcount != 1:
        raise Conflict(f"somebody else restored {record.partition_name}")


def _analyze(work: psycopg.Connection[Any], parent: _Parent, record: Archive) -> None:
    for each in work.execute(Q.covering, _range(record)).fetchall():
        _step(work, parent.owner, lambda each=each: work.execute(sql.SQL("ANALYZE {}").format(sql.SQL(each["name"]))))  # type: ignore[misc]


def _range(record: Archive) -> dict[str, Any]:
    return {"table_name": record.table_name, "range_start": record.range_start, "range_end": record.range_end}


def _row(work: psycopg.Connection[Any], query: str, parameters: dict[str, Any]) -> dict[str, Any]:
    found = work.execute(query, parameters).fetchone()
    if found is None:
        raise NotFound(
            f"{parameters['table_name']} is not a partitioned table of ours", hint="outreachdb partitions list"
        )
    return dict(found)
