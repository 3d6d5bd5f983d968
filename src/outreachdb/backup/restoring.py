"""Restores a logical backup into a new database, which gets its name when it holds what it should."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo, sql
from psycopg import errors as pg

from outreachdb.backup import dumping
from outreachdb.backup.contents import Q, measured
from outreachdb.backup.manifest import Manifest, Role, Table
from outreachdb.backup.programs import Programs, programs, run, without_password
from outreachdb.config import Settings
from outreachdb.db.embedded import find_binaries, throwaway
from outreachdb.db.migrating import roles as ours
from outreachdb.db.pools import Connection, check_server, connect, describe
from outreachdb.errors import Conflict, DatabaseUnsupported, InvalidInput, OutreachDBError, ServerError
from outreachdb.progress import Progress, silent
from outreachdb.words import counted

PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
DECOMPRESSED = 8  # a dump's text takes about so many times its compressed size as a database with indexes


@dataclass(frozen=True, slots=True)
class Restored:
    """A database that holds what the backup holds; ``notes`` is what a person still has to do."""

    database: str
    tables: int
    rows: int
    compared: bool
    seconds: float
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "database": self.database,
            "tables": self.tables,
            "rows": self.rows,
            "compared": self.compared,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """A backup that was restored somewhere else: every table had its rows and its contents."""

    folder: Path
    where: str
    tables: int
    rows: int
    hashes: bool
    seconds: float

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "folder": str(self.folder),
            "where": self.where,
            "tables": self.tables,
            "rows": self.rows,
            "hashes": self.hashes,
            "seconds": self.seconds,
        }


async def restore(
    folder: Path,
    url: str,
    *,
    jobs: int = 2,
    settings: Settings | None = None,
    check_files: bool = True,
    progress: Progress = silent,
) -> Restored:
    """Restore into the database that the URL names, which must not be there yet, or be empty.

    It is built under another name and gets its own when it holds what the backup says; one that fails is dropped.
    Raises Conflict where the database has contents, InvalidInput where the backup is damaged or does not fit.
    """
    began = time.monotonic()
    manifest = Manifest.read(folder)
    if manifest.kind != "logical":
        raise InvalidInput(f"{folder} is a copy of a whole cluster", hint="outreachdb restore FOLDER --cluster")
    if check_files:
        await asyncio.to_thread(manifest.check_files, folder, progress)
    target = str(conninfo.conninfo_to_dict(url).get("dbname") or "")
    if not target:
        raise InvalidInput("restore into which database?", hint="name it in the URL")
    async with _maintenance(url) as connection:
        _check_version(connection, manifest)
        await _check_target(connection, url, target)
        made_by = int(manifest.program.split()[-1].split(".")[0])
        found = programs(max(made_by, connection.info.server_version // 10000))
        notes = await _roles(connection, manifest.roles)
        building = f"{target[:40]}_restoring_{secrets.token_hex(4)}"
        notes += await _create(connection, building, manifest)
        try:
            scratch = conninfo.make_conninfo(url, dbname=building)
            await _load(scratch, folder / "dump", found, manifest, jobs, progress)
            await _compare(scratch, manifest, jobs, progress)
            await _analyze(scratch, progress)
            await _take_place(connection, building, target)
        except BaseException:
            await _drop(connection, building)
            raise
    notes += _about_key(manifest, settings)
    return Restored(target, len(manifest.tables), manifest.rows, True, round(time.monotonic() - began, 2), tuple(notes))


async def verify(folder: Path, *, jobs: int = 2, record_at: str | None = None, progress: Progress = silent) -> Verified:
    """Restore into a scratch server of this machine and compare every table; InvalidInput where something differs."""
    began = time.monotonic()
    manifest = Manifest.read(folder)
    await asyncio.to_thread(manifest.check_files, folder, progress)
    major = manifest.server_version // 10000
    try:
        binaries = find_binaries(major)
    except ServerError:
        binaries = find_binaries()
        if binaries.major < major:
            raise ServerError(
                f"verifying needs the server of PostgreSQL {major} or later on this machine",
                hint=f"apt-get install postgresql-{major}, or restore it elsewhere: outreachdb -d URL restore {folder}",
            ) from None
    scratch = throwaway(binaries.path, room=manifest.bytes * DECOMPRESSED)
    server = await asyncio.to_thread(scratch.__enter__)
    try:
        url = server.url(f"{manifest.database[:40]}_verified")
        await restore(folder, url, jobs=jobs, check_files=False, progress=progress)
    finally:
        await asyncio.to_thread(scratch.__exit__, None, None, None)
    if record_at:
        await dumping.record_verified(record_at, folder)
    hashed = all(table.hash is not None for table in manifest.tables.values())
    where = f"a scratch server of PostgreSQL {binaries.version}"
    return Verified(folder, where, len(manifest.tables), manifest.rows, hashed, round(time.monotonic() - began, 2))


@asynccontextmanager
async def _maintenance(url: str) -> AsyncIterator[Connection]:
    """A connection to a database beside the target: it is made, renamed and dropped from there."""
    last: OutreachDBError | None = None
    for name in ("postgres", "template1"):
        try:
            connection = await connect(conninfo.make_conninfo(url, dbname=name), autocommit=True)
        except OutreachDBError as error:
            last = error
            continue
        async with connection:
            yield connection
        return
    raise last or ServerError("the server has no database to work from")


def _check_version(connection: Connection, manifest: Manifest) -> None:
    there, made = connection.info.server_version // 10000, manifest.server_version // 10000
    if there < made:
        raise InvalidInput(
            f"the backup is of PostgreSQL {made} and the server is PostgreSQL {there}",
            hint=f"restore into PostgreSQL {made} or later",
        )


async def _check_target(connection: Connection, url: str, target: str) -> None:
    about = await (await connection.execute(Q.database)).fetchone()
    if about is None or not about["may_create"]:
        raise DatabaseUnsupported(
            f"the login {connection.info.user} may not create databases",
            hint=f"as an administrator: ALTER ROLE {connection.info.user} CREATEDB",
        )
    row = await (await connection.execute(Q.database_exists, {"name": target})).fetchone()
    if not (row and row["found"]):
        return
    there = await connect(url, autocommit=True)
    async with there:
        count = await (await there.execute(Q.contents_of_database)).fetchone()
    if count and count["objects"]:
        raise Conflict(
            f"the database {target} on {describe(url)} is not empty",
            hint="restore beside it: outreachdb restore FOLDER --database ANOTHER",
        )


async def _roles(connection: Connection, wanted: Sequence[Role]) -> list[str]:
    """Make the roles that are missing; those that are there are left as they are."""
    rows = await (await connection.execute(Q.missing_roles, {"names": [role.name for role in wanted]})).fetchall()
    missing = {row["name"] for row in rows}
    made = [role for role in wanted if role.name in missing]
    may_grant = connection.info.server_version >= 160000
    for role in made:
        words = f"{'LOGIN' if role.login else 'NOLOGIN'} {'INHERIT' if role.inherit else 'NOINHERIT'}"
        try:
            await connection.execute(sql.SQL("CREATE ROLE {} " + words).format(sql.Identifier(role.name)))
        except pg.InsufficientPrivilege as error:
            raise DatabaseUnsupported(
                f"the backup needs the role {role.name}, which the login {connection.info.user} may not create",
                hint=f"as an administrator: ALTER ROLE {connection.info.user} CREATEROLE",
            ) from error
    for role in made:
        for group in role.member_of:
            with contextlib.suppress(pg.InsufficientPrivilege, pg.UndefinedObject):
                grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(role.name))
                await connection.execute(grant)
    await _join(connection, wanted, with_options=may_grant)
    logins = [role.name for role in made if role.login]
    special = [role.name for role in made if role.special]
    return [
        *([f"made without a password, set one: {', '.join(logins)}"] if logins else []),
        *([f"made without the special rights they had: {', '.join(special)}"] if special else []),
    ]


async def _join(connection: Connection, wanted: Iterable[Role], *, with_options: bool) -> None:
    """The login hands objects over to their owners, so it has to be a member of them; administrators need not."""
    options = " WITH SET TRUE, INHERIT TRUE" if with_options else ""
    for role in wanted:
        if role.login:
            continue
        row = await (await connection.execute(Q.is_member, {"role": role.name})).fetchone()
        if row and not row["ok"]:
            with contextlib.suppress(pg.InsufficientPrivilege):
                grant = sql.SQL("GRANT {} TO CURRENT_USER" + options).format(sql.Identifier(role.name))
                await connection.execute(grant)


async def _create(connection: Connection, name: str, manifest: Manifest) -> list[str]:
    """A new database that sorts as the old one did; where this server can't, as its own do, which is said."""
    locale = manifest.locale
    parts = [sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}").format(
        sql.Identifier(name), sql.Literal(locale["encoding"])
    )]  # fmt: skip
    words = [("LC_COLLATE", locale["lc_collate"]), ("LC_CTYPE", locale["lc_ctype"])]
    provider = PROVIDERS[str(locale["provider"])]
    words.append(("LOCALE_PROVIDER", provider))
    if provider == "icu":
        words.append(("ICU_LOCALE", locale["locale"]))
    if provider == "builtin":
        words.append(("BUILTIN_LOCALE", locale["locale"]))
    same = [*parts, *(sql.SQL(f"{word} = {{}}").format(sql.Literal(value)) for word, value in words)]
    try:
        await connection.execute(sql.SQL(" ").join(same))
    except (pg.InvalidParameterValue, pg.WrongObjectType, pg.SyntaxError, pg.FeatureNotSupported) as error:
        await connection.execute(parts[0])
        return [f"the server can't sort as before, so its own way is used: {str(error).splitlines()[0]}"]
    return []


