"""The tables of procrastinate, the job queue, in a schema of their own, from the SQL that it brings along.

Revisions depend on this file: add to it, never change what it does.
"""

from __future__ import annotations

import re
from pathlib import Path

from alembic.operations import Operations
from procrastinate.schema import SchemaManager

from outreachdb.errors import MigrationError

SCHEMA = "procrastinate"
# SQLAlchemy would take a lone colon before a word for a parameter.
_COLON = re.compile(r"(?<![:\\\w]):(?=\w)")

# The library finds its own tables by the caller's path; ours finds them whoever calls, and nothing else.
_PIN = f"""
DO $pin$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN SELECT p.oid FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = '{SCHEMA}'::regnamespace LOOP
        EXECUTE pg_catalog.format('ALTER FUNCTION %s SET search_path = pg_catalog, {SCHEMA}, pg_temp', routine);
    END LOOP;
END
$pin$
"""  # noqa: S608  (a constant)


def create(op: Operations, version: str) -> None:
    """Install the library's schema, whose last migration file must be ``version`` (such as "03.04.00_50").

    Its files can't be replayed one by one: PostgreSQL 15 and 16 refuse to use an enum's new value in the transaction
    that added it. So the version is noted, and a later library needs a revision that applies the files above it.
    """
    newest = max(path.name for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))[: len(version)]
    if newest != version:
        raise MigrationError(
            f"the installed procrastinate has the schema {newest}, this version of OutreachDB knows {version}",
            hint="pip install 'procrastinate>=3.9,<3.11'",
        )
    text = _COLON.sub(r"\:", SchemaManager.get_schema()).strip().removesuffix(";")
    op.execute(f"CREATE SCHEMA {SCHEMA}")
    op.execute(f"COMMENT ON SCHEMA {SCHEMA} IS 'procrastinate {version}'")
    op.execute(f"SET LOCAL search_path = {SCHEMA}")
    # The marks are for the lint of migrations, which judges our own SQL only.
    # The library's own index on the key is partial (jobs in hand): pruning a worker would read all jobs.
    index = f"CREATE INDEX ix_procrastinate_jobs_worker_id ON {SCHEMA}.procrastinate_jobs (worker_id)"
    op.execute(f"-- procrastinate: {version}\n{text};\n{index};\n-- procrastinate: end")
    op.execute(_PIN)
    op.execute("SET LOCAL search_path = public")


def drop(op: Operations) -> None:
    """Drop the schema with all that waits in the queue."""
    op.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
