"""Segment definitions: read from JSON, checked before the database sees them, errors that point at the spot.

The meaning of fields, operators and values is in ``routines*.sql`` alone (``outreach.segment_condition``), and so are
the errors about it; here shape, names and limits are checked, which is what JSON from anywhere can get wrong. The
context of an error holds the JSON pointer of the spot as ``path``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    RootModel,
    Tag,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from outreachdb.errors import InvalidInput
from outreachdb.segments import fields, schema
from outreachdb.words import did_you_mean

MAX_DEPTH = 32
MAX_BYTES = 256 * 1024
MAX_CONDITIONS = 500
MAX_SHOWN = 60  # characters of somebody's own name in a hint
# An escaped NUL, as against an escaped backslash before "u0000".
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

Operator = Literal[
    "equals",
    "not_equals",
    "in",
    "not_in",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "matches",
    "gt",
    "gte",
    "lt",
    "lte",
    "between",
    "before",
    "after",
    "within_last",
    "within_next_months",
    "is_set",
    "is_not_set",
    "has_any",
    "has_all",
    "has_none",
]
Event = Literal[
    "sent",
    "delivered",
    "deferred",
    "opened",
    "clicked",
    "replied",
    "bounced",
    "complained",
    "unsubscribed",
    "autoresponded",
]
Scalar = Annotated[str | int | float | bool, Field(union_mode="left_to_right")]
# What the database keeps ids in takes 18 digits for sure.
Id = Annotated[int, Field(ge=1, le=10**18 - 1)]
# Null is no value that a condition may have; this tells the two apart.
_NO_VALUE: Any = object()


def _undefaulted(key: dict[str, Any]) -> None:
    del key["default"]


# A key that may be missing and is never null.
_ABSENT: Any = Field(default=None, json_schema_extra=_undefaulted)


def _fields_hint(given: str | list[str]) -> str:
    own = given if isinstance(given, str) and 0 < len(given) <= MAX_SHOWN else "<column name>"
    return (
        f'a field of leads, tags, engagement, suppressed, company.<field>, or "custom.{own}" for a column of your own'
    )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Condition(_Strict):
    """``{"field": "country", "op": "in", "value": ["US", "GB"]}``."""

    field: str | Annotated[list[str], Field(min_length=2, max_length=32)]
    op: Operator
    value: Scalar | list[Scalar] = Field(default=_NO_VALUE, validate_default=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> schema.Schema:
        """What goes with each kind of field, instead of three keys that know nothing of each other."""
        return schema.condition(cls.__doc__ or "")

    @field_validator("field", mode="wrap")
    @classmethod
    def _known(cls, given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(given, str | list) and fields.operators(given) is None:
            near = fields.nearest(given) if isinstance(given, str) else None
            hint = f'did you mean "{near}"?' if near else _fields_hint(given)
            raise PydanticCustomError(
                "no_field", "there is no field {field}", {"field": json.dumps(given)[:100], "hint": hint}
            )
        return handler(given)

    @field_validator("op", mode="wrap")
    @classmethod
    def _fits(cls, op: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        offered = fields.operators(info.data["field"]) if "field" in info.data else None
        if offered is None or not isinstance(op, str) or op in offered:
            return handler(op)
        field = info.data["field"] if isinstance(info.data["field"], str) else ".".join(info.data["field"])
        takes = f"this field takes {', '.join(offered)}"
        if op in get_args(Operator):
            raise PydanticCustomError(
                "no_fit", '"{op}" does not go with the field {field}', {"op": op, "field": field[:100], "hint": takes}
            )
        near = fields.nearest_operator(op, offered)
        hint = f'did you mean "{near}"? {takes}' if near else takes
        raise PydanticCustomError("no_op", "no such operator: {op}", {"op": json.dumps(op)[:100], "hint": hint})

    @field_validator("value", mode="wrap")
    @classmethod
    def _needed(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        op, given = info.data.get("op"), value is not _NO_VALUE
        if op in fields.WITHOUT_VALUE and given:
            raise PydanticCustomError("unneeded", "{op} takes no value", {"op": op})
        if op is not None and op not in fields.WITHOUT_VALUE and not given:
            raise PydanticCustomError("needed", "is missing")
        return handler(value) if given else None


class Behaviour(_Strict):
    """``{"event": "opened", "campaign": 12, "at_least": 2, "within_days": 30}``; never mailed is not ``sent``."""

    event: Event
    campaign: Id = _ABSENT
    at_least: Annotated[int, Field(ge=1, le=1000)] = 1
    within_days: Annotated[int, Field(ge=1, le=3650)] = _ABSENT

    @field_validator("event", mode="wrap")
    @classmethod
    def _known(cls, event: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(event, str) or event in get_args(Event):
            return handler(event)
        hint = did_you_mean(event, get_args(Event), f"there are {', '.join(get_args(Event))}")
        raise PydanticCustomError(
            "no_event", "no such event: {event}", {"event": json.dumps(event)[:100], "hint": hint}
        )


class Member(_Strict):
    """``{"segment": "name or id"}``: members of another saved segment, which must not be made of this one."""

    segment: Annotated[str | Id, Field(union_mode="left_to_right")]


class Imported(_Strict):
    """``{"import": 42}``: leads that the import created or changed."""

    import_: Id = Field(alias="import")


class Random(_Strict):
    """``{"random_percent": 10, "seed": "a"}``: always the same tenth of the leads."""

    random_percent: Annotated[float, Field(ge=0, le=100)]
    seed: Annotated[str, Field(max_length=200)] = ""


class All(_Strict):
    """True where each part is; ``{"all": []}`` is true."""

    all: list[Node]


class Any_(_Strict):  # noqa: N801 - `Any` is taken
    """True where one part is; ``{"any": []}`` is false."""

    any: list[Node]


class Not(_Strict):
    """True where the part is not, empty values included."""

    not_: Node = Field(alias="not")


class Everybody(_Strict):
    """``{}``."""


# The key that tells a node's kind, and the kind's tag; a tag must not be a key, or errors could not tell them apart.
KINDS = {
    "all": "all",
    "any": "any",
    "not": "not",
    "event": "behaviour",
    "segment": "member",
    "import": "imported",
    "random_percent": "random",
}
LEAVES = frozenset({"field", "event", "segment", "import", "random_percent"})


def _kind(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return None
    if not value:
        return "everybody"
    return next((tag for word, tag in KINDS.items() if word in value), "condition")


Node = Annotated[
    Annotated[Condition, Tag("condition")]
    | Annotated[All, Tag("all")]
    | Annotated[Any_, Tag("any")]
    | Annotated[Not, Tag("not")]
    | Annotated[Everybody, Tag("everybody")]
    | Annotated[Behaviour, Tag("behaviour")]
    | Annotated[Member, Tag("member")]
    | Annotated[Imported, Tag("imported")]
    | Annotated[Random, Tag("random")],
    Discriminator(_kind, custom_error_type="no_object", custom_error_message="must be an object"),
]


_MODELS: dict[str, type[BaseModel]] = {
    "condition": Condition, "all": All, "any": Any_, "not": Not, "everybody": Everybody, "behaviour": Behaviour,
    "member": Member, "imported": Imported, "random": Random,
}  # fmt: skip


class Definition(RootModel[Node]):
    """A whole definition; its JSON Schema is ``Definition.model_json_schema()``."""

    model_config = ConfigDict(json_schema_extra={"$schema": "https://json-schema.org/draft/2020-12/schema"})


for _model in (All, Any_, Not, Definition):
    _model.model_rebuild()


def check(definition: Any, *, where: str = "segment") -> dict[str, Any]:
    """The definition itself if its shape is right; raises InvalidInput that names the spot (``all[1].value: ...``).

    ``where`` is what the error calls the whole.
    """
    _check_limits(definition, where)
    try:
        Definition.model_validate(definition)
    except ValidationError as error:
        first = _first(error.errors(include_url=False, include_input=False))
        steps = _steps(definition, first["loc"])
        spot = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
        raise InvalidInput(
            f"{where}: {spot or 'definition'}: {_problem(first)}",
            hint=first.get("ctx", {}).get("hint"),
            path="".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps),
        ) from None
    checked: dict[str, Any] = definition
    return checked


def parse(text: str, *, where: str = "segment") -> dict[str, Any]:
    """Read and check JSON text."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise InvalidInput(f"{where}: is too large", hint="at most 256 kB")
    try:
        return check(json.loads(text, parse_constant=_constant_refused(where)), where=where)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"{where}: no JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            hint='a definition looks like {"field": "country", "op": "equals", "value": "US"}',
        ) from None
    except ValueError:  # Python reads no number of more than some thousand digits
        raise InvalidInput(f"{where}: holds a number that is too long", hint="it has thousands of digits") from None
    except RecursionError:
        raise _too_deep(where) from None


