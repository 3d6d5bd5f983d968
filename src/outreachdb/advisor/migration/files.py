"""The text of the migration: an Alembic revision, or two SQL files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined

from outreachdb.advisor.migration.steps import LOCK_MS, Plan, Step

# What PostgreSQL can't do concurrently; the lock time limit bounds the wait.
_IGNORED = {
    "DROP INDEX ": "require-concurrent-index-deletion",
    "CREATE INDEX ": "require-concurrent-index-creation",
    "CREATE UNIQUE INDEX ": "require-concurrent-index-creation",
}


def revision(plan: Plan, *, name: str, head: str | None, made: str) -> str:
    """An Alembic revision that follows ``head``."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701  (Python, not HTML)
    environment.filters["literal"] = repr
    text = resources.files("outreachdb.advisor.migration").joinpath("revision.py.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(plan=plan, name=name, head=head, made=made, lock_ms=LOCK_MS) + "\n"


def sql(steps: Sequence[Step], *, title: str) -> str:
    """One direction as SQL: run it statement by statement, outside a transaction (psql does)."""
    lines = [
        f"-- {title}",
        "-- Each statement is its own transaction; after a failure run the whole file again.",
        "SET statement_timeout = 0;",
        f"SET lock_timeout = '{LOCK_MS}ms';",
    ]
    limited = True
    for step in steps:
        if step.concurrent == limited:
            # A concurrent build waits for old transactions without blocking others: a limit would leave it invalid.
            lines.append(f"SET lock_timeout = '{0 if limited else LOCK_MS}{'' if limited else 'ms'}';")
            limited = not limited
        for statement in (step.before, step.statement):
            if statement is not None:
                lines += _lint(statement)
    return "\n".join([*lines, "RESET lock_timeout;", "RESET statement_timeout;", ""])


def statements(text: str) -> list[str]:
    """The statements of such a file, without comments."""
    return [line.removesuffix(";") for line in text.splitlines() if line and not line.startswith("--")]


def _lint(statement: str) -> list[str]:
    rule = next((rule for start, rule in _IGNORED.items() if statement.startswith(start)), None)
    if rule and " CONCURRENTLY " in statement:
        rule = None
    if " DROP CONSTRAINT IF EXISTS " in statement:  # one that the other direction adds
        rule = "ban-drop-constraint"
    ignored = [f"-- squawk-ignore {rule}"] if rule else []
    return [*ignored, f"{statement};"]
