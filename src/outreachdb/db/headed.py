"""SQL files that begin with a header, and the expressions that several of them begin with.

The header is comment lines of ``key: value`` pairs; a value may go on in the next line, indented. ``uses`` names
expressions of ``shared.sql`` that stand in front of the file's own statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from psycopg.sql import Literal

from outreachdb.db.queries import load

_PAIR = re.compile(r"^(\w+):\s*(.*)$")
_LEADING_COMMENT = re.compile(r"\A(?:--.*\n)+")


def split(text: str) -> tuple[dict[str, str], str]:
    """The header's pairs and the statement below it."""
    head = _LEADING_COMMENT.match(text)
    lines = [line[2:].removeprefix(" ") for line in (head.group() if head else "").splitlines()]
    return pairs(lines), text[head.end() if head else 0 :].strip().rstrip(";")


def pairs(lines: Iterable[str]) -> dict[str, str]:
    """The pairs of a header's lines."""
    about: dict[str, str] = {}
    last = ""
    for line in lines:
        if found := _PAIR.match(line):
            last = found[1]
            about[last] = found[2]
        elif line.strip() and last:
            about[last] += f" {line.strip()}"
    return about


def with_shared(names: Iterable[str], body: str) -> str:
    """The shared expressions in front of a statement's own."""
    return with_parts(shared_parts(names), body)


def shared_parts(names: Iterable[str]) -> dict[str, str]:
    """Shared expressions by their name."""
    shared = load("outreachdb.db", "shared.sql")
    return {name: shared[name] for name in names}


def given(about: Mapping[str, str]) -> dict[str, float]:
    """The numbers that a header gives, ``given: name=number name=number``."""
    return {name: float(value) for name, _, value in (pair.partition("=") for pair in about.get("given", "").split())}


def numbers(values: Mapping[str, float]) -> str:
    """One row with a column for each number."""
    return "SELECT " + ", ".join(
        f"{Literal(float(value)).as_string(None)}::float8 AS {name}" for name, value in values.items()
    )


def with_parts(parts: Mapping[str, str], body: str) -> str:
    """Expressions by their name in front of a statement, which may begin with some of its own."""
    if not parts:
        return body
    text = ",\n".join(f"{name} AS MATERIALIZED (\n{part}\n)" for name, part in parts.items())
    own = f",\n{body[4:].lstrip()}" if body.upper().startswith("WITH") else f"\n{body}"
    return f"WITH {text}{own}"