def load(argument: str) -> dict[str, Any]:
    """A ``--where`` argument: JSON, or ``@FILE`` that holds it."""
    if not argument.startswith("@"):
        return parse(argument, where="--where")
    path = Path(argument[1:])
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"{path}: is too large", hint="at most 256 kB")
        return parse(path.read_text(encoding="utf-8-sig"), where=str(path))
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from None


def _check_limits(definition: Any, where: str) -> None:
    """Depth and size first, without recursion: what comes after may recurse."""
    level, depth, conditions = [definition], 0, 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep(where)
        conditions += sum(1 for node in level if isinstance(node, Mapping) and not LEAVES.isdisjoint(node))
        if conditions > MAX_CONDITIONS:
            raise InvalidInput(f"{where}: has too many conditions", hint=f"at most {MAX_CONDITIONS}")
        level = [child for node in level if isinstance(node, Mapping) for child in _children(node)]
    try:
        size = len(json.dumps(definition, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{where}: no JSON: {error}") from None
    except RecursionError:
        raise _too_deep(where) from None
    if size > MAX_BYTES:
        raise InvalidInput(f"{where}: is too large", hint="at most 256 kB")
    if _NUL.search(json.dumps(definition)):
        raise InvalidInput(f"{where}: holds a NUL character, which no text here can contain")


def _children(node: Mapping[str, Any]) -> list[Any]:
    parts: list[Any] = [node["not"]] if "not" in node else []
    for word in ("all", "any"):
        if isinstance(node.get(word), list):
            parts += node[word]
    return parts


def _first(errors: list[Any]) -> Any:
    """The first error; where a value is missing, the misspelt key beside it that was to be one."""
    first = errors[0]
    beside = (each for each in errors if each["type"] == "extra_forbidden" and each["loc"][:-1] == first["loc"][:-1])
    return next(beside, first) if first["type"] == "needed" else first


def _steps(definition: Any, location: tuple[int | str, ...]) -> list[int | str]:
    """Pydantic's location without its own marks (tags of the union, types of a value)."""
    steps: list[int | str] = []
    node = definition
    for part in location:
        if isinstance(part, int) and isinstance(node, list):
            node = node[part] if part < len(node) else None
        elif isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, Mapping) and part in {"field", "op", "value"}:
            node = None
        else:
            continue
        steps.append(part)
    return steps


def _problem(error: Any) -> str:
    kind, message, place = error["type"], str(error["msg"]), error["loc"]
    told = {
        "extra_forbidden": _unknown_key(place),
        "missing": "is missing",
        "no_field": message,
        "no_fit": message,
        "no_op": message,
        "no_event": message,
        "needed": message,
        "unneeded": message,
        "literal_error": f"no such operator; there are {', '.join(get_args(Operator))}",
    }
    if kind == "literal_error" and "event" in place:
        return f"no such event; there are {', '.join(get_args(Event))}"
    if kind not in told and "value" in place:
        return "must be a text, a number, true or false, or a list of them"
    if "member" in place:
        told.setdefault(kind, "must be a segment's name or its id")
    if "field" in place and "condition" in place:
        told.setdefault(kind, "must be a field's name or a list of keys")
    return told.get(kind, message[0].lower() + message[1:])


def _unknown_key(place: tuple[int | str, ...]) -> str:
    """What is said of a key that its kind of node does not have; the kind's tag stands before it."""
    model = _MODELS.get(str(place[-2])) if len(place) > 1 else None
    keys = [each.alias or name for name, each in model.model_fields.items()] if model else []
    return "unknown key" + (f"; {did_you_mean(str(place[-1]), keys, 'there are ' + ', '.join(keys))}" if keys else "")


def _too_deep(where: str) -> InvalidInput:
    return InvalidInput(f"{where}: nested too deep", hint=f"at most {MAX_DEPTH} levels")


def _constant_refused(where: str) -> Callable[[str], float]:
    def refuse(name: str) -> float:
        raise InvalidInput(f"{where}: {name} is not JSON")

    return refuse
