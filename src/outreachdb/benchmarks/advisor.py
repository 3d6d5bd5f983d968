"""How long the advisor looks at a schema of 1,000 tables."""

from __future__ import annotations

import asyncio

from outreachdb.advisor import advise, rules
from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.db.pools import connect
from outreachdb.progress import Progress, silent

TABLES = 1000
LIMIT = 5.0  # seconds for the rules of the catalogue
# Ten columns, three indexes and, but for the first table, a foreign key each; every tenth one has a duplicate index.
MAKE = """
    DO $$ BEGIN
        FOR n IN %(first)s..%(last)s LOOP
            EXECUTE format(
                'CREATE TABLE t%%1$s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent_id bigint, name text,
                 email text, status text, tags text[], body jsonb, score real, created_at timestamptz,
                 updated_at timestamp)',
                n
            );
            EXECUTE format('CREATE INDEX ON t%%1$s (created_at); CREATE INDEX ON t%%1$s (name, status)', n);
            IF n > 1 THEN
                EXECUTE format('ALTER TABLE t%%1$s ADD FOREIGN KEY (parent_id) REFERENCES t%%2$s', n, n - 1);
            END IF;
            IF n %% 10 = 0 THEN EXECUTE format('CREATE INDEX ON t%%1$s (created_at)', n); END IF;
        END LOOP;
    END $$
"""


async def run(url: str, _leads: int = 0, progress: Progress = silent) -> list[Result]:
    """Make the schema in a scratch database and look at it twice: the second time counts."""
    async with scratch_database(url, "advisor") as scratch:
        async with await connect(scratch, autocommit=True) as connection:
            for first in range(1, TABLES, 100):
                progress("making tables", first, TABLES)
                # One transaction would need a lock per table, more than a small server has.
                await connection.execute((MAKE % {"first": first, "last": first + 99}).encode())
            await connection.execute("ANALYZE")
        names = [name for name, rule in rules().items() if not rule.from_workload]
        await advise(scratch, only=names)
        await asyncio.sleep(0)
        report = await advise(scratch, only=names)
    found = [each for each in report.findings if each.rule in {"foreign_key_without_index", "duplicate_index"}]
    assert len(found) == TABLES - 1 + TABLES // 10  # noqa: S101  (a figure for the wrong answer is worth nothing)
    return [
        Result(f"advisor: {len(names)} rules of the catalogue, {TABLES:,} tables", report.seconds, "s", limit=LIMIT),
        Result(f"advisor: findings, {TABLES:,} tables", len(report.findings), "findings"),
    ]
