"""A second reading of the segment language, in plain Python over dicts, to hold against the compiler."""

from __future__ import annotations

import json
import re
import struct
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from outreachdb.storage import hashing

OPPOSITE = {
    "not_equals": "equals",
    "not_in": "in",
    "not_contains": "contains",
    "is_not_set": "is_set",
    "has_none": "has_any",
}
DATES = {"created_at", "updated_at", "qualified_at", "email_checked_at", "profile_checked_at"}
NOW = datetime.now(UTC).replace(microsecond=0)
# What stands beside the leads of the property test: companies by id, and a domain that is suppressed.
COMPANIES: dict[int, dict[str, Any]] = {
    1: {"name": "Acme", "industry": "SaaS", "renewal_month": 1, "created_at": NOW - timedelta(days=400),
        "last_crawled_at": NOW - timedelta(days=10), "updated_at": NOW - timedelta(hours=3)},
    2: {"name": "Globex", "industry": None, "renewal_month": 12, "created_at": NOW - timedelta(days=31),
        "last_crawled_at": None, "updated_at": NOW - timedelta(days=29)},
    3: {"name": "O'Hara % Co", "industry": "Retail", "renewal_month": None, "created_at": NOW - timedelta(days=1),
        "last_crawled_at": NOW + timedelta(days=10), "updated_at": NOW},
}  # fmt: skip
# How lists write some countries, in lower case.
CODES = {"us": "US", "gb": "GB", "uk": "GB", "germany": "DE", "deutschland": "DE", "deu": "DE", "de": "DE"}
SUPPRESSED = "x.org"
# Saved segments, one of them made of another.
SAVED: dict[str, dict[str, Any]] = {
    "o'pened": {"event": "opened", "at_least": 2},
    "quiet in the US": {"all": [{"field": "country", "op": "equals", "value": "US"}, {"not": {"segment": "o'pened"}}]},
}
NUMBERS = {"id", "company_id", "qualification_latency_ms", "qualification_score"}


def matches(node: dict[str, Any], lead: dict[str, Any]) -> bool:
    if not node:
        return True
    if "all" in node:
        return all(matches(part, lead) for part in node["all"])
    if "any" in node:
        return any(matches(part, lead) for part in node["any"])
    if "not" in node:
        return not matches(node["not"], lead)
    if "event" in node:
        return _did(node, lead["done"])
    if "import" in node:
        return bool(lead["imported"])
    if "random_percent" in node:
        return _drawn(lead["id"], node["random_percent"], node.get("seed", ""))
    if "segment" in node:
        return matches(SAVED[node["segment"]], lead)
    op = node["op"]
    if op in OPPOSITE:
        return not _test(node["field"], OPPOSITE[op], node.get("value"), lead)
    return _test(node["field"], op, node.get("value"), lead)


def _did(node: dict[str, Any], done: list[dict[str, Any]]) -> bool:
    times = sum(
        one["event"] == node["event"]
        and not (one["event"] in {"opened", "clicked"} and one["prefetched"])
        and one["campaign"] == node.get("campaign", one["campaign"])
        and one["days"] <= node.get("within_days", one["days"])
        for one in done
    )
    return times >= node.get("at_least", 1)


def _drawn(lead_id: int, percent: float, seed: str) -> bool:
    """PostgreSQL's hash of the id, seeded by its hash of the seed, of which twenty bits are drawn."""
    seeded = hashing.hash_seeded(seed.encode(), np.zeros(1, np.uint64))[0]
    drawn = int(hashing.hash_integers_folded(np.array([lead_id]), int(seeded))[0]) % 2**20
    return drawn < (Decimal(str(percent)) * 2**20 / 100).quantize(Decimal(1), ROUND_HALF_UP)


def _held(field: str | list[str], custom: dict[str, Any]) -> Any:
    """A whole key first, then the path; JSON's null is nothing."""
    if isinstance(field, str) and field[7:] in custom:
        return custom[field[7:]]
    held: Any = custom
    for key in field[1:] if isinstance(field, list) else field[7:].split("."):
        if isinstance(held, dict):
            held = held.get(key)
        elif isinstance(held, list) and re.fullmatch(r"-?\d+", key) and -len(held) <= int(key) < len(held):
            held = held[int(key)]
        else:
            return None
    return held


def _test(field: str | list[str], op: str, value: Any, lead: dict[str, Any]) -> bool:
    if isinstance(field, list) or field.startswith("custom."):
        return _custom(_held(field, lead["custom_fields"]), op, value)
    if field.startswith("company."):
        return _company(COMPANIES.get(lead["company_id"], {}).get(field[8:]), op, value)
    if field == "suppressed":
        return bool(((lead["email"] or "").endswith(f"@{SUPPRESSED}")) == value)
    return _own(field, op, value, lead)


def _own(field: str, op: str, value: Any, lead: dict[str, Any]) -> bool:
    if field == "country_code":
        code = CODES.get((lead["country"] or "").lower())
        codes = [each.upper() for each in ([value] if op == "equals" else value or [])]
        return code is not None and (op == "is_set" or code in codes)
    have = lead[field]
    if field == "engagement":
        return have in ([value] if op == "equals" else value)
    if field in {"tags", "email_flags"}:
        have = have or []
        return bool(have) if op == "is_set" else {"has_any": any, "has_all": all}[op](tag in have for tag in value)
    if have is None:
        return False
    if field in DATES:
        return _date(have, op, value)
    if field in NUMBERS:
        if field == "qualification_score":
            return _number(Decimal(_real(have)), op, value, _real)
        return _number(Decimal(have), op, value)
    if field == "email":
        have = have.lower()
        if op in {"equals", "in"}:
            value = value.lower() if op == "equals" else [item.lower() for item in value]
    return _text(have, op, value)


