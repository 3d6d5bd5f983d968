"""Sets proposed settings by ALTER SYSTEM and takes them back exactly.

What ALTER SYSTEM had set before is kept in ``<home>/tuning/<system identifier>.json``, written before the first change:
a run that was killed can be taken back like one that ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import errors as pg
from psycopg import sql

from outreachdb.db.pools import Connection, connect, describe
from outreachdb.db.queries import Queries
from outreachdb.errors import Conflict, DatabaseUnsupported, OutreachDBError
from outreachdb.tuning.propose import PRELOAD, Proposal, split_list

Q = Queries("outreachdb.tuning")
FORMAT = 1
RELOAD_SECONDS = 5.0
# No privilege; switched off (allow_alter_system, PostgreSQL 17); a service's own refusal.
REFUSALS = (pg.InsufficientPrivilege, pg.FeatureNotSupported, pg.InsufficientPrivilege)


@dataclass(frozen=True, slots=True)
class Applied:
    """Names that were set, those of them that wait for a restart, and where the state before is kept."""

    changed: tuple[str, ...]
    restart: tuple[str, ...]
    kept_in: Path | None


@dataclass(frozen=True, slots=True)
class Reverted:
    """Names that are as before, those that wait for a restart, and those left because somebody changed them since."""

    restored: tuple[str, ...]
    restart: tuple[str, ...]
    left: tuple[str, ...]


async def apply(proposal: Proposal, home: Path) -> Applied:
    """Set what changes, or nothing; DatabaseUnsupported where the server refuses, with what to set by other means."""
    wanted = {row.name: row.proposed for row in proposal.changing}
    if not wanted:
        return Applied((), (), None)
    path = _path(home, proposal.identifier)
    connection = await connect(proposal.url, autocommit=True)
    async with connection:
        try:
            current = await _altered(connection, wanted)
            saved = _load(path)
            _save(path, proposal, _merged(saved, wanted, current))
            try:
                await _set_all(connection, wanted, current)
            except BaseException:
                _restore_file(path, saved)
                raise
            await _remember_applied(connection, path, proposal, wanted)
            pending = await _reload(connection, wanted)
        except REFUSALS as error:
            raise DatabaseUnsupported(
                f"{describe(proposal.url)} refuses ALTER SYSTEM: {str(error).splitlines()[0]}",
                hint="set these where the service lets you: "
                + "; ".join(f"{name} = {value}" for name, value in wanted.items()),
                settings=wanted,
            ) from error
    return Applied(tuple(wanted), pending, path)


async def revert(url: str, home: Path) -> Reverted:
    """Bring back what ALTER SYSTEM had set before, and unset what it had not; Conflict when nothing was applied."""
    connection = await connect(url, autocommit=True)
    async with connection:
        server = await (await connection.execute(Q.server)).fetchone()
        path = _path(home, str(server["identifier"] if server else ""))
        saved = _load(path)
        if saved is None:
            raise Conflict(f"nothing was applied to {describe(url)} from here", hint=f"it would be kept in {path}")
        before: dict[str, str | None] = saved["before"]
        current = await _altered(connection, before)
        # Ours are those that still have our value, or never got it: a killed run may have stopped in between.
        ours = [name for name in before if current.get(name) in {saved["applied"].get(name), before[name]}]
        try:
            for name in ours:
                if current.get(name) != before[name]:
                    await _set(connection, name, before[name])
        except REFUSALS as error:
            raise DatabaseUnsupported(f"{describe(url)} refuses ALTER SYSTEM: {str(error).splitlines()[0]}") from error
        pending = await _reload(connection, before)
    path.unlink()
    return Reverted(tuple(ours), pending, tuple(name for name in before if name not in ours))


def _path(home: Path, identifier: str) -> Path:
    return home / "tuning" / f"{identifier}.json"


async def _altered(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    rows = await (await connection.execute(Q.altered, {"names": list(names)})).fetchall()
    return {row["name"]: row["setting"] for row in rows}


def _merged(
    saved: Mapping[str, Any] | None, wanted: Mapping[str, str], current: Mapping[str, str]
) -> dict[str, dict[str, str | None]]:
    """The state before the first of several applications; what a person set in between is the state before for it."""
    before = dict(saved["before"]) if saved else {}
    applied = dict(saved["applied"]) if saved else {}
    for name, value in wanted.items():
        if name not in before or current.get(name) not in {applied.get(name), before[name]}:
            before[name] = current.get(name)
        applied[name] = value
    return {"before": before, "applied": applied}


async def _set_all(connection: Connection, wanted: Mapping[str, str], current: Mapping[str, str]) -> None:
    """All or none: ALTER SYSTEM knows no transaction."""
    done: list[str] = []
    try:
        for name, value in wanted.items():
            await _set(connection, name, value)
            done.append(name)
    except BaseException:
        for name in done:
            await _set(connection, name, current.get(name))
        raise


async def _set(connection: Connection, name: str, value: str | None) -> None:
    if value is None:
        await connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
        return
    words = split_list(value) if name == PRELOAD else [value]
    literals = sql.SQL(", ").join([sql.Literal(word) for word in words or [""]])
    await connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), literals))


async def _remember_applied(connection: Connection, path: Path, proposal: Proposal, wanted: Mapping[str, str]) -> None:
    """Keep our values as the file has them now: it may write one differently than we did."""
    saved = _load(path)
    if saved is not None:
        saved["applied"] |= await _altered(connection, wanted)
        _save(path, proposal, saved)


async def _reload(connection: Connection, names: Iterable[str]) -> tuple[str, ...]:
    """Have the files read again; the names that wait for a restart."""
    before = await _loaded(connection)
    await connection.execute(Q.reload)
    for _ in range(int(RELOAD_SECONDS / 0.05)):
        if await _loaded(connection) != before:
            break
        await asyncio.sleep(0.05)
    rows = await (await connection.execute(Q.settings_now, {"names": list(names)})).fetchall()
    return tuple(sorted(row["name"] for row in rows if row["pending_restart"]))


async def _loaded(connection: Connection) -> Any:
    row = await (await connection.execute(Q.load_time)).fetchone()
    return row["loaded"] if row else None


def _load(path: Path) -> dict[str, Any] | None:
    try:
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise OutreachDBError(
            f"{path} is damaged", hint="see postgresql.auto.conf of the server; remove the file"
        ) from None
    if saved.get("format") != FORMAT:
        raise OutreachDBError(f"{path} was made by another version of outreachdb", hint="update outreachdb")
    return saved


def _save(path: Path, proposal: Proposal, state: Mapping[str, Any]) -> None:
    document = {"format": FORMAT, "server": describe(proposal.url), "at": datetime.now(UTC).isoformat()}
    _write(path, document | {"before": state["before"], "applied": state["applied"]})


def _restore_file(path: Path, saved: Mapping[str, Any] | None) -> None:
    if saved is None:
        path.unlink(missing_ok=True)
    else:
        _write(path, saved)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(document, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)
