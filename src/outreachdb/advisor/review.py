"""Reviews a migration that somebody wrote: squawk's rules, and the locks that its statements really take on a clone."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from pglast import parser

from outreachdb.advisor import safe_forms
from outreachdb.advisor.findings import Finding, Severity
from outreachdb.advisor.migration import clone, proof
from outreachdb.errors import InvalidInput

# Modes that stop writers, or readers as well, until the transaction ends:
# https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
BLOCKS: dict[str, tuple[str, Severity]] = {
    "AccessExclusiveLock": ("readers and writers", "warning"),
    "ExclusiveLock": ("writers", "warning"),
    "ShareRowExclusiveLock": ("writers", "info"),
    "ShareLock": ("writers", "warning"),
}
LOCKS = """
    SELECT n.nspname, c.relname, l.mode
    FROM pg_locks AS l
    JOIN pg_class AS c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
    JOIN pg_namespace AS n
        ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    WHERE l.pid = pg_backend_pid() AND l.granted AND l.mode = ANY (%s) AND c.oid = ANY (%s)
"""
TABLES = """
    SELECT c.oid, pg_relation_filenode(c.oid) FROM pg_class AS c
    JOIN pg_namespace AS n
        ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    WHERE c.relkind IN ('r', 'p')
"""
NAMES = """
    SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (%s)