def _company(have: Any, op: str, value: Any) -> bool:
    if have is None:
        return False
    if isinstance(have, datetime):
        return _date(have, op, value)
    if op == "within_next_months":
        return (have - datetime.now(UTC).month) % 12 <= value
    return _text(have, op, value) if isinstance(have, str) else _number(Decimal(have), op, value)


def _text(have: str, op: str, value: Any) -> bool:
    if op == "is_set":
        return have != ""
    if op == "in":
        return have in value
    if op == "equals":
        return bool(have == value)
    if op == "matches":
        return re.search(value, have, re.IGNORECASE | re.DOTALL) is not None
    have, value = have.lower(), value.lower()
    return {"contains": value in have, "starts_with": have.startswith(value), "ends_with": have.endswith(value)}[op]


def _real(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _number(have: Decimal, op: str, value: Any, kind: Any = lambda number: number) -> bool:
    if op == "is_set":
        return True
    numbers = [Decimal(kind(item)) for item in (value if isinstance(value, list) else [value])]
    if op == "in":
        return have in numbers
    if op == "between":
        return numbers[0] <= have <= numbers[1]
    return _ordered(op, have, numbers[0])


def _ordered(op: str, left: Any, right: Any) -> bool:
    return bool(
        {"equals": left == right, "gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[
            op
        ]
    )


def _date(have: datetime, op: str, value: Any) -> bool:
    if op == "is_set":
        return True
    if op == "within_last":
        now = datetime.now(UTC)
        return _moved(now, value, -1) <= have <= now
    given = value if isinstance(value, list) else [value, value]
    (start, _), (until, whole) = _instant(given[0]), _instant(given[1])
    end = until + timedelta(days=1) if whole else until
    past = have >= end if whole else have > end
    return {
        "before": have < start,
        "lt": have < start,
        "gte": have >= start,
        "after": past,
        "gt": past,
        "lte": not past,
        "equals": have >= start and not past,
        "between": have >= start and not past,
    }[op]


def _instant(text: str) -> tuple[datetime, bool]:
    if text == "today":
        text = datetime.now(UTC).strftime("%Y-%m-%d")
    if text == "now":
        return datetime.now(UTC), False
    if text.endswith(" ago"):
        return _moved(datetime.now(UTC), text.removesuffix(" ago"), -1), False
    if text.startswith("in "):
        return _moved(datetime.now(UTC), text.removeprefix("in "), 1), False
    read = datetime.fromisoformat(text)
    return (read.replace(tzinfo=UTC) if read.tzinfo is None else read), len(text) == 10


def _moved(instant: datetime, span: int | str, sign: int) -> datetime:
    """By a number of days, or "6 hours"; a month on is the same day, or the last of a shorter month."""
    number, unit = (span, "day") if isinstance(span, int) else (int(span.split()[0]), span.split()[1].rstrip("s"))
    if unit in {"month", "year"}:
        months = instant.year * 12 + instant.month - 1 + sign * number * (12 if unit == "year" else 1)
        year, month = months // 12, months % 12 + 1
        return instant.replace(year=year, month=month, day=min(instant.day, monthrange(year, month)[1]))
    return instant + sign * timedelta(**{f"{unit}s": number})


def _day(text: str) -> str:
    return _instant(text)[0].astimezone(UTC).strftime("%Y-%m-%d")


def _custom(have: Any, op: str, value: Any) -> bool:
    if have is None:
        return False
    if op in {"has_any", "has_all"}:
        test = {"has_any": any, "has_all": all}[op]
        return isinstance(have, list) and test(any(_same(item, each) for item in have) for each in value)
    text = have if isinstance(have, str) else json.dumps(have, ensure_ascii=False)
    if op == "is_set":
        return text != ""
    if op == "in":
        return any(_same(have, item) for item in value)
    if op == "equals":
        return _same(have, value)
    if op in {"contains", "starts_with", "ends_with", "matches"}:
        return _text(text, op, value)
    given = value if isinstance(value, list) else [value]
    if op == "within_last":
        now = datetime.now(UTC)
        days = [each.strftime("%Y-%m-%d") for each in (_moved(now, value, -1), now)]
        return bool(re.match(r"\d{4}-\d{2}-\d{2}", text, re.ASCII)) and days[0] <= text[:10] <= days[1]
    if isinstance(given[0], str):
        return bool(re.match(r"\d{4}-\d{2}-\d{2}", text, re.ASCII)) and _by_day(text[:10], op, given)
    number = _as_number(text)
    return isinstance(have, str | int | float) and number is not None and _number(number, op, value)


def _by_day(day: str, op: str, given: list[str]) -> bool:
    days = [_day(item) for item in given]
    if op == "between":
        return days[0] <= day <= days[1]
    return _ordered({"before": "lt", "after": "gt"}.get(op, op), day, days[0])


def _same(have: Any, value: Any) -> bool:
    """A number and its text are the same; lists and objects are no value."""
    if isinstance(have, str) == isinstance(value, str):
        return bool(have == value)
    if isinstance(value, str):
        return not isinstance(have, list | dict) and _as_number(value) == have
    return isinstance(have, str) and have == str(value)


def _as_number(text: str) -> Decimal | None:
    return Decimal(text.strip()) if re.fullmatch(r"\s*[-+]?\d{1,40}(\.\d{1,40})?\s*", text, re.ASCII) else None
