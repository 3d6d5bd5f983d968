"""Room on the pages of sends: what each fillfactor does to the updates of a send's life, and what it costs in size."""

from __future__ import annotations

import time
from collections.abc import Mapping

from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.db import migrate
from outreachdb.db.pools import Connection, connect
from outreachdb.progress import Progress, silent

FILLFACTORS = (100, 90, 80, 70)
WAVE = 500
# As autovacuum comes by in the hours that a campaign takes; the waves here take seconds.
VACUUM_EVERY = 10
# Events come so many waves after their mails.
LATER = {"delivered": 2, "opened": 20, "clicked": 40}
SETUP = """
    WITH w AS (INSERT INTO outreach.workspaces (name) VALUES ('sends {fillfactor}') RETURNING id),
    m AS (INSERT INTO outreach.mailboxes (workspace_id, address, smtp_host)
          SELECT id, 'us@sender.example', '127.0.0.1' FROM w RETURNING id),
    c AS (INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at)
          SELECT id, 'spring', 'running', date_trunc('month', now(), 'UTC') FROM w RETURNING id),
    p AS (INSERT INTO outreach.leads (workspace_id, email)
          SELECT w.id, 'lead' || n || '@buyer.example' FROM w, generate_series(1, {rows}) AS n RETURNING id, email)
    SELECT w.id AS ws, m.id AS mailbox, c.id AS campaign, (SELECT min(p.id) FROM p) AS lead FROM w, m, c
"""
SENDS = """
    INSERT INTO outreach.email_sends (
        workspace_id, id, created_at, campaign_id, lead_id, mailbox_id, step, recipient, scheduled_at)
    SELECT %(ws)s, n, date_trunc('month', now(), 'UTC'), %(campaign)s, %(lead)s + n - 1, %(mailbox)s, 1,
           'lead' || n || '@buyer.example', date_trunc('month', now(), 'UTC') + n * interval '1 second'
    FROM generate_series(1, %(rows)s) AS n
"""
# As outreach.claim_sends, begin_sends, record_sends and the intake of events write them.
LIFE = {
    "claimed": "status = 'claimed', claimed_by = 'worker', lease_expires_at = clock_timestamp() + interval '5 minutes'",
    "begun": """attempts = attempts + 1, begun_at = clock_timestamp(),
                lease_expires_at = clock_timestamp() + interval '5 minutes'""",
    "sent": "status = 'sent', sent_at = now()",
}
MARKS = {
    "delivered": ("delivered_at = now()", "s.id %% 20 > 0"),
    "opened": ("opened_at = now()", "s.id %% 3 = 0"),
    "clicked": ("clicked_at = now()", "s.id %% 15 = 0"),
}
UPDATE = """
    UPDATE {part} AS s SET {change}
    WHERE s.workspace_id = %(ws)s AND s.id > %(first)s AND s.id <= %(last)s AND {condition}
"""
# What the session did and did not hand to the statistics yet; read before and after within one transaction.
COUNTED = """
    SELECT pg_stat_get_xact_tuples_updated(%(part)s::regclass) AS updated,
           pg_stat_get_xact_tuples_hot_updated(%(part)s::regclass) AS hot
"""
SIZE = "SELECT pg_table_size(%(part)s) AS table, pg_indexes_size(%(part)s) AS indexes"


async def run(url: str, leads: int = 200_000, progress: Progress = silent) -> list[Result]:
    """Send to ``leads`` people in waves, with the events that follow, for each fillfactor on a fresh month."""
    results = []
    for fillfactor in FILLFACTORS:
        async with scratch_database(url, "fillfactor") as scratch:
            await migrate.upgrade(scratch)
            async with await connect(scratch, autocommit=True) as connection:
                await connection.execute("SET synchronous_commit = off")  # pages are looked at here, not disks
                results += await _measured(connection, fillfactor, leads, progress)
    return results


async def _measured(connection: Connection, fillfactor: int, rows: int, progress: Progress) -> list[Result]:
    given = await _one(connection, SETUP.format(fillfactor=fillfactor, rows=rows), {})
    part = (
        await _one(
            connection,
            """SELECT partition_name AS part FROM outreach.get_partition_info('email_sends')
               WHERE range_from = date_trunc('month', now(), 'UTC')""",
            {},
        )
    )["part"]
    await connection.execute(f"ALTER TABLE {part} SET (fillfactor = {fillfactor})".encode())
    await connection.execute(SENDS, given | {"rows": rows})
    await connection.execute("ANALYZE")
    counts = {"sending": [0, 0], "events": [0, 0]}
    waves = (rows + WAVE - 1) // WAVE
    began = time.monotonic()
    for wave in range(waves + max(LATER.values())):
        for change in LIFE.values():
            await _update(connection, str(part), change, "true", wave, given, counts["sending"])
        for kind, (change, condition) in MARKS.items():
            await _update(connection, str(part), change, condition, wave - LATER[kind], given, counts["events"])
        if wave % VACUUM_EVERY == VACUUM_EVERY - 1:
            await connection.execute(f"VACUUM {part}".encode())
        progress(f"fillfactor {fillfactor}", min((wave + 1) * WAVE, rows), rows)
    seconds = time.monotonic() - began
    size = await _one(connection, SIZE, {"part": part})
    name = f"sends, fillfactor {fillfactor}: "
    return [
        *[Result(f"{name}HOT share of the updates of {what}", 100 * hot / done, "%")
          for what, (done, hot) in counts.items()],
        Result(f"{name}bytes of a send in the table", size["table"] / rows, "bytes"),
        Result(f"{name}bytes of a send in indexes", size["indexes"] / rows, "bytes"),
        Result(f"{name}all updates", seconds, "s"),
    ]  # fmt: skip


async def _update(
    connection: Connection,
    part: str,
    change: str,
    condition: str,
    wave: int,
    given: Mapping[str, object],
    counts: list[int],
) -> None:
    if wave < 0:
        return
    async with connection.transaction():
        statement = UPDATE.format(part=part, change=change, condition=condition)
        before = await _one(connection, COUNTED, {"part": part})
        await connection.execute(statement.encode(), {**given, "first": wave * WAVE, "last": (wave + 1) * WAVE})
        after = await _one(connection, COUNTED, {"part": part})
    counts[0] += after["updated"] - before["updated"]
    counts[1] += after["hot"] - before["hot"]


async def _one(connection: Connection, statement: str, given: Mapping[str, object]) -> dict[str, int]:
    row = await (await connection.execute(statement.encode(), given or None)).fetchone()
    assert row is not None  # noqa: S101  (each gives a row)
    return row
