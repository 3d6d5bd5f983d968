"""Archives looked at again later: is each file there, whole, and what it was?"""

from __future__ import annotations

from dataclasses import dataclass

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
) -> list[Checked]:
    """Read every archive that has left (or those of a table, of a partition) and compare it with what its table said.

    What is found is noted in the archive's record too: ``problem``, and ``verified_at`` where there is none.
    """
    chosen = [each for each in await archives(pools, table) if each.state in {"verified", "dropped"}]
    if partition is not None:
        chosen = [each for each in chosen if partition in names(each.partition_name)]
    if table is not None and not chosen:
        raise NotFound(f"{table} has no such archive", hint="outreachdb partitions archives")
    place = folder or Folder.of(pools.settings)
    done = []
    for each in chosen:
        problem = await in_thread(lambda stop, each=each: _problem(each, place, progress, stop.asked))  # type: ignore[misc]
        async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="noting what was checked") as trusted:
            await trusted.execute(Q.checked, {"id": each.id, "problem": problem})
        path = str(place.place(each.file))
        done.append(Checked(each.id, each.table_name, each.partition_name, each.row_count or 0, path, problem))
    return done


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
