"""The advice itself: its statements run, both ways; drops are safe together; nothing is changed by looking."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from foreign_key_check import ask
from pglast import parser
from planted import ROLES

from outreachdb.advisor import Finding, Report, advise, rules, suppressions
from outreachdb.advisor.drops import ORDER
from outreachdb.advisor.workload.source import Statement, Workload
from outreachdb.db.reading import reading
from outreachdb.errors import InvalidInput, UsageError

SHAPE = """
    SELECT string_agg(x.line, E'\n' ORDER BY x.line) FROM (
        SELECT pg_get_indexdef(i.indexrelid) || i.indisvalid AS line
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relnamespace = %(schema)s::regnamespace
        UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = %(schema)s::regnamespace AND contype <> 'n'
        UNION ALL SELECT concat_ws(' ', oid::regclass, reloptions, relrowsecurity, relacl)
        FROM pg_class WHERE relnamespace = %(schema)s::regnamespace
        UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, nullif((to_jsonb(a) ->> 'attstattarget')::int, -1))
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p') AND attnum > 0
        UNION ALL SELECT concat_ws(' ', oid::regprocedure, proconfig) FROM pg_proc
        WHERE pronamespace = %(schema)s::regnamespace
    ) AS x
"""
# What can't be taken back: a validation, a rebuild, a version.
ONE_WAY = {"not_valid_constraint", "invalid_index", "index_bloat", "extension_outdated"}


def _run(connection: psycopg.Connection[Any], text: str | None, *, tolerant: bool = False) -> None:
    for statement in parser.split(text or ""):
        try:
            connection.execute(statement.encode())
        except psycopg.errors.CheckViolation:
            assert tolerant


def test_every_change_runs_and_can_be_taken_back(report: Report, planted_copy: str) -> None:
    changed = [each for each in report.findings if each.ddl and each.schema == f"yes_{each.rule}"]
    assert len({each.rule for each in changed}) >= 25
    with psycopg.connect(planted_copy, autocommit=True) as connection:
        for each in changed:
            if each.rule in {"not_valid_constraint", "invalid_index"}:  # rows stand against these two
                continue
            shape = connection.execute(SHAPE, {"schema": each.schema}).fetchone()
            _run(connection, each.ddl, tolerant=bool(each.evidence.get("violating_rows")))
            if each.rule in ONE_WAY:
                continue
            assert connection.execute(SHAPE, {"schema": each.schema}).fetchone() != shape, each
            _run(connection, each.rollback)
            assert connection.execute(SHAPE, {"schema": each.schema}).fetchone() == shape, each


async def test_drops_are_safe_together(report: Report, planted_copy: str) -> None:
    drops = [each for each in report.findings if each.rule in ORDER[1:] and each.ddl]
    assert {each.rule for each in drops} == set(ORDER[1:])
    names = [line for each in drops for line in (each.ddl or "").splitlines()]
    assert len(names) == len(set(names)), "no index is dropped by two findings"
    schemas = sorted({each.schema for each in report.findings if each.schema})
    with psycopg.connect(planted_copy) as connection:
        before = ask(connection, schemas)
        constraints = connection.execute("SELECT count(*) FROM pg_constraint").fetchone()
        connection.commit()
        connection.autocommit = True
        for each in drops:
            _run(connection, each.ddl)
        assert connection.execute("SELECT count(*) FROM pg_constraint").fetchone() == constraints
        assert ask(connection, schemas).unserved == before.unserved
    again = await advise(planted_copy, only=["duplicate_index", "overlapping_index"])
    assert [each.place for each in again.findings if each.ddl] == []
    assert [each.object for each in again.findings] == ["keyed_id_key"], "two constraints say the same: only told"


def test_partitions_are_told_once(report: Report) -> None:
    found = [each for each in report.findings if each.rule == "foreign_key_without_index" and each.table == "events"]
    (events,) = [each for each in found if each.schema == "yes_foreign_key_without_index"]
    assert (events.evidence["partitions"], events.evidence["partitions_without_index"]) == (2, 1)
    steps = [line.split(" ON ")[0] for line in (events.ddl or "").splitlines()]
    assert steps[0] == "CREATE INDEX ix_events_parent_id"
    assert steps.count("ALTER INDEX yes_foreign_key_without_index.ix_events_parent_id ATTACH PARTITION "
                       "yes_foreign_key_without_index.ix_events_1_parent_id;") == 1  # fmt: skip
    assert all(each.table not in {"events_1", "events_2", "measured_1"} for each in report.findings)


async def test_keys_that_partitions_declare_get_an_index_each(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE parent (id int PRIMARY KEY)")
        connection.execute("CREATE TABLE paid (id int, parent_id int) PARTITION BY LIST (id)")
        for number in (1, 2):
            name = f"paid_{number}"
            connection.execute(f"CREATE TABLE {name} PARTITION OF paid FOR VALUES IN ({number})".encode())
            connection.execute(f"ALTER TABLE {name} ADD FOREIGN KEY (parent_id) REFERENCES parent".encode())
        (paid,) = (await advise(empty_database_url, only=["foreign_key_without_index"])).findings
        assert (paid.table, paid.evidence["partitions"]) == ("paid", 2)
        _run(connection, paid.ddl)
        assert (await advise(empty_database_url, only=["foreign_key_without_index"])).findings == []
        _run(connection, paid.rollback)
        assert connection.execute("SELECT count(*) FROM pg_indexes WHERE tablename ~ '^paid'").fetchone() == (0,)


def test_an_index_to_walk_through_is_named_with_its_place(report: Report) -> None:
    found = [each for each in report.findings if each.rule == "foreign_key_in_later_column"]
    told = {
        each.columns: (each.severity, each.evidence["index"], each.evidence.get("place"))
        for each in found
        if each.schema == "yes_foreign_key_in_later_column"
    }
    assert told == {
        ("late_id",): ("info", "orders_pkey", 2),
        ("brin_id",): ("info", "orders_brin_id_idx", 1),
        ("noted_id",): ("info", "orders_at_idx", None),
        ("a", "b"): ("info", "orders_a_idx", 1),
        ("parent_id",): ("info", "events_2_pkey", 2),
    }
    assert all("CREATE INDEX" in (each.ddl or "") for each in found)


async def test_an_index_is_unused_only_where_counts_are_old_and_the_table_was_read(
    report: Report, planted_url: str
) -> None:
    """Statistics of a moment are no reason to drop anything, and each standby counts for itself."""
    found = [each for each in report.findings if each.rule == "unused_index"]
    assert {each.schema for each in found} >= {"yes_unused_index"}
    for each in found:
        assert (each.severity, each.evidence["standbys"], each.evidence["statistics_days"]) == ("info", 0, 0)
        assert each.evidence["table_reads"] >= 100
        assert "standbys, if there are any" in each.evidence["summary"]
    young = await advise(planted_url, only=["unused_index"])
    assert young.findings == []
    assert young.notes == ["unused_index: use is counted since 0 days, and 30 are needed"]
    read_more = {"min_days": 0, "min_reads": 1_000_000}
    assert (await advise(planted_url, only=["unused_index"], given=read_more)).findings == []


async def test_counts_that_a_crash_threw_away_are_not_older_than_the_crash(own_database_url: str) -> None:
    """The database's own mark is empty before the first reset, and after a crash as well."""
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        began, reset = connection.execute(
            "SELECT b.stats_reset, s.stats_reset FROM pg_stat_bgwriter AS b, pg_stat_database AS s"
            " WHERE s.datname = current_database()"
        ).fetchone() or (None, None)
        assert (began is None, reset) == (False, None)
        connection.execute("CREATE TABLE public.idle (a int)")
        connection.execute("CREATE INDEX idle_a ON public.idle (a)")
    at_once = {"min_days": 0, "min_reads": 0}
    report = await advise(own_database_url, only=["unused_index"], given=at_once)
    (idle,) = [each for each in report.findings if each.object == "idle_a"]
    assert datetime.fromisoformat(idle.evidence["statistics_since"]) == began