"""
_LINE = re.compile(r"^(\d+):(\d+): (\w+): ([\w-]+) (.*)$")
SAFE = {
    "adding-field-with-default": "add the column without the default, set the default, fill old rows in batches",
    "adding-foreign-key-constraint": "ADD CONSTRAINT ... NOT VALID, then VALIDATE CONSTRAINT by itself",
    "adding-not-nullable-field": "add CHECK (column IS NOT NULL) NOT VALID, validate it, then SET NOT NULL",
    "ban-concurrent-index-creation-in-transaction": "run it outside a transaction (Alembic: autocommit_block)",
    "changing-column-type": "add a new column, fill it in batches, swap the names",
    "constraint-missing-not-valid": "ADD CONSTRAINT ... NOT VALID, then VALIDATE CONSTRAINT by itself",
    "disallowed-unique-constraint": "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... USING INDEX",
    "require-concurrent-index-creation": "CREATE INDEX CONCURRENTLY, outside a transaction",
    "require-concurrent-index-deletion": "DROP INDEX CONCURRENTLY, outside a transaction",
    "require-lock-timeout": "SET lock_timeout = '2s' first, and try again when it gives up",
    "require-statement-timeout": "SET statement_timeout first",
    "require-timeout-settings": "SET lock_timeout = '2s' and statement_timeout first, and try again when it gives up",
}


@dataclass(frozen=True, slots=True)
class Held:
    """A statement and the strongest lock on an existing table that it held to its end."""

    statement: str
    schema: str
    table: str
    mode: str
    rewrites: bool


def review(what: str, url: str | None) -> list[Finding]:
    """Findings of a migration: an SQL file, or ``alembic.ini:REVISION`` for one revision.

    With a URL its statements run on a clone of that database's schema; without one only squawk reads it. ``ddl`` is the
    safe form, where there is one that needs no person. Blocks (use a thread). Errors: InvalidInput where the file can't
    be read, or, with its ``statement``, where it can't run there; MigrationError where the clone can't be made.
    """
    name, text = _read(what)
    places = _places(text)
    found = [_objection(name, line, places) for line in proof.lint(text)]
    if url is not None:
        found += [_lock(name, held) for held in measured(text, url)]
    return found


def measured(text: str, url: str) -> Iterator[Held]:
    """Run the statements on a clone; each transaction holds its locks to its end, so each stands alone here."""
    with clone.cloned(url) as target, psycopg.connect(target, autocommit=True) as connection:
        # What the migration itself makes is nobody's yet: it may be locked as long as it likes.
        there = [oid for oid, _ in connection.execute(TABLES).fetchall()]
        for statement in _statements(text):
            yield from _held(connection, statement, there)


def _held(connection: psycopg.Connection[Any], statement: str, there: list[int]) -> Iterator[Held]:
    tree = parser.parse_sql(statement)
    kind = type(tree[0].stmt).__name__ if tree else ""
    if kind in {"TransactionStmt", "VariableSetStmt"}:
        return
    try:
        if "CONCURRENTLY" in statement.upper():
            connection.execute(statement.encode())
            return
        rows, rewritten = _locks(connection, statement, there)
    except psycopg.Error as error:
        raise InvalidInput(
            f"a statement fails on a clone of the schema: {str(error).splitlines()[0]}",
            hint=statement[:200],
            statement=statement[:200],
        ) from error
    order = list(BLOCKS)
    strongest: dict[tuple[str, str], str] = {}
    for schema, table, mode in rows:
        old = strongest.get((schema, table))
        if old is None or order.index(mode) < order.index(old):
            strongest[schema, table] = mode
    for (schema, table), mode in strongest.items():
        yield Held(statement, schema, table, mode, (schema, table) in rewritten)


def _locks(
    connection: psycopg.Connection[Any], statement: str, there: list[int]
) -> tuple[list[tuple[str, str, str]], set[tuple[str, str]]]:
    """Schema, table and mode of each lock that the statement holds to its end, and the tables that it writes anew."""
    files: dict[Any, Any] = dict(connection.execute(TABLES).fetchall())
    alone = False
    try:
        with connection.transaction():
            connection.execute(statement.encode())
            rows = connection.execute(LOCKS, [list(BLOCKS), there]).fetchall()
            rewritten = _rewritten(connection, files)
    except psycopg.errors.ActiveSqlTransaction:
        alone = True
    if alone:  # VACUUM and its like stand in no transaction: its locks are gone, but a new file tells of the strongest
        connection.execute(statement.encode())
        rewritten = _rewritten(connection, files)
        rows = [(schema, table, "AccessExclusiveLock") for schema, table in sorted(rewritten)]
    return rows, rewritten


def _rewritten(connection: psycopg.Connection[Any], files: dict[Any, Any]) -> set[tuple[str, str]]:
    """Tables that were there and have another file now."""
    after: dict[Any, Any] = dict(connection.execute(TABLES).fetchall())
    changed = [oid for oid, node in after.items() if files.get(oid, node) != node]
    return set(connection.execute(NAMES, [changed]).fetchall())


def _places(text: str) -> list[tuple[int, str]]:
    """The statements, each with the number of its last line."""
    slices = parser.split(text, only_slices=True) if text.strip() else ()
    return [(text.count("\n", 0, each.stop) + 1, text[each]) for each in slices]


def _read(what: str) -> tuple[str, str]:
    """Name and SQL of a migration."""
    ini, _, revision = what.rpartition(":")
    if ini.endswith(".ini"):
        return revision, _offline(ini, revision)
    path = Path(what)
    try:
        return path.name, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{what} can't be read: {error}", hint="an SQL file, or alembic.ini:REVISION") from error


def _offline(ini: str, revision: str) -> str:
    """One revision as the SQL that Alembic would send."""
    buffer = io.StringIO()
    config = Config(ini, output_buffer=buffer, stdout=io.StringIO())
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = ScriptDirectory.from_config(config).get_revision(revision)
            before = found.down_revision if isinstance(found.down_revision, str) else None
            if found.down_revision is not None and before is None:
                raise InvalidInput(f"revision {revision} merges others", hint="review those instead")
            command.upgrade(config, f"{before or 'base'}:{found.revision}", sql=True)
    except CommandError as error:
        raise InvalidInput(f"Alembic can't write revision {revision} as SQL: {error}") from error
    return buffer.getvalue()


def _statements(text: str) -> list[str]:
    try:
        return [part for part in parser.split(text) if part.strip()]
    except parser.ParseError as error:
        raise InvalidInput(f"the migration is not SQL: {error.args[0]}") from error


def _objection(name: str, line: str, places: list[tuple[int, str]]) -> Finding:
    found = _LINE.match(line)
    rule, said = (found[4], found[5]) if found else ("squawk", line)
    number = int(found[1]) + 1 if found else 0  # squawk counts from 0
    statement = next((text for last, text in places if number <= last), "")
    form = safe_forms.LOCK_TIMEOUT + ";" if rule.startswith("require-lock") else safe_forms.safe_form(statement)
    evidence = {"summary": said, "line": number, "safe_form": SAFE.get(rule)}
    return Finding(f"migration_{rule.replace('-', '_')}", "warning", None, None, (), name, evidence, form)


def _lock(name: str, held: Held) -> Finding:
    whom, level = BLOCKS[held.mode]
    rewrites = "; it rewrites the whole table meanwhile" if held.rewrites else ""
    evidence = {
        "summary": f"{held.mode} on {held.schema}.{held.table} stops {whom}{rewrites}",
        "statement": held.statement[:500],
        "mode": held.mode,
        "rewrites": held.rewrites,
    }
    level = "error" if held.rewrites else level
    form = safe_forms.safe_form(held.statement)
    return Finding("migration_lock", level, held.schema, held.table, (), name, evidence, form)
