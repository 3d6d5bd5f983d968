"""The project's own schema, under its own advisor."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from outreachdb.advisor import advise, suppressions
from outreachdb.advisor.migration.clone import cloned, dump


async def test_nothing_is_found_but_what_was_accepted_with_a_reason(own_database_url: str) -> None:
    with resources.as_file(resources.files("outreachdb.advisor").joinpath("own_schema.yaml")) as path:
        accepted = suppressions.load(Path(path))
    report = await advise(own_database_url, suppressions=accepted)
    assert [f"{each.rule} {each.place}: {each.evidence['summary']}" for each in report.findings] == []
    assert [note for note in report.notes if "suppression" in note] == [], "an entry is out of date"
    assert all(len(item.reason) >= 10 or item.reason == "as pg_trgm" for item in accepted.items)


@pytest.mark.slow
def test_the_whole_schema_can_be_cloned(own_database_url: str) -> None:
    """Its functions name tables that pg_dump writes after them."""
    with cloned(own_database_url) as copy:
        made, there = (
            sorted(line for line in dump(url).splitlines() if line.startswith("CREATE"))
            for url in (copy, own_database_url)
        )
    assert made == there
    assert len(made) > 300
