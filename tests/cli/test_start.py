"""What a command loads before it begins: libraries that take longer to load than people wait are loaded where they work."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("alembic", "duckdb", "fastapi", "nicegui", "numpy", "pglast", "procrastinate", "pyarrow", "sqlalchemy")
# Loads what `outreachdb COMMAND` loads up to its first line of work, then tells what of the heavy came along.
CHILD = """
import sys
from outreachdb.cli import main
main.{load}
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{{names}}}))
"""
LIGHT = ("campaign", "imports", "jobs", "key", "leads", "partitions", "segment", "send", "status", "stats", "workspace")


@pytest.mark.parametrize("load", ["outline()", *(f"build({command!r})" for command in LIGHT)])
def test_a_command_starts_without_what_it_does_not_need(load: str) -> None:
    code = CHILD.format(load=load, names=", ".join(map(repr, HEAVY)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
