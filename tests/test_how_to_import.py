"""The how-to "Import a messy list": its commands print what the page says, its Python and SQL run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import outreachdb

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "import-a-messy-list.md"
BLOCK = re.compile(r"```(sh|text|python|sql)\n(.*?)```", re.DOTALL)
SHELL = 'set -e\noutreachdb() { "$PYTHON" -m outreachdb "$@"; }\n'


@pytest.mark.slow
def test_the_page(own_database_url: str, tmp_path: Path) -> None:
    source = str(Path(outreachdb.__file__).parents[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTREACHDB_")} | {
        "OUTREACHDB_DATABASE_URL": own_database_url, "OUTREACHDB_HOME": str(tmp_path / "home"), "COLUMNS": "200",
        "OUTREACHDB_WORKSPACE": "acme", "PYTHON": sys.executable, "PYTHONPATH": source,
    }  # fmt: skip

    def shell(script: str) -> str:
        done = subprocess.run(
            ["bash", "-c", SHELL + script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (script, done.stderr)
        return done.stdout

    shell("outreachdb workspace create acme")
    printed, checked = "", 0
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind == "sh":
            printed = shell(text)
        elif kind == "text":
            for line in text.splitlines():
                assert line.strip() in printed, (line, printed)
                checked += 1
        elif kind == "sql":
            with psycopg.connect(own_database_url) as connection:
                connection.execute("SET ROLE outreachdb_app")
                told = [connection.execute(each.encode()) for each in text.split(";\n") if each.strip()]
                errors = [{"row": 2, "column": "email", "reason": "not an e-mail address"}]
                assert [each.fetchone() for each in told[1:]] == [(1, 0, 0, 1, errors), (0, 1)]
                assert f"`{json.dumps(errors)}`" in PAGE.read_text()
            checked += 1
        else:
            (tmp_path / "application.py").write_text(text)
            printed = shell('"$PYTHON" application.py')
            assert "reading " in printed
            assert "\n2 2\n" in printed
            assert "'tags': 'tags'" in printed.splitlines()[-1]
            checked += 1
    assert checked >= 10
