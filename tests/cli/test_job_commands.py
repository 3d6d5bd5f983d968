"""The commands of jobs and keys: what they print, and how they refuse."""

from __future__ import annotations

import getpass
from pathlib import Path

from commands import Run

from outreachdb.jobs import JOBS


def test_periodic_jobs_are_listed_run_and_looked_back_at(run: Run, workspace: str) -> None:
    listed = run("jobs", "list", "--json").document
    assert {row["name"] for row in listed["periodic"]} == {job.name for job in JOBS}
    assert listed["background"] == []
    done = run("jobs", "run", "analyze_hot_tables", "--json").document
    assert (done["status"], done["job"]) == ("succeeded", "analyze_hot_tables")
    newest = run("jobs", "history", "analyze_hot_tables", "--limit", "1", "--json").document["runs"][0]
    assert (newest["id"], newest["driver"], newest["status"]) == (done["run_id"], "command", "succeeded")
    assert "analyze_hot_tables" in run("jobs", "list").out
    assert run("jobs", "run", "weekly_report").status == 0
    assert "largest tables" in run("jobs", "report").out
    wrong = run("jobs", "run", "nothing")
    assert (wrong.status, wrong.err.count("\n")) == (1, 1)
    assert run("jobs", "install").status == 2
    assert "pg_cron" in run("jobs", "install", "--pg-cron").err


def test_a_background_job_from_the_command_line(run: Run, workspace: str, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("email\nada@acme.example\n")
    asked = run("import", str(file), "--background", "--json").document
    assert (asked["kind"], asked["status"]) == ("import", "queued")
    number = str(asked["job_id"])
    assert run("jobs", "list", "--json").document["background"][0]["job_id"] == asked["job_id"]
    assert run("jobs", "cancel", number, "--json").document["status"] == "cancelled"
    assert run("jobs", "retry", number, "--json").document["status"] == "queued"
    assert run("jobs", "cancel", number).status == 0
    assert "cancelled" in run("jobs", "show", number).out
    assert run("import", str(file), "--background", "--dry-run").status == 2
    assert run("segment", "export", str(tmp_path / "x.csv"), "--segment", "none", "--background").status == 1
    assert run("campaign", "launch", "none", "--background").status == 1


def test_keys_are_shown_once(run: Run, workspace: str) -> None:
    made = run("key", "create", "dashboard", "--scope", "write", "--days", "30", "--renew", "--json").document
    secret = made["key"]
    listed = run("key", "list").out
    assert made["prefix"] in listed
    assert secret not in listed
    rotated = run("key", "rotate", str(made["key_id"]), "--grace-hours", "0")
    assert rotated.status == 0
    assert secret not in rotated.out
    assert run("key", "revoke", str(made["key_id"])).status == 1
    assert run("key", "create", "x", "--scope", "root").status == 2
    told = run("audit", "search", "--json")
    assert [each["action"] for each in told.document["entries"]] == ["key.rotate", "key.create", "key.create"]
    assert secret not in told.out
    ended = run("audit", "search", "--action", "key.rotate", "--limit", "1").out
    assert getpass.getuser() in ended
    assert made["prefix"] in ended
