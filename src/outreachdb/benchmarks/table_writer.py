"""A program that writes to a table as an application does: inserts, updates and deletes, and how long each took.

``python -m outreachdb.benchmarks.table_writer URL TABLE SECONDS ROWS`` writes to a table with the columns ``id``,
``created_at`` and ``body`` and some ``ROWS`` rows, until the seconds are over or a line comes on stdin.
"""

from __future__ import annotations

import json
import random
import select
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

RATE = 200.0  # writes a second
KINDS = ("insert", "insert", "update", "update", "update", "delete")
# One update in five moves the row to another day.
STATEMENTS = {
    "insert": "INSERT INTO {} (created_at, body) VALUES (%(at)s, %(body)s)",
    "update": """UPDATE {} SET body = %(body)s, created_at = CASE WHEN id %% 5 = 0 THEN %(at)s ELSE created_at END
                 WHERE id = %(id)s""",
    "delete": "DELETE FROM {} WHERE id = %(id)s",
}


def write(url: str, table: str, seconds: float, rows: int) -> dict[str, Any]:
    """Write at a steady rate; how many of each kind, the slowest in seconds, and how long it went on."""
    words = random.Random(7)  # noqa: S311 - the same writes each time
    done: dict[str, Any] = dict.fromkeys(STATEMENTS, 0)
    name = sql.SQL(".").join(sql.Identifier(each) for each in table.split("."))
    statements = {kind: sql.SQL(text).format(name) for kind, text in STATEMENTS.items()}
    slowest = 0.0
    with psycopg.connect(url, autocommit=True, application_name="table writer") as connection:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        began = time.monotonic()
        number = 0
        while time.monotonic() - began < seconds and not select.select([sys.stdin], [], [], 0)[0]:
            kind = words.choice(KINDS)
            at = datetime.now(UTC) - timedelta(days=words.random() * 200)
            given = {"at": at, "body": f"{kind} {number}", "id": words.randint(1, rows)}
            started = time.monotonic()
            connection.execute(statements[kind], given)
            slowest = max(slowest, time.monotonic() - started)
            done[kind] += 1
            number += 1
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
    return done | {"slowest": slowest, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(write(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))) + "\n")