async def _load(url: str, dump: Path, found: Programs, manifest: Manifest, jobs: int, progress: Progress) -> None:
    """Schemas first, then all else: who is given a function needs CREATE on its schema at that moment."""
    connection, environment = without_password(url)
    if manifest.revision is not None:
        await asyncio.to_thread(_ensure_ours, url)
    program = found.path / "pg_restore"
    listed = (await run([program, "--list", dump], environment)).splitlines()
    schemas = [line for line in listed if line.split(" ")[3:4] == ["SCHEMA"]]
    # From 17 on it sets a limit that older servers do not know; on those, that alone may fail.
    tolerated = "transaction_timeout" if found.major >= 17 and await check_server(url) < 170000 else None
    common: list[str | Path] = [
        program, "--no-password", "--no-tablespaces", "--verbose", f"--dbname={connection}",
        *([] if tolerated else ["--exit-on-error"]),
    ]  # fmt: skip
    total, done = len(manifest.tables), 0

    def heard(line: str) -> None:
        nonlocal done
        if "processing data for table" in line or ("finished item" in line and "TABLE DATA" in line):
            done += 1
            progress("restoring tables", min(done, total), total)

    progress("restoring tables", 0, total)
    with tempfile.TemporaryDirectory() as folder:
        first, rest = Path(folder) / "schemas", Path(folder) / "rest"
        first.write_text("\n".join(schemas) + "\n")
        rest.write_text("\n".join(line for line in listed if line not in set(schemas)) + "\n")
        await run([*common, f"--use-list={first}", dump], environment, tolerated=tolerated)
        given = await _lend(url, listed)
        await run([*common, f"--jobs={jobs}", f"--use-list={rest}", dump], environment, heard, tolerated)
        await _take_back(url, given)


