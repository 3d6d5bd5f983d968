"""Writes the statements of a finding from what its rule asks for, with the statements that take them back.

A rule's ``fix`` is one of::

    {"kind": "create_index", "columns": [...], "where": ..., "using": ..., "include": [...], "unique": false}
    {"kind": "drop_index", "schema": ..., "name": ..., "definition": ..., "partitioned": false}
    {"kind": "rebuild_index", "schema": ..., "name": ...}
    {"kind": "add_check", "name": ..., "expression": ...}
    {"kind": "statement", "do": [...], "undo": [...]}

``keys`` may say what the name is made of; ``relation`` is there where it is another one than the finding's.
``columns`` are expressions as they stand in ``CREATE INDEX`` (quoted where they need it).
Indexes are built CONCURRENTLY; on a partitioned table ``ON ONLY`` the parent, then each partition, then ATTACH.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outreachdb.advisor.catalogue import Catalogue, Relation

LONGEST = 63  # bytes of a name: https://www.postgresql.org/docs/current/limits.html
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
# Reserved words: a quoted name is always right, an unquoted one reads better.
_RESERVED = frozenset(
    [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "column",
        "constraint",
        "create",
        "current_catalog",
        "current_date",
        "current_role",
        "current_time",
        "current_timestamp",
        "current_user",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "from",
        "grant",
        "group",
        "having",
        "in",
        "initially",
        "intersect",
        "into",
        "lateral",
        "leading",
        "limit",
        "localtime",
        "localtimestamp",
        "not",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "placing",
        "primary",
        "references",
        "returning",
        "select",
        "session_user",
        "some",
        "symmetric",
        "table",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "when",
        "where",
        "window",
        "with",
        "authorization",
        "binary",
        "collation",
        "concurrently",
        "cross",
        "current_schema",
        "freeze",
        "full",
        "ilike",
        "inner",
        "is",
        "isnull",
        "join",
        "left",
        "like",
        "natural",
        "notnull",
        "outer",
        "overlaps",
        "right",
        "similar",
        "tablesample",
        "verbose",
        "between",
        "bigint",
        "bit",
        "boolean",
        "char",
        "character",
        "coalesce",
        "dec",
        "decimal",
        "exists",
        "extract",
        "float",
        "greatest",
        "grouping",
        "inout",
        "int",
        "integer",
        "interval",
        "least",
        "national",
        "nchar",
        "none",
        "normalize",
        "nullif",
        "numeric",
        "out",
        "overlay",
        "position",
        "precision",
        "real",
        "row",
        "setof",
        "smallint",
        "substring",
        "time",
        "timestamp",
        "treat",
        "trim",
        "values",
        "varchar",
    ]
)


@dataclass(frozen=True, slots=True)
class Change:
    """Statements one way and back; ``rollback`` may be empty where nothing has to be taken back."""

    ddl: tuple[str, ...]
    rollback: tuple[str, ...]

    def text(self) -> tuple[str | None, str | None]:
        """Both as text, one statement per line, each ended by a semicolon."""
        return _lines(self.ddl), _lines(self.rollback)


def quoted(name: str) -> str:
    """A name as it stands in SQL."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """A name with its schema."""
    return f"{quoted(schema)}.{quoted(name)}"


def index_name(prefix: str, table: str, columns: Sequence[str], taken: set[str]) -> str:
    """A free name such as ``ix_leads_company_id``, cut with a hash where it would be too long."""
    words = [re.sub(r"\W+", "_", column).strip("_").lower() for column in columns]
    wanted = "_".join([prefix, re.sub(r"\W+", "_", table), *words])
    candidate, number = _cut(wanted), 1
    while candidate in taken:
        number += 1
        candidate = _cut(f"{wanted}_{number}")
    taken.add(candidate)
    return candidate


class Writer:
    """Makes changes for the findings of one run: no two get the same name."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._taken: dict[str, set[str]] = {}
        for schema, name in catalogue.names:
            self._taken.setdefault(schema, set()).add(name)

    def change(self, relation: Relation | None, fix: Mapping[str, Any]) -> Change:
        """The statements for one fix."""
        kind = fix["kind"]
        if kind == "statement":
            return Change(tuple(fix["do"]), tuple(fix.get("undo", ())))
        if kind == "drop_index":
            return _drop(fix)
        if kind == "rebuild_index":
            return Change((f"REINDEX INDEX CONCURRENTLY {qualified(fix['schema'], fix['name'])}",), ())
        if relation is None:
            raise ValueError(f"a fix of the kind {kind} needs a relation")
        return self.index(relation, fix) if kind == "create_index" else self._check(relation, fix)

    def index(self, relation: Relation, fix: Mapping[str, Any]) -> Change:
        """CREATE INDEX on a table, or on a partitioned one step by step; without a name it gets one."""
        name = fix.get("name") or self._name(relation, fix)
        target = qualified(relation.schema, name)
        if relation.kind != "p":
            statement = f"CREATE {_unique(fix)}INDEX CONCURRENTLY {quoted(name)} ON {_definition(relation, fix)}"
            return Change((statement,), (f"DROP INDEX CONCURRENTLY {target}",))
        steps = [f"CREATE {_unique(fix)}INDEX {quoted(name)} ON ONLY {_definition(relation, fix)}"]
        for child in self._catalogue.children(relation.oid):
            part = self._name(child, fix)
            steps += self.index(child, {**fix, "name": part}).ddl
            steps.append(f"ALTER INDEX {target} ATTACH PARTITION {qualified(child.schema, part)}")
        return Change(tuple(steps), (f"DROP INDEX {target}",))

    def _name(self, relation: Relation, fix: Mapping[str, Any]) -> str:
        taken = self._taken.setdefault(relation.schema, set())
        return index_name("uq" if fix.get("unique") else "ix", relation.name, fix.get("keys") or fix["columns"], taken)

    def _check(self, relation: Relation, fix: Mapping[str, Any]) -> Change:
        table, name = qualified(relation.schema, relation.name), quoted(fix["name"])
        return Change(
            (
                f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({fix['expression']}) NOT VALID",
                f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}",
            ),
            (f"ALTER TABLE {table} DROP CONSTRAINT {name}",),
        )


def _definition(relation: Relation, fix: Mapping[str, Any]) -> str:
    text = qualified(relation.schema, relation.name)
    text += f" USING {fix.get('using') or 'btree'} ({', '.join(fix['columns'])})"
    if fix.get("include"):
        text += f" INCLUDE ({', '.join(fix['include'])})"
    if fix.get("with"):
        text += f" WITH ({fix['with']})"
    return text + (f" WHERE {fix['where']}" if fix.get("where") else "")


def _drop(fix: Mapping[str, Any]) -> Change:
    name, definition = qualified(fix["schema"], fix["name"]), fix["definition"]
    if fix.get("partitioned"):
        # CONCURRENTLY is refused for an index of a partitioned table, both ways.
        return Change((f"DROP INDEX {name}",), (definition.replace(" ON ONLY ", " ON ", 1),))
    again = re.sub(r"^CREATE (UNIQUE )?INDEX ", lambda found: f"CREATE {found[1] or ''}INDEX CONCURRENTLY ", definition)
    return Change((f"DROP INDEX CONCURRENTLY {name}",), (again,))


def _unique(fix: Mapping[str, Any]) -> str:
    return "UNIQUE " if fix.get("unique") else ""


def _cut(name: str) -> str:
    if len(name.encode()) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: LONGEST - 9].decode(errors="ignore") + f"_{digest}"


def _lines(statements: Sequence[str]) -> str | None:
    return "\n".join(f"{statement};" for statement in statements) or None
