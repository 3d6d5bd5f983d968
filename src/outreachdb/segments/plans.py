"""From a plan to milliseconds: which rows are fetched, and what is asked of each.

PostgreSQL's costs take every operator for the same work and guess at what stands in custom fields, so a plan's total
cost is within three times of the truth for three segments of four only. Here each kind of test has a price of its own,
measured once (decision 0014); the planner gives the shape of the plan and its rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Node = dict[str, Any]

# What stands in a filter, and the name of its price.
_TESTS = {
    "regex": re.compile(r"!?~\*? "),
    "like": re.compile(r"!?~~\*? "),
    "custom": re.compile(r"custom_fields (->|->>|#>|#>>) "),
    "contained": re.compile(r"(@>|&&) "),
    "within": re.compile(r"hashed SubPlan"),
    "plain": re.compile(r"(?<![~<>@-])(=|<|>|<=|>=) |IS NOT NULL|IS NULL"),
}


@dataclass(frozen=True, slots=True)
class Prices:
    """Milliseconds: ``start`` once, ``cost`` and ``trigrams`` for a unit of the planner's, the rest for 1000 rows."""

    start: float = 0.8
    cost: float = 0.006
    fetched: float = 0.5
    named: float = 0.1
    listed: float = 0.12
    trigrams: float = 0.063
    regex: float = 0.46
    like: float = 0.1
    custom: float = 0.24
    contained: float = 0.22
    within: float = 0.47
    plain: float = 0.04


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the plan: the workspace's ``leads``, and how many of them meet an index's condition."""

    leads: int
    rows: dict[str, float]


def milliseconds(explained: Node, prices: Prices) -> float:
    """How long the plan is expected to run; ``explained`` is what ``outreach.explain_segment`` gives."""
    known = Known(explained["Leads"], explained["Rows"])
    return prices.start + _work(explained["Plan"], known, prices)


def members(explained: Node) -> float:
    """How many leads the planner expects the segment to have."""
    workers = 1.0 + sum(node["Workers Planned"] for node in nodes(explained["Plan"]) if node["Node Type"] == "Gather")
    rows = [node["Plan Rows"] for node in nodes(explained["Plan"]) if node.get("Relation Name") == "leads"]
    return workers * float(rows[0]) if rows else 0.0


def nodes(plan: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def _work(node: Node, known: Known, prices: Prices) -> float:
    children = node.get("Plans", [])
    if node.get("Relation Name") == "leads":
        fetched = _fetched(node, known)
        only = prices.named if node["Node Type"] == "Index Only Scan" else prices.fetched
        own = fetched / 1000 * (only + _asked(node, prices)) + _indexes(node, known, prices)
        below = [each for each in children if each.get("Parent Relationship") != "Outer"]
        # A set is read when the first row asks for it, so perhaps never.
        lazily = min(1.0, fetched / 3)
        return float(own + lazily * sum(_work(each, known, prices) for each in below))
    if node["Node Type"] == "Gather":
        inits = [each for each in children if each.get("Parent Relationship") == "InitPlan"]
        outer = [each for each in children if each not in inits]
        parts = sum(_work(each, known, prices) for each in outer)
        return 3.0 + parts / (float(node["Workers Planned"]) + 0.7) + sum(_work(each, known, prices) for each in inits)
    if not any(each.get("Relation Name") == "leads" for each in nodes(node)):
        return prices.cost * float(node["Total Cost"])
    return sum(_work(each, known, prices) for each in children)


def _indexes(node: Node, known: Known, prices: Prices) -> float:
    """Reading lists of an index before the leads; those of trigrams cost far more than the planner thinks."""
    named = [
        each for each in nodes(node) if each["Node Type"] == "Bitmap Index Scan" and "_leads_" in each["Index Name"]
    ]
    trigrams = sum(float(each["Total Cost"]) for each in named if each["Index Name"].startswith("gin_leads_search"))
    return prices.trigrams * trigrams + prices.listed * sum(_found(each, known) for each in named) / 1000


def _asked(node: Node, prices: Prices) -> float:
    """The price of a row's tests; each later one is asked less often, as the rows before it fail."""
    filtered = node.get("Filter", "")
    found = sorted(
        (match.start(), getattr(prices, name)) for name, test in _TESTS.items() for match in test.finditer(filtered)
    )
    total: float = 0.0
    share = 1.0
    for _, price in found:
        total += price * share
        share = max(0.25, share * 0.8)
    return total


def _fetched(node: Node, known: Known) -> float:
    """How many leads the node looks at."""
    if node["Node Type"] == "Bitmap Heap Scan":
        return max((_found(each, known) for each in node["Plans"] if each["Parent Relationship"] == "Outer"), default=0)
    return known.leads if node["Node Type"] == "Seq Scan" else _found(node, known)


def _found(node: Node, known: Known) -> float:
    """How many rows an index, or several, will name."""
    if node["Node Type"] == "BitmapAnd":
        return known.leads * math.prod(_found(each, known) / max(1, known.leads) for each in node["Plans"])
    if node["Node Type"] == "BitmapOr":
        return min(sum(_found(each, known) for each in node["Plans"]), known.leads)
    return float(known.rows.get(node.get("Index Cond", ""), min(node["Plan Rows"], known.leads)))
