"""Templates of subjects and bodies: Jinja2 in its sandbox, one set of variables, bounded work.

A template is a program of whoever wrote the campaign. What could keep a worker busy or fill its memory is not in the
language here: macros, includes, namespaces and recursive loops, multiplication of texts, powers; loops share a budget,
and filters and methods that make texts longer are bounded.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from outreachdb.errors import InvalidInput
from outreachdb.words import did_you_mean

# A lead's fields that a template may use; custom fields are reached as {{ custom.Name }} or {{ custom["Name"] }}.
FIELDS = (
    "email",
    "first_name",
    "last_name",
    "phone",
    "title",
    "company_name",
    "company_website",
    "linkedin_url",
    "industry",
    "country",
    "city",
    "timezone",
)
# What dispatch adds to a lead's fields.
LINKS = ("unsubscribe_url",)
MAX_CHARACTERS = 200_000
MAX_LOOPS = 10_000  # rounds of all loops of a rendering together
MAX_SECONDS = 2.0
MissingPolicy = Literal["strict", "error", "empty"]

_FORBIDDEN: tuple[type[nodes.Node], ...] = (
    nodes.Macro,
    nodes.CallBlock,
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Extends,
    nodes.Block,
    nodes.NSRef,
    nodes.AssignBlock,
    nodes.FilterBlock,
    nodes.Pow,
)
# A list of a list of a list ... twice each is a text of any length when it is printed.
_VARYING: tuple[type[nodes.Node], ...] = (nodes.Name, nodes.List, nodes.Tuple, nodes.Dict, nodes.Call, nodes.Filter)
# Filters that make no more than they are given, or whose measure is checked below.
_FILTERS = (
    "abs", "capitalize", "center", "count", "d", "default", "e", "escape", "first", "float", "forceescape",
    "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr",
    "replace", "reverse", "round", "safe", "select", "selectattr", "sort", "string", "striptags", "title", "tojson",
    "trim", "truncate", "unique", "upper", "urlencode", "wordcount", "wordwrap",
)  # fmt: skip
_METHODS = frozenset(
    [
        "capitalize",
        "casefold",
        "count",
        "endswith",
        "find",
        "get",
        "index",
        "isalnum",
        "isalpha",
        "isdigit",
        "islower",
        "isnumeric",
        "isspace",
        "istitle",
        "isupper",
        "items",
        "keys",
        "lower",
        "lstrip",
        "partition",
        "removeprefix",
        "removesuffix",
        "rfind",
        "rpartition",
        "rsplit",
        "rstrip",
        "split",
        "splitlines",
        "startswith",
        "strip",
        "swapcase",
        "title",
        "upper",
        "values",
        "index0",
        "depth",
        "first",
        "last",
        "length",
        "previtem",
        "nextitem",
        "changed",
        "cycle",
        "revindex",
        "revindex0",
        "depth0",
    ]
)
# Where their measures begin among a filter's arguments.
_WIDTHS = {"center": 1, "indent": 1, "tojson": 2, "wordwrap": 2}
_spent: ContextVar[list[float]] = ContextVar("spent")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's texts; the subject is one line."""

    subject: str
    text: str
    html: str | None


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox without what has no bound."""

    intercepted_binops = frozenset(["+", "*", "%", "**"])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in tree.find_all(_FORBIDDEN):
            raise jinja2.TemplateSyntaxError(f"{type(node).__name__.lower()} is not available here", node.lineno)
        for literal in tree.find_all((nodes.List, nodes.Tuple, nodes.Dict)):
            if getattr(literal, "ctx", "load") == "load" and any(True for _ in literal.find_all(_VARYING)):
                raise jinja2.TemplateSyntaxError("lists hold constants only here", literal.lineno)
        for loop in tree.find_all(nodes.For):
            if loop.recursive:
                raise jinja2.TemplateSyntaxError("recursive loops are not available here", loop.lineno)
            loop.iter = nodes.Filter(loop.iter, "metered", [], [], None, None, lineno=loop.lineno)
        checked: nodes.Template = _Bounding().visit(tree)
        return checked

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ARG002 - the sandbox's signature
        """The sandbox's own ``format`` keeps secrets in, but makes texts of any width."""
        return None

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if callable(value) and attr not in _METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        number = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "+" and not number:
            _bounded(len(left) + len(right))
        elif not number or max(abs(left), abs(right)) > 1e15:
            raise SecurityError(f"{operator} takes numbers, and no huge ones")
        return super().call_binop(context, operator, left, right)


class _Bounding(NodeTransformer):
    """Texts joined by ``~`` are measured: twenty doublings make a million characters of one."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - the visitor's own form
        """Send the result through a filter."""
        self.generic_visit(node)
        return nodes.Filter(node, "measured", [], [], None, None, lineno=node.lineno)


def _measured(value: Any) -> Any:
    _bounded(len(value))
    return value


def _bounded(length: int) -> None:
    if length > MAX_CHARACTERS:
        raise SecurityError(f"makes over {MAX_CHARACTERS:,} characters")


def _metered(items: Iterable[Any]) -> Iterator[Any]:
    """What a loop goes through, each round paid from the rendering's budget."""
    budget = _spent.get()
    for item in items:
        budget[0] += 1
        if budget[0] > MAX_LOOPS or time.monotonic() > budget[1]:
            raise SecurityError(f"loops take over {MAX_LOOPS:,} rounds or {MAX_SECONDS:.0f} seconds")
        yield item


