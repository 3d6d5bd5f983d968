"""People are erased from archives: each file that knows them is written anew without them, and the old one removed.

From the moment it is asked for, queries and restores leave them out. A file is replaced in steps of which each may be
the last before the power goes: the new file is written beside the old one, read back and compared; the record takes it
for the archive and remembers the old one; the old one is removed; the record forgets it. That nothing but the people's
rows is missing is proven, not assumed: fingerprints are sums, and those of what stays and of what goes must add up to
what was archived.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from psycopg.types.json import Jsonb

from outreachdb.db.migrating.roles import OWNER
from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Tenant, session
from outreachdb.errors import Conflict, InvalidInput, OutreachDBError
from outreachdb.progress import Progress, silent
from outreachdb.storage import archive_files
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.archiving import Archive, Stopping, in_thread, opened
from outreachdb.storage.columns import Column
from outreachdb.storage.fingerprints import Fingerprint, of_document

Q = Queries("outreachdb.storage", "erasing.sql")
# Where rows of ours name a person: a lead by its number, or an address, bare or with a name before it.
NUMBER = "lead_id"
ADDRESSES = ("recipient", "sender")
# An address in angle brackets at the end, for Arrow (RE2) and for PostgreSQL.
BRACKETED = r"^.*<([^<>]*)>\s*$"


@dataclass(frozen=True, slots=True)
class Erasure:
    """Who is to be erased from a workspace's archives; without ``done_at`` some file may still know them."""

    id: int
    workspace_id: int
    lead_ids: list[int]
    addresses: list[str]
    requested_by: str
    created_at: datetime
    done_at: datetime | None
    rows_removed: int


@dataclass(slots=True)
class Erased:
    """What a run did: files written anew, rows that went, and a line for each archive that could not be done yet."""

    rewritten: list[str] = field(default_factory=list)
    rows_removed: int = 0
    waiting: list[str] = field(default_factory=list)


async def erase(
    tenant: Tenant, *, leads: Sequence[int] = (), addresses: Sequence[str] = (), by: str | None = None,
    folder: Folder | None = None, progress: Progress = silent,
) -> Erased:  # fmt: skip
    """Erase people from the workspace's archives, by lead number and by address; what must wait is told.

    Live rows are not touched. Raises InvalidInput where nobody is named. A legal hold keeps the file as it is until it
    is released; queries and restores leave the people out all the same.
    """
    keys = sorted({each.strip().lower() for each in addresses})
    wrong = [each for each in keys if "@" not in each]
    if wrong or not (keys or leads):
        raise InvalidInput(f"{wrong[0]!r} is no address" if wrong else "who is to be erased?")
    given = {
        "workspace_id": tenant.workspace_id, "lead_ids": sorted(set(leads)), "addresses": keys,
        "requested_by": by or "",
    }  # fmt: skip
    async with tenant.trusted("admin", doing="asking for an erasure") as trusted:
        await trusted.execute(Q.ask, given)
    return await finish(tenant.pools, folder=folder, progress=progress)


async def finish(pools: Pools, *, folder: Folder | None = None, progress: Progress = silent) -> Erased:
    """Take all who are to be erased out of the files that still know them; safe to stop and to start again."""
    place, url = folder or Folder.of(pools.settings), pools.url("admin")
    done = Erased()
    standing = await _standing(pools)
    numbers = [each.id for each in standing]
    async with session(pools, role=OWNER, workload="admin", doing="looking for archives to rewrite") as owner:
        archives = [row["id"] for row in await owner.all(Q.to_rewrite, {"erasures": numbers})]
    if any(each.addresses for each in standing):
        await in_thread(lambda stop: _learn(url, archives, standing, place, stop))
        standing = await _standing(pools, numbers)
    for number in archives:
        try:
            await in_thread(lambda stop, number=number: _Rewriting(url, number, place, stop).run(standing, done))  # type: ignore[misc]
        except OutreachDBError as error:
            done.waiting.append(f"archive {number}: {error}")
        progress("rewritten", len(done.rewritten))
    async with session(pools, role=OWNER, workload="admin", doing="noting what was erased") as owner:
        await owner.execute(Q.done, {"erasures": numbers})
    return done


async def erasures(tenant: Tenant) -> list[Erasure]:
    """All erasures that were asked for in a workspace."""
    async with tenant.trusted("admin", doing="listing erasures") as trusted:
        return [Erasure(**row) for row in await trusted.all(Q.listed, {"workspace_id": tenant.workspace_id})]


async def _standing(pools: Pools, numbers: Sequence[int] | None = None) -> list[Erasure]:
    async with session(pools, role=TRUSTED_ROLE, workload="admin", doing="looking for erasures") as trusted:
        found = [Erasure(**row) for row in await trusted.all(Q.standing)]
    return [each for each in found if numbers is None or each.id in numbers]


def standing(work: psycopg.Connection[Any]) -> list[Erasure]:
    """Who is to be left out of what is read from archives; asked as the owner of the tables."""
    return [Erasure(**row) for row in work.execute(Q.standing).fetchall()]


