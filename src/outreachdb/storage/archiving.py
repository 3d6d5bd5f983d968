"""A partition becomes a Parquet file that was read back and compared, and only then leaves the database.

The steps, each of which may be the last before the power goes: a record is made; the partition is detached and renamed
(a late row may then make its month anew); the file is written under a temporary name, synced and renamed, while
PostgreSQL tells the content; it is read back and its content compared; the record says ``verified``; the table is
dropped in the transaction that makes the record say ``dropped``. Whoever comes next goes on from what the record says.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.types.json import Jsonb

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, session
from outreachdb.errors import Conflict, InvalidInput, NotFound, OutreachDBError, from_database
from outreachdb.progress import Progress, silent
from outreachdb.storage import archive_files, detaching, fingerprints
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.columnar import table_out
from outreachdb.storage.columns import SETTINGS, Column
from outreachdb.storage.fingerprints import Fingerprint
from outreachdb.storage.leaving import Partition, freeze, held, names, partition_of, partitions_of, reasons_to_stay
from outreachdb.version import __version__

T = TypeVar("T")
Q = Queries("outreachdb.storage", "archives.sql")
REMEMBER_MAILED = sql.SQL(Q.remember_mailed)
DROP_LOCK_MS = 500
DROP_ATTEMPTS = 120
# A file takes at most about this share of what the table takes on disk (measured: a tenth to a fifth).
SPACE_SHARE = 0.5


# Before a session with a lock ends: the server notices a closed connection a moment later, and who came at once met it.
GIVE_BACK = "SELECT pg_advisory_unlock_all()"


@dataclass(frozen=True, slots=True)
class Archive:
    """A record of ``ops.partition_archives``: state is writing, verified, dropped or restored."""

    id: int
    table_name: str
    partition_name: str
    leaving: str | None
    range_start: datetime
    range_end: datetime
    file: str
    row_count: int | None
    content_sha256: bytes | None
    fingerprint: dict[str, Any]
    revision: str
    state: str
    bytes: int | None
    created_at: datetime
    verified_at: datetime | None
    dropped_at: datetime | None
    restored_at: datetime | None
    problem: str | None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        found = asdict(self)
        del found["fingerprint"]
        found["content_sha256"] = self.content_sha256.hex() if self.content_sha256 else None
        return found


@dataclass(frozen=True, slots=True)
class Left:
    """What became of a partition: its rows and bytes, the file with its size, and how many seconds each part took."""

    archive_id: int
    table: str
    partition: str
    rows: int
    bytes: int
    file: str
    file_bytes: int
    content_sha256: str
    seconds: dict[str, float]


async def archive(
    pools: Pools, table: str, partition: str, *, folder: Folder | None = None, progress: Progress = silent
) -> Left:
    """Take one partition out of the database into a verified file.

    Raises Conflict where something keeps it (rows may still come, campaigns are open, a legal hold), NotFound where
    there is no such partition; InvalidInput or OutreachDBError where the file can't be written or is not what was read:
    the rows stay.
    """
    unfinished = [each for each in await under_way(pools, table) if partition in names(each.partition_name)]
    if unfinished:
        return await finish(pools, unfinished[0], folder=folder, progress=progress)
    found = await partition_of(pools, table, partition)
    keeping = await reasons_to_stay(pools, table, found)
    if keeping:
        raise Conflict(f"{partition} stays: {'; '.join(keeping)}")
    folder = folder or Folder.of(pools.settings)
    record = await _begin(pools, table, found, folder)
    return await finish(pools, record, folder=folder, progress=progress)


async def archive_older(
    pools: Pools, table: str, before: datetime, *, folder: Folder | None = None, progress: Progress = silent
) -> list[Left]:
    """Archive every partition with rows that ends at or before an instant; raises Conflict before anything is done."""
    chosen = [each for each in await partitions_of(pools, table) if each.range_end <= before and not each.empty]
    for each in chosen:
        keeping = await reasons_to_stay(pools, table, each)
        if keeping:
            raise Conflict(f"{each.name} stays: {'; '.join(keeping)}")
    return [await archive(pools, table, each.name, folder=folder, progress=progress) for each in chosen]


async def finish(pools: Pools, record: Archive, *, folder: Folder | None = None, progress: Progress = silent) -> Left:
    """Go on with an archive where it was left, by whomever."""
    folder = folder or Folder.of(pools.settings)
    async with _alone(pools, record):
        record = await _again(pools, record)
        await _refuse_held(pools, record)
        if not record.leaving:
            await freeze(pools, record.table_name, record.range_start, record.range_end)
            await _detach(pools, record)
        record = await _again(pools, record)
        url = pools.url("admin")
        return await in_thread(lambda stop: _leave(url, record, folder, progress, stop))


async def begin_apart(pools: Pools, table: str, found: Partition, folder: Folder | None) -> Archive:
    """Begin the archive of a table that was a partition and is detached already; :func:`finish` goes on."""
    return await _begin(pools, table, found, folder or Folder.of(pools.settings))


async def _refuse_held(pools: Pools, record: Archive) -> None:
    """A hold may have come since the archive was begun; the rows stay where they are until it goes."""
    async with session(pools, role=OWNER, workload="admin", doing="looking for legal holds") as owner:
        name = record.leaving or record.partition_name
        keeping = await held(owner, record.table_name, name, record.range_start, record.range_end)
    if keeping:
        raise Conflict(f"{record.partition_name} stays: {'; '.join(keeping)}")


async def under_way(pools: Pools, table: str | None = None) -> list[Archive]:
    """Archives that somebody began and did not finish."""
    return await _records(pools, Q.under_way, table, None)


async def archives(pools: Pools, table: str | None = None, partition: str | None = None) -> list[Archive]:
    """All archives, by table, range and number; those of one table or partition only where it is named."""
    return await _records(pools, Q.listed, table, partition)


async def _records(pools: Pools, query: str, table: str | None, partition: str | None) -> list[Archive]:
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="reading the archives") as trusted:
        rows = await trusted.all(query, {"table_name": table, "partition_name": partition})
    return [Archive(**row) for row in rows]


async def _again(pools: Pools, record: Archive) -> Archive:
    found = [each for each in await archives(pools, record.table_name, record.partition_name) if each.id == record.id]
    if not found or found[0].state not in {"writing", "verified"}:
        raise Conflict(f"{record.partition_name} has left meanwhile")
    return found[0]


async def _begin(pools: Pools, table: str, found: Partition, folder: Folder) -> Archive:
    # A table's name may hold anything; a file's holds what every file system takes.
    place, name = (re.sub(r"[^A-Za-z0-9_-]+", "_", each) for each in (table, found.name.partition(".")[2]))
    file = f"{place}/{name}.{secrets.token_hex(4)}.parquet"
    free = shutil.disk_usage(folder.prepare(file).parent).free
    needed = found.bytes * SPACE_SHARE
    if free < needed:
        raise InvalidInput(
            f"{folder.path} has {free // 2**20} MB left, {found.name} may need {int(needed) // 2**20}",
            hint="make room, or set OUTREACHDB_ARCHIVE_FOLDER",
        )
    try:
        async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="recording an archive") as trusted:
            await trusted.value(Q.commit_durably)
            revision = await trusted.value(Q.revision)
            given = {
                "table_name": table, "partition_name": found.name, "range_start": found.range_start,
                "range_end": found.range_end, "file": file, "revision": revision,
            }  # fmt: skip
            number = await trusted.value(Q.begin, given)
            # Read by who wrote it: nobody can have changed it yet.
            rows = await trusted.all(Q.listed, {"table_name": table, "partition_name": found.name})
    except Conflict:
        raise Conflict(f"somebody else archives {found.name}") from None
    return next(Archive(**row) for row in rows if row["id"] == number)


class _alone:  # noqa: N801 - used as a function
    """One process works on an archive at a time: a session lock, gone with the process."""

    def __init__(self, pools: Pools, record: Archive) -> None:
        self._url = pools.url("admin")
        self._record = record
        self._connection: Connection | None = None

    async def __aenter__(self) -> None:
        self._connection = await connect(self._url, autocommit=True)
        key = f"outreachdb.archive.{self._record.id}"
        found = await self._connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS got", [key])
        row = await found.fetchone()
        if not (row and row["got"]):
            await self._connection.close()
            raise Conflict(f"somebody else archives {self._record.partition_name}")

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                await self._connection.execute(GIVE_BACK)
            await self._connection.close()


async def _detach(pools: Pools, record: Archive) -> None:
    """Detach the partition and give it another name, so that a late row can make its period anew."""
    connection = await connect(pools.url("admin"), autocommit=True)
    async with connection:
        await detaching.finalize_pending(connection, record.table_name)
        await connection.execute(f"SET ROLE {OWNER}")
        found = await connection.execute(Q.find_table, {"qualified": record.partition_name})
        there = await found.fetchone()
        if there is None:
            raise NotFound(f"there is no table {record.partition_name} any more", hint="it was not archived by us")
        if there["attached"]:
            await detaching.detach(connection, record.table_name, record.partition_name)
        name = f"{there['name'][:40]}_leaving_{record.id}"
        leaving = sql.Identifier(there["schema"], name).as_string(connection)
        rename = sql.SQL("ALTER TABLE {} RENAME TO {}").format(sql.SQL(record.partition_name), sql.Identifier(name))
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '5s'")
                await connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(there["owner"])))
                await connection.execute(rename)
                await connection.execute(f"SET LOCAL ROLE {OWNER}")
                await connection.execute(Q.leave, {"id": record.id, "leaving": leaving})
        except psycopg.Error as error:
            raise from_database(error, doing=f"detaching {record.partition_name}") from error


def _leave(url: str, record: Archive, folder: Folder, progress: Progress, stop: Stopping) -> Left:
    """Write, verify, drop: in a thread, on a transaction that keeps the table as it is from first look to drop."""
    # Names that the catalogue quoted.
    qualified = sql.SQL(record.leaving or record.partition_name)
    path = folder.prepare(record.file)
    clock = _Clock()
    with opened(url, stop) as work, opened(url, stop) as beside, opened(url, autocommit=True) as notes:
        act_as_owner_of(work, qualified)
        act_as_owner_of(beside, qualified)
        work.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(qualified))
        size = _one(work, "SELECT pg_total_relation_size(%s::regclass)", [qualified.as_string(work)])
        columns = columns_of_table(work, qualified)
        told = fingerprints.of_table(work, qualified, columns) if record.state == "verified" else None
        if told is None or not _is_there(record, path, told, columns):
            told = Fingerprint(columns)
            with closing(table_out([work, beside], qualified, columns, told, stop=stop.asked)) as rows:
                archive_files.write(path, rows, columns, _about(record), partial(_tell, notes, record, told), progress)
            clock.took("write")
            reading = partial(archive_files.fingerprint, path, columns, progress, stop.asked)
            _compare(notes, record, told, *_read_back(beside, qualified, reading))
            clock.took("verify")
        beside.rollback()
        file_bytes = path.stat().st_size
        notes.execute(Q.verified, {"id": record.id, "bytes": file_bytes})
        drop(work, qualified, record.table_name)
        _say_dropped(work, record)
        work.commit()
        clock.took("drop")
    return Left(
        record.id, record.table_name, record.partition_name, told.rows, int(size), str(path), file_bytes,
        told.sha256.hex(), clock.seconds,
    )  # fmt: skip


def _tell(notes: psycopg.Connection[Any], record: Archive, told: Fingerprint) -> dict[str, Any]:
    """What PostgreSQL says of the content, written into the record and into the end of the file."""
    given = {"id": record.id, "row_count": told.rows, "content_sha256": told.sha256}
    notes.execute(Q.take_fingerprint, given | {"fingerprint": Jsonb(told.document())})
    return {"rows": told.rows, "content_sha256": told.sha256.hex(), "fingerprint": told.document()}


def _read_back(
    beside: psycopg.Connection[Any], qualified: sql.SQL, reading: Callable[[], Fingerprint]
) -> tuple[Fingerprint, int]:
    """What the file says, and how many rows the whole table has: it was told portion by portion, and one may miss."""
    with ThreadPoolExecutor(1) as second:
        counting = second.submit(_one, beside, sql.SQL("SELECT count(*) FROM {}").format(qualified))
        return reading(), counting.result()


def _is_there(record: Archive, path: Path, told: Fingerprint, columns: Sequence[Column]) -> bool:
    """Whether a verified file is there, says what the table says now, and still reads so."""
    if record.state != "verified" or record.content_sha256 != told.sha256 or not path.exists():
        return False
    with suppress(OutreachDBError):
        return archive_files.fingerprint(path, columns).sha256 == told.sha256
    return False


def _about(record: Archive) -> dict[str, Any]:
    return {
        "archive_id": record.id, "table": record.table_name, "partition": record.partition_name,
        "range_start": record.range_start, "range_end": record.range_end, "revision": record.revision,
        "outreachdb": __version__,
    }  # fmt: skip


def _compare(
    notes: psycopg.Connection[Any], record: Archive, told: Fingerprint, read: Fingerprint, counted: int
) -> None:
    differences = told.differences(read)
    if counted != told.rows:
        differences.insert(0, f"{told.rows} rows of {counted}")
    if differences or told.sha256 != read.sha256:
        problem = "; ".join(differences) or "another content"
        notes.execute(Q.failed, {"id": record.id, "problem": problem})
        raise OutreachDBError(f"the archive of {record.partition_name} is not what the table says: {problem}")


def drop(work: psycopg.Connection[Any], qualified: sql.SQL, table: str) -> None:
    """Drop a detached table in the open transaction; foreign keys of its own ask for a moment of their parents."""
    work.execute("SELECT set_config('lock_timeout', %s, true)", [f"{DROP_LOCK_MS}ms"])
    for attempt in range(1, DROP_ATTEMPTS + 1):
        try:
            with work.transaction():  # a savepoint: the lock that keeps the table as it is stays
                if table == "email_sends":
                    work.execute(REMEMBER_MAILED.format(partition=qualified))
                work.execute(sql.SQL("DROP TABLE {}").format(qualified))
                return
        except (pg.LockNotAvailable, pg.DeadlockDetected):
            if attempt == DROP_ATTEMPTS:
                raise
            time.sleep(0.5)


def _say_dropped(work: psycopg.Connection[Any], record: Archive) -> None:
    """In the transaction that drops."""
    work.execute(f"SET LOCAL ROLE {OWNER}")
    if work.execute(Q.dropped, {"id": record.id}).rowcount != 1:
        raise Conflict(f"somebody else changed the archive {record.id}")


def columns_of_table(connection: psycopg.Connection[Any], qualified: sql.Composable) -> list[Column]:
    """The columns of a table in their order."""
    rows = connection.execute(Q.columns, {"table": qualified.as_string(connection)}).fetchall()
    return [Column(**row) for row in rows]


def act_as_owner_of(connection: psycopg.Connection[Any], qualified: sql.Composable) -> None:
    """Registered tables may belong to others; the login acts for them, to the end of the transaction."""
    found = connection.execute(Q.find_table, {"qualified": qualified.as_string(connection)}).fetchone()
    if found is None:
        raise NotFound(f"there is no table {qualified.as_string(connection)} any more")
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(found["owner"])))


class Stopping:
    """Asks a thread to stop, and its running statement as well."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._connections: list[psycopg.Connection[Any]] = []

    def asked(self) -> bool:
        """Whether it was asked to."""
        return self._event.is_set()

    def watch(self, connection: psycopg.Connection[Any]) -> None:
        """Cancel this connection's statement too."""
        self._connections.append(connection)

    def ask(self) -> None:
        """Ask."""
        self._event.set()
        for each in self._connections:
            with suppress(psycopg.Error):
                each.cancel_safe(timeout=5)


