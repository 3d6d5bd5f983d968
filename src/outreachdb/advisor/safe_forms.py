"""The safe form of a statement of a migration: what takes the same way in steps that stop nobody for long.

The steps are those of https://www.postgresql.org/docs/current/sql-altertable.html (NOT VALID, USING INDEX, the note on
SET NOT NULL) and https://www.postgresql.org/docs/current/sql-createindex.html (CONCURRENTLY).
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from pglast import ast, enums, keywords, parse_sql
from pglast.stream import RawStream

_C = enums.ConstrType
_A = enums.AlterTableType
LOCK_TIMEOUT = "SET lock_timeout = '2s'"


def safe_form(statement: str) -> str | None:
    """The statements to write instead, one per line; None where it is safe as it is, or a person has to design it."""
    steps = [step for each in parse_sql(statement) for step in _steps(each.stmt)]
    return "".join(f"{step};\n" if not step.startswith("--") else f"{step}\n" for step in steps).rstrip() or None


def _steps(node: Any) -> list[str]:
    if isinstance(node, ast.IndexStmt) and not node.concurrent:
        return [_index(node)]
    if isinstance(node, ast.DropStmt) and node.removeType == enums.ObjectType.OBJECT_INDEX and not node.concurrent:
        return [_drop(node, each) for each in node.objects or ()]
    if isinstance(node, ast.RefreshMatViewStmt) and not node.concurrent and not node.skipData:
        changed = deepcopy(node)
        changed.concurrent = True
        return [_text(changed)]
    if isinstance(node, ast.AlterTableStmt) and node.objtype == enums.ObjectType.OBJECT_TABLE:
        parts = [_command(node, each) for each in node.cmds or ()]
        if any(changed for _, changed in parts):
            return [step for steps, _ in parts for step in steps]
    return []


def _index(node: Any) -> str:
    changed = deepcopy(node)
    changed.concurrent = True
    return _text(changed)


def _drop(node: Any, each: Any) -> str:
    changed = deepcopy(node)
    changed.objects, changed.concurrent = (each,), True
    return _text(changed)


def _command(node: Any, command: Any) -> tuple[list[str], bool]:
    """The steps of one part of an ALTER TABLE, and whether they differ from it."""
    if command.subtype == _A.AT_AddConstraint:
        steps = _constraint(node, command)
    elif command.subtype == _A.AT_SetNotNull:
        steps = _not_null(node, command.name)
    elif command.subtype == _A.AT_AddColumn:
        steps = _column(node, command)
    else:
        steps = []
    return (steps, True) if steps else ([_alter(node, command)], False)


def _constraint(node: Any, command: Any) -> list[str]:
    made = command.def_
    table = node.relation.relname
    if made.contype in {_C.CONSTR_FOREIGN, _C.CONSTR_CHECK} and not made.skip_validation:
        changed = deepcopy(command)
        columns = [str(each.sval) for each in made.fk_attrs or ()]
        default = "_".join([table, *columns, "fkey"]) if columns else f"{table}_check"
        changed.def_.conname = made.conname or default
        changed.def_.skip_validation, changed.def_.initially_valid = True, False
        return [_alter(node, changed), f"ALTER TABLE {_name(node)} VALIDATE CONSTRAINT {_quoted(changed.def_.conname)}"]
    if made.contype in {_C.CONSTR_UNIQUE, _C.CONSTR_PRIMARY} and made.keys and not made.indexname:
        return _unique(node, made)
    return []


def _unique(node: Any, made: Any) -> list[str]:
    columns = [str(each.sval) for each in made.keys]
    primary = made.contype == _C.CONSTR_PRIMARY
    name = made.conname or "_".join(
        [node.relation.relname, *([] if primary else columns), "pkey" if primary else "key"]
    )
    kind = "PRIMARY KEY" if primary else "UNIQUE"
    nulls = [step for each in columns for step in _not_null(node, each)] if primary else []
    columns_of_it = f"({', '.join(map(_quoted, columns))})"
    if made.including:
        columns_of_it += f" INCLUDE ({', '.join(_quoted(str(each.sval)) for each in made.including)})"
    if made.nulls_not_distinct:
        columns_of_it += " NULLS NOT DISTINCT"
    when = (" DEFERRABLE" if made.deferrable else "") + (" INITIALLY DEFERRED" if made.initdeferred else "")
    index = f"CREATE UNIQUE INDEX CONCURRENTLY {_quoted(name)} ON {_name(node)} {columns_of_it}"
    constraint = f"ALTER TABLE {_name(node)} ADD CONSTRAINT {_quoted(name)} {kind} USING INDEX {_quoted(name)}{when}"
    return [*nulls, index, constraint]


def _not_null(node: Any, column: str) -> list[str]:
    """PostgreSQL takes a validated CHECK as proof and does not read the table again under its lock."""
    table, name = _name(node), _quoted(f"{node.relation.relname}_{column}_is_not_null")
    return [
        f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({_quoted(column)} IS NOT NULL) NOT VALID",
        f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}",
        f"ALTER TABLE {table} ALTER COLUMN {_quoted(column)} SET NOT NULL",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    ]


def _column(node: Any, command: Any) -> list[str]:
    """A default that is computed for each row rewrites the table; a constant one does not. References read it all."""
    column = command.def_
    given = {each.contype: each for each in column.constraints or ()}
    default, reference = given.get(_C.CONSTR_DEFAULT), given.get(_C.CONSTR_FOREIGN)
    value = _text(default.raw_expr) if default is not None and _calls(default.raw_expr) else None
    bare = _C.CONSTR_NOTNULL in given and default is None
    if value is None and not bare and reference is None:
        return []
    table, name = _name(node), _quoted(column.colname)
    kept = {_C.CONSTR_FOREIGN} | ({_C.CONSTR_DEFAULT, _C.CONSTR_NOTNULL} if value is not None or bare else set())
    changed = deepcopy(command)
    changed.def_.constraints = tuple(each for each in column.constraints if each.contype not in kept) or None
    steps = [_alter(node, changed)]
    if value is not None:
        steps.append(f"ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT {value}")
    if value is not None or bare:
        steps.append(f"-- fill {name} of the old rows with {value or 'their values'}, some thousand rows at a time")
    if (value is not None or bare) and _C.CONSTR_NOTNULL in given:
        steps += _not_null(node, column.colname)
    if reference is not None:
        steps += _reference(node, column.colname, reference)
    return steps


def _reference(node: Any, column: str, reference: Any) -> list[str]:
    made = deepcopy(reference)
    made.fk_attrs = (ast.String(column),)
    return _constraint(node, ast.AlterTableCmd(_A.AT_AddConstraint, def_=made))


def _calls(node: Any) -> bool:
    """Whether an expression calls a function: now() would not rewrite, but its volatility is the server's to know."""
    if isinstance(node, ast.FuncCall):
        return str((node.funcname or ())[-1].sval) not in {"now", "transaction_timestamp", "statement_timestamp"}
    inner = getattr(node, "arg", None)
    return inner is not None and _calls(inner)


def _alter(node: Any, command: Any) -> str:
    changed = deepcopy(node)
    changed.cmds = (command,)
    return _text(changed)


def _name(node: Any) -> str:
    return _text(node.relation)


def _quoted(name: str) -> str:
    plain = name.isidentifier() and name == name.lower() and name.isascii() and name not in keywords.RESERVED_KEYWORDS
    return name if plain else '"' + name.replace('"', '""') + '"'


def _text(node: Any) -> str:
    return str(RawStream()(node))
