"""The tables of procrastinate, the job queue, in a schema of their own, from the migration files that it brings along.

Revisions depend on this file: add to it, never change what it does.
"""

from __future__ import annotations

import re
from pathlib import Path

from alembic.operations import Operations
from procrastinate.schema import SchemaManager

SCHEMA = "procrastinate"
# SQLAlchemy would take a lone colon before a word for a parameter.
_COLON = re.compile(r"(?<![:\\\w]):(?=\w)")


def create(op: Operations, until: str, *, after: str = "") -> None:
    """Apply the library's migration files above ``after`` up to ``until`` (both such as "03.04.00_50").

    Files, not the library's finished schema: a revision then makes the same tables whatever version is installed.
    """
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    op.execute(f"SET LOCAL search_path = {SCHEMA}")
    for path in files(until, after):
        text = _COLON.sub(r"\:", path.read_text(encoding="utf-8")).strip().removesuffix(";")
        # The marks are for the lint of migrations, which judges our own SQL only.
        op.execute(f"-- procrastinate: {path.stem}\n{text};\n-- procrastinate: end")
    op.execute("SET LOCAL search_path = public")


def drop(op: Operations) -> None:
    """Drop the schema with all that waits in the queue."""
    op.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


def files(until: str, after: str = "") -> list[Path]:
    """The library's migration files above ``after`` up to ``until``, in order."""
    found = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    return [path for path in found if after < path.name[:11] <= until]
