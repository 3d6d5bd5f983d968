"""A physical backup: pg_basebackup's copy of the whole cluster with the WAL it needs, and the way back from it."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from outreachdb.backup import dumping
from outreachdb.backup.contents import Q
from outreachdb.backup.dumping import BackedUp, fingerprint, finish, record, unfinished
from outreachdb.backup.manifest import Manifest, hashed_files
from outreachdb.backup.programs import programs, run, without_password
from outreachdb.backup.restoring import Restored, Verified
from outreachdb.config import Settings
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.account import Account
from outreachdb.db.embedded.home import Home
from outreachdb.db.pools import connect
from outreachdb.errors import Conflict, DatabaseUnsupported, InvalidInput
from outreachdb.progress import Progress, silent

OURS = "outreachdb.conf"
PERCENT = re.compile(r"(\d+)/(\d+) kB")


async def back_up_cluster(
    url: str, place: Path, *, settings: Settings | None = None, progress: Progress = silent
) -> BackedUp:
    """Copy the whole cluster behind the URL into a new folder below ``place``; the login needs REPLICATION."""
    began, at = time.monotonic(), datetime.now(UTC)
    connection = await connect(url, autocommit=True)
    async with connection:
        about = await (await connection.execute(Q.database)).fetchone()
        assert about is not None  # noqa: S101  (one row by its form)
        ours = await (await connection.execute(Q.revision_table)).fetchone()
        revision = await (await connection.execute(Q.revision)).fetchone() if ours and ours["ours"] else None
        spaces = await (
            await connection.execute("SELECT count(*) AS n FROM pg_catalog.pg_tablespace WHERE spcname !~ '^pg_'")
        ).fetchone()
    if spaces and spaces["n"]:
        raise DatabaseUnsupported(
            "the cluster has tablespaces outside of its data folder", hint="use pgBackRest: docs/how-to/backup.md"
        )
    found = programs(about["version"] // 10000)
    name = f"cluster-{at:%Y%m%dT%H%M%SZ}"
    with unfinished(place, name) as folder:
        target, environment = without_password(url)

        def heard(line: str) -> None:
            if match := PERCENT.search(line):
                progress("copying kB", int(match[1]), int(match[2]))

        await run(
            [found.path / "pg_basebackup", f"--pgdata={folder / 'data'}", "--format=plain", "--wal-method=stream",
             "--checkpoint=fast", "--manifest-checksums=SHA256", "--progress", "--verbose", "--no-password",
             f"--dbname={target}"],
            environment, heard,
        )  # fmt: skip
        made = Manifest(
            kind="physical",
            database=about["name"],
            created_at=at.isoformat(),
            seconds=round(time.monotonic() - began, 2),
            server_version=about["version"],
            program=f"pg_basebackup {found.version}",
            revision=revision["revision"] if revision else None,
            locale={},
            extensions={},
            roles=(),
            tables={},
            files=await asyncio.to_thread(hashed_files, folder, progress),
            key_fingerprint=fingerprint(settings),
            notes=(*dumping.NOTES[:1], "It holds every database of the cluster, and the logins with their passwords."),
        )
        final = finish(folder, made, place / name)
    return BackedUp(final, made, await record(url, made, final, at))


async def verify_cluster(folder: Path, *, record_at: str | None = None, progress: Progress = silent) -> Verified:
    """Check every file and the WAL by pg_verifybackup, then start a copy and read every row of it.

    A cluster that `outreachdb up` did not make can't be started here without its own configuration: for that one the
    first half is done, and ``where`` says so.
    """
    began = time.monotonic()
    manifest = _physical(folder)
    await asyncio.to_thread(manifest.check_files, folder, progress)
    found = programs(manifest.server_version // 10000)
    progress("checking files and WAL", 0)
    await run([found.path / "pg_verifybackup", "--exit-on-error", folder / "data"], without_password("")[1])
    rows, tables, where = 0, 0, "its files and WAL only; start a copy with its own configuration to be sure"
    if _is_ours(folder):
        scratch = await asyncio.to_thread(_scratch)
        try:
            restored = await restore_cluster(folder, scratch / "home", check_files=False, progress=progress)
            rows, tables, where = restored.rows, restored.tables, "a copy of the cluster, started"
        finally:
            await asyncio.to_thread(EmbeddedServer(scratch / "home").destroy)
            shutil.rmtree(scratch, ignore_errors=True)
    if record_at:
        await dumping.record_verified(record_at, folder)
    return Verified(folder, where, tables, rows, False, round(time.monotonic() - began, 2))


async def restore_cluster(
    folder: Path, home: Path, *, check_files: bool = True, progress: Progress = silent
) -> Restored:
    """Make a new home of the embedded server from a copy of one, start it and read every row.

    Raises Conflict where the home holds a cluster already, InvalidInput for a copy of a server that is not ours.
    """
    began = time.monotonic()
    manifest = _physical(folder)
    if not _is_ours(folder):
        raise InvalidInput(
            f"{folder} is of a server that `outreachdb up` did not make",
            hint=f"put a copy of {folder / 'data'} where that server had its data, give it to its account, start it",
        )
    if check_files:
        await asyncio.to_thread(manifest.check_files, folder, progress)
    target = Home(home)
    target.check()
    if target.major() is not None:
        raise Conflict(f"{home} holds a cluster already", hint="set OUTREACHDB_HOME to a new folder")
    progress("copying the cluster", 0)
    await asyncio.to_thread(_place, folder / "data", target)
    server = EmbeddedServer(home)
    await asyncio.to_thread(server.start)
    tables, rows = await _read_all(server, manifest.database)
    notes = ("the secret key is not part of a backup: put secret.key back into the home folder",)
    return Restored(manifest.database, tables, rows, False, round(time.monotonic() - began, 2), notes)


def _physical(folder: Path) -> Manifest:
    manifest = Manifest.read(folder)
    if manifest.kind != "physical":
        raise InvalidInput(f"{folder} is a backup of one database", hint="leave out --cluster")
    return manifest


def _scratch() -> Path:
    """A folder that the server's account can pass through, and nobody can look into."""
    made = Path(tempfile.mkdtemp(prefix="odb-verify-", dir="/tmp"))
    made.chmod(0o711)
    return made


def _is_ours(folder: Path) -> bool:
    """Whether the copied server reads the settings that the embedded server writes for it."""
    configuration = folder / "data" / "postgresql.conf"
    return configuration.exists() and OURS in configuration.read_text()


def _place(source: Path, home: Home) -> None:
    """Copy under another name first, so that no half of a cluster is ever started."""
    home.make()
    account = Account.for_data(home.data)
    temporary = Path(tempfile.mkdtemp(dir=home.path, prefix="new-"))
    data = temporary / "data"
    shutil.copytree(source, data, symlinks=True)
    data.chmod(0o700)
    for path in [data, *data.rglob("*")]:
        account.give(path)
    home.remember()
    data.rename(home.data)
    temporary.rmdir()


async def _read_all(server: EmbeddedServer, database: str) -> tuple[int, int]:
    """Count all rows of the database: every page is read, and its checksum is looked at."""
    connection = await connect(server.url(database), autocommit=True)
    async with connection:
        tables = await (await connection.execute(Q.tables)).fetchall()
        rows = 0
        for table in tables:
            statement: Any = f"SELECT pg_catalog.count(*) AS n FROM ONLY {table['name']}".encode()  # noqa: S608  (quoted by the catalogue)
            row = await (await connection.execute(statement)).fetchone()
            rows += row["n"] if row else 0
    return len(tables), rows
