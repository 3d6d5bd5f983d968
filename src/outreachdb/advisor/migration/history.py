"""An existing Alembic history, read without running it: its head, or what is broken about it."""

from __future__ import annotations

import ast
import configparser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outreachdb.errors import MigrationError


@dataclass(frozen=True, slots=True)
class History:
    """Where revisions stand, and the one that a new one follows (None: it is the first)."""

    folder: Path
    head: str | None


@dataclass(frozen=True, slots=True)
class _Revision:
    file: str
    name: str
    parents: tuple[str, ...]
    needs: tuple[str, ...]


def read(folder: Path) -> History:
    """Find the versions below a folder and their head; MigrationError says which file breaks the history and how."""
    versions = _versions(folder)
    revisions = [found for file in sorted(versions.glob("*.py")) if (found := _revision(file)) is not None]
    by_name: dict[str, _Revision] = {}
    for each in revisions:
        if (other := by_name.get(each.name)) is not None:
            raise _broken(versions, f"revision {each.name} is there twice, in {other.file} and {each.file}")
        by_name[each.name] = each
    for each in revisions:
        if missing := [name for name in (*each.parents, *each.needs) if name not in by_name]:
            raise _broken(versions, f"{each.file} follows {', '.join(missing)}, which is not there")
    followed = {parent for each in revisions for parent in each.parents}
    heads = sorted(by_name.keys() - followed)
    if revisions and not heads:
        raise _broken(versions, "its revisions follow each other in a circle")
    if len(heads) > 1:
        named = ", ".join(f"{name} ({by_name[name].file})" for name in heads)
        raise _broken(versions, f"it has {len(heads)} heads: {named}", hint="merge them first: alembic merge heads")
    _all_reached(versions, by_name, heads)
    return History(versions, heads[0] if heads else None)


def _all_reached(versions: Path, by_name: dict[str, _Revision], heads: list[str]) -> None:
    """Every revision lies on the way to the head: a circle aside of it has no head of its own."""
    seen: set[str] = set()
    waiting = list(heads)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += by_name[name].parents
    if left := sorted(by_name.keys() - seen):
        raise _broken(versions, f"{', '.join(left)} follow each other in a circle")


def _versions(folder: Path) -> Path:
    """The folder of revisions: the given one, or what alembic.ini or env.py there point at."""
    if (ini := folder / "alembic.ini").is_file():
        config = configparser.ConfigParser(interpolation=None)
        config.read(ini, encoding="utf-8")
        place = config.get("alembic", "script_location", fallback="").replace("%(here)s", str(folder))
        script = folder / place.replace(":", "/")
        return script / "versions"
    if (folder / "env.py").is_file() or (folder / "versions").is_dir():
        return folder / "versions"
    return folder


def _revision(file: Path) -> _Revision | None:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise MigrationError(f"{file} can't be read as a revision: {error}") from error
    values: dict[str, Any] = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and target.id in {"revision", "down_revision", "depends_on"}:
                try:
                    values[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
                except ValueError as error:
                    raise MigrationError(f"{file}: {target.id} is not a plain value") from error
    if not isinstance(values.get("revision"), str):
        return None
    return _Revision(
        file.name, values["revision"], _names(values.get("down_revision")), _names(values.get("depends_on"))
    )


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _broken(
    folder: Path, what: str, hint: str = "mend it first: a revision behind it could never run"
) -> MigrationError:
    return MigrationError(f"the Alembic history in {folder} is broken: {what}", hint=hint)
