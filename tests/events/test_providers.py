"""Every documented event of every provider in the one vocabulary; what is none is refused, and spoils no other."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_payloads import CASES, FIELDS, PROVIDERS

from outreachdb.errors import InvalidInput
from outreachdb.events import webhooks
from outreachdb.events.models import EVENTS
from outreachdb.events.normal import instant_of, load_json, moment_of


@pytest.mark.parametrize(
    ("provider", "name", "body", "content_type", "expected"), CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES]
)
def test_documented_events(
    provider: str, name: str, body: bytes, content_type: str | None, expected: list[tuple[Any, ...]]
) -> None:
    parsed = webhooks.adapter(provider).parse(body, content_type)
    assert parsed.malformed == []
    documents = [event.document() for event in parsed.events]
    assert [tuple(document[field] for field in FIELDS) for document in documents] == expected
    for event in parsed.events:
        assert event.event in EVENTS
        assert event.provider == provider
        assert event.timestamp.tzinfo is UTC
        assert event.raw
        json.dumps(event.document(), allow_nan=False)
    # A redelivery is recognised; of a report on two people, each is an event of its own.
    again = webhooks.adapter(provider).parse(body, content_type)
    assert [event.key() for event in again.events] == [event.key() for event in parsed.events]
    if len({event.recipient for event in parsed.events}) > 1:
        assert len({(event.key(), event.recipient) for event in parsed.events}) == len(
            {event.key() for event in parsed.events}
        )


def test_all_providers_are_here() -> None:
    assert {maker.__name__ for maker in PROVIDERS} == set(webhooks.providers())
    for provider in webhooks.providers():
        about = webhooks.adapter(provider).ABOUT
        assert about.events.startswith("https://")
        assert about.security.startswith("https://")


@pytest.mark.parametrize("provider", webhooks.providers())
def test_what_is_no_body_of_the_provider_is_refused(provider: str) -> None:
    adapter = webhooks.adapter(provider)
    for body in (b"", b"7", b'"text"', b"{", b"\xff\xfe", b"[" * 5000, b"null"):
        for content_type in (None, "application/json"):
            with pytest.raises(InvalidInput):
                adapter.parse(body, content_type)


@pytest.mark.parametrize("provider", [name for name in webhooks.providers() if name != "mandrill"])
def test_one_bad_event_keeps_the_others(provider: str) -> None:
    cases = [case for case in CASES if case[0] == provider and case[2].lstrip()[:1] in b"{[" and case[4]]
    body = next((case[2] for case in cases if case[2].lstrip().startswith(b"[")), None)
    good = json.loads(body) if body else [json.loads(cases[0][2])]
    if provider == "mailtrap":
        good = good[0]["events"]
    whole = webhooks.adapter(provider).parse(json.dumps(good).encode())
    bad: list[Any] = [7, None, "x", [], {"timestamp": "x", "time": "x", "event": "open", "ts": "x"}]
    mixed = webhooks.adapter(provider).parse(json.dumps([*bad, *good]).encode())
    assert mixed.events == whole.events
    assert len(mixed.malformed) == len(bad)


@given(st.integers(-(10**11), 10**11), st.integers(0, 999_999))
def test_instants_are_exact_to_the_microsecond(seconds: int, micros: int) -> None:
    text = f"{seconds}.{micros:06}" if seconds >= 0 else str(seconds)
    try:
        instant = instant_of(text)
    except InvalidInput:
        return  # beyond the year 9999
    assert instant == instant_of(seconds) + timedelta(microseconds=micros if seconds >= 0 else 0)
    assert moment_of(instant.isoformat()) == instant


@pytest.mark.parametrize(
    "value", ["", "x", "12 o'clock", "2026-13-01T00:00:00Z", None, True, [], {}, "1e999999", -1e300]
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="is not a time"):
        moment_of(value)


def test_numbers_lose_nothing() -> None:
    number = 2**63 + 1
    assert load_json(f'{{"MessageID": {number}}}'.encode()) == {"MessageID": number}


def test_prefetchers_are_flagged() -> None:
    flagged = {
        "sendgrid": [{"email": "a@b.example", "event": "open", "timestamp": 1, "sg_machine_open": True}],
        "brevo": [{"event": "unique_proxy_open", "email": "a@b.example", "ts_epoch": 1}],
        "mailgun": [{"event": "opened", "timestamp": 1, "client-info": {"bot": "apple"}}],
        "sparkpost": [{"msys": {"track_event": {"type": "open", "timestamp": "1", "is_prefetched": True}}}],
    }
    for provider, body in flagged.items():
        (event,) = webhooks.adapter(provider).parse(json.dumps(body).encode()).events
        assert event.prefetched, provider
    gmail = [{"event": "opened", "timestamp": 1, "client-info": {"bot": "gmail"}}]
    (event,) = webhooks.adapter("mailgun").parse(json.dumps(gmail).encode()).events
    assert not event.prefetched
