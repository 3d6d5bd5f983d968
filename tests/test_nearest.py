"""Names that are none: what was meant is told, in one way everywhere."""

from __future__ import annotations

import pytest

from outreachdb.advisor.advise import select as rules_named
from outreachdb.errors import InvalidInput, OutreachDBError
from outreachdb.health import configuration
from outreachdb.health.report import select as checks_named
from outreachdb.nearest import hint, nearest


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["cache_hits"], 'did you mean "cache_hit_tables" or "cache_hit_indexes"?'),
        (["bloat"], 'did you mean "table_bloat" or "index_bloat"?'),
        (["BLOAT"], 'did you mean "table_bloat" or "index_bloat"?'),
        (["disc"], 'did you mean "disk"?'),
        (["disc", "table_bloot"], 'did you mean "disk" or "table_bloat"?'),
        (["", "zzzz"], "there are: disk, cache_hit_tables, cache_hit_indexes, index_bloat, table_bloat"),
    ],
)
def test_what_was_meant(given: list[str], told: str) -> None:
    known = ["disk", "cache_hit_tables", "cache_hit_indexes", "index_bloat", "table_bloat"]
    assert hint(given, known) == told


def test_a_name_is_told_as_it_is_written() -> None:
    assert nearest("custom.plan", ["custom.Plan", "custom.Plans"]) == ["custom.Plan"]
    assert nearest("x" * 10_000_000, ["x" * 90]) == ["x" * 90], "no more of it is compared than can matter"


def test_checks_and_rules_name_the_nearest() -> None:
    for ask, told in (
        (lambda: checks_named(["unused_index"], configuration.Configuration()), '"unused_indexes"?'),
        (lambda: configuration.parse({"checks": {"conections": {}}}), '"connections"?'),
        (lambda: configuration.parse({"checks": {"disk": {"yelow": 1}}}), '"yellow"?'),
        (lambda: rules_named(["unused_indexes"]), '"unused_index"'),
    ):
        with pytest.raises(OutreachDBError) as refused:
            ask()
        assert str(refused.value.hint).startswith("did you mean ")
        assert told in str(refused.value.hint)
    with pytest.raises(InvalidInput, match="there are: "):
        configuration.parse({"checks": {"quixotic": {}}})
