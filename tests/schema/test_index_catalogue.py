"""The catalogue of indexes holds each live index and no other; each foreign key is covered."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from outreachdb.db import index_catalogue

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "indexes.md"
LIVE = """
SELECT i.relname
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
WHERE i.relnamespace::regnamespace::text IN ('outreach', 'analytics', 'ops', 'staging')
"""
# The columns of the key in any order at the front of the index; a predicate may say no more than that one is not NULL.
UNCOVERED = """
SELECT k.conrelid::regclass || '.' || k.conname
FROM pg_constraint AS k
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.connamespace::regnamespace::text IN ('outreach', 'analytics', 'ops')
  AND NOT EXISTS (
    SELECT FROM pg_index AS x
    WHERE x.indrelid = k.conrelid AND x.indisvalid
      AND (SELECT array_agg(c ORDER BY c) FROM unnest(k.conkey) AS c)
        = (SELECT array_agg(c ORDER BY c) FROM unnest((x.indkey::int2[])[0:cardinality(k.conkey) - 1]) AS c)
      AND (x.indpred IS NULL OR pg_get_expr(x.indpred, x.indrelid) IN (
        SELECT '(' || quote_ident(a.attname) || ' IS NOT NULL)'
        FROM pg_attribute AS a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey))))
ORDER BY 1
"""


def test_catalogue_and_database_hold_the_same_indexes(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        live = {name for (name,) in connection.execute(LIVE)}
    assert live == {entry.name for entry in index_catalogue.owned()}


def test_what_was_left_out_is_served_by_what_is_there() -> None:
    built = {entry.name for entry in index_catalogue.owned()}
    assert {entry.served_by for entry in index_catalogue.left_out()} <= built
    assert all(entry.sources for entry in index_catalogue.left_out())


def test_every_foreign_key_is_covered_by_an_index(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute(UNCOVERED).fetchall() == []


def test_a_foreign_key_without_an_index_is_found(own_database_url: str) -> None:
    with psycopg.connect(own_database_url) as connection:
        connection.execute("DROP INDEX outreach.ix_campaigns_segment_id")
        connection.execute("DROP INDEX outreach.ix_leads_company_id")
        connection.execute(
            "CREATE INDEX ix_leads_company_id ON outreach.leads (workspace_id, company_id) WHERE status <> 'archived'"
        )
        assert connection.execute(UNCOVERED).fetchall() == [
            ("outreach.campaigns.fk_campaigns_segment",),
            ("outreach.leads.fk_leads_company",),
        ]


def test_every_source_has_entries() -> None:
    told = {source for entry in index_catalogue.entries() for source in entry.sources}
    assert told == {"R0", "R1", "R2", "R3", "R4"}


@pytest.mark.parametrize(
    ("kind", "title", "lines"),
    [
        ("name", "ix_a", ["SELECT 1"]),
        ("name", "ix_a", ["-- For somebody."]),
        ("name", "ix_a", ["-- For somebody.", "-- as: root", "SELECT 1"]),
        ("left out", "ix_a on leads", ["-- For nobody.", "SELECT 1"]),
    ],
    ids=["no purpose", "no query", "unknown role", "no table"],
)
def test_an_entry_that_says_too_little_is_refused(kind: str, title: str, lines: list[str]) -> None:
    with pytest.raises(ValueError, match=r"leads/indexes\.sql"):
        index_catalogue._entry("leads", kind, title, lines)
