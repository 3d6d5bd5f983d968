"""A database in which every table has rows (catalogue.sql), and what owner queries are asked with on it.

The test that plans the owner queries and the benchmark that measures the indexes share it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import resources
from typing import Any

import psycopg

from outreachdb.db.index_catalogue import Entry
from outreachdb.db.tenant import APP_ROLE, TRUSTED_ROLE

ROLES = {
    "tenant": APP_ROLE,
    "trusted": TRUSTED_ROLE,
    "reader": "outreachdb_reader",
    "owner": "outreachdb_owner",
}
# The same word means another thing in another room.
DIFFERENT: dict[str, dict[str, Any]] = {
    "uq_segments_name": {"name": "segment 777"},
    "ix_reports_kind_created": {"kind": "weekly"},
    "uq_webhook_endpoints_token": {"workspace_id": 8},
    "pk_daily_figures": {"name": "table 77", "kind": "table"},
}
TABLES = """
SELECT c.oid::regclass::text
FROM pg_class AS c
WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
  AND c.relnamespace::regnamespace::text IN ('outreach', 'analytics', 'ops')
"""
SECONDARY = """
SELECT i.oid::regclass::text AS name, replace(pg_get_indexdef(i.oid), ' ON ONLY ', ' ON ') AS made
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS c ON c.oid = x.indrelid
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relnamespace::regnamespace::text IN ('outreach', 'analytics', 'ops')
  AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.oid)
ORDER BY i.relname
"""
INSTANTS = "SELECT launched_at FROM outreach.campaigns WHERE workspace_id = 1 AND id BETWEEN %s AND %s ORDER BY id"


def fill(url: str, *, indexes_last: bool = False) -> dict[str, Any]:
    """Fill the database, which must be a fresh clone; the parameters of all owner queries, by name.

    With ``indexes_last`` those that are no rule are made anew over the rows, a quarter less work; without, they
    grow with the rows, as they do in use: for whoever measures them.
    """
    text = resources.files("outreachdb.benchmarks").joinpath("catalogue.sql").read_text(encoding="utf-8")
    with psycopg.connect(url, autocommit=True) as connection:
        later = _taken_off(connection) if indexes_last else []
        for statement in [*text.split(";\n"), *later]:
            connection.execute(statement.encode())
        # Naming a partitioned table takes its partitions along.
        for (table,) in connection.execute(TABLES).fetchall():
            connection.execute(f"VACUUM (ANALYZE) {table}".encode())
        return _parameters(connection)


def _taken_off(connection: psycopg.Connection[Any]) -> list[str]:
    """Drop the indexes that are no rule; how each is made again."""
    found = connection.execute(SECONDARY.encode()).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}".encode())
    return [made for _, made in found]


def parameters_of(entry: Entry, parameters: dict[str, Any]) -> dict[str, Any]:
    """What one entry's query is asked with."""
    return parameters | DIFFERENT.get(entry.name, {})


def _parameters(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    now = datetime.now(UTC)
    day = (now - timedelta(days=40)).replace(hour=0, minute=0, second=0, microsecond=0)
    launched = [instant for (instant,) in connection.execute(INSTANTS, (50, 50))]
    running = [instant for (instant,) in connection.execute(INSTANTS, (98, 100))]
    return {
        "workspace_id": 1,
        "limit": 50,
        "after": 1000,
        "id": 777,
        # times
        "now": now,
        "since": now - timedelta(days=2),
        "week_ago": now - timedelta(days=7),
        "until": now + timedelta(days=3),
        "before": now - timedelta(days=1),
        "day": day,
        "next_day": day + timedelta(days=1),
        "horizon": now - timedelta(days=149),
        # tenancy
        "name": "workspace-777",
        "hash": sha256(b"key777").digest(),
        "imap_host": "imap.sender.example",
        "username": "box777",
        "folder": "INBOX",
        "token_hash": sha256(b"token777").digest(),
        "action": "key.rotate",
        # leads
        "lead_id": 7777,
        "company_id": 777,
        "domain": "company777.example",
        "name_key": "company 777",
        "nameless_key": "company 778",
        "company_name": "Company 777",
        "months": [3, 4],
        "email": "Person7777@company7778.example",
        "email_key": "person7777@company7778.example",
        "source_key": "key7780",
        "lead_status": "replied",
        "industry": "Finance",
        "rare_industry": "Mining",
        "email_status": "unchecked",
        "score": 60.0,
        "high_score": 99.0,
        "tags": ["rare777"],
        "common_tags": ["tag3"],
        "small_workspace": 7,
        "custom_fields": '{"account": 777}',
        "pattern": "%person7777%",
        "company_pattern": "%company 7777%",
        "word": "word777",
        "misspelt": "barbera",
        "import_id": 77,
        "mapping_name": "mapping 777",
        "targets": ["person777@gone.example", "gone.example"],
        # campaigns and what they bring
        "campaign_id": 50,
        "campaign_ids": [50, 51, 52],
        "campaign_name": "campaign 777",
        "campaign_status": "running",
        "segment_id": 77,
        "mailbox_id": 100,
        "address_key": "sender770@mail.example",
        "launched_at": launched[0],
        "running_at": running[-1],
        "running_ats": running,
        "send_id": 99_000,
        "send_status": "failed",
        "step": 1,
        "event_keys": ["event-777", "event-888"],
        "provider_id": "relay-99007",
        "event": "opened",
        "activity_type": "email_clicked",
        # operations
        "check_name": "check 777",
        "channel": "hook",
        "source_name": "source 777",
        # intelligence
        "least": 90.0,
        "priority": "high",
        "platform": "mastodon",
        "sentiment": "negative",
        "credential_id": 50,
        "crm": "hubspot",
        "account": "account 777",
        "external_id": "contact-777",
        "delivery_id": "delivery-777",
        "status": "failed",
        "provider": "cerebras",
        "model": "model-2",
        "kind": "FUNCTION",
        # analytics and operations
        "grain": "campaign",
        "key": "50",
        "rollup_day": now.date() - timedelta(days=3),
        "scope": "mailbox",
        "view_name": "view_777",
        "table_name": "table_7",
        "partition": "partition 777",
        "schema_name": "outreach",
        "index_name": "index_77",
        "job": "job_7",
        "queue": "url",
        "item_id": 7777,
        "revision": "r777",
        "room": "room_777",
        "identity": "f777",
    }