async def test_a_key_without_index_weighs_by_size_and_by_what_happens_to_the_parent(own_database_url: str) -> None:
    """An error only where deletes look through a large table, one less for its index; at any size the key is told."""
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        for name, rows in (("small", 100), ("quiet", 40_000), ("busy", 40_000), ("walked", 40_000)):
            key = "parent_id" if name == "walked" else "filler"
            connection.execute(
                f"CREATE TABLE public.{name}_parents (id int PRIMARY KEY);"
                f"CREATE TABLE public.{name}_children (id int, filler text DEFAULT repeat('x', 300),"
                f" parent_id int REFERENCES public.{name}_parents, PRIMARY KEY (id, {key}));"
                f"INSERT INTO public.{name}_parents SELECT generate_series(1, 100);"
                f"INSERT INTO public.{name}_children (id, parent_id)"
                f" SELECT n, 1 + n % 50 FROM generate_series(1, {rows}) AS n; ANALYZE public.{name}_children".encode()
            )
        connection.execute("DELETE FROM public.small_parents WHERE id = 99")
        connection.execute("DELETE FROM public.busy_parents WHERE id = 99")
        connection.execute("DELETE FROM public.walked_parents WHERE id = 99")
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
    found = await advise(own_database_url, only=["foreign_key_in_later_column", "foreign_key_without_index"])
    weighed = {each.table: (each.severity, each.evidence["parent_changes"]) for each in found.findings}
    assert weighed == {
        "small_children": ("warning", 1),
        "quiet_children": ("warning", 0),
        "busy_children": ("error", 1),
        "walked_children": ("warning", 1),
    }


def test_rows_that_break_a_rule_are_counted(report: Report) -> None:
    counted = {
        each.columns: each.evidence["violating_rows"]
        for each in report.findings
        if each.schema == f"yes_{each.rule}" and "violating_rows" in each.evidence
    }
    assert counted == {
        ("email",): 2, ("work_email",): 1, ("website_url",): 1, ("lead_score",): 2, ("status",): 0,
    }  # fmt: skip


