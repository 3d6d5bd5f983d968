"""The cases of every rule, planted side by side in one database: ``yes_<rule>`` and ``no_<rule>``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import psycopg
from pglast import parser
from psycopg import sql

from outreachdb.advisor import Finding
from outreachdb.advisor.fixes import quoted

CASES = Path(__file__).parent / "cases"
_FINDS = re.compile(r"^-- finds: (.+)$", re.MULTILINE)
ROLES = ("advisor_owner", "advisor_statistician", "advisor_tenant", "advisor_watcher")


@dataclass(frozen=True)
class Case:
    """What a rule must find in the first text, and that it finds nothing in the second."""

    rule: str
    finds: frozenset[str]
    positive: str
    negative: str


def cases() -> list[Case]:
    """All of them; the rules of one file each."""
    found = []
    for path in sorted(CASES.glob("*.sql")):
        positive, negative = path.read_text(encoding="utf-8").split("-- finds nothing\n")
        found.append(Case(path.stem, frozenset(_FINDS.findall(positive)), positive, negative))
    return found


def plant(url: str) -> None:
    """Run every case in a schema of its own; builds that must fail are those of CREATE UNIQUE INDEX CONCURRENTLY."""
    with psycopg.connect(url, autocommit=True) as connection:
        for role in ROLES:
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        connection.execute("GRANT pg_read_all_stats TO advisor_statistician")
        connection.execute("CREATE SCHEMA tools")
        connection.execute("GRANT USAGE ON SCHEMA tools TO advisor_statistician")
        connection.execute("CREATE EXTENSION pg_stat_statements SCHEMA tools")
        connection.execute("CREATE TABLE tools.hidden AS SELECT n, 'x' || n AS note FROM generate_series(1, 3000) AS n")
        connection.execute("ANALYZE tools.hidden")
        for case in cases():
            for kind, text in (("yes", case.positive), ("no", case.negative)):
                _plant_one(connection, f"{kind}_{case.rule}", text)


def _plant_one(connection: psycopg.Connection, schema: str, text: str) -> None:
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    connection.execute(sql.SQL("SET search_path = {}, pg_catalog").format(sql.Identifier(schema)))
    for statement in parser.split(text):
        try:
            connection.execute(statement.encode())
        except psycopg.errors.UniqueViolation:
            assert "CREATE UNIQUE INDEX CONCURRENTLY" in statement


def identity(finding: Finding) -> str:
    """A finding as the cases write it: ``table(columns) object``."""
    if finding.table is None and finding.schema in {"public", None}:
        return str(finding.object) if finding.schema is None else f"public {finding.object}"
    table = quoted(finding.table) if finding.table else ""
    columns = ", ".join(
        quoted(name) if re.fullmatch(r"\w+", name) and name != "order" else name for name in finding.columns
    )
    return f"{table}({columns}) {finding.object or ''}".strip()
