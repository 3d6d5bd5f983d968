"""The commands ``backup`` and ``restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg import conninfo

from outreachdb import backup as backups
from outreachdb.app import embedded_url
from outreachdb.backup import BackedUp, Manifest, Restored, Verified
from outreachdb.cli.context import run, settings
from outreachdb.cli.output import emit
from outreachdb.cli.progress import bar
from outreachdb.words import counted

Jobs = Annotated[int, typer.Option(min=1, max=64, help="Tables at a time.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(backup)
    app.command()(restore)


def backup(
    place: Annotated[Path | None, typer.Argument(help="Folder for backups; default HOME/backups.")] = None,
    jobs: Jobs = 2,
    physical: Annotated[bool, typer.Option("--physical", help="Copy the whole cluster, by pg_basebackup.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Restore it into a scratch server and compare.")] = False,
    hashes: Annotated[bool, typer.Option("--hashes/--no-hashes", help="Hash contents, besides counting rows.")] = True,
) -> None:
    """Back up the database into a new folder, with a manifest of what is in it. The secret key is not part of it."""
    folder = (place or settings().home / "backups").expanduser().absolute()

    async def work() -> tuple[BackedUp, Verified | None]:
        url = await _url()
        if physical:
            made = await backups.back_up_cluster(url, folder, settings=settings(), progress=progress)
            checked = await backups.verify_cluster(made.folder, record_at=url, progress=progress) if verify else None
        else:
            made = await backups.back_up(url, folder, jobs=jobs, hashes=hashes, settings=settings(), progress=progress)
            checked = await backups.verify(made.folder, jobs=jobs, record_at=url, progress=progress) if verify else None
        return made, checked

    with bar("backup") as progress:
        made, checked = run(work())
    emit(made.document() | {"verified": checked.document() if checked else None}, _told(made, checked))


def restore(
    folder: Annotated[Path, typer.Argument(help="Folder of one backup.")],
    database: Annotated[str | None, typer.Option(help="Name of the database to make; default that of the URL.")] = None,
    jobs: Jobs = 2,
    check: Annotated[bool, typer.Option("--check", help="Only restore into a scratch server and compare.")] = False,
) -> None:
    """Restore a backup into a database that is not there yet or empty; a copy of a cluster into a new home.

    With --check nothing stays: the backup is restored into a scratch server, compared, and said to be good.
    """
    folder = folder.expanduser().absolute()
    physical = Manifest.read(folder).kind == "physical"

    async def work() -> Restored | Verified:
        if check:
            verify = backups.verify_cluster if physical else backups.verify
            return await verify(folder, progress=progress)
        if physical:
            return await backups.restore_cluster(folder, settings().home, progress=progress)
        url = await _url()
        target = conninfo.make_conninfo(url, dbname=database) if database else url
        return await backups.restore(folder, target, jobs=jobs, settings=settings(), progress=progress)

    with bar("restore") as progress:
        done = run(work())
    emit(done.document(), _verified(done) if isinstance(done, Verified) else _restored(done))


async def _url() -> str:
    given = settings()
    return str(given.url("admin") or await embedded_url(given))


def _told(made: BackedUp, checked: Verified | None) -> str:
    about = made.manifest
    lines = [f"{made.folder}: {about.bytes / 1024**2:,.1f} MB in {about.seconds:.1f} s by {about.program}"]
    if about.tables:
        lines.append(f"{counted(len(about.tables), 'table')}, {counted(about.rows, 'row')}")
    if checked is not None:
        lines.append(_verified(checked))
    return "\n".join([*lines, *about.notes])


def _verified(done: Verified) -> str:
    compared = "rows and contents are what was backed up" if done.hashes else "the rows are there"
    what = f"{counted(done.tables, 'table')}, {counted(done.rows, 'row')}: {compared}" if done.tables else "whole"
    return f"verified on {done.where} in {done.seconds:.1f} s: {what}"


def _restored(done: Restored) -> str:
    compared = ", rows and contents compared" if done.compared else ""
    what = f"{counted(done.tables, 'table')}, {counted(done.rows, 'row')}"
    head = f"{done.database}: {what} in {done.seconds:.1f} s{compared}"
    document: dict[str, Any] = done.document()
    return "\n".join([head, *(f"note: {note}" for note in document["notes"])])
