"""What a template may do, and what it can't: no endless work, no huge texts, missing variables as the policy says."""

from __future__ import annotations

import time

import pytest

from outreachdb.campaigns.templates import MAX_CHARACTERS, StepTemplates, sample_lead
from outreachdb.errors import InvalidInput

LEAD = {"first_name": None, "company_name": "ACME", "tags": ["a", "b"], "custom": {"City": "Rome"}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ company_name | lower | title }}", "Acme"),
        ("{% for tag in tags %}{{ loop.index }}{{ tag }}{% if not loop.last %}, {% endif %}{% endfor %}", "1a, 2b"),
        ("{{ tags | join(' + ') }}", "a + b"),
        ("{{ 'x' | replace('x', 'yy') }}{{ 2 * 3 + 1 }}{{ 7 % 4 }}", "yy73"),
        ("{% set n = tags | length %}{{ n }}", "2"),
        ("{{ first_name or 'you' }}{{ custom.get('Nope', '!') }}", "you!"),
        ("{{ 'in' if 'a' in ['a', 'b'] else 'out' }}{{ 'a b' | wordwrap(1) | length }}", "in3"),
        ("{% for k, v in custom.items() %}{{ k ~ v }}{% endfor %}{{ tags | tojson }}", 'CityRome["a", "b"]'),
        ("{{ 'a,b'.split(',')[1].upper() }}", "B"),
        ("{{ custom.items() | list | length }}{{ company_name | truncate(3, True, '', 0) }}", "1ACM"),
    ],
)
def test_what_people_write_works(source: str, expected: str) -> None:
    assert StepTemplates("s", source, None).render(LEAD).text == expected


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000000) %}{% endfor %}",
        "{{ range(10000) | map('string') | list | map('upper') | join('x' * 100000) }}",
        "{{ 'x' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ 'x'.zfill(1000000000) }}",
        "{{ 'a\tb'.expandtabs(1000000000) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% for x in [tags] recursive %}{{ loop([tags]) }}{% endfor %}",
        "{{ lipsum(n=100000) }}",
        "{% include 'x' %}",
        "{{ tags.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ custom.update({'a': 1}) }}",
        "".join(f"{{% set a{n + 1} = a{n} ~ a{n} %}}" if n else "{% set a1 = 'ab' %}" for n in range(64)) + "{{ a9 }}",
        "{% set a1 = [0, 0] %}" + "".join(f"{{% set a{n + 1} = [a{n}, a{n}] %}}" for n in range(1, 64)) + "{{ a64 }}",
        "{% set a = 'x' %}{% set b %}{{ a }}{{ a }}{% endset %}{{ b }}",
        "{{ 'a b c' | wordwrap(1, True, 'x' * 9) }}{{ 'a b' | wordwrap(1, True, 'x') }}",
        "{{ 'a' | indent(1000000000) }}",
        "{{ tags | tojson(1000000000) }}",
        "{% for i in range(9999) %}{{ 'x' * 1 }}{% endfor %}",
        "{% for i in range(9999) %}" + "x" * 100 + "{% endfor %}",
    ],
)
def test_what_would_never_end_is_refused_at_once(source: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidInput):
        StepTemplates("s", source, None).render(sample_lead())
    assert time.monotonic() - began < 15


def test_sizes_are_bounded() -> None:
    assert len(StepTemplates("s", "x" * MAX_CHARACTERS, None).render(LEAD).text) == MAX_CHARACTERS
    with pytest.raises(InvalidInput, match="over 200,000 characters"):
        StepTemplates("s", "x" * (MAX_CHARACTERS + 1), None).render(LEAD)


@pytest.mark.parametrize(
    ("source", "strict", "error", "empty"),
    [
        ("<{{ first_name }}>", None, "<>", "<>"),
        ("<{{ custom.Nope }}>", None, None, "<>"),
        ("<{{ nobody.knows }}>", None, None, "<>"),
        ("<{{ custom.Nope | default('x') }}>", "<x>", "<x>", "<x>"),
        ("<{{ first_name or 'x' }}>", "<x>", "<x>", "<x>"),
        ("<{{ company_name }}>", "<ACME>", "<ACME>", "<ACME>"),
    ],
)
def test_the_missing_policy(source: str, strict: str | None, error: str | None, empty: str | None) -> None:
    for policy, expected in (("strict", strict), ("error", error), ("empty", empty)):
        made = StepTemplates("s", source, None, missing=policy)  # type: ignore[arg-type]
        if expected is None:
            with pytest.raises(InvalidInput):
                made.render(LEAD)
        else:
            assert made.render(LEAD).text == expected
