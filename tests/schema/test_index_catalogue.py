"""The catalogue of indexes holds each live index and no other; each foreign key is covered."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outreachdb.db import index_catalogue
from outreachdb.db.index_catalogue import LeftOut

NAMED = Path(__file__).with_name("named_indexes.txt")
MEASURED = Path(__file__).parents[2] / "docs" / "reference" / "indexes.measured.json"
KEYS = """
SELECT i.relname, t.relname,
       array_agg(a.attname ORDER BY k.n) FILTER (WHERE a.attname IS DISTINCT FROM 'workspace_id')
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid
CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k (attnum, n)
LEFT JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
WHERE i.relnamespace::regnamespace::text IN ('outreach', 'analytics', 'ops')
GROUP BY 1, 2
"""
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
    assert live == {entry.index for entry in index_catalogue.owned()}
    # Each has its owner query; more queries come on top.
    assert live == {entry.name for entry in index_catalogue.owned() if entry.name == entry.index}


def test_every_entry_was_measured() -> None:
    """Whoever adds an index runs ``outreachdb --json bench indexes`` and keeps what it says."""
    figures = json.loads(MEASURED.read_text(encoding="utf-8"))["results"]
    measured = {figure["name"].partition(":")[0] for figure in figures if ": query" in figure["name"]}
    assert measured == {entry.name for entry in index_catalogue.entries()}


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


def named() -> list[list[str]]:
    lines = NAMED.read_text().splitlines()
    return [[part.strip() for part in line.split("|")] for line in lines if not line.startswith("#")]


def test_every_index_that_the_requirements_name_is_built_or_left_out_for_a_reason(database_url: str) -> None:
    entries = {entry.name: entry for entry in index_catalogue.entries()}
    with psycopg.connect(database_url) as connection:
        live = {name: (table, columns) for name, table, columns in connection.execute(KEYS)}
    for source, _, table, columns, answered_by in named():
        entry, wanted = entries[answered_by], columns.split(", ")
        assert source in entry.sources, answered_by
        if isinstance(entry, LeftOut):
            assert entry.table == table, answered_by
            assert all(column in entry.columns for column in wanted), answered_by
        else:
            assert live[answered_by][0] == table, answered_by
            assert live[answered_by][1][: len(wanted)] == wanted, answered_by


def test_what_the_requirements_name_was_measured() -> None:
    document = json.loads(MEASURED.read_text())
    results = {each["name"]: each["value"] for each in document["results"]}
    assert {"cores", "memory_gb", "postgresql", "date"} <= set(document["machine"])
    for _, _, _, _, answered_by in named():
        assert any(name.startswith(f"{answered_by}: query") and value > 0 for name, value in results.items()), (
            answered_by
        )
    for entry in index_catalogue.owned():
        for claim in entry.claims:
            promised = max(float(number) for number in re.findall(r"[0-9]+", claim.after))
            assert results[f"{entry.name}: query with it"] < promised, entry.name


def test_the_page_tells_what_was_measured_beside_what_was_claimed() -> None:
    machine = {"cores": 2, "date": "2026-01-31"}
    names = ("query with it", "query without it", "size")
    results = [{"name": f"ix_leads_updated_at: {what}", "value": 1.5 + n, "unit": "ms"} for n, what in enumerate(names)]
    page = index_catalogue.page({"machine": machine, "results": results})
    assert "Measured on: cores 2, date 2026-01-31." in page
    assert "| R4 | range of instants | 200 ms | 10 ms | `ix_leads_updated_at` | 2.5 ms | 1.5 ms |" in page
    assert "Measured: query with it 1.5 ms; query without it 2.5 ms; size 3.5 ms." in page


def test_no_index_stands_there_slower_than_without_it_and_no_word_why() -> None:
    document = json.loads(MEASURED.read_text(encoding="utf-8"))
    parts = {part.partition("\n")[0]: part for part in index_catalogue.page(document).split("\n### ")[1:]}
    figures = index_catalogue._figures(document)
    slower = {
        entry.name
        for entry in index_catalogue.owned()
        if index_catalogue.slower_with(figures.get(entry.name, {})) is not None
    }
    told = {name for name, part in parts.items() if re.search(r"\nNo faster with it at this size\. [A-Z]", part)}
    assert slower == told


def test_the_page_says_why_an_index_stays_that_makes_nothing_faster() -> None:
    without = {"uq_segments_name": 9, "ix_leads_updated_at": 9, "brin_email_events_created_at": 4, "pk_leads": 12}
    page = index_catalogue.page(_figures({name: (10.0, ms) for name, ms in without.items()}))
    assert [line.split(" ")[8] for line in page.splitlines() if line.startswith("No faster")] == [
        "difference",
        "stays",
        "18",
    ]
    assert "No faster" not in index_catalogue.page(_figures({"ix_leads_updated_at": (10.0, 4.0)}))


def test_another_query_of_an_index_has_figures_of_its_own() -> None:
    known = {each.name: each for each in index_catalogue.owned()}
    newest, ranged = known["ix_leads_created_at"], known["ix_leads_created_at, in a range"]
    assert newest.index == ranged.index == newest.name
    assert newest.query != ranged.query
    page = index_catalogue.page(_figures({newest.name: (1, 5), ranged.name: (2, 7)}))
    row = "| R1 | {}, 100,000 leads | {} | `ix_leads_created_at` | {} ms | {} ms |"
    assert row.format("newest leads", "1000-2000 ms | 15-30 ms", 5, 1) in page
    assert row.format("leads created in a range", "800-1500 ms | 10-20 ms", 7, 2) in page


def _figures(times: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """A document of the benchmark: index -> milliseconds with and without it."""
    results = [
        {"name": f"{name}: query {word} it", "value": value, "unit": "ms"}
        for name, both in times.items()
        for word, value in zip(("with", "without"), both, strict=True)
    ]
    return {"machine": {}, "results": results}


def test_every_source_has_entries() -> None:
    told = {source for entry in index_catalogue.entries() for source in entry.sources}
    assert told == {"R0", "R1", "R2", "R3", "R4"} == {line[0] for line in named()}


@pytest.mark.parametrize(
    ("kind", "title", "lines"),
    [
        ("name", "ix_a", ["SELECT 1"]),
        ("name", "ix_a", ["-- For somebody."]),
        ("name", "ix_a", ["-- For somebody.", "-- as: root", "SELECT 1"]),
        ("name", "ix_a", ["-- For somebody.", "-- claim: R1 fast", "SELECT 1"]),
        ("left out", "ix_a on leads", ["-- For nobody.", "SELECT 1"]),
    ],
    ids=["no purpose", "no query", "unknown role", "half a claim", "no table"],
)
def test_an_entry_that_says_too_little_is_refused(kind: str, title: str, lines: list[str]) -> None:
    with pytest.raises(ValueError, match=r"leads/indexes\.sql"):
        index_catalogue._entry("leads", kind, title, lines)
