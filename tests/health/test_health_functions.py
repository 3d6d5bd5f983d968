"""The functions that the requirements name: what they return, and to whom."""

from __future__ import annotations

import psycopg
import pytest
from conftest import Ground
from psycopg.rows import dict_row

FUNCTIONS = ("database_performance_metrics", "index_usage_stats", "query_performance_stats", "table_size_stats")


def rows(ground: Ground, name: str, role: str = "outreachdb_reader") -> list[dict[str, object]]:
    with psycopg.connect(ground.url, row_factory=dict_row) as connection:
        connection.execute(f"SET LOCAL ROLE {role}".encode())
        return connection.execute(f"SELECT * FROM outreach.get_{name}()".encode()).fetchall()


def test_database_performance_metrics(ground: Ground) -> None:
    size = "SELECT pg_database_size(current_database())::float8"
    earlier = ground.do(size)
    found = {row["metric"]: row["value"] for row in rows(ground, "database_performance_metrics")}
    assert found["database_size"] in {earlier, ground.do(size)}, "autovacuum may have written in between"
    assert {"cache_hit_tables", "cache_hit_indexes", "connections", "max_connections", "deadlocks"} <= found.keys()
    before = float(str(found["rows_inserted"]))
    ground.do("CREATE TABLE trouble.counted (id int)", "INSERT INTO trouble.counted SELECT generate_series(1, 1000)")
    after = {row["metric"]: row["value"] for row in rows(ground, "database_performance_metrics")}
    assert float(str(after["rows_inserted"])) - before >= 1000


def test_table_size_stats(ground: Ground) -> None:
    ground.do(
        "CREATE TABLE trouble.sliced (id int, word text) PARTITION BY LIST (id)",
        "CREATE INDEX ON trouble.sliced (word)",
        *(
            f"CREATE TABLE trouble.slice_{n} PARTITION OF trouble.sliced FOR VALUES IN ({n})"
            " WITH (autovacuum_enabled = off)"
            for n in (1, 2)
        ),
        "INSERT INTO trouble.sliced SELECT 1 + n % 2, repeat('x', 100) FROM generate_series(1, 2000) AS n",
        "DELETE FROM trouble.sliced WHERE id = 2",
    )
    (found,) = [row for row in rows(ground, "table_size_stats") if row["table_name"] in {"sliced", "slice_1"}]
    assert (found["schema_name"], found["partitions"], found["row_estimate"]) == ("trouble", 2, 1000)
    assert found["dead_rows"] == 1000
    parts = "pg_total_relation_size('trouble.slice_1') + pg_total_relation_size('trouble.slice_2')"
    assert found["total_bytes"] == ground.do(f"SELECT {parts}")
    assert found["total_bytes"] == sum(int(str(found[kind])) for kind in ("table_bytes", "index_bytes", "toast_bytes"))


def test_index_usage_stats(ground: Ground) -> None:
    ground.do(
        "CREATE TABLE trouble.looked_up (id int UNIQUE)",
        "INSERT INTO trouble.looked_up SELECT generate_series(1, 1000)",
        "SET enable_seqscan = off",
        *["SELECT FROM trouble.looked_up WHERE id = 7"] * 3,
    )
    (found,) = [row for row in rows(ground, "index_usage_stats") if row["tablename"] == "looked_up"]
    assert (found["schemaname"], found["indexname"], found["scans"]) == ("trouble", "looked_up_id_key", 3)
    assert found["is_unique"]
    names = [row["indexname"] for row in rows(ground, "index_usage_stats")]
    assert names.count("pk_email_events") == 1  # a partitioned one is told once


def test_query_performance_stats(ground: Ground, database_url: str) -> None:
    ground.do("SELECT public.pg_stat_statements_reset()", *["SELECT pg_sleep(0.02), 'told'"] * 3)
    found = [row for row in rows(ground, "query_performance_stats") if "pg_sleep" in str(row["query"])]
    assert [row["calls"] for row in found] == [3]
    assert float(str(found[0]["mean_ms"])) > 15
    with pytest.raises(psycopg.errors.UndefinedObject, match="pg_stat_statements is not there"):
        rows(Ground(database_url), "query_performance_stats")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tenants_may_not_look(ground: Ground, name: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(ground, name, "outreachdb_app")
