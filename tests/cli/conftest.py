"""Runs commands in this process: what they print and how they exit."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from commands import Ended, Run

from outreachdb.cli.main import main


@pytest.fixture
def run(database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("OUTREACHDB_DATABASE_URL", database_url)
    monkeypatch.setenv("OUTREACHDB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "140")

    def command(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return command


@pytest.fixture
def workspace(run: Run, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"cli-{uuid4().hex[:12]}"
    assert run("workspace", "create", name).status == 0
    monkeypatch.setenv("OUTREACHDB_WORKSPACE", name)
    return name
