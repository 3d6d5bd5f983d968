"""Message-IDs find their way back, and only ours do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from outreachdb.secrets import Keyring
from outreachdb.sending.message_id import MessageReference, make, parse

LAUNCHED = datetime(2026, 3, 31, 23, 59, 59, 123456, UTC)


def test_a_message_id_names_its_send(keyring: Keyring) -> None:
    made = make(keyring, 7, 2**62, LAUNCHED, "sender.example")
    expected = MessageReference(7, 2**62, datetime(2026, 3, 1, tzinfo=UTC))
    assert made.startswith("<o1.7.")
    for text in (made, made.strip("<>"), made.upper(), f"  {made}\n", made.lower()):
        assert parse(keyring, text) == expected


def test_the_month_is_of_utc(keyring: Keyring) -> None:
    made = make(keyring, 1, 1, LAUNCHED.astimezone(timezone(timedelta(hours=9))), "sender.example")
    reference = parse(keyring, made)
    assert reference is not None
    assert reference.month_start == datetime(2026, 3, 1, tzinfo=UTC)


def test_changed_foreign_and_broken_ones_are_not_ours(keyring: Keyring) -> None:
    made = make(keyring, 7, 42, LAUNCHED, "sender.example")
    changed = [
        made.replace(".42.", ".43."),
        made.replace("o1.7.", "o1.8."),
        made.replace("202603", "202604"),
        made.replace("202603", "202613"),
        made.replace("202603", "000003"),
        made.replace("@", ".00@"),
        make(Keyring(bytes(32)), 7, 42, LAUNCHED, "sender.example"),
        "<CAF=abc@mail.example>",
        "",
        "<>",
        made[:-20],
        made + made,
    ]
    assert [text for text in changed if parse(keyring, text) is not None] == []


@pytest.mark.parametrize("text", ["<o1.٧.42.202603.aaaaaaaaaaaaaaaaaaaaaaaa@x>", "o1." * 10_000, "<" * 10_000])
def test_odd_text_is_refused(keyring: Keyring, text: str) -> None:
    assert parse(keyring, text) is None
