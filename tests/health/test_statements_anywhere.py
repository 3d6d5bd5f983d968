"""pg_stat_statements is found in the schema that it was created in, whatever the search_path says."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from outreachdb.advisor import advise
from outreachdb.health import report

PLACES = ("public", "extensions", "Some where")


@pytest.mark.parametrize("place", PLACES)
async def test_queries_are_found_wherever_the_extension_stands(own_database_url: str, place: str) -> None:
    schema = sql.Identifier(place)
    with psycopg.connect(own_database_url, autocommit=True) as connection:

        def value(statement: str) -> Any:
            row = connection.execute(statement.encode()).fetchone()
            return row[0] if row else None

        connection.execute("SET search_path = pg_catalog")
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO PUBLIC").format(schema))
        connection.execute(sql.SQL("CREATE EXTENSION pg_stat_statements SCHEMA {}").format(schema))
        # The first snapshot is where counting begins.
        connection.execute("SELECT outreach.snapshot_queries()")
        connection.execute("CREATE TABLE public.paged AS SELECT n FROM generate_series(1, 100) AS n")
        for _ in range(10):
            connection.execute("SELECT p.n, pg_sleep(0.11) FROM public.paged AS p ORDER BY p.n LIMIT 1 OFFSET 0 + 5")
            connection.execute("SELECT p.n FROM public.paged AS p ORDER BY p.n LIMIT 5 OFFSET 10")
        told = "SELECT count(*) FROM outreach.get_query_performance_stats(100) AS q WHERE q.query ~ 'pg_sleep'"
        assert value(told) == 1
        connection.execute("SET ROLE outreachdb_reader")
        assert value("SELECT count(*) > 1 FROM outreach.get_query_performance_stats(100)") is True
        connection.execute("RESET ROLE")
        assert value("SELECT outreach.snapshot_queries()") > 0
        connection.execute("SELECT outreach.write_weekly_report()")
        slow = value("SELECT document -> 'slow_queries' FROM ops.weekly_reports")
        assert any("pg_sleep" in each["query"] for each in slow), slow
        for _ in range(100):
            connection.execute("SELECT 1")
    seen = await report.check(own_database_url, only=["mean_query_time", "slow_queries"])
    assert {each.name: each.reason for each in seen.checks} == {"mean_query_time": None, "slow_queries": None}
    advice = await advise(own_database_url, only=["extension_in_public", "offset_paging"])
    assert not [note for note in advice.notes if "pg_stat_statements" in note]
    assert ("public", "paged") in {(each.schema, each.table) for each in advice.findings}
    blamed = {each.object for each in advice.findings if each.rule == "extension_in_public"}
    assert ("pg_stat_statements" in blamed) == (place == "public")
