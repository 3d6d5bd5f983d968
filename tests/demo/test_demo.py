"""The demo end to end: what arrived, what the ledger says and what the statistics count are the same mails."""

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
from outreachdb.config import Settings
from outreachdb.demo import story
from outreachdb.health import report

SOURCE = str(Path(outreachdb.__file__).parents[1])
LOGGED = "SELECT message_id FROM outreach.message_log WHERE direction = 'outbound'"
SENT = "SELECT recipient FROM outreach.email_sends WHERE status = 'sent'"


@pytest.mark.slow
async def test_the_demo_delivers_5000_mails_and_every_one_of_them_is_accounted_for(
    own_database_url: str, tmp_path: Path
) -> None:
    told = await story.tell(Settings.load({}, database_url=own_database_url, home=tmp_path))
    assert told.balanced
    received = [json.loads(line) for line in (told.folder / "received.jsonl").read_text().splitlines()]
    assert len(received) >= 5000
    messages = [each["message_id"] for each in received]
    assert len(set(messages)) == len(messages)
    with psycopg.connect(own_database_url) as connection:
        logged = sorted(row[0] for row in connection.execute(LOGGED))
        sent = sorted(row[0] for row in connection.execute(SENT))
    assert sorted(messages) == logged
    assert sorted(each["recipient"] for each in received) == sent
    # Whoever looks at its health right after sees nothing that passes by itself, or that one ought to mend.
    names = ["cache_hit_indexes", "cache_hit_tables", "dead_rows", "never_analysed", "rollup_lag"]
    health = await report.check(own_database_url, only=names)
    assert health.status == "green", [each for each in health.checks if each.status in {"yellow", "red"}]


def test_a_pipe_hears_of_each_step_when_it_ends(own_database_url: str, tmp_path: Path) -> None:
    environment = os.environ | {
        "OUTREACHDB_DATABASE_URL": own_database_url, "OUTREACHDB_HOME": str(tmp_path), "PYTHONPATH": SOURCE
    }  # fmt: skip
    command = [sys.executable, "-m", "outreachdb", "demo", "--leads", "1000"]
    environment.pop("PYTHONUNBUFFERED", None)  # which hides what is not flushed
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        first = child.stdout.readline()
        assert child.poll() is None  # it goes on, and the first step is told
        assert first.startswith("PostgreSQL ready (")
        rest, complaints = child.stdout.read(), child.stderr.read()
        assert (child.wait(), complaints) == (0, "")
    assert re.search(r"^list imported \(.* rows/s\): rows read 1,\d+; inserted ", rest, re.MULTILINE)
    assert rest.index("mails delivered by SMTP") < rest.index(" s in all\n") < rest.index("What must balance")


async def test_a_small_demo_balances(own_database_url: str, tmp_path: Path) -> None:
    told = await story.tell(Settings.load({}, database_url=own_database_url, home=tmp_path), leads=1000)
    document = told.document()
    assert document["balanced"] is True
    assert len(document["balances"]) == 6
    assert all(len(set(each["values"])) == 1 for each in document["balances"])
