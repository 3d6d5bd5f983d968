"""The project's own schema, under its own advisor."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest

from outreachdb.advisor import advise, suppressions
from outreachdb.advisor.migration.clone import cloned, dump


async def test_nothing_is_found_but_what_was_accepted_with_a_reason(own_database_url: str) -> None:
    report = await advise(own_database_url)
    assert [f"{each.rule} {each.place}: {each.evidence['summary']}" for each in report.findings] == []
    assert [note for note in report.notes if "suppression" in note] == []
    settled, notes = [finding for finding, _ in report.suppressed], list[str]()
    suppressions.own().apply(settled, today=date.today(), notes=notes)  # noqa: DTZ011
    assert notes == [], "an entry is out of date"
    reasons = [item.reason for item in suppressions.own().items]
    assert all(len(reason) >= 10 or reason == "as pg_trgm" for reason in reasons)


async def test_what_others_add_to_our_schemas_is_judged_like_anybodys(own_database_url: str) -> None:
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        for schema in ("analytics", "ops", "outreach"):
            connection.execute(
                f"CREATE TABLE {schema}.added (name text PRIMARY KEY, kind text, lead_id bigint)".encode()
            )
        connection.execute(
            "CREATE MATERIALIZED VIEW analytics.exposed AS SELECT workspace_id, email FROM outreach.leads"
        )
        connection.execute("GRANT SELECT ON analytics.exposed TO outreachdb_app")
    found = {(each.rule, each.schema, each.table) for each in (await advise(own_database_url)).findings}
    assert found >= {("varchar_primary_key", schema, "added") for schema in ("analytics", "ops", "outreach")}
    assert ("table_not_linked", "outreach", "added") in found
    assert ("materialized_view_exposes_tenants", "analytics", "exposed") in found


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
