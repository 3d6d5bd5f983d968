"""What applications do without an import: upserts of ready rows, one statement for each, into the same large table.

Less than an import does: nothing is read, judged, deduplicated, linked to a company or kept for an undo.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import psycopg
from psycopg import AsyncConnection

SAMPLE = 20_000  # rows: enough for a rate, as the table they go into is the large one
COMMIT_EVERY = 10_000
UPSERT = """
    INSERT INTO outreach.leads (workspace_id, email, first_name, last_name, phone, title, company_name, company_website,
        linkedin_url, industry, country, city, tags, custom_fields)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (workspace_id, email_key) DO UPDATE
    SET first_name = excluded.first_name, last_name = excluded.last_name, phone = excluded.phone,
        title = excluded.title, company_name = excluded.company_name, company_website = excluded.company_website,
        linkedin_url = excluded.linkedin_url, industry = excluded.industry, country = excluded.country,
        city = excluded.city, tags = excluded.tags, custom_fields = excluded.custom_fields, updated_at = now()
"""


async def single(url: str, workspace: str, rows: Iterable[tuple[str, ...]]) -> float:
    """Rows per second of a prepared statement for each row, with a commit every 10,000."""
    async with await AsyncConnection.connect(url) as connection:
        values = await _values(connection, workspace, rows)
        began = time.perf_counter()
        for number, row in enumerate(values, start=1):
            await connection.execute(UPSERT, row, prepare=True)
            if number % COMMIT_EVERY == 0:
                await connection.commit()
        await connection.commit()
        return len(values) / (time.perf_counter() - began)


async def pipelined(url: str, workspace: str, rows: Iterable[tuple[str, ...]]) -> float:
    """Rows per second of executemany, which sends the statements without waiting for each one's answer."""
    async with await AsyncConnection.connect(url) as connection:
        values = await _values(connection, workspace, rows)
        began = time.perf_counter()
        async with connection.cursor() as cursor:
            for first in range(0, len(values), COMMIT_EVERY):
                await cursor.executemany(UPSERT, values[first : first + COMMIT_EVERY])
                await connection.commit()
        return len(values) / (time.perf_counter() - began)


async def _values(
    connection: psycopg.AsyncConnection[tuple[object, ...]], workspace: str, rows: Iterable[tuple[str, ...]]
) -> list[tuple[object, ...]]:
    found = await (
        await connection.execute("SELECT id FROM outreach.workspaces WHERE name = %s", [workspace])
    ).fetchone()
    assert found is not None  # noqa: S101  (the benchmark made it)
    await connection.commit()
    return [(found[0], *row[:11], row[11].split(";"), json.dumps({"Plan": row[12]})) for row in rows]
