"""Every rule on what it must find and what it must leave alone."""

from __future__ import annotations

import pytest
from planted import Case, cases, identity

from outreachdb.advisor import Report, rules


def test_every_rule_has_cases() -> None:
    assert {case.rule for case in cases()} == set(rules())
    assert all(case.finds for case in cases())


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.rule)
def test_finds_what_is_there(report: Report, case: Case) -> None:
    found = [each for each in report.findings if each.rule == case.rule]
    there = [identity(each) for each in found if each.schema in {f"yes_{case.rule}", "public", None}]
    assert sorted(there) == sorted(case.finds)
    assert all(each.evidence["summary"] for each in found)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.rule)
def test_leaves_alone_what_is_right(report: Report, case: Case) -> None:
    found = [each for each in report.findings if (each.rule, each.schema) == (case.rule, f"no_{case.rule}")]
    assert [each.document() for each in found] == []