def _ensure_ours(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        ours.ensure(connection)


async def _lend(url: str, listed: Sequence[str]) -> list[sql.Composed]:
    """CREATE on schemas in which the trusted role owns a function; administrators need not. Statements of the way back.

    A line of the list: number; two more, kind, schema, name with arguments, owner.
    """
    words = [line.split(" ") for line in listed]
    schemas = sorted({each[4] for each in words if each[3:4] == ["FUNCTION"] and each[-1] == ours.TRUSTED})
    connection = await connect(url, autocommit=True)
    async with connection:
        about = await (await connection.execute(Q.database)).fetchone()
        if about and about["superuser"]:
            return []
        given = [(sql.Identifier(schema), sql.Identifier(ours.TRUSTED)) for schema in schemas]
        for names in given:
            await connection.execute(sql.SQL("GRANT CREATE ON SCHEMA {} TO {}").format(*names))
        return [sql.SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(*names) for names in given]


async def _take_back(url: str, statements: Sequence[sql.Composed]) -> None:
    if statements:
        connection = await connect(url, autocommit=True)
        async with connection:
            for statement in statements:
                await connection.execute(statement)


async def _compare(url: str, manifest: Manifest, jobs: int, progress: Progress) -> None:
    hashes = all(table.hash is not None for table in manifest.tables.values())
    names = list(manifest.tables)
    try:
        there = await measured(url, names, hashes=hashes, jobs=jobs, progress=progress)
    except* pg.UndefinedTable as missing:
        raise InvalidInput(f"the restored database lacks a table: {missing.exceptions[0]}") from missing
    wrong = [name for name, table in manifest.tables.items() if there[name] != table]
    if wrong:
        first = _difference(wrong[0], manifest.tables, there)
        raise InvalidInput(f"not what was backed up: {counted(len(wrong), 'table')}, such as {first}", tables=wrong)


def _difference(name: str, wanted: dict[str, Table], there: dict[str, Table]) -> str:
    if wanted[name].rows != there[name].rows:
        return f"{name}: {counted(there[name].rows, 'row')} instead of {wanted[name].rows:,}"
    return f"{name}: {counted(wanted[name].rows, 'row')}, but other contents"


async def _analyze(url: str, progress: Progress) -> None:
    """A dump holds no statistics, and without them the first queries are planned blindly."""
    progress("statistics", 0)
    connection = await connect(url, autocommit=True)
    async with connection:
        await connection.execute("ANALYZE")


async def _take_place(connection: Connection, building: str, target: str) -> None:
    with contextlib.suppress(pg.InvalidCatalogName):
        await connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(target)))  # an empty one
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    await connection.execute(rename.format(sql.Identifier(building), sql.Identifier(target)))


async def _drop(connection: Connection, name: str) -> None:
    with contextlib.suppress(psycopg.Error):
        await asyncio.shield(
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        )


def _about_key(manifest: Manifest, settings: Settings | None) -> list[str]:
    here = dumping.fingerprint(settings)
    if manifest.key_fingerprint is None or settings is None:
        return []
    if here == manifest.key_fingerprint:
        return ["the secret key here is the one that the backup's stored passwords were encrypted by"]
    return [
        (
            "the secret key of the backup is not here: without it the stored passwords of mailboxes and credentials"
            " can't be read; bring it back as OUTREACHDB_SECRET_KEY, or store them anew"
        )
    ]
