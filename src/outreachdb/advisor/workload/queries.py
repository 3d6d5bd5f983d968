"""What a query asks of each table: parsed by PostgreSQL's own grammar (pglast), never by patterns over its text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, enums, parser
from pglast.parser import parse_sql

from outreachdb.advisor.catalogue import Catalogue, Relation
from outreachdb.advisor.workload.source import Statement, Workload

CONTAINMENT = frozenset({"@>", "<@", "&&", "?", "?|", "?&", "@@", "@?"})
RANGES = frozenset({"<", "<=", ">", ">="})
# pg_stat_statements puts a parameter where the grammar wants a literal.
_TYPED = re.compile(r"\b(interval|timestamptz|timestamp|date|time)\s+\$(\d+)", re.IGNORECASE)
_KINDS = enums.A_Expr_Kind


@dataclass(slots=True)
class Access:
    """How one query uses one table; keys are columns, or expressions such as ``lower(email)``."""

    relation: Relation
    equal: dict[str, str | None] = field(default_factory=dict)  # key -> literal as SQL, where it is one
    joined: set[str] = field(default_factory=set)
    ranges: set[str] = field(default_factory=set)
    patterns: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # key -> operator, pattern
    contains: dict[str, str] = field(default_factory=dict)
    nulls: dict[str, bool] = field(default_factory=dict)  # key -> whether IS NULL is asked
    sort: list[tuple[str, bool]] = field(default_factory=list)  # key, descending
    columns: set[str] = field(default_factory=set)
    every_column: bool = False

    @property
    def filters(self) -> set[str]:
        """All keys that narrow the rows."""
        return {*self.equal, *self.joined, *self.ranges, *self.patterns, *self.contains, *self.nulls}


@dataclass(frozen=True, slots=True)
class Query:
    """A statement, understood: one access per table and scope."""

    statement: Statement
    accesses: tuple[Access, ...]
    offset: bool
    limited: bool
    writes: bool


def understood(workload: Workload, known: Catalogue) -> list[Query]:
    """The queries that can be parsed and touch a table of this database, the costliest first."""
    found = []
    for statement in workload.statements:
        found += list(understand(statement, known))
    return found


def understand(statement: Statement, known: Catalogue) -> Iterator[Query]:
    """One statement; nothing where it can't be parsed or touches no known table."""
    try:
        trees = parse_sql(_TYPED.sub(r"$\2::\1", statement.text))
    except parser.ParseError:
        return
    for tree in trees:
        if not isinstance(tree.stmt, ast.SelectStmt | ast.UpdateStmt | ast.DeleteStmt | ast.InsertStmt):
            continue
        hidden = {str(node.ctename) for node in _walk(tree.stmt) if isinstance(node, ast.CommonTableExpr)}
        scopes = [
            node for node in _walk(tree.stmt) if isinstance(node, ast.SelectStmt | ast.UpdateStmt | ast.DeleteStmt)
        ]
        accesses = [access for scope in scopes for access in _Scope(scope, known, hidden).accesses()]
        if accesses:
            yield Query(
                statement,
                tuple(accesses),
                offset=any(_is_offset(scope) for scope in scopes),
                limited=any(getattr(scope, "limitCount", None) is not None for scope in scopes),
                writes=not isinstance(tree.stmt, ast.SelectStmt),
            )


