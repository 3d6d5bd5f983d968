"""Which fields and operators a definition may name; ``outreach.segment_fields`` is the same list in the database.

The shape of a definition is checked here, without a database; a test holds both lists equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from outreachdb import words
from outreachdb.leads.importing.synonyms import normalised, place_of

OPPOSITES = {
    "not_equals": "equals",
    "not_in": "in",
    "not_contains": "contains",
    "is_not_set": "is_set",
    "has_none": "has_any",
}
# All others need one.
WITHOUT_VALUE = frozenset({"is_set", "is_not_set"})
# What other languages call the operators.
ALSO_CALLED = {
    "=": "equals", "==": "equals", "eq": "equals", "is": "equals",
    "!=": "not_equals", "<>": "not_equals", "ne": "not_equals", "neq": "not_equals", "is_not": "not_equals",
    ">": "gt", "greater_than": "gt", "more_than": "gt", ">=": "gte", "ge": "gte", "at_least": "gte", "min": "gte",
    "<": "lt", "less_than": "lt", "<=": "lte", "le": "lte", "at_most": "lte", "max": "lte",
    "like": "contains", "ilike": "contains", "includes": "contains", "not_like": "not_contains",
    "regex": "matches", "regexp": "matches", "~": "matches", "one_of": "in", "any_of": "in", "none_of": "not_in",
    "exists": "is_set", "is_not_null": "is_set", "not_empty": "is_set", "is_not_empty": "is_set",
    "is_null": "is_not_set", "empty": "is_not_set", "is_empty": "is_not_set", "not_exists": "is_not_set",
    "since": "after", "until": "before", "last": "within_last",
}  # fmt: skip
_TEXT = ("equals", "in", "contains", "starts_with", "ends_with", "matches", "is_set")
_NUMBER = ("equals", "in", "gt", "gte", "lt", "lte", "between", "is_set")
_DATE = ("equals", "before", "after", "gt", "gte", "lt", "lte", "between", "within_last", "is_set")

# Kind -> its operators without their opposites, and its fields.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "text": (
        _TEXT,
        ("city", "company_name", "company_website", "country", "email", "email_status", "first_name", "industry",
         "last_name", "linkedin_url", "notes", "phone", "phone_e164", "source", "source_key", "status", "timezone",
         "title"),
    ),
    "integer": (_NUMBER, ("company_id", "id", "qualification_latency_ms")),
    "real": (_NUMBER, ("qualification_score",)),
    "date": (_DATE, ("created_at", "email_checked_at", "profile_checked_at", "qualified_at", "updated_at")),
    "tags": (("has_any", "has_all", "is_set"), ("email_flags", "tags")),
    "company text": (
        _TEXT,
        ("company.domain", "company.industry", "company.linkedin_url", "company.name", "company.news_url",
         "company.website_url"),
    ),
    "company date": (_DATE, ("company.created_at", "company.last_crawled_at", "company.updated_at")),
    "month": ((*_NUMBER[:-1], "within_next_months", "is_set"), ("company.renewal_month",)),
    "country": (("equals", "in", "is_set"), ("country_code",)),
    "level": (("equals", "in"), ("engagement",)),
    "suppressed": (("equals",), ("suppressed",)),
}  # fmt: skip
CUSTOM = ("equals", "in", "contains", "starts_with", "ends_with", "matches", "gt", "gte", "lt", "lte", "between",
          "before", "after", "within_last", "has_any", "has_all", "is_set")  # fmt: skip
FIELDS: dict[str, tuple[str, ...]] = {field: operators for operators, fields in KINDS.values() for field in fields}


def operators(field: str | Sequence[str]) -> tuple[str, ...] | None:
    """The operators that go with a field, opposites included; ``None`` where there is no such field."""
    if isinstance(field, str):
        found = FIELDS.get(field) or (CUSTOM if field.startswith("custom.") and len(field) > 7 else None)
    else:
        found = CUSTOM if len(field) > 1 and field[0] == "custom" else None
    return None if found is None else with_opposites(found)


def with_opposites(positive: Sequence[str]) -> tuple[str, ...]:
    """Operators and, behind each, what means the opposite."""
    opposite = {word: name for name, word in OPPOSITES.items()}
    return tuple(name for word in positive for name in (word, opposite.get(word)) if name)


def nearest(field: str) -> str | None:
    """The field that somebody may have meant: by what lists call it, else by its own name."""
    called = place_of(normalised(field))
    return called[0] if called and called[0] in FIELDS else words.nearest(field, FIELDS)


def nearest_operator(op: str, offered: Sequence[str]) -> str | None:
    """The operator of those ``offered`` that somebody may have meant, also by what other languages call it."""
    called = ALSO_CALLED.get("_".join(op.lower().split()))
    return called if called in offered else words.nearest(op, offered)
