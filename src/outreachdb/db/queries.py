"""Named statements: each room keeps its SQL in ``queries.sql`` beside the code that runs it.

A statement starts with ``-- name: claim_sends`` and takes ``%(name)s`` parameters. A test prepares every one of
them against a migrated database.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


class Queries:
    """The statements of one room, as attributes: ``Q = Queries("outreachdb.leads"); Q.find_lead``."""

    def __init__(self, package: str, file: str = "queries.sql") -> None:
        self.package = package
        self._statements = load(package, file)

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"{self.package} has no statement named {name}") from None

    def names(self) -> list[str]:
        """All names, in file order."""
        return list(self._statements)


@cache
def load(package: str, file: str = "queries.sql") -> dict[str, str]:
    """Parse a room's statements into name -> SQL text."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    names = parts[0::2]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"{package}/{file}: repeated statement names: {', '.join(sorted(repeated))}")
    return {name: body.strip().rstrip(";") for name, body in zip(names, parts[1::2], strict=True)}
