"""The published JSON Schema takes what Python and the compiler take, and refuses what they refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from psycopg.types.json import Jsonb
from strategies import REQUIRED, definitions

from outreachdb.errors import InvalidInput
from outreachdb.segments import definition as definitions_module
from outreachdb.segments import fields

DOCS = Path(__file__).parents[2] / "docs"
PUBLISHED = json.loads((DOCS / "reference" / "segment.schema.json").read_text(encoding="utf-8"))
SCHEMA = Draft202012Validator(PUBLISHED)
CONDITION = Draft202012Validator(PUBLISHED["$defs"]["Condition"])
# What is wrong by its shape, and where.
WRONG: list[tuple[Any, str]] = [
    ({"field": "tags", "op": "contains", "value": "vip"}, "op"),
    ({"field": ["x", "y"], "op": "is_set"}, "field"),
    ({"field": ["custom"], "op": "is_set"}, "field"),
    ({"field": "custom.", "op": "is_set"}, "field"),
    ({"field": "contry", "op": "is_set"}, "field"),
    ({"field": "title", "op": "equals"}, "value"),
    ({"field": "custom.x", "op": "between"}, "value"),
    ({"field": "title", "op": "equals", "value": None}, "value"),
    ({"field": "title", "op": "in", "value": [None]}, "value"),
    ({"field": "title", "op": "contains", "value": {"a": 1}}, "value"),
    ({"field": "title", "op": "is_set", "value": "x"}, "value"),
    ({"field": "tags", "op": "is_not_set", "value": None}, "value"),
    ({"field": "title", "op": "within_next_months", "value": 1}, "op"),
    ({"field": "title", "op": "looks_like", "value": "x"}, "op"),
    ({"field": "suppressed", "op": "is_set"}, "op"),
    ({"field": "title"}, "op"),
    ({"op": "is_set"}, "field"),
    ({"field": "title", "op": "is_set", "within_days": 3}, ""),
    ({"event": "opened", "campaign": None}, "campaign"),
    ({"event": "opened", "campaign": 10**18}, "campaign"),
    ({"event": "opened", "at_least": 0}, "at_least"),
    ({"event": "opened", "within_days": None}, "within_days"),
    ({"event": "opens"}, "event"),
    ({"event": None}, "event"),
    ({"event": "opened", "op": "equals"}, ""),
    ({"import": None}, "import"),
    ({"import": 0}, "import"),
    ({"segment": 0}, "segment"),
    ({"segment": None}, "segment"),
    ({"random_percent": 101}, "random_percent"),
    ({"random_percent": "7"}, "random_percent"),
    ({"random_percent": 7, "seed": None}, "seed"),
    ({"all": {}}, "all"),
    ({"any": [3]}, "any[0]"),
    ({"not": {}, "all": []}, ""),
    ({"not": []}, "not"),
    ([], ""),
]
# What only the compiler knows: which dates, spans, countries and expressions there are, and how small a number may be.
OF_THE_CONTENT = re.compile(
    "there is no (date|country)|must be a (date such as|number of days or|number below 1e37)|regular expression"
)
VALUES: list[Any] = [
    "", "x", "hot", "DE", "2026-01-31", "3 days", "x" * 201, "(", 0, 12, -1, 0.5, 1e36, 1e38, 10_000, True,
    None, {"a": 1}, [], ["x"], ["hot", "cold"], ["DE"], [7], [7, 8], [7, 8, 9], ["2026-01-31", "2026-02-01"],
    [1, "2026-01-31"], [True, 1, "x"], [None], [[1]],
]  # fmt: skip


@pytest.fixture
def compiler(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of one workspace in which ``pg_temp.problem`` says what the compiler has against a definition."""
    with psycopg.connect(database_url) as opened:
        opened.execute("INSERT INTO outreach.workspaces (id, name) VALUES (987656, gen_random_uuid()::text)")
        opened.execute("SET LOCAL app.workspace_id = '987656'")
        opened.execute("""
            CREATE FUNCTION pg_temp.problem(definition jsonb) RETURNS text LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM outreach.segment_condition(definition);
                RETURN NULL;
            EXCEPTION WHEN invalid_parameter_value THEN
                RETURN SQLERRM;
            END $$""")
        yield opened
        opened.rollback()


def problems(compiler: psycopg.Connection[Any], asked: list[Any]) -> list[str | None]:
    found = compiler.execute(
        "SELECT pg_temp.problem(e.value) FROM jsonb_array_elements(%s) WITH ORDINALITY AS e ORDER BY e.ordinality",
        [Jsonb(asked)],
    )
    return [row[0] for row in found]


def refused(definition: Any) -> str | None:
    try:
        definitions_module.check(definition)
    except InvalidInput as error:
        return str(error).removeprefix("segment: ")
    return None


def shown() -> list[dict[str, Any]]:
    """What the pages show."""
    pages = ("reference/segments.md", "explanation/empty-values.md", "how-to/segments.md")
    texts = [(DOCS / page).read_text(encoding="utf-8") for page in pages]
    return [json.loads(text) for page in texts for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]


def test_what_is_published_is_a_schema_and_takes_what_is_shown() -> None:
    Draft202012Validator.check_schema(PUBLISHED)
    examples = [REQUIRED, *shown()]
    assert len(examples) > 3
    for example in examples:
        SCHEMA.validate(example)
        assert refused(example) is None


@settings(max_examples=150, deadline=None)
@given(definition=definitions())
def test_the_schema_takes_whatever_the_property_test_asks(definition: dict[str, Any]) -> None:
    SCHEMA.validate(definition)


def test_the_same_shapes_are_refused_by_schema_python_and_compiler(compiler: psycopg.Connection[Any]) -> None:
    inside = [({"all": [{}, {"not": wrong}]}, f"all[1].not.{spot}".rstrip(".")) for wrong, spot in WRONG]
    everywhere = [*WRONG, *inside]
    told = problems(compiler, [wrong for wrong, _ in everywhere])
    for (wrong, spot), compiled in zip(everywhere, told, strict=True):
        checked = refused(wrong)
        assert not SCHEMA.is_valid(wrong), wrong
        assert checked is not None, wrong
        assert compiled is not None, wrong
        assert "there is no campaign" not in compiled
        assert checked.startswith(spot or ""), (wrong, checked)
        assert compiled.startswith(spot or ""), (wrong, compiled)


def test_schema_and_compiler_agree_on_each_operator_with_each_value(compiler: psycopg.Connection[Any]) -> None:
    """Python, which leaves types to the compiler, refuses nothing that it takes."""
    kinds = [(names[0], operators) for kind, (operators, names) in fields.KINDS.items() if "company" not in kind]
    kinds.append(("custom.x", fields.CUSTOM))
    asked: list[dict[str, Any]] = []
    for field, operators in kinds:
        for op in operators:
            asked.append({"field": field, "op": op})
            asked += [{"field": field, "op": op, "value": value} for value in VALUES]
    taken = 0
    for each, problem in zip(asked, problems(compiler, asked), strict=True):
        if problem is None:
            taken += 1
            assert CONDITION.is_valid(each), each
            assert refused(each) is None, each
        elif not OF_THE_CONTENT.search(problem):
            assert not CONDITION.is_valid(each), (each, problem)
    assert taken > 250
