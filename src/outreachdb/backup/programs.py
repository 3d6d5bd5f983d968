"""Which pg_dump, pg_restore and pg_basebackup to run, and running them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from psycopg import conninfo

from outreachdb.db.embedded.binaries import DEBIAN, folders
from outreachdb.errors import OutreachDBError, ServerError

NEEDED = ("pg_dump", "pg_restore", "pg_basebackup", "pg_verifybackup")
KEPT_LINES = 20
END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Programs:
    """One installation of the client programs: its folder and its version, such as ``18.1``."""

    path: Path
    version: str

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.split(".")[0])


def programs(major: int) -> Programs:
    """Those of a major version, else the next newer ones: older ones can't read a newer server."""
    found = sorted(_all(), key=lambda each: each.major)
    usable = [each for each in found if each.major >= major]
    if usable:
        return usable[0]
    there = ", ".join(f"{each.version} in {each.path}" for each in found) or "none"
    raise ServerError(
        f"pg_dump and its companions of version {major} or later are needed for PostgreSQL {major}; here: {there}",
        hint=f"apt-get install postgresql-client-{major}, or pip install 'outreachdb[embedded]' (version 18)",
    )


@cache
def _all() -> tuple[Programs, ...]:
    return tuple(_found())


def _found() -> Iterator[Programs]:
    seen = set()
    for folder in _folders():
        if folder in seen or not all(os.access(folder / name, os.X_OK) for name in NEEDED):
            continue
        seen.add(folder)
        done = subprocess.run(  # noqa: S603 - a program of that name in a folder of programs
            [folder / "pg_dump", "--version"], capture_output=True, text=True, check=False, timeout=30
        )
        if match := re.search(r"\(PostgreSQL\) (\d+\S*)", done.stdout):
            yield Programs(folder, match[1])


def _folders() -> Iterator[Path]:
    yield from folders()
    if program := shutil.which("pg_dump"):
        yield Path(program).resolve().parent
    yield from DEBIAN.glob("*/bin")


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """A connection string for an argument, which others can read, and the environment that holds the password."""
    given = conninfo.conninfo_to_dict(url)
    password = given.pop("password", None)
    environment = dict(os.environ) | ({"PGPASSWORD": str(password)} if password else {})
    return conninfo.make_conninfo("", **{name: str(value) for name, value in given.items()}), environment


async def run(
    command: Sequence[str | Path],
    environment: dict[str, str],
    on_line: Callable[[str], None] | None = None,
    tolerated: str | None = None,
) -> str:
    """Run a program to its end and return what it printed; cancelling ends it. Raises with its own words.

    A program that fails, but complains of nothing else than what has the ``tolerated`` words in it, has not failed.
    """
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env=environment | {"LC_ALL": "C"},
    )  # fmt: skip
    said: list[str] = []
    complaints: list[str] = []

    async def listen() -> None:
        assert process.stderr is not None  # noqa: S101  (asked for above)
        while line := (await process.stderr.readline()).decode(errors="replace").rstrip():
            said.append(line)
            del said[:-KEPT_LINES]
            if re.match(r"\w+: error: ", line):
                complaints.append(line)
            if on_line is not None:
                on_line(line)

    try:
        assert process.stdout is not None  # noqa: S101  (asked for above)
        out, _ = await asyncio.gather(process.stdout.read(), listen())
        status = await process.wait()
    except BaseException:
        await _end(process)
        raise
    if status and not (tolerated and complaints and all(tolerated in each for each in complaints)):
        raise OutreachDBError(f"{Path(command[0]).name} failed: {_reason(complaints or said)}")
    return out.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    for stop in (process.terminate, process.kill):
        with contextlib.suppress(ProcessLookupError):
            stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), END_SECONDS)
            return


def _reason(said: Sequence[str]) -> str:
    wrong = [line for line in said if re.search(r"error|fatal|could not|failed", line, re.IGNORECASE)]
    lines = wrong or list(said) or ["it said nothing"]
    return re.sub(r"^\w+: (error: )?", "", lines[0])
