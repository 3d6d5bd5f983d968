"""Counts with their noun, and the name that somebody may have meant."""

from __future__ import annotations

import pytest

from outreachdb.segments.fields import FIELDS
from outreachdb.words import counted, did_you_mean, nearest


def test_a_count_takes_the_noun_that_fits() -> None:
    told = [counted(count, "lead") for count in (0, 1, 2, 1234)]
    assert told == ["0 leads", "1 lead", "2 leads", "1,234 leads"]
    assert [counted(count, "company", "companies") for count in (1, 2)] == ["1 company", "2 companies"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("score", "qualification_score"),  # a word of the name, though "source" is spelt more alike
        ("socre", "qualification_score"),
        ("SCORE", "qualification_score"),
        ("scor", "qualification_score"),
        ("contry", "country"),
        ("sourc", "source"),
        ("Email", "email"),
        ("email_address", "email"),
        ("created", "created_at"),
        ("renewal", "company.renewal_month"),
        ("linkedin", "linkedin_url"),
        ("shoe_size", None),
        ("", None),
        ("   ", None),
        ("é" * 10_000, None),
    ],
)
def test_the_nearest_name(given: str, meant: str | None) -> None:
    assert nearest(given, FIELDS) == meant


def test_a_hint_names_the_nearest_or_says_what_else() -> None:
    assert did_you_mean("wrkspace", ["segment", "workspace"], "there are two") == 'did you mean "workspace"?'
    assert did_you_mean("zzz", ["segment", "workspace"], "there are two") == "there are two"
    assert nearest("anything", []) is None
