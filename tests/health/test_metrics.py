"""What Prometheus reads, and that its rules and the dashboard ask for nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from outreachdb.cli.main import main
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.health import checkbook, metrics
from outreachdb.health.configuration import Configuration

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "outreachdb.rules.yml"
# Where a label's values come from; a new label needs a closed list, or a limit, of its own.
LABELS = {"check", "job", "level", "operation", "outcome", "queue", "state", "table"}
NAME = re.compile(r"\boutreachdb_\w+")


@pytest.fixture(scope="module")
def exported(server: EmbeddedServer, template: str) -> str:
    """The metrics of a database with something in everything."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE measured TEMPLATE {template} STRATEGY FILE_COPY".encode())
    with psycopg.connect(server.url("measured"), autocommit=True) as connection:
        connection.execute("INSERT INTO outreach.workspaces (name) SELECT 'w' || n FROM generate_series(1, 300) AS n")
        connection.execute(
            "INSERT INTO outreach.leads (workspace_id, email) "
            "SELECT w.id, 'secret' || w.id || '@acme.example' FROM outreach.workspaces AS w"
        )
        connection.execute(
            "INSERT INTO ops.maintenance_runs (job, status, started_at, finished_at) VALUES "
            "('rollups', 'succeeded', now() - interval '2 min', now() - interval '1 min'), "
            "('rollups', 'failed', now(), now())"
        )
        connection.execute("INSERT INTO ops.alerts (check_name, state, level) VALUES ('disk', 'firing', 'red')")
    text = asyncio.run(metrics.Exporter(server.url("measured"), Configuration()).text()).decode()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE measured WITH (FORCE)")
    return text


def test_promtool_accepts_metrics_and_rules(exported: str) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exported, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    for arguments in (["check", "rules", RULES], ["test", "rules", RULES.with_suffix(".test.yml")]):
        done = subprocess.run(["promtool", *arguments], text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_and_the_rules_ask_for_what_is_exported(exported: str) -> None:
    names = {sample.name for family in parse(exported) for sample in family.samples}
    board = json.loads((DEPLOY / "grafana" / "outreachdb.json").read_text())
    asked = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    assert NAME.findall(RULES.read_text())
    assert len(set(NAME.findall(asked))) > 15
    assert set(NAME.findall(asked)) | set(NAME.findall(RULES.read_text())) <= names
    # Everything that is exported is shown, but for what only rules need.
    assert names - set(NAME.findall(asked)) <= {"outreachdb_job_finished_timestamp_seconds"}


def test_labels_are_bounded(exported: str) -> None:
    """Three hundred workspaces and leads leave no trace; each label has a closed list of values or a limit."""
    values: dict[str, set[str]] = {}
    for family in parse(exported):
        for sample in family.samples:
            for label, value in sample.labels.items():
                values.setdefault(label, set()).add(value)
    assert values.keys() == LABELS
    assert values["check"] <= checkbook.checks().keys()
    assert len(values["table"]) <= metrics.MOST_TABLES
    assert "secret" not in exported
    assert exported.count("\n") < 500


def test_values(exported: str) -> None:
    found = {(each.name, *each.labels.values()): each.value for family in parse(exported) for each in family.samples}
    assert found["outreachdb_up",] == 1
    assert found["outreachdb_health_status", "connections"] == 0
    assert found["outreachdb_health_threshold", "connections", "red"] == 90
    assert found["outreachdb_queue_size", "email_checks"] == 300
    assert found["outreachdb_job_failed", "rollups"] == 1
    assert found["outreachdb_job_succeeded_timestamp_seconds", "rollups"] > 1.6e9
    assert found["outreachdb_alerts_firing", "red"] == 1
    assert found["outreachdb_connections_max",] > found["outreachdb_connections", "taken"] > 0
    assert found["outreachdb_transactions_total", "commit"] > 0


async def test_a_database_that_is_away_is_a_metric() -> None:
    text = (await metrics.Exporter("postgresql://127.0.0.1:1/none").text()).decode()
    assert [line for line in text.splitlines() if not line.startswith("#")] == ["outreachdb_up 0.0"]


async def test_scrapes_share_a_look(database_url: str) -> None:
    exporter = metrics.Exporter(database_url, seconds=60)
    first, second = await asyncio.gather(exporter.text(), exporter.text())
    assert first is second


def test_a_foreign_database_has_the_checks(empty_database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["metrics", "-d", empty_database_url])
    assert ended.value.code in {0, None}
    out = capsys.readouterr().out
    assert 'outreachdb_health_status{check="connections"} 0.0' in out
    assert "outreachdb_table_bytes{" not in out
