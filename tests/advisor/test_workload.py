"""Indexes from the workload: what queries ask, what is proposed, and that the promise is kept when it is built."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from outreachdb.advisor import Report, advise, catalogue
from outreachdb.advisor.reports import html
from outreachdb.advisor.workload.candidates import candidates
from outreachdb.advisor.workload.queries import Access, understand
from outreachdb.advisor.workload.source import Statement, Workload
from outreachdb.db.embedded import throwaway
from outreachdb.db.reading import reading
from outreachdb.errors import UsageError

DATA = """
    CREATE EXTENSION pg_trgm;
    CREATE TABLE orders (
        id bigint PRIMARY KEY, customer_id int, status text, total int, tags text[], note text, created_at timestamptz,
        twice int GENERATED ALWAYS AS (total * 2) STORED
    );
    INSERT INTO orders SELECT n, n * 7919 % 3000, CASE WHEN n % 50 = 0 THEN 'open' ELSE 'done' END, n % 1000,
        ARRAY['t' || n % 500], 'note ' || md5(n::text), now() - (40000 - n) * interval '1 min'
    FROM generate_series(1, 40000) AS n;
"""
QUERIES = Workload(
    (
        Statement("SELECT id, total FROM orders WHERE customer_id = 77", 1000, 9000),
        Statement(
            "SELECT id FROM orders WHERE customer_id = 7 AND status = 'done' ORDER BY created_at DESC LIMIT 5", 9, 8000
        ),
        Statement("SELECT id FROM orders WHERE status = 'open' AND total > 990", 300, 4000),
        Statement("SELECT id FROM orders WHERE tags @> ARRAY['t77']", 200, 4000),
        Statement("SELECT id FROM orders WHERE note ILIKE '%abcde%'", 100, 4000),
        Statement("SELECT * FROM orders WHERE customer_id = $1 AND total = $2", 100, 1000),
    ),
    "test",
)
PLAIN = Workload(QUERIES.statements[:3] + QUERIES.statements[5:], "test")


def _load(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DATA)
        connection.execute("VACUUM ANALYZE orders")


def _proposed(report: Report) -> dict[str, float]:
    return {str(each.object): each.evidence["gain"] for each in report.findings if each.rule == "missing_index"}


async def test_what_queries_ask(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(DATA)
    async with reading(empty_database_url) as connection:
        known = await catalogue.read(connection)
        await catalogue.read_details(connection, known)

    def ask(text: str) -> Access:
        (query,) = understand(Statement(text), known)
        return query.accesses[0]

    found = ask(
        "WITH x AS (SELECT 1) SELECT o.id FROM orders AS o, x WHERE o.customer_id = $1 AND 5 < o.total "
        "AND lower(o.status) = 'open' AND o.note ILIKE $2 AND o.tags @> $3 AND o.created_at > now() - interval $4 "
        "AND note IS NOT NULL ORDER BY o.created_at DESC, o.id LIMIT 3"
    )
    assert found.equal == {"customer_id": None, "lower(status)": "'open'"}
    assert found.ranges == {"total", "created_at"}
    assert found.patterns == {"note": ("ILIKE", None)}
    assert (found.contains, found.nulls) == ({"tags": "@>"}, {"note": False})
    assert found.sort == [("created_at", True), ("id", False)]
    joined = ask(
        "UPDATE orders SET total = 1 FROM orders AS p WHERE orders.id = p.customer_id AND p.status IN ('a', 'b')"
    )
    assert joined.joined in ({"id"}, {"customer_id"})
    assert list(understand(Statement("VACUUM"), known)) == []
    assert list(understand(Statement("SELECT 1 FROM nowhere WHERE a = 1"), known)) == []
    assert list(understand(Statement("not sql"), known)) == []


async def test_every_kind_of_index_is_thought_of(empty_database_url: str) -> None:
    """Equality, then a range or the order; covering, partial, BRIN, GIN, trigrams; not what is there already."""
    _load(empty_database_url)
    async with reading(empty_database_url) as connection:
        known = await catalogue.read(connection)
        await catalogue.read_details(connection, known)

    def thought_of(text: str) -> set[str]:
        found = candidates(understand(Statement(text), known), known)
        return {each.definition("").strip().removeprefix("USING ") for each in found}

    by_customer = thought_of("SELECT id, total FROM orders WHERE customer_id = 77")
    assert by_customer == {"btree (customer_id)", "btree (customer_id) INCLUDE (id, total)"}
    several = thought_of(
        "SELECT * FROM orders WHERE created_at > now() - interval '1 day' AND customer_id = 7 AND status = 'done'"
    )
    # Few values first: among equal conditions that serves more queries; the range stands behind both.
    assert {"btree (status, customer_id)", "btree (status, customer_id, created_at)", "brin (created_at)"} <= several
    assert not [each for each in several if "created_at, " in each]
    ordered = thought_of("SELECT * FROM orders WHERE customer_id = $1 ORDER BY created_at DESC, id LIMIT 5")
    assert "btree (customer_id, created_at DESC, id)" in ordered
    rare = thought_of("SELECT id FROM orders WHERE status = 'open' AND total > 990")
    assert "btree (total) WHERE status = 'open'" in rare
    often = thought_of("SELECT id FROM orders WHERE status = 'done' AND total > 990")
    assert not [each for each in often if "WHERE" in each]
    assert "gin (tags)" in thought_of("SELECT id FROM orders WHERE tags @> ARRAY['t77']")
    assert "gin (note public.gin_trgm_ops)" in thought_of("SELECT id FROM orders WHERE note ILIKE '%abc%'")
    assert thought_of("SELECT * FROM orders WHERE id = 7") == set()


@pytest.mark.slow
async def test_the_promise_is_kept(empty_database_url: str) -> None:
    _load(empty_database_url)
    report = await advise(empty_database_url, only=["missing_index"], queries=QUERIES, indexes=True)
    proposed = _proposed(report)
    kinds = {name.split(" USING ")[1].split(" ")[0] for name in proposed}
    assert kinds == {"btree", "gin"}, "B-trees, and GIN for what hypopg can't try"
    assert any("gin_trgm_ops" in name for name in proposed)
    first = report.findings[0].evidence
    assert first["gain_of_all"] >= 0.5
    assert abs(first["gain_of_all"] - first["measured_gain_of_all"]) <= 0.3
    assert all(each.evidence["index_bytes"] > 0 for each in report.findings)
    assert all("extra_ms_per_insert" in each.evidence for each in report.findings)
    assert "b-before" in html(report), "before and after are drawn"
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM pg_indexes WHERE tablename = 'orders'").fetchone() == (1,)
        for each in report.findings:
            for statement in (each.ddl or "").splitlines():
                connection.execute(statement.encode())
    again = await advise(empty_database_url, only=["missing_index"], queries=QUERIES, indexes=True)
    assert not _proposed(again).keys() & proposed.keys(), "what is built is not proposed again"


@pytest.mark.slow
async def test_nothing_is_proposed_below_a_tenth(empty_database_url: str) -> None:
    _load(empty_database_url)
    served = Workload(
        (
            Statement("SELECT * FROM orders WHERE id = 7", 1000, 9500),
            Statement("SELECT id FROM orders WHERE total = 7", 1, 500),
        ),
        "test",
    )
    report = await advise(empty_database_url, only=["missing_index"], queries=served, indexes=True)
    assert report.findings == []


@pytest.mark.slow
@pytest.mark.hypopg
@pytest.mark.postgres15
async def test_hypothetical_indexes_promise_what_real_ones_keep() -> None:
    with throwaway(Path("/usr/lib/postgresql/15/bin")) as server:
        url = server.url("postgres")
        _load(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION hypopg")
        report = await advise(url, only=["missing_index"], queries=PLAIN, indexes=True)
        assert {each.evidence["how"] for each in report.findings} == {"planned with hypopg"}
        promised = report.findings[0].evidence["gain_of_all"]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP EXTENSION hypopg")
        measured = await advise(url, only=["missing_index"], queries=PLAIN, indexes=True)
        assert {each.evidence["how"] for each in measured.findings} == {"measured on a sampled copy"}
        assert abs(promised - measured.findings[0].evidence["measured_gain_of_all"]) <= 0.3


async def test_where_no_copy_can_be_made_the_rest_is_told(empty_database_url: str) -> None:
    """A role that may read what the queries read, but not all that pg_dump would."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = 'advisor_watcher'").fetchone() is None:
            connection.execute("CREATE ROLE advisor_watcher LOGIN")
        connection.execute(
            "CREATE TABLE open (a int); CREATE TABLE closed (a int); GRANT SELECT ON open TO advisor_watcher;"
            " INSERT INTO open SELECT generate_series(1, 5000); ANALYZE open"
        )
    report = await advise(
        psycopg.conninfo.make_conninfo(empty_database_url, options="-c role=advisor_watcher"),
        only=["missing_index", "table_without_primary_key"],
        queries=Workload((Statement("SELECT * FROM open WHERE a = 7", 100, 9000),), "test"),
        indexes=True,
    )
    assert {(each.rule, each.table) for each in report.findings} == {
        ("table_without_primary_key", "closed"),
        ("table_without_primary_key", "open"),
    }
    assert "no index was tried: pg_dump can't read the schema" in " ".join(report.notes)


async def test_the_rule_has_a_name_like_the_others(empty_database_url: str) -> None:
    assert (await advise(empty_database_url, only=["missing_index"])).findings == []
    with pytest.raises(UsageError, match="there is no rule missing_indexes"):
        await advise(empty_database_url, only=["missing_indexes"])
