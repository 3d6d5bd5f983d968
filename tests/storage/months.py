"""What tests of archive and retention share: a database of their own with old months, and whole tables compared."""

from __future__ import annotations

from typing import Any

import psycopg

MONTH = "date_trunc('month', now(), 'UTC') - interval '{months} months'"
EVENTS = """
    INSERT INTO outreach.email_events (
        workspace_id, event_key, created_at, event, provider, lead_id, recipient, reason, raw)
    SELECT %(ws)s, 'key' || n || %(tag)s, {month} + n * interval '1 minute', 'delivered', 'sendgrid', n,
           CASE WHEN n %% 3 > 0 THEN 'lead' || n || '@buyer.example' END,
           (ARRAY[NULL, '', 'é漢😀', E'a,"b"\\n\\\\N'])[1 + n %% 4],
           CASE WHEN n %% 2 = 0 THEN jsonb_build_object('n', n, 'é', ARRAY['x', NULL], 'price', 1.10) END
    FROM generate_series(1, %(rows)s) AS n
"""
# The months that a migration made and that are past their retention: here they would leave too.
CLEAR = """
    DO $$ DECLARE old text; BEGIN
        FOR old IN SELECT partition_name FROM outreach.get_partition_info() WHERE state = 'expired' LOOP
            EXECUTE 'DROP TABLE ' || old;
        END LOOP;
    END $$
"""
CONTENT = "SELECT count(*), md5(string_agg(r::text, '|' ORDER BY r::text COLLATE \"C\")) FROM {table} AS r"


def store_events(connection: psycopg.Connection[Any], ws: int, *, months: int, rows: int = 500, tag: str = "") -> str:
    """Events of a month so many months ago, its partition made if need be; the partition's name."""
    month = MONTH.format(months=months)
    connection.execute(f"SELECT outreach.ensure_partitions('email_events', {month}, {month})".encode())
    connection.execute(EVENTS.format(month=month).encode(), {"ws": ws, "tag": tag, "rows": rows})
    row = connection.execute(
        f"SELECT tableoid::regclass::text FROM outreach.email_events WHERE created_at >= {month}"
        f" AND created_at < {month} + interval '1 month' LIMIT 1".encode()
    ).fetchone()
    assert row is not None
    return str(row[0])


def content(connection: psycopg.Connection[Any], table: str) -> tuple[int, str | None]:
    """How many rows, and a hash of what they say."""
    row = connection.execute(CONTENT.format(table=table).encode()).fetchone()
    assert row is not None
    return row[0], row[1]


def workspace(connection: psycopg.Connection[Any], name: str) -> int:
    """A new workspace."""
    row = connection.execute("INSERT INTO outreach.workspaces (name) VALUES (%s) RETURNING id", [name]).fetchone()
    assert row is not None
    return int(row[0])
