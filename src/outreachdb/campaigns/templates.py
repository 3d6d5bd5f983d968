"""Templates of subjects and bodies: Jinja2 in its sandbox, one set of variables, missing ones are errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from outreachdb.errors import InvalidInput

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
MAX_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's texts; the subject is one line."""

    subject: str
    text: str
    html: str | None


def _environment(*, html: bool) -> jinja2.Environment:
    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=html,
        finalize=lambda value: "" if value is None else value,
        keep_trailing_newline=True,
    )


_TEXT, _HTML = _environment(html=False), _environment(html=True)


class StepTemplates:
    """The compiled templates of one step."""

    def __init__(self, subject: str, text: str, html: str | None) -> None:
        self.subject = _compile(subject, "subject")
        self.text = _compile(text, "text")
        self.html = _compile(html, "html") if html else None

    def render(self, lead: Mapping[str, Any]) -> Rendered:
        """Render for a lead (the fields of :data:`FIELDS`, ``tags``, ``custom``); raises InvalidInput."""
        subject = " ".join(_render(self.subject, "subject", lead).split())
        html = _render(self.html, "html", lead) if self.html else None
        return Rendered(subject, _render(self.text, "text", lead), html)


def sample_lead() -> dict[str, Any]:
    """A lead that has everything, to try templates on; it answers to every custom field."""
    return {field: f"sample {field}" for field in FIELDS} | {"tags": ["sample"], "custom": _AnyField()}


class _AnyField(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"sample {key}"

    def get(self, key: str, _default: Any = None, /) -> Any:
        return self[key]


@lru_cache(maxsize=1024)
def _compile(source: str, part: str) -> jinja2.Template:
    try:
        return (_HTML if part == "html" else _TEXT).from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise InvalidInput(f"{part}, line {error.lineno}: {error.message}") from None


def _render(template: jinja2.Template, part: str, lead: Mapping[str, Any]) -> str:
    try:
        rendered = template.render(lead)
    except jinja2.UndefinedError as error:
        known = ", ".join((*FIELDS, "tags", "custom.<name>"))
        raise InvalidInput(f"{part}: {error.message}", hint=f"there are {known}; or use | default('')") from None
    except Exception as error:  # noqa: BLE001 - a template is a program of the user's: whatever it raises is its error
        raise InvalidInput(f"{part}: {type(error).__name__}: {error}") from None
    if len(rendered) > MAX_CHARACTERS:
        raise InvalidInput(f"{part}: renders to over {MAX_CHARACTERS:,} characters")
    return rendered