def _limited(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    """A filter with its measures checked before it works: widths are small, and texts don't explode."""

    def checked(*args: Any, **kwargs: Any) -> Any:
        given = [*args, *kwargs.values()]
        if name in _WIDTHS and any(not isinstance(each, int) or each > 1000 for each in given[_WIDTHS[name] :]):
            raise SecurityError(f"{name} takes widths up to 1,000 only")
        if name == "replace":
            text, old, new = (str(each) for each in given[1:4])
            _bounded(len(text) + text.count(old) * len(new))
        result = inner(*args, **kwargs)
        if isinstance(result, str):
            _bounded(len(result))
        return result

    for attribute in ("jinja_pass_arg", "jinja_async_variant"):
        if hasattr(inner, attribute):
            setattr(checked, attribute, getattr(inner, attribute))
    return checked


def _join(value: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    """The built-in's plain form, adding up before it joins."""
    if attribute is not None:
        raise SecurityError("join takes a separator only")
    parts: list[str] = []
    total = 0
    for item in value:
        parts.append("" if item is None else str(item))
        total += len(parts[-1]) + len(d)
        _bounded(total)
    return d.join(parts)


def _range(*given: int) -> range:
    made = range(*given)
    if len(made) > MAX_LOOPS:
        raise SecurityError(f"range takes up to {MAX_LOOPS:,} numbers")
    return made


def _strict(value: Any) -> Any:
    if value is None or value == "":
        raise jinja2.UndefinedError("an empty field is printed")
    return value


def _environment(*, html: bool, missing: MissingPolicy) -> jinja2.Environment:
    made = _Environment(
        undefined=jinja2.ChainableUndefined if missing == "empty" else jinja2.StrictUndefined,
        autoescape=html,
        finalize=_strict if missing == "strict" else lambda value: "" if value is None else value,
        keep_trailing_newline=True,
    )
    kept: dict[str, Any] = {name: made.filters[name] for name in _FILTERS if name in made.filters}
    made.filters = {name: _limited(name, inner) for name, inner in kept.items()}
    made.filters |= {"join": _join, "measured": _measured, "metered": _metered}
    made.globals = {"range": _range}
    return made


_ENVIRONMENTS = {
    (html, missing): _environment(html=html, missing=missing)
    for html in (False, True)
    for missing in ("strict", "error", "empty")
}


class StepTemplates:
    """The compiled templates of one step, or of one variant of it."""

    def __init__(self, subject: str, text: str, html: str | None, *, missing: MissingPolicy = "error") -> None:
        self.subject = _compile(subject, "subject", missing)
        self.text = _compile(text, "text", missing)
        self.html = _compile(html, "html", missing) if html else None

    def render(self, lead: Mapping[str, Any]) -> Rendered:
        """Render for a lead (the fields of :data:`FIELDS`, ``tags``, ``custom``); raises InvalidInput."""
        subject = " ".join(_render(self.subject, "subject", lead).split())
        html = _render(self.html, "html", lead) if self.html else None
        return Rendered(subject, _render(self.text, "text", lead), html)


def sample_lead() -> dict[str, Any]:
    """A lead that has everything, to try templates on; it answers to every custom field."""
    return {field: f"sample {field}" for field in (*FIELDS, *LINKS)} | {"tags": ["sample"], "custom": _AnyField()}


class _AnyField(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"sample {key}"

    def get(self, key: str, _default: Any = None, /) -> Any:
        return self[key]


@lru_cache(maxsize=1024)
def _compile(source: str, part: str, missing: MissingPolicy) -> jinja2.Template:
    try:
        return _ENVIRONMENTS[part == "html", missing].from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise InvalidInput(f"{part}, line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise InvalidInput(f"{part}: nested too deep") from None


_UNDEFINED = re.compile(r"'([^']*)' is undefined")


def _meant(error: jinja2.UndefinedError) -> str:
    """The field that a template may have meant, or all that there are."""
    known = (*FIELDS, *LINKS, "tags")
    missed = _UNDEFINED.fullmatch(error.message or "")
    return did_you_mean(missed[1] if missed else "", known, f"there are {', '.join(known)}, custom.<name>;")


def _render(template: jinja2.Template, part: str, lead: Mapping[str, Any]) -> str:
    spent = _spent.set([0, time.monotonic() + MAX_SECONDS])
    pieces, length = [], 0
    try:
        for piece in template.generate(lead):
            pieces.append(piece)
            length += len(piece)
            _bounded(length)
    except jinja2.UndefinedError as error:
        raise InvalidInput(f"{part}: {error.message}", hint=f"{_meant(error)} or use | default('')") from None
    except Exception as error:  # noqa: BLE001 - a template is a program of the user's: whatever it raises is its error
        raise InvalidInput(f"{part}: {type(error).__name__}: {error}") from None
    finally:
        _spent.reset(spent)
    return "".join(pieces)
