"""The week's report: what grew, which months are there, which jobs failed, which statements were slow."""

from __future__ import annotations

import psycopg

MONTHLY = ("audit_log", "email_events", "email_sends", "lead_activities", "message_log")
FILL = """
INSERT INTO outreach.workspaces (name) VALUES ('acme');
INSERT INTO outreach.companies (workspace_id, name)
SELECT w.id, 'Company ' || n FROM outreach.workspaces AS w, generate_series(1, 5000) AS n;
INSERT INTO ops.maintenance_runs (job, driver, started_at, status, error)
VALUES ('retention', 'worker', now() - interval '1 day', 'failed', 'the disk is full'),
       ('retention', 'worker', now() - interval '9 days', 'failed', 'long ago'),
       ('fold_rollups', 'worker', now() - interval '1 day', 'succeeded', NULL);
"""


def test_what_a_week_brought(own_database_url: str) -> None:
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA extensions")
        connection.execute("GRANT USAGE ON SCHEMA extensions TO PUBLIC")
        connection.execute("CREATE EXTENSION pg_stat_statements SCHEMA extensions")
        connection.execute("SELECT outreach.write_weekly_report()")
        connection.execute("SELECT outreach.snapshot_queries()")
        connection.execute(FILL.encode())
        connection.execute("ANALYZE outreach.companies")
        # Of a login that the report's own role knows nothing about.
        connection.execute("SELECT pg_sleep(0.15), 'slow one'")
        connection.execute("SELECT outreach.snapshot_queries()")
        connection.execute("SELECT outreach.write_weekly_report()")
        rows = connection.execute("SELECT document FROM ops.weekly_reports ORDER BY id").fetchall()
    (before,), (report,) = rows
    tables = {each["table"]: each for each in report["tables"]}
    assert tables["outreach.companies"]["rows"] == 5000
    sizes = [each["sizes"]["outreach.companies"] for each in (before, report)]
    assert tables["outreach.companies"]["grown_bytes"] == sizes[1] - sizes[0] > 0
    assert all(each["grown_bytes"] is None for each in before["tables"]), "there was no week before"
    months = {each["table"].removeprefix("outreach."): each["partitions"] for each in report["partitions"]}
    assert months == dict.fromkeys(MONTHLY, 24)
    assert report["failed_jobs"] == [{"job": "retention", "failures": 1, "error": "the disk is full"}]
    assert report["slow_queries_known"] is True
    (slow,) = [each for each in report["slow_queries"] if "pg_sleep" in each["query"]]
    assert slow["calls"] == 1
    assert slow["mean_ms"] > 150
