from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from outreachdb.cli.main import main


def process(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as scripts call it; most of a test goes through :func:`outreachdb`, which starts nothing."""
    command = [sys.executable, "-m", "outreachdb", *arguments, "--database-url", url]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def outreachdb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody sits there

    def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--database-url", url])
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), printed.out, printed.err)

    return run


def test_migrate_verify_validate_rollback(empty, sql, outreachdb):
    first = process(empty, "migrate", "--to", "0002")
    assert (first.returncode, first.stderr) == (0, "")
    assert [line.split()[0] for line in first.stdout.splitlines() if "  up  " in line] == ["0001", "0002"], (
        "each step once"
    )
    assert outreachdb(empty, "migrate", "rollback", "--to", "base", "--yes").stderr == ""
    printed = process(empty, "migrate", "--json")
    assert [line.split()[:2] for line in printed.stderr.splitlines()][:2] == [["0001", "up"], ["0002", "up"]]
    document = json.loads(printed.stdout)
    assert document["before"] is None
    assert document["steps"][0]["revision"] == "0001"
    assert "nothing to do" in outreachdb(empty, "migrate").stdout
    assert outreachdb(empty, "migrate", "verify").returncode == 0

    sql(empty, "DROP INDEX outreach.ix_leads_updated_at")
    drifted = process(empty, "migrate", "verify")
    assert drifted.returncode == 1
    assert drifted.stdout.startswith("missing: index outreach.ix_leads_updated_at")
    assert len(json.loads(outreachdb(empty, "migrate", "verify", "--json").stdout)["differences"]) == 1

    validated = outreachdb(empty, "constraints", "validate", "--json")
    assert (validated.returncode, json.loads(validated.stdout)["remaining"]) == (0, 0)
    sql(empty, "ALTER TABLE outreach.leads ADD CONSTRAINT ck_new CHECK (city <> 'x') NOT VALID")
    sql(empty, "INSERT INTO outreach.workspaces (id, name) VALUES (1, 'w')")
    sql(empty, "ALTER TABLE outreach.workspaces ADD CONSTRAINT ck_long CHECK (length(name) > 3) NOT VALID")
    remaining = outreachdb(empty, "constraints", "validate")
    assert remaining.returncode == 1
    assert "name='w'" in remaining.stdout

    rolled = outreachdb(empty, "migrate", "rollback", "--steps", "2")
    assert rolled.returncode == 0
    assert "writers blocked at most" in rolled.stdout
    for everything in (("--to", "base"), ("--steps", "99")):
        asked = outreachdb(empty, "migrate", "rollback", *everything)
        assert (asked.returncode, asked.stdout) == (2, "")
        assert "this removes the whole schema" in asked.stderr
        assert "give --yes" in asked.stderr
    assert outreachdb(empty, "migrate", "rollback", "--to", "base", "--yes").returncode == 0
    sql(empty, "CREATE SCHEMA outreach")  # nothing of the old one is left


def test_a_failed_run_tells_the_steps_that_stay(empty, sql, outreachdb):
    assert outreachdb(empty, "migrate", "--to", "0001").returncode == 0
    sql(empty, "CREATE TABLE outreach.campaigns (id int)")
    failed = outreachdb(empty, "migrate")
    assert (failed.returncode, failed.stdout) == (1, "")
    *steps, error = failed.stderr.splitlines()
    assert steps
    assert all(" up " in step for step in steps), failed.stderr
    assert error.startswith("outreachdb: ")


def test_wrong_calls_are_one_line(empty, outreachdb):
    unknown = outreachdb(empty, "migrate", "--to", "nonsense")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)
    bare = process(empty, "migrate", "verify")
    assert (bare.returncode, len(bare.stderr.splitlines())) == (1, 1)
    assert "outreachdb migrate" in bare.stderr