def naming(table: str, names: Sequence[str]) -> list[str]:
    """The columns by which a table names people; none where it is not ours, as workspaces and leads are ours alone."""
    return [] if "." in table else [name for name in names if name in {"workspace_id", NUMBER, *ADDRESSES}]


def condition(names: Sequence[str], erased: Sequence[Erasure], alias: str) -> sql.Composable:
    """Whether a row of a table with these columns belongs to somebody who is to be erased, in SQL."""
    row = sql.Identifier(alias)
    found: list[sql.Composable] = []
    for each in erased:
        who: list[sql.Composable] = []
        if NUMBER in names:
            who.append(sql.SQL("coalesce({}.{} = ANY ({}), false)").format(
                row, sql.Identifier(NUMBER), sql.Literal(list(each.lead_ids))))  # fmt: skip
        who += [
            sql.SQL("coalesce(regexp_replace(lower({}.{}), {}, '\\1') = ANY ({}::text[]), false)").format(
                row, sql.Identifier(name), sql.Literal(BRACKETED), sql.Literal(list(each.addresses)))
            for name in ADDRESSES if name in names
        ]  # fmt: skip
        if who:
            found.append(sql.SQL("({}.workspace_id = {} AND ({}))").format(
                row, sql.Literal(each.workspace_id), sql.SQL(" OR ").join(who)))  # fmt: skip
    known = found and "workspace_id" in names
    return sql.SQL("({})").format(sql.SQL(" OR ").join(found)) if known else sql.SQL("false")


def expression(names: Sequence[str], erased: Sequence[Erasure]) -> pc.Expression | None:
    """The same for Arrow; None where the columns name nobody."""
    found = [each for each in (_one(names, erasure) for erasure in erased) if each is not None]
    return reduce(lambda a, b: a | b, found) if found else None


def _one(names: Sequence[str], erasure: Erasure) -> pc.Expression | None:
    who = []
    if NUMBER in names and erasure.lead_ids:
        who.append(pc.field(NUMBER).isin(pa.array(erasure.lead_ids, pa.int64())))
    if erasure.addresses:
        addresses = pa.array(erasure.addresses, pa.string())
        who += [_bare(pc.field(name)).isin(addresses) for name in ADDRESSES if name in names]
    if not who or "workspace_id" not in names:
        return None
    anybody: pc.Expression = reduce(lambda a, b: a | b, who)
    theirs = pc.coalesce(pc.field("workspace_id") == erasure.workspace_id, pc.scalar(False))
    return theirs & anybody


def _bare(column: pc.Expression) -> pc.Expression:
    """An address without the name before it, lower-cased; of NULL an address of nobody."""
    lowered = pc.utf8_lower(pc.coalesce(column, pc.scalar("")))
    return pc.replace_substring_regex(lowered, pattern=BRACKETED, replacement=r"\1")


def _learn(url: str, archives: Sequence[int], erased: Sequence[Erasure], folder: Folder, stop: Stopping) -> None:
    """Look up by which lead numbers the archives know an address; some tables name a person by that alone."""
    with opened(url, stop, autocommit=True) as work:
        for number in archives:
            row = work.execute(Q.current, {"id": number}).fetchone()
            path = folder.place(row["file"]) if row else None
            if path is None or not path.exists():
                continue
            for id_, leads in _leads_of(path, erased, stop).items():
                work.execute(Q.learn, {"id": id_, "lead_ids": sorted(leads)})


def _leads_of(path: Path, erased: Sequence[Erasure], stop: Stopping) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {each.id: set() for each in erased}
    with archive_files.open_file(path) as file:
        names = file.schema_arrow.names
        # Only of what was sent to the address: who answers from it may be writing for another.
        wanted = ["workspace_id", NUMBER, "recipient"]
        if not set(wanted) <= set(names):
            return {}
        for group in range(file.num_row_groups):
            if stop.asked():
                break
            table = file.read_row_group(group, columns=wanted)
            for each in erased:
                mask = _one(["workspace_id", "recipient"], each)
                if mask is not None:
                    found[each.id] |= set(table.filter(mask).column(NUMBER).drop_null().to_pylist())
    return {id_: leads for id_, leads in found.items() if leads}


