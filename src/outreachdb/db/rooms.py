"""What the rooms bring along for the database: their models and their routine files."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from outreachdb.errors import MigrationError

PACKAGE = Path(__file__).parents[1]
# The order in which data travels. A routine may call those of rooms before its own, so files are replayed in this
# order.
ROOMS = (
    "tenancy",
    "leads",
    "segments",
    "campaigns",
    "sending",
    "events",
    "intelligence",
    "analytics",
    "storage",
    "jobs",
    "pooling",
    "tuning",
    "backup",
    "health",
    "advisor",
)

_ROUTINES = re.compile(r"routines(_\w+)?\.sql")
_REQUIRES = re.compile(r"\A--\s*requires:\s*(\S+)\s*$", re.MULTILINE)
_OWNER = re.compile(
    r"^--\s*owner:\s*(\w+)\s*\n(?:--.*\n)*\s*CREATE\s+(?:OR\s+REPLACE\s+)?\w+\s+([\w.\"]+)",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RoutineFile:
    """A room's ``routines.sql``: functions, procedures and plain views, each with ``CREATE OR REPLACE``.

    A large room goes on in ``routines_<part>.sql``, read behind it in order of name as one text; ``parts`` are the
    files' names with the numbers of their first lines in it.

    Its first line names the revision that must be there: ``-- requires: 0005``. A line ``-- owner: outreachdb_trusted``
    directly before a function gives the function to that role.
    """

    room: str
    text: str
    parts: tuple[tuple[str, int], ...] = (("routines.sql", 1),)

    @classmethod
    def of(cls, room: str) -> RoutineFile:
        """Read a room's files."""
        found = sorted(
            (file for file in resources.files(f"outreachdb.{room}").iterdir() if _ROUTINES.fullmatch(file.name)),
            key=lambda file: file.name.removesuffix(".sql"),
        )
        text, parts = "", []
        for file in found:
            parts.append((file.name, text.count("\n") + 1))
            text += file.read_text(encoding="utf-8")
        return cls(room, text, tuple(parts))

    def place(self, line: int) -> str:
        """File and line of a line of the whole text."""
        name, first = [part for part in self.parts if part[1] <= line][-1]
        return f"{self.room}/{name}, line {line - first + 1}"

    @property
    def requires(self) -> str:
        """The revision whose structure the file needs."""
        found = _REQUIRES.match(self.text)
        if found is None:
            raise MigrationError(f"{self.room}/routines.sql: the first line must be `-- requires: <revision>`")
        return found.group(1)

    @property
    def sha256(self) -> str:
        """Hash of the text, to see that the file changed."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def owners(self) -> dict[str, str]:
        """Qualified function name -> role, from the ``-- owner:`` lines (all overloads of the name)."""
        return {name.replace('"', "").lower(): role for role, name in _OWNER.findall(self.text)}


@cache
def import_models() -> tuple[str, ...]:
    """Import every room's ``models`` module, so that the metadata is whole; their names."""
    names = [f"outreachdb.{room}.models" for room in _rooms() if _has(room, "models.py")]
    for name in names:
        importlib.import_module(name)
    return tuple(names)


@cache
def routine_files() -> tuple[RoutineFile, ...]:
    """Every room's routine file, in replay order."""
    found = [room for room in _rooms() if _has(room, "routines.sql")]
    return tuple(RoutineFile.of(room) for room in sorted(found, key=_place))


def _place(room: str) -> tuple[int, str]:
    return (ROOMS.index(room) if room in ROOMS else len(ROOMS), room)


def _rooms() -> list[str]:
    return [module.name for module in pkgutil.iter_modules([str(PACKAGE)]) if module.ispkg]


def _has(room: str, file: str) -> bool:
    return resources.files("outreachdb").joinpath(room, file).is_file()
