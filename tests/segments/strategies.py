"""Random leads and random definitions that have a fair chance of meeting."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from evaluator import NOW, SAVED
from hypothesis import strategies as st

# The definition that the requirements show.
REQUIRED: dict[str, Any] = {"all": [
    {"field": "country", "op": "in", "value": ["US", "GB"]}, {"field": "tags", "op": "has_any", "value": ["vip"]},
    {"any": [{"field": "title", "op": "contains", "value": "growth"},
             {"field": "custom.Employees", "op": "gte", "value": 1000}]},
    {"not": {"field": "status", "op": "equals", "value": "unsubscribed"}},
    {"event": "opened", "campaign": 12, "at_least": 2, "within_days": 30},
]}  # fmt: skip
# Quotes, patterns, escapes, other scripts; no characters whose lower case differs between Python and PostgreSQL.
WORDS = [
    "",
    "a",
    "Ab",
    "growth",
    "Growth lead",
    "%",
    "_",
    "\\",
    "'",
    "''",
    '"',
    "--",
    "$$",
    "{}",
    "ä",
    "Ж",
    "日本",
    "1000",
]
text = st.sampled_from(WORDS) | st.text(alphabet="aAbB%_\\'\" ;$äЖ", max_size=6)
COUNTRIES = ["US", "GB", "us", "O'Brien", "Germany", "DEU", "Deutschland", "UK", ""]
# Some hours ago and some days to come among them.
DAYS = [NOW - timedelta(days=n) for n in (0, 0.125, 1, 10, 29, 31, 400, -10, -20)]
KEYS = ["Employees", "o'clock", 'a "b"', "Ж", "x.y", "since", "x", "list"]
# How a definition may name them; a column "x.y" goes before y inside x, a list of keys is always a path.
NAMES: list[str | list[str]] = [
    *(f"custom.{key}" for key in KEYS),
    *(f"custom.x.{key}" for key in ("y.z", "o'clock", "0", "-1")),
    ["custom", "x", "y"],
    ["custom", "x", "y", "z"],
    ["custom", "x.y"],
    ["custom", "list", "0"],
    "custom.nobody's key",
]
dates = st.sampled_from(
    [
        "2026-01-31",
        "2024-02-29",
        "2026-01-31T12:00:00Z",
        "2025-06-01T00:00:00+02:00",
        "today",
        "9 days ago",
        "now",
        "2 hours ago",
        "90 minutes ago",
        "3 months ago",
        "in 2 weeks",
        "in 1 year",
    ]
) | st.sampled_from(DAYS).map(lambda day: day.strftime("%Y-%m-%d"))
spans = st.sampled_from([0, 5, 15, 30, 500, "6 hours", "90 minutes", "1 day", "2 weeks", "3 months", "2 years"])
numbers = st.integers(-5, 2000) | st.sampled_from([0.5, 70.1, 99.9])
_simple = st.one_of(
    text,
    st.integers(-5, 2000),
    st.sampled_from(["1000", " 7 ", "2026-01-31", "2025-06-01x", "12.5"]),
    st.sampled_from(DAYS).map(lambda day: day.strftime("%Y-%m-%d")),
)
_lists = st.lists(st.sampled_from(["a", "Ab", "1000", 1000, "'", 7]), max_size=3)
_inner = st.dictionaries(st.sampled_from(["y", "y.z", "o'clock", "0"]), _simple | _lists, max_size=3)
custom_values = st.one_of(_simple, _lists, _inner, st.fixed_dictionaries({"y": _inner}), st.none())


EVENTS = ["delivered", "deferred", "opened", "clicked", "replied", "bounced", "complained", "unsubscribed",
          "autoresponded"]  # fmt: skip
# What a lead was sent and did: when, in days ago; each campaign sends one mail.
_days = st.sampled_from([0, 1, 5, 29, 30, 31])
_sent = st.fixed_dictionaries({"event": st.just("sent"), "campaign": st.sampled_from([1, 2]), "days": _days})
_event = st.fixed_dictionaries(
    {
        # Opened most often: it is what machines do as well, and what counts how often.
        "event": st.sampled_from(["opened"] * 3 + EVENTS),
        "campaign": st.sampled_from([1, 2, None]),
        "days": _days,
        "prefetched": st.booleans(),
    }
)


def leads(most: int = 12) -> st.SearchStrategy[list[dict[str, Any]]]:
    lead = st.fixed_dictionaries(
        {
            "first_name": st.none() | text,
            "title": st.none() | text,
            "company_name": st.none() | text,
            "country": st.none() | st.sampled_from(COUNTRIES),
            "status": st.sampled_from(["new", "verified", "unsubscribed"]),
            "tags": st.lists(st.sampled_from(["vip", "VIP", "a,b", '"', "'", "{x}"]), max_size=3, unique=True),
            "custom_fields": st.dictionaries(st.sampled_from(KEYS), custom_values, max_size=4),
            "qualification_score": st.none() | st.sampled_from([0.0, 0.5, 70.1, 99.9, 100.0]),
            "qualification_latency_ms": st.none() | st.integers(0, 2000),
            "qualified_at": st.none() | st.sampled_from(DAYS),
            "created_at": st.sampled_from(DAYS),
            "email_flags": st.none() | st.lists(st.sampled_from(["disposable", "role"]), max_size=2, unique=True),
            "company_id": st.none() | st.integers(1, 3),
            "engagement": st.sampled_from(["cold", "warm", "engaged", "hot"]),
            "email": st.none() | st.sampled_from(["Ann@x.org", "bob'o@y.example", "Ж@z.example"]),
            "done": st.lists(_sent, max_size=2, unique_by=lambda one: one["campaign"]).flatmap(
                lambda sends: st.lists(_event, max_size=3).map(lambda events: [*sends, *events])
            ),
            "imported": st.booleans(),
        }
    )
    return st.lists(lead, min_size=1, max_size=most)


def _leaf(field: st.SearchStrategy[Any], tests: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    with_value = st.sampled_from(sorted(tests)).flatmap(
        lambda op: st.fixed_dictionaries({"field": field, "op": st.just(op), "value": tests[op]})
    )
    return with_value | st.fixed_dictionaries({"field": field, "op": st.sampled_from(["is_set", "is_not_set"])})


def _same(strategy: st.SearchStrategy[Any], *ops: str) -> dict[str, st.SearchStrategy[Any]]:
    return dict.fromkeys(ops, strategy)


def _pair(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, min_size=2, max_size=2)


# Expressions that mean the same to Python and to PostgreSQL.
expressions = st.sampled_from(
    ["^a", "b+$", "gr.*th", "(a|b){2}", "[0-9]{3,4}", "^$", "'|%", "[^ab]", "Ж", "^(?:a|lead)?b"]
)
_words = _same(text, "contains", "not_contains", "starts_with", "ends_with") | {"matches": expressions}
_texts = _words | _same(text, "equals", "not_equals") | _same(st.lists(text, min_size=1, max_size=3), "in", "not_in")
_order = _same(numbers, "gt", "gte", "lt", "lte")
_numbers = _order | _same(numbers, "equals", "not_equals") | {"between": _pair(numbers)}
_several = _same(st.lists(numbers, min_size=1, max_size=3), "in", "not_in")
_dates = _same(dates, "equals", "before", "after", "gt", "gte", "lt", "lte") | {
    "between": _pair(dates),
    "within_last": spans,
}
_tags = _same(
    st.lists(st.sampled_from(["vip", "VIP", "a,b", '"', "'", "{x}", "none"]), min_size=1, max_size=3),
    "has_any",
    "has_all",
    "has_none",
)
_flags = _same(st.lists(st.sampled_from(["disposable", "role", "vip"]), min_size=1, max_size=2), *_tags)
_code = st.sampled_from(["US", "us", "GB", "DE", "de", "FR"])
_codes = _same(_code, "equals", "not_equals") | _same(st.lists(_code, min_size=1, max_size=3), "in", "not_in")
_scalar = text | st.integers(-5, 2000)
_custom = (
    _words
    | _order
    | _same(_scalar, "equals", "not_equals")
    | _same(st.lists(_scalar, min_size=1, max_size=3), "in", "not_in")
    | _same(
        st.lists(st.sampled_from(["a", "1000", 1000, "'", 7]), min_size=1, max_size=2), "has_any", "has_all", "has_none"
    )
    | _same(numbers | dates, "gt", "gte", "lt", "lte")
    | _same(dates, "before", "after")
    | {"between": _pair(numbers) | _pair(dates), "within_last": spans}
)

_EQUAL = st.sampled_from(["equals", "not_equals"])
_level = st.sampled_from(["cold", "warm", "engaged", "hot"])
_levels = st.fixed_dictionaries(
    {"field": st.just("engagement"), "op": _EQUAL, "value": _level}
) | st.fixed_dictionaries(
    {"field": st.just("engagement"), "op": st.sampled_from(["in", "not_in"]), "value": st.lists(_level, min_size=1)}
)

condition = st.one_of(
    _leaf(st.sampled_from(["first_name", "title", "company_name", "email"]), _texts),
    _leaf(
        st.just("country"), _texts | _same(st.lists(st.sampled_from(COUNTRIES), min_size=1, max_size=3), "in", "not_in")
    ),
    _leaf(st.sampled_from(["qualification_score", "qualification_latency_ms"]), _numbers | _several),
    _leaf(st.sampled_from(["qualified_at", "created_at"]), _dates),
    _leaf(st.just("tags"), _tags),
    _leaf(st.just("email_flags"), _flags),
    _leaf(st.just("country_code"), _codes),
    _leaf(st.sampled_from(["company.created_at", "company.last_crawled_at", "company.updated_at"]), _dates),
    _leaf(st.sampled_from(["company.name", "company.industry"]), _texts),
    _leaf(st.just("company.renewal_month"), _numbers | _several | {"within_next_months": st.integers(0, 11)}),
    _levels,
    st.fixed_dictionaries({"field": st.just("suppressed"), "op": _EQUAL, "value": st.booleans()}),
    _leaf(st.sampled_from(NAMES), _custom),
    st.fixed_dictionaries(
        {"event": st.sampled_from(["sent", "opened", *EVENTS])},
        optional={
            "campaign": st.sampled_from([1, 2]),
            "at_least": st.integers(1, 3),
            "within_days": st.sampled_from([1, 5, 30, 400]),
        },
    ),
    st.just({"import": 7}),
    st.fixed_dictionaries(
        {"random_percent": st.sampled_from([0, 0.1, 10, 33.3, 50, 99.99, 100])},
        optional={"seed": st.sampled_from(["", "a", "o'b", "Ж"])},
    ),
    st.fixed_dictionaries({"segment": st.sampled_from(sorted(SAVED))}),
)


def definitions() -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        st.just({}) | condition,
        lambda inner: st.one_of(
            st.fixed_dictionaries({"all": st.lists(inner, max_size=3)}),
            st.fixed_dictionaries({"any": st.lists(inner, max_size=3)}),
            st.fixed_dictionaries({"not": inner}),
        ),
        max_leaves=8,
    )
