"""Checks and rules that there are not: the nearest name is told instead of a long list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from outreachdb.advisor import suppressions
from outreachdb.advisor.advise import select as rules_named
from outreachdb.errors import OutreachDBError
from outreachdb.health import configuration
from outreachdb.health.channels import channel
from outreachdb.health.report import select as checks_named


@pytest.mark.parametrize(
    ("ask", "meant"),
    [
        (lambda: checks_named(["unused_index"], configuration.Configuration()), "unused_indexes"),
        (lambda: checks_named(["disk", "never_analized"], configuration.Configuration()), "never_analysed"),
        (lambda: configuration.parse({"checks": {"conections": {}}}), "connections"),
        (lambda: configuration.parse({"checks": {"disk": {"yelow": 1}}}), "yellow"),
        (lambda: channel({"kind": "slack", "ulr_env": "X"}, "alerts.channels[0]"), "url_env"),
        (lambda: rules_named(["unused_indexes"]), "unused_index"),
        (lambda: rules_named(["mising_index"]), "missing_index"),
    ],
)
def test_the_nearest_name_is_told(ask: Callable[[], object], meant: str) -> None:
    with pytest.raises(OutreachDBError) as refused:
        ask()
    assert refused.value.hint == f'did you mean "{meant}"?'


def test_a_list_of_accepted_findings_names_the_nearest_rule(tmp_path: Path) -> None:
    path = tmp_path / "accepted.yaml"
    path.write_text("- {rule: unused_indexs, reason: yearly report, until: 2099-01-01}\n")
    with pytest.raises(OutreachDBError, match='did you mean "unused_index"'):
        suppressions.load(path)


def test_where_nothing_is_near_all_are_told() -> None:
    with pytest.raises(OutreachDBError, match=r"there are: .*cache_hit_indexes.*wraparound"):
        checks_named(["zzzzzz"], configuration.Configuration())
