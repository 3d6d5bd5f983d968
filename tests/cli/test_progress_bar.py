"""What people see on a terminal while an import runs, and that Ctrl-C tells the truth."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from commands import Run

import outreachdb


def _start(arguments: list[str], url: str, workspace: str, stderr: int) -> subprocess.Popen[str]:
    environment = os.environ | {
        "OUTREACHDB_DATABASE_URL": url, "OUTREACHDB_WORKSPACE": workspace, "TERM": "xterm", "COLUMNS": "140",
        "PYTHONPATH": str(Path(outreachdb.__file__).parents[1]),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "outreachdb", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "many.csv"
    path.write_text("email,company,city\n" + "".join(f"p{n}@x.com,C{n % 99},Rome\n" for n in range(40_000)))
    return path


@pytest.mark.slow
def test_a_bar_with_rate_and_time_left(run: Run, workspace: str, database_url: str, path: Path) -> None:
    ours, theirs = pty.openpty()
    process = _start(["import", str(path)], database_url, workspace, theirs)
    os.close(theirs)
    seen: list[bytes] = []

    def read() -> None:
        try:
            while block := os.read(ours, 65536):
                seen.append(block)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    out, _ = process.communicate(timeout=120)
    reader.join()
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(seen).decode(errors="replace"))
    assert "40,000 rows read = 40,000 inserted" in out
    for phase in ("reading", "checking", "inserting"):
        assert f"import: {phase}" in drawn
    assert re.search(r"inserting.* \d+/40000 .*\d:\d\d:\d\d|inserting.* \d+/40000 .*-:--:--", drawn)
    assert re.search(r"[\d,]+/s", drawn)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_import_says_what_is_true(
    run: Run, workspace: str, database_url: str, path: Path, number: signal.Signals
) -> None:
    with psycopg.connect(database_url) as other:
        # However late it is stopped it can't be done by then: it waits for another import of the workspace.
        other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('outreachdb.import', w.id))"
            " FROM outreach.workspaces AS w WHERE w.name = %s",
            [workspace],
        )
        process = _start(["import", str(path)], database_url, workspace, subprocess.PIPE)
        while process.poll() is None and not run("imports", "list", "--json").document["imports"]:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    (row,) = run("imports", "list", "--json").document["imports"]
    assert (process.returncode, out) == (1, "")
    assert f"import {row['id']} was stopped; nothing of it is stored" in err
    assert f"outreachdb imports resume {row['id']}" in err
    assert (row["status"], row["error"]) == ("cancelled", "stopped by a person; nothing was stored")
    assert run("imports", "resume", str(row["id"]), "--json").document["inserted"] == 40_000


def test_resume_refuses_in_one_line(run: Run, workspace: str, tmp_path: Path) -> None:
    ended = run("imports", "resume", "999999999")
    assert (ended.status, ended.out) == (1, "")
    assert "there is no import 999999999" in ended.err
    path = tmp_path / f"{uuid4().hex}.csv"
    path.write_text("email\na@x.com\n")
    done = run("import", str(path), "--json").document
    again = run("imports", "resume", str(done["import_id"]), "--json").document
    assert [again[name] for name in ("import_id", "rows_read", "inserted")] == [done["import_id"], 1, 1]
