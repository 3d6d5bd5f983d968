"""What each revision promises: written by ``python -m outreachdb.db.promises``, read by every verification.

``migrations/promises/<revision>.json`` holds ``{"set": {key: text}, "unset": [keys]}`` relative to the revision before;
``routines.json`` holds ``{room: {key: text}}`` for the routine files. Keys and texts are those of
:func:`outreachdb.db.catalogue.snapshot`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.embedded import throwaway
from outreachdb.db.migrate import OURS, Chain
from outreachdb.errors import MigrationError, OutreachDBError, UsageError


def promised(revision: str, chain: Chain = OURS) -> dict[str, str]:
    """All that a database at ``revision`` must hold, routines of the files that it can carry included."""
    whole: dict[str, str] = {}
    reached: set[str] = set()
    for step in migrate.history(chain):
        change = _read(chain.promises / f"{step.revision}.json")
        for key in change["unset"]:
            whole.pop(key, None)
        whole |= change["set"]
        reached.add(step.revision)
        if step.revision == revision:
            break
    else:
        raise MigrationError(f"the database is at {revision}, which this version of OutreachDB does not know")
    routines = _read(chain.promises / "routines.json")
    for file in chain.routine_files():
        if file.requires in reached:
            whole |= routines.get(file.room, {})
    return whole


async def generate(url: str, chain: Chain = OURS) -> dict[str, dict[str, object]]:
    """Migrate an empty scratch database step by step and describe each; file name -> content. Leaves it at the head."""
    settings = Settings.load()
    if await migrate.current(url, settings=settings) is not None:
        raise UsageError("promises are written from an empty database", hint="create a new one and name it")
    bare = Chain(chain.versions, (), chain.promises)
    files: dict[str, dict[str, object]] = {}
    before: dict[str, str] = {}
    for step in migrate.history(chain):
        await migrate.upgrade(url, step.revision, settings=settings, chain=bare)
        after = await _snapshot(url)
        files[f"{step.revision}.json"] = {
            "set": {key: text for key, text in after.items() if before.get(key) != text},
            "unset": sorted(before.keys() - after.keys()),
        }
        before = after
    rooms: dict[str, object] = {}
    for count, file in enumerate(chain.routine_files(), start=1):
        some = Chain(chain.versions, chain.routine_files()[:count], chain.promises)
        await migrate.upgrade(url, settings=settings, chain=some)
        after = await _snapshot(url)
        rooms[file.room] = _added(file.room, before, after)
        before = after
    files["routines.json"] = rooms
    return files


def write(files: Mapping[str, Mapping[str, object]], chain: Chain = OURS) -> list[Path]:
    """Write the files, one key per line so that a review sees what changed; the paths."""
    chain.promises.mkdir(exist_ok=True)
    for old in chain.promises.glob("*.json"):
        if old.name not in files:
            old.unlink()
    for name, content in files.items():
        (chain.promises / name).write_text(text(content), encoding="utf-8")
    return [chain.promises / name for name in files]


def text(content: Mapping[str, object]) -> str:
    """A promise file's text."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _added(room: str, before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """What a room's routine file brought; it may add objects, never change structure."""
    touched = sorted(key for key, text in before.items() if after.get(key) != text)
    if touched:
        raise MigrationError(f"{room}/routines.sql changes {touched[0]}", hint="structure belongs in a revision")
    return {key: text for key, text in after.items() if key not in before}


async def _snapshot(url: str) -> dict[str, str]:
    # Imported here: the catalogue reads promises, and only generating them needs the catalogue.
    from outreachdb.db.catalogue import snapshot  # noqa: PLC0415
    from outreachdb.db.pools import connect  # noqa: PLC0415

    connection = await connect(url)
    async with connection:
        return await snapshot(connection)


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        content: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MigrationError(
            f"there is no promise file {path.name}", hint="write it with `python -m outreachdb.db.promises`"
        ) from None
    return content


def main() -> int:
    """Write the promises, from a throw-away server or from the empty database whose URL is the only argument."""
    try:
        if len(sys.argv) > 1:
            files = asyncio.run(generate(sys.argv[1]))
        else:
            with throwaway() as server:
                files = asyncio.run(generate(server.url()))
    except OutreachDBError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    write(files)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
