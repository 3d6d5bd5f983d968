"""Archives looked at again later: is each file there, whole, and what it was?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from outreachdb.db.pools import Pools
from outreachdb.db.tenant import TRUSTED_ROLE, session
from outreachdb.errors import InvalidInput, NotFound
from outreachdb.progress import Progress, silent
from outreachdb.storage import archive_files, fingerprints
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.archiving import Archive, Q, archives, in_thread
from outreachdb.storage.leaving import names


@dataclass(frozen=True, slots=True)
class Checked:
    """An archive and what is wrong with it; ``None`` where nothing is."""

    archive_id: int
    table: str
    partition: str
    rows: int
    file: str
    problem: str | None


async def verify(
    pools: Pools,
    table: str | None = None,
    partition: str | None = None,
    *,
    folder: Folder | None = None,
    progress: Progress = silent,
    unseen_for: timedelta = timedelta(0),
    seconds: float | None = None,
) -> list[Checked]:
    """Read every archive that has left (or those of a table, of a partition) and compare it with what its table said.

    What is found is noted in the archive's record too: ``problem``, and ``verified_at`` where there is none. Those that
    were not seen to be whole for longest come first; ``unseen_for`` leaves out what was seen since, and after
    ``seconds`` no other file is begun.
    """
    chosen = [each for each in await archives(pools, table) if each.state in {"verified", "dropped"}]
    if partition is not None:
        chosen = [each for each in chosen if partition in names(each.partition_name)]
    if table is not None and not chosen:
        raise NotFound(f"{table} has no such archive", hint="outreachdb partitions archives")
    place = folder or Folder.of(pools.settings)
    deadline = time.monotonic() + seconds if seconds is not None else None
    done = []
    for each in sorted(_unseen(chosen, unseen_for), key=_seen):
        if deadline is not None and time.monotonic() > deadline:
            break
        problem = await in_thread(lambda stop, each=each: _problem(each, place, progress, stop.asked))  # type: ignore[misc]
        async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="noting what was checked") as trusted:
            noted = await trusted.execute(Q.checked, {"id": each.id, "file": each.file, "problem": problem})
        if not noted.rowcount:
            continue  # it was restored, or is another file by now
        path = str(place.place(each.file))
        done.append(Checked(each.id, each.table_name, each.partition_name, each.row_count or 0, path, problem))
    return done


def _seen(record: Archive) -> datetime:
    return record.verified_at or datetime.min.replace(tzinfo=UTC)


def _unseen(records: list[Archive], unseen_for: timedelta) -> list[Archive]:
    before = datetime.now(UTC) - unseen_for
    return [each for each in records if each.problem or not unseen_for or _seen(each) < before]


def _problem(record: Archive, folder: Folder, progress: Progress, stop: object) -> str | None:
    path = folder.place(record.file)
    try:
        with archive_files.open_file(path) as file:
            columns = archive_files.columns_of(archive_files.about(file))
        read = archive_files.fingerprint(path, columns, progress, stop)
    except (NotFound, InvalidInput) as error:
        return error.detail
    if read.sha256 == record.content_sha256:
        return None
    wanted = fingerprints.of_document(record.fingerprint, columns)
    return "; ".join(wanted.differences(read)) or "another content"
