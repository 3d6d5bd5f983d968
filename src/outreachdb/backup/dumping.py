"""A logical backup: pg_dump and our own count of what it has to hold, both in one snapshot."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from outreachdb.backup.contents import Q, held, measured
from outreachdb.backup.manifest import Manifest, hashed_files
from outreachdb.backup.programs import programs, run, without_password
from outreachdb.config import Settings
from outreachdb.db.pools import connect
from outreachdb.errors import Conflict, OutreachDBError
from outreachdb.progress import Progress, silent
from outreachdb.secrets import Keyring

UNFINISHED = ".unfinished-"
NOTES = (
    (
        "The secret key is not in here. Passwords of mailboxes and credentials of other systems are stored encrypted by"
        " it: keep it (OUTREACHDB_SECRET_KEY, or secret.key in the home folder) in another safe place."
    ),
    "Passwords of logins are not in here: whoever restores sets them anew.",
)
DUMPED = re.compile(r"dumping contents of table ")


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that is whole: its folder, its manifest, and whether health was told."""

    folder: Path
    manifest: Manifest
    recorded: bool

    def document(self) -> dict[str, Any]:
        """For JSON."""
        made = self.manifest
        return {
            "folder": str(self.folder),
            "kind": made.kind,
            "database": made.database,
            "tables": len(made.tables),
            "rows": made.rows,
            "bytes": made.bytes,
            "seconds": made.seconds,
            "recorded": self.recorded,
            "notes": list(made.notes),
        }


async def back_up(
    url: str,
    place: Path,
    *,
    jobs: int = 2,
    hashes: bool = True,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> BackedUp:
    """Write a backup of the URL's database into a new folder below ``place``; nothing is left of one that fails."""
    began, at = time.monotonic(), datetime.now(UTC)
    async with held(url) as (_, database):
        about = database.about
        found = programs(about["version"] // 10000)
        name = f"{_plain(about['name'])}-{at:%Y%m%dT%H%M%SZ}"
        with unfinished(place, name) as folder:
            await _dump(url, found.path, folder / "dump", database.snapshot, jobs, len(database.tables), progress)
            tables = await measured(
                url, database.tables, snapshot=database.snapshot, hashes=hashes, jobs=jobs, progress=progress
            )
            made = Manifest(
                kind="logical",
                database=about["name"],
                created_at=at.isoformat(),
                seconds=round(time.monotonic() - began, 2),
                server_version=about["version"],
                program=f"pg_dump {found.version}",
                revision=database.revision,
                locale={key: about[key] for key in ("encoding", "provider", "lc_collate", "lc_ctype", "locale")},
                extensions=database.extensions,
                roles=database.roles,
                tables=tables,
                files=hashed_files(folder, progress),
                key_fingerprint=fingerprint(settings),
                notes=NOTES,
            )
            final = finish(folder, made, place / name)
    return BackedUp(final, made, await record(url, made, final, at))


async def _dump(
    url: str, folder: Path, target: Path, snapshot: str, jobs: int, tables: int, progress: Progress
) -> None:
    connection, environment = without_password(url)
    done = 0

    def heard(line: str) -> None:
        nonlocal done
        if DUMPED.search(line):
            done += 1
            progress("dumping tables", min(done, tables), tables)

    progress("dumping tables", 0, tables)
    await run(
        [folder / "pg_dump", "--format=directory", f"--file={target}", f"--jobs={jobs}", f"--snapshot={snapshot}",
         "--no-password", "--verbose", "--lock-wait-timeout=60s", f"--dbname={connection}"],
        environment, heard,
    )  # fmt: skip


@contextlib.contextmanager
def unfinished(place: Path, name: str) -> Iterator[Path]:
    """A folder for a backup that is being made; it goes away unless it was finished, also that of a killed one."""
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(place)
        folder = place / f"{UNFINISHED}{name}-{os.getpid()}"
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise OutreachDBError(f"can't write to {place}: {error.strerror}") from error
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(handle)
        shutil.rmtree(folder, ignore_errors=True)


def finish(folder: Path, made: Manifest, final: Path) -> Path:
    """Give a whole backup its name, so that it is found from now on and survives a power cut."""
    made.write(folder)
    for path in (folder, *(each for each in folder.rglob("*") if each.is_dir())):
        _sync(path)
    if final.exists():
        raise Conflict(f"{final} exists already", hint="two backups of one second: try again")
    folder.rename(final)
    _sync(final.parent)
    return final


async def record(url: str, made: Manifest, folder: Path, at: datetime) -> bool:
    """Tell health; False where the database has no table for it. A backup is none the worse for that."""
    if made.revision is None:
        return False
    with contextlib.suppress(psycopg.Error):
        connection = await connect(url, autocommit=True)
        async with connection:
            await connection.execute(
                Q.record,
                {
                    "kind": made.kind,
                    "tool": made.program,
                    "place": str(folder),
                    "started_at": at,
                    "details": Jsonb(
                        {"bytes": made.bytes, "rows": made.rows, "tables": len(made.tables), "seconds": made.seconds}
                    ),
                },
            )
        return True
    return False


async def record_verified(url: str, folder: Path) -> None:
    """Tell health that a backup was restored somewhere and held what it should."""
    with contextlib.suppress(psycopg.Error):
        connection = await connect(url, autocommit=True)
        async with connection:
            await connection.execute(Q.verified, {"place": str(folder)})


def fingerprint(settings: Settings | None) -> str | None:
    """Tells one secret key from another without telling the key; None where there is none yet."""
    if settings is None:
        return None
    with contextlib.suppress(OutreachDBError):
        given = settings.secret_key or settings.secret_key_file or (settings.home / "secret.key").exists()
        return Keyring.load(settings).sign("backup", "fingerprint", length=8) if given else None
    return None


def _sweep(place: Path) -> None:
    """Remove what killed runs left: nobody holds it any more."""
    for left in place.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z_.-]", "_", name)
