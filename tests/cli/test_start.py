"""What a command loads before it begins: libraries that load longer than people wait are loaded where they work."""

from __future__ import annotations

import subprocess
import sys

# Loads the first help page, then one command after the other as `outreachdb COMMAND` does up to its first line of work,
# and tells what of the heavy has come along after each.
CHILD = """
import sys
from outreachdb.cli import main
HEAVY = {"alembic", "duckdb", "fastapi", "nicegui", "numpy", "pglast", "procrastinate", "pyarrow", "sqlalchemy"}
LIGHT = "audit campaign imports jobs key leads partitions segment send status stats workspace"
main.outline()
print("outline", *sorted(HEAVY & {name.partition(".")[0] for name in sys.modules}))
for command in LIGHT.split():
    main.build(command)
    print(command, *sorted(HEAVY & {name.partition(".")[0] for name in sys.modules}))
"""


def test_commands_start_without_what_they_do_not_need() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 13
    assert [line for line in lines if " " in line] == []
