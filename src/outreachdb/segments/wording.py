"""A definition and a plan in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from outreachdb.segments import plans
from outreachdb.words import counted

OPERATORS = {
    "equals": "is",
    "not_equals": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "contains": "contains",
    "not_contains": "does not contain",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "matches": "matches",
    "gt": "is greater than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "between": "lies between",
    "before": "is before",
    "after": "is after",
    "within_last": "lies within the last",
    "within_next_months": "comes within this many months:",
    "is_set": "has a value",
    "is_not_set": "has no value",
    "has_any": "has any of",
    "has_all": "has all of",
    "has_none": "has none of",
}


def definition_in_words(node: Mapping[str, Any], level: int = 0) -> list[str]:
    """Lines that say whom a definition means, indented as it is nested."""
    indent = "  " * level
    for word, heading in (("all", "all of these:"), ("any", "one of these:")):
        if word in node:
            parts = [line for part in node[word] for line in definition_in_words(part, level + 1)]
            return (
                [f"{indent}{heading}", *parts] if parts else [f"{indent}{'everybody' if word == 'all' else 'nobody'}"]
            )
    if "not" in node:
        return [f"{indent}not (empty values included):", *definition_in_words(node["not"], level + 1)]
    return [indent + _leaf(node)]


def plan_in_words(explained: Mapping[str, Any]) -> list[str]:
    """Lines that say how the database will look for the leads."""
    return list(dict.fromkeys(_steps(explained)))


def _leaf(node: Mapping[str, Any]) -> str:
    if "field" in node:
        field = node["field"] if isinstance(node["field"], str) else ".".join(node["field"])
        value = f" {_value(node['value'])}" if "value" in node else ""
        if node["op"] == "within_last" and isinstance(node.get("value"), int):
            return f"{field} {OPERATORS['within_last']} {counted(node['value'], 'day')}"
        return f"{field} {OPERATORS[node['op']]}{value}"
    if "event" in node:
        times = f" at least {node['at_least']} times" if node.get("at_least", 1) > 1 else ""
        where = f" in campaign {node['campaign']}" if "campaign" in node else ""
        when = f" within the last {counted(node['within_days'], 'day')}" if "within_days" in node else ""
        return f"{node['event']}{times}{where}{when}"
    if "segment" in node:
        return f"in the segment {_value(node['segment'])}"
    if "import" in node:
        return f"created or changed by import {node['import']}"
    return f"in a random {node['random_percent']:g} percent" if node else "everybody"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value[:10])) + (", ..." if len(value) > 10 else "")
    return json.dumps(value, ensure_ascii=False)


def _steps(explained: Mapping[str, Any]) -> Iterator[str]:
    for node in plans.nodes(explained["Plan"]):
        kind, table, index = node["Node Type"], node.get("Relation Name"), node.get("Index Name")
        rows = explained["Rows"].get(node.get("Index Cond", "")) or node["Plan Rows"]
        if kind == "Gather":
            yield f"{node['Workers Planned'] + 1} processes share the work"
        elif table == "leads" and kind == "Seq Scan":
            yield f"every lead is read (about {explained['Leads']:,}) and held against the conditions"
        elif table == "leads" and index:
            some = counted(round(rows), "lead")
            yield f"the index {index} gives about {some}; each is held against the other conditions"
        elif kind == "Bitmap Index Scan":
            yield f"the index {index} names about {counted(round(rows), 'row')}"
        elif table is not None and table != "leads" and node["Plan Rows"] > 1:
            yield f"a set is read from {_parent(table)}"


def _parent(table: str) -> str:
    for known in ("email_events", "email_sends"):
        if table.startswith(known):
            return known
    return table
