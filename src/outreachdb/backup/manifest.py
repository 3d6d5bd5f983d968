"""What a backup's folder says of itself, and whether its files still are what they were."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from outreachdb.errors import InvalidInput, NotFound
from outreachdb.progress import Progress, silent

FORMAT = 1
NAME = "manifest.json"
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a table and a hash of their contents; None where it was not asked for."""

    rows: int
    hash: str | None


@dataclass(frozen=True, slots=True)
class Role:
    """A login or group that the database names; ``special`` rights are not restored, nor is a password."""

    name: str
    login: bool
    inherit: bool
    special: bool
    member_of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup; sizes in bytes, ``server_version`` such as 180001, ``created_at`` in ISO 8601."""

    kind: Literal["logical", "physical"]
    database: str
    created_at: str
    seconds: float
    server_version: int
    program: str
    revision: str | None
    locale: dict[str, str | None]
    extensions: dict[str, str]
    roles: tuple[Role, ...]
    tables: dict[str, Table]
    files: dict[str, dict[str, Any]]
    key_fingerprint: str | None
    notes: tuple[str, ...] = field(default=())

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(int(each["bytes"]) for each in self.files.values())

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables.values())

    def write(self, folder: Path) -> None:
        """Put it into the folder, with a hash of itself."""
        document = {"format": FORMAT} | asdict(self)
        text = json.dumps(document | {"sha256": _hash(document)}, indent=1, sort_keys=True) + "\n"
        with (folder / NAME).open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read it; NotFound where there is no backup, InvalidInput where it was changed or is of another version."""
        try:
            document: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFound(f"{folder} holds no backup", hint=f"a whole one has a {NAME}") from None
        except ValueError:
            raise InvalidInput(f"{folder / NAME} is damaged") from None
        if document.pop("format", None) != FORMAT:
            raise InvalidInput(f"{folder} was made by another version of outreachdb", hint="update outreachdb")
        if document.pop("sha256", None) != _hash({"format": FORMAT} | document):
            raise InvalidInput(f"{folder / NAME} has been changed since it was written")
        document["roles"] = tuple(Role(**each | {"member_of": tuple(each["member_of"])}) for each in document["roles"])
        document["tables"] = {name: Table(**each) for name, each in document["tables"].items()}
        return cls(**document | {"notes": tuple(document["notes"])})

    def check_files(self, folder: Path, progress: Progress = silent) -> None:
        """Compare every file with its hash; InvalidInput names the first that is missing or differs."""
        done = 0
        for name, expected in self.files.items():
            progress("checking files", done, self.bytes)
            path = folder / name
            if not path.is_file():
                raise InvalidInput(f"the backup is not whole: {path} is missing", path=str(path))
            if path.stat().st_size != expected["bytes"] or file_hash(path) != expected["sha256"]:
                raise InvalidInput(f"the backup is damaged: {path} is not what was written", path=str(path))
            done += int(expected["bytes"])


def hashed_files(folder: Path, progress: Progress = silent) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file below a folder, by path within it."""
    found = {}
    paths = sorted(_files(folder))
    for number, path in enumerate(paths):
        progress("hashing files", number, len(paths))
        found[str(path.relative_to(folder))] = {"bytes": path.stat().st_size, "sha256": file_hash(path)}
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path.name != NAME)


def _hash(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