class _Rewriting:
    """One archive, alone: nobody restores, finishes or rewrites it meanwhile."""

    def __init__(self, url: str, number: int, folder: Folder, stop: Stopping) -> None:
        self._url, self._number, self._folder, self._stop = url, number, folder, stop

    def run(self, standing: Sequence[Erasure], done: Erased) -> None:
        with opened(self._url, self._stop, autocommit=True) as work:
            key = f"outreachdb.archive.{self._number}"
            got = work.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS got", [key]).fetchone()
            if not (got and got["got"]):
                raise Conflict("somebody else is at it")
            record, passed = self._read(work)
            held = {each.id: self._holds(work, record, each) for each in standing if each.id not in passed}
            due = [each for each in standing if each.id in held and not held[each.id]]
            if due:
                self._rewrite(work, record, due, done)
            done.waiting += [f"{record.partition_name}: {line}" for lines in held.values() for line in lines]

    def _read(self, work: psycopg.Connection[Any]) -> tuple[Archive, list[int]]:
        """The record as it is now; a file that was replaced and not removed goes first."""
        row = work.execute(Q.current, {"id": self._number}).fetchone()
        if row is None or row["state"] not in {"dropped", "restored"}:
            raise Conflict("it is on its way")
        passed, old = row.pop("erasures"), row.pop("replaced_file")
        if old is not None:
            self._remove(work, old)
        return Archive(**row), passed

    def _holds(self, work: psycopg.Connection[Any], record: Archive, erasure: Erasure) -> list[str]:
        given = {
            "table_name": record.table_name, "range_start": record.range_start, "range_end": record.range_end,
            "workspace_id": erasure.workspace_id,
        }  # fmt: skip
        return [row["reason"] for row in work.execute(Q.holds, given).fetchall()]

    def _rewrite(self, work: psycopg.Connection[Any], record: Archive, due: list[Erasure], done: Erased) -> None:
        path = self._folder.place(record.file)
        given = {"id": record.id, "file": record.file, "erasures": [each.id for each in due]}
        if record.state == "restored" and not path.exists():
            work.execute(Q.passed, given)  # nobody needs that file any more, and somebody removed it
            return
        with archive_files.open_file(path) as file:
            about = archive_files.about(file)
            mask = expression(naming(record.table_name, file.schema_arrow.names), due)
        columns = archive_files.columns_of(about)
        rows = {} if mask is None else self._rows(path, due)
        if not sum(rows.values()):
            work.execute(Q.passed, given)
            return
        assert mask is not None  # noqa: S101  (rows were found by it)
        new_file = next_name(record.file)
        kept = self._write(record, path, self._folder.place(new_file), columns, about, mask)
        with work.transaction():
            taken = work.execute(Q.replaced, given | {
                "new_file": new_file, "row_count": kept.rows, "content_sha256": kept.sha256,
                "fingerprint": Jsonb(kept.document()), "bytes": self._folder.place(new_file).stat().st_size,
            })  # fmt: skip
            if taken.rowcount != 1:
                raise Conflict("somebody else changed it")
            for number, count in rows.items():
                work.execute(Q.counted, {"id": number, "rows": count})
        self._remove(work, record.file)
        done.rewritten.append(record.partition_name)
        done.rows_removed += (record.row_count or 0) - kept.rows

    def _rows(self, path: Path, due: list[Erasure]) -> dict[int, int]:
        """How many rows of the file each erasure names."""
        rows = dict.fromkeys((each.id for each in due), 0)
        with archive_files.open_file(path) as file:
            names = file.schema_arrow.names
            wanted = [name for name in ("workspace_id", NUMBER, *ADDRESSES) if name in names]
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=wanted)
                for each in due:
                    mask = _one(names, each)
                    if mask is not None:
                        rows[each.id] += table.filter(mask).num_rows
        return rows

    def _write(
        self, record: Archive, old: Path, new: Path, columns: list[Column], about: dict[str, Any], mask: pc.Expression
    ) -> Fingerprint:
        """The new file, read back; what stays and what goes add up to what was archived."""
        kept, gone = Fingerprint(columns), Fingerprint(columns)

        def staying() -> Iterator[pa.Table]:
            with archive_files.open_file(old) as file:
                for table in archive_files.tables(old, file, self._stop.asked):
                    leaves, stays = table.filter(mask).combine_chunks(), table.filter(~mask).combine_chunks()
                    for part, fingerprint in ((leaves, gone), (stays, kept)):
                        if part.num_rows:
                            fingerprint.add(part)
                    if stays.num_rows:
                        yield stays

        archive_files.write(
            new, staying(), columns, about,
            lambda: {"rows": kept.rows, "content_sha256": kept.sha256.hex(), "fingerprint": kept.document()},
        )  # fmt: skip
        was = of_document(record.fingerprint, columns)
        gone.take(kept)
        if was.sha256 != record.content_sha256 or gone.sha256 != was.sha256:
            new.unlink()
            raise InvalidInput(f"{old} is not what was archived; nothing was changed")
        if archive_files.fingerprint(new, columns, stop=self._stop.asked).sha256 != kept.sha256:
            new.unlink()
            raise OutreachDBError(f"{new} does not read as it was written; nothing was changed")
        return kept

    def _remove(self, work: psycopg.Connection[Any], file: str) -> None:
        path = self._folder.place(file)
        with suppress(FileNotFoundError):
            path.unlink()
            archive_files.sync(path.parent)
        work.execute(Q.old_file_removed, {"id": self._number})


def next_name(file: str) -> str:
    """The name of the file that takes a file's place: the same for whoever begins again after a crash."""
    found = re.fullmatch(r"(.*?)(?:\.r(\d+))?\.parquet", file)
    assert found is not None  # noqa: S101  (we named it)
    return f"{found[1]}.r{int(found[2] or 0) + 1}.parquet"