async def test_looking_changes_nothing_and_waits_for_nobody(planted_url: str) -> None:
    async with reading(planted_url) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            async with connection.transaction():
                await connection.execute("CREATE TABLE public.mine (a int)")
        row = await (await connection.execute("SELECT current_setting('statement_timeout') AS most")).fetchone()
        assert row == {"most": "10s"}


async def test_a_rule_that_takes_too_long_costs_only_itself(planted_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    module = importlib.import_module("outreachdb.advisor.advise")
    slow = replace(rules()["money_column"], name="slow", sql="SELECT pg_catalog.pg_sleep(9)")
    monkeypatch.setattr(module, "select", lambda _only: [slow, rules()["money_column"]])
    report = await advise(planted_url, statement_ms=400)
    assert [each.rule for each in report.findings] == ["money_column"]
    assert any(note.startswith("slow: not looked at") for note in report.notes)


async def test_a_plain_role_sees_the_catalogue_and_says_what_it_does_not(planted_url: str, report: Report) -> None:
    watcher = psycopg.conninfo.make_conninfo(planted_url, options="-c role=advisor_watcher")
    assert "advisor_watcher" in ROLES
    seen = await advise(watcher, given={"min_days": 0})
    blind = {  # what needs rows, planner statistics, the values of sequences or the texts of queries
        "brin_candidate", "containment_without_gin", "ilike_without_trigram", "index_bloat", "integer_key_running_out",
        "mostly_null_index", "offset_paging", "query_without_pruning", "sequence_running_out", "statistics_target_low",
        "table_bloat",
    }  # fmt: skip

    def facts(of: Report) -> set[tuple[Any, ...]]:
        return {(e.rule, e.schema, e.table, e.columns, e.object) for e in of.findings if e.rule not in blind}

    assert facts(seen) == facts(report)
    told = " ".join(seen.notes)
    for part in ("may not read", "sequences can't be read", "pg_read_all_stats"):
        assert part in told


async def test_a_role_that_reads_statistics_sees_every_query(planted_url: str, report: Report) -> None:
    seen = await advise(psycopg.conninfo.make_conninfo(planted_url, options="-c role=advisor_statistician"))
    assert "pg_read_all_stats" not in " ".join(seen.notes)

    def of_queries(of: Report) -> set[tuple[Any, ...]]:
        rules = {"ilike_without_trigram", "offset_paging", "query_without_pruning"}
        return {(e.rule, e.schema, e.table, e.columns, e.object) for e in of.findings if e.rule in rules}

    assert of_queries(seen) == of_queries(report) != set()
    hidden = await advise(
        psycopg.conninfo.make_conninfo(planted_url, options="-c role=advisor_watcher"),
        queries=Workload((Statement("SELECT * FROM tools.hidden WHERE note = 'x'", 100, 9000),), "test"),
        only=["missing_index"],
        indexes=True,
    )
    assert hidden.findings == []
    assert "no index was tried: advisor_watcher may not read hidden" in " ".join(hidden.notes)


def _finding(**given: Any) -> Finding:
    base = Finding("unused_index", "info", "public", "t", ("a",), "t_a", {"summary": "no scan"})
    return replace(base, **given)


def test_accepted_findings_have_a_reason_and_an_end(tmp_path: Path) -> None:
    today = date(2026, 6, 1)
    file = tmp_path / "accepted.yaml"
    file.write_text(
        "- {rule: unused_index, object: t_*, reason: yearly report, until: 2026-06-01}\n"
        "- {rule: unused_index, object: u_a, reason: was needed, until: 2026-05-31}\n"
        "- {rule: money_column, table: gone, reason: legacy, until: 2027-01-01}\n"
    )
    notes: list[str] = []
    known = suppressions.load(file)
    kept, accepted = known.apply([_finding(), _finding(object="u_a")], today=today, notes=notes)
    assert [each.object for each in kept] == ["u_a"]
    assert [(each.object, reason) for each, reason in accepted] == [("t_a", "yearly report")]
    assert notes == [
        "the suppression of unused_index (was needed) ended on 2026-05-31",
        "the suppression of money_column (legacy) fits nothing any more",
    ]
    assert known.apply([_finding()], today=today + timedelta(days=1), notes=[])[1] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {rule: unused_index, until: 2027-01-01}", "reason"),
        ("- {rule: unused_index, reason: because}", "until"),
        ("- {rule: no_such, reason: because, until: 2027-01-01}", "no rule 'no_such'"),
        ("- {rule: unused_index, reason: because, until: 2027-01-01, tabel: x}", "tabel"),
        ("rule: [", "not YAML"),
    ],
)
def test_bad_suppressions_are_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=r"bad\.yaml") as raised:
        suppressions.load(tmp_path / "bad.yaml")
    assert said in str(raised.value)


async def test_an_unknown_rule_is_told(planted_url: str) -> None:
    with pytest.raises(UsageError, match="there is no rule nonsense"):
        await advise(planted_url, only=["nonsense"])