async def in_thread(work: Callable[[Stopping], T]) -> T:
    """Run blocking work in a thread; when the task is cancelled the thread is asked to stop, and waited for."""
    stopping = Stopping()
    running = asyncio.ensure_future(asyncio.to_thread(work, stopping))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stopping.ask()
        with suppress(Exception):
            await running
        raise
    except psycopg.Error as error:
        raise from_database(error, doing="archiving") from error


@contextmanager
def opened(url: str, stop: Stopping | None = None, *, autocommit: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """A blocking connection as the owner of the tables, with the settings that texts depend on."""
    connection: psycopg.Connection[Any] = psycopg.Connection.connect(
        url, autocommit=True, prepare_threshold=None, application_name="outreachdb", row_factory=psycopg.rows.dict_row
    )
    # Each statement sees what was committed before it: a row from before the SHARE lock must not stay unseen.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    try:
        connection.execute(f"SET ROLE {OWNER}")
        for setting in SETTINGS:
            connection.execute(setting)
        connection.autocommit = autocommit
        if stop is not None:
            stop.watch(connection)
        yield connection
    finally:
        if autocommit:
            with suppress(psycopg.Error):
                connection.execute(GIVE_BACK)
        connection.close()


def _one(
    connection: psycopg.Connection[Any], query: str | sql.Composed, parameters: Sequence[Any] | None = None
) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return next(iter(row.values())) if row else None


class _Clock:
    """How long each part took."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self.seconds: dict[str, float] = {}

    def took(self, part: str) -> None:
        """The part ends now."""
        now = time.monotonic()
        self.seconds[part] = round(now - self._since, 3)
        self._since = now
