"""The JSON Schema of one condition, made of the list of fields and operators: a branch for each kind of field.

It tells an editor which operator goes with a field and of what type the value is. What a text may say (dates, spans of
time, codes of countries, expressions) the compiler alone knows.
"""

from __future__ import annotations

import json
from typing import Any

from outreachdb.leads.vocabulary import ENGAGEMENT_LEVELS
from outreachdb.segments import fields

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number", "exclusiveMinimum": -1e37, "exclusiveMaximum": 1e37}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_LEVEL: Schema = {"enum": list(ENGAGEMENT_LEVELS)}
# Kind -> one value of it; kinds whose values are lists, or of any type, are missing.
_ONE: dict[str, Schema] = {
    "text": _TEXT,
    "integer": _NUMBER,
    "real": _NUMBER,
    "date": _TEXT,
    "company text": _TEXT,
    "company date": _TEXT,
    "month": _NUMBER,
    "country": {"type": "string", "pattern": "^[A-Za-z]{2}$"},
    "suppressed": {"type": "boolean"},
}
# The same for each kind that has the operator.
_OF_OPERATOR: dict[str, Schema] = {
    "contains": _TEXT,
    "starts_with": _TEXT,
    "ends_with": _TEXT,
    "matches": {"type": "string", "minLength": 1, "maxLength": 200},
    "within_last": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9999}, _TEXT]},
    "within_next_months": {"type": "integer", "minimum": 0, "maximum": 11},
}


def condition(description: str) -> Schema:
    """The schema of ``{"field", "op", "value"}``; operators without a value refuse one."""
    branches = [_branch({"enum": list(names)}, operators, kind) for kind, (operators, names) in fields.KINDS.items()]
    return {
        "title": "Condition",
        "description": description,
        "type": "object",
        "properties": {
            "field": {
                "description": 'A field, "custom.<column name>", or the keys of a custom field: ["custom", "a", "b"].'
            },
            "op": {"type": "string"},
            "value": {},
        },
        "required": ["field", "op"],
        "additionalProperties": False,
        "anyOf": [*branches, _branch(_CUSTOM_FIELD, fields.CUSTOM, "custom")],
    }


_CUSTOM_FIELD: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"^custom\.[\s\S]"},
        {"type": "array", "prefixItems": [{"const": "custom"}], "items": _TEXT, "minItems": 2, "maxItems": 32},
    ]
}


def _branch(named: Schema, operators: tuple[str, ...], kind: str) -> Schema:
    taken: dict[str, list[str]] = {}
    for op in operators:
        taken.setdefault(json.dumps(_value(kind, op)), []).extend(fields.with_opposites((op,)))
    return {
        "title": kind,
        "properties": {"field": named},
        "anyOf": [_operators(words, json.loads(value)) for value, words in taken.items()],
    }


def _operators(words: list[str], value: Schema | None) -> Schema:
    if value is None:
        return {"properties": {"op": {"enum": words}, "value": False}}
    return {"properties": {"op": {"enum": words}, "value": value}, "required": ["value"]}


def _value(kind: str, op: str) -> Schema | None:
    """What stands as ``value``; None where nothing may."""
    if op in fields.WITHOUT_VALUE:
        return None
    if op in _OF_OPERATOR:
        return _OF_OPERATOR[op]
    if kind == "level":
        return {"anyOf": [_LEVEL, _some(_LEVEL)]}
    if op in {"in", "has_any", "has_all"}:
        # Lists come from spreadsheets: among texts, 1000 stands for "1000".
        return _some(_SCALAR if _ONE.get(kind, _TEXT) is _TEXT else _ONE[kind])
    if kind == "custom":
        return _custom(op)
    return _two(_ONE[kind]) if op == "between" else _ONE[kind]


def _custom(op: str) -> Schema:
    """A custom field takes the type of what it is held against."""
    if op == "equals":
        return _SCALAR
    if op in {"before", "after"}:
        return _TEXT
    return {"anyOf": [_two(_NUMBER), _two(_TEXT)] if op == "between" else [_NUMBER, _TEXT]}


def _some(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


def _two(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 2, "maxItems": 2}