class _Scope:
    """One SELECT, UPDATE or DELETE with the tables of its FROM."""

    def __init__(self, node: Any, known: Catalogue, hidden: set[str]) -> None:
        self._node = node
        self._known = known
        self._hidden = hidden
        self._tables: dict[str, Access] = {}

    def accesses(self) -> list[Access]:
        """Read the whole scope."""
        node = self._node
        sources = [*(getattr(node, "fromClause", None) or ()), *(getattr(node, "usingClause", None) or ())]
        relation = getattr(node, "relation", None)
        conditions = [node.whereClause, *self._sources([*sources, *([relation] if relation else [])])]
        for condition in conditions:
            self._condition(condition)
        for item in getattr(node, "sortClause", None) or ():
            self._sort(item)
        self._used_columns()
        return list(self._tables.values())

    def _sources(self, items: Sequence[Any]) -> Iterator[Any]:
        """Note the tables; the ON conditions of their joins."""
        for item in items:
            if isinstance(item, ast.JoinExpr):
                yield from self._sources([item.larg, item.rarg])
                yield item.quals
            elif isinstance(item, ast.RangeVar) and (item.schemaname or item.relname not in self._hidden):
                name = str(item.relname)
                found = self._known.find(name, item.schemaname)
                if found is not None:
                    table = self._known.table_of(found.oid) if found.kind == "r" and found.parent else found
                    self._tables[str(item.alias.aliasname) if item.alias else name] = Access(table)

    def _condition(self, node: Any) -> None:
        parts: Any = node.args if isinstance(node, ast.BoolExpr) else ()
        if parts and node.boolop == enums.BoolExprType.AND_EXPR:
            for part in parts:
                self._condition(part)
        elif parts and node.boolop == enums.BoolExprType.NOT_EXPR:
            if (found := self._key(parts[0])) is not None:
                found[0].equal.setdefault(found[1], "false")
        elif isinstance(node, ast.A_Expr):
            self._comparison(node)
        elif isinstance(node, ast.NullTest):
            if (found := self._key(node.arg)) is not None:
                found[0].nulls[found[1]] = node.nulltesttype == enums.NullTestType.IS_NULL
        elif isinstance(node, ast.ColumnRef) and (found := self._key(node)) is not None:
            found[0].equal.setdefault(found[1], "true")

    def _comparison(self, node: Any) -> None:
        operator = node.name[-1].sval
        left, right = self._key(node.lexpr), self._key(node.rexpr)
        if left is not None and right is not None:
            if operator == "=" and left[0] is not right[0]:
                left[0].joined.add(left[1])
                right[0].joined.add(right[1])
            return
        if (found := left or right) is None:
            return
        access, key = found
        value = node.rexpr if left is not None else node.lexpr
        if node.kind in {_KINDS.AEXPR_LIKE, _KINDS.AEXPR_ILIKE}:
            if left is not None and not operator.startswith("!"):
                access.patterns[key] = ("ILIKE" if node.kind == _KINDS.AEXPR_ILIKE else "LIKE", _text(value))
        elif node.kind == _KINDS.AEXPR_OP_ANY and left is None:
            access.contains[key] = "= ANY"
        elif node.kind in {_KINDS.AEXPR_BETWEEN, _KINDS.AEXPR_BETWEEN_SYM} or operator in RANGES:
            access.ranges.add(key)
        elif operator == "=" and node.kind in {_KINDS.AEXPR_OP, _KINDS.AEXPR_IN, _KINDS.AEXPR_OP_ANY}:
            access.equal[key] = _literal(value) if node.kind == _KINDS.AEXPR_OP else None
        elif operator in CONTAINMENT:
            access.contains[key] = operator

    def _sort(self, item: Any) -> None:
        found = self._key(item.node)
        if found is not None:
            found[0].sort.append((found[1], item.sortby_dir == enums.SortByDir.SORTBY_DESC))

    def _key(self, node: Any) -> tuple[Access, str] | None:
        """The column, or the function of a single column, that an expression is."""
        if isinstance(node, ast.ColumnRef):
            return self._column(node)
        arguments: Any = node.args or () if isinstance(node, ast.FuncCall) else ()
        if len(arguments) == 1 and isinstance(arguments[0], ast.ColumnRef):
            found = self._column(arguments[0])
            name = node.funcname[-1].sval
            if found is not None and name in {"lower", "upper"}:
                return found[0], f"{name}({found[1]})"
        return None

    def _column(self, node: Any) -> tuple[Access, str] | None:
        names = [str(part.sval) for part in node.fields if isinstance(part, ast.String)]
        if not names or len(names) < len(node.fields):
            return None
        if len(names) > 1:
            access = self._tables.get(names[-2])
            return (access, names[-1]) if access is not None and self._has(access, names[-1]) else None
        owners = [access for access in self._tables.values() if self._has(access, names[0])]
        return (owners[0], names[0]) if len(owners) == 1 else None

    def _has(self, access: Access, name: str) -> bool:
        return name in self._known.columns.get(access.relation.oid, {})

    def _used_columns(self) -> None:
        """Every column of the scope, for indexes that answer alone."""
        for node in _walk(self._node):
            if not isinstance(node, ast.ColumnRef):
                continue
            fields: Any = node.fields
            if any(isinstance(part, ast.A_Star) for part in fields):
                names = [part.sval for part in fields if isinstance(part, ast.String)]
                for alias, access in self._tables.items():
                    access.every_column |= not names or names[-1] == alias
            elif (found := self._column(node)) is not None:
                found[0].columns.add(found[1])


def _walk(node: Any) -> Iterator[Any]:
    """A node and all below it."""
    if isinstance(node, tuple | list):
        for item in node:
            yield from _walk(item)
    elif isinstance(node, ast.Node):
        yield node
        for name in node:
            yield from _walk(getattr(node, name))


def _text(node: Any) -> str | None:
    """The text of a string literal."""
    if isinstance(node, ast.TypeCast):
        node = node.arg
    if isinstance(node, ast.A_Const) and isinstance(node.val, ast.String):
        return str(node.val.sval)
    return None


def _literal(node: Any) -> str | None:
    """A literal as SQL."""
    if (text := _text(node)) is not None:
        return "'" + text.replace("'", "''") + "'"
    if isinstance(node, ast.A_Const) and isinstance(node.val, ast.Integer):
        return str(node.val.ival)
    if isinstance(node, ast.A_Const) and isinstance(node.val, ast.Boolean):
        return "true" if node.val.boolval else "false"
    return None


def _is_offset(scope: Any) -> bool:
    node = getattr(scope, "limitOffset", None)
    return node is not None and not (
        isinstance(node, ast.A_Const) and isinstance(node.val, ast.Integer) and node.val.ival == 0
    )


def totals(found: Mapping[Any, Sequence[Statement]]) -> dict[Any, dict[str, Any]]:
    """For findings that several queries share: how often, how long, and the costliest of them."""
    return {
        key: {
            "queries": len(statements),
            "calls": sum(each.calls for each in statements),
            "total_ms": round(sum(each.total_ms for each in statements), 3),
            "query": max(statements, key=lambda each: each.total_ms).text[:2000],
        }
        for key, statements in found.items()
    }
