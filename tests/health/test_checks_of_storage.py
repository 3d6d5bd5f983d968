"""Memory, queries, indexes and room on disk: each check green, then yellow and red because of what really happens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from conftest import Ground

from outreachdb.db.embedded import throwaway
from outreachdb.health.report import Result

WIDE = "id int, word text DEFAULT repeat('x', 200)"


async def step(ground: Ground, name: str, numbers: dict[str, float], *causes: tuple[str, ...]) -> list[Result]:
    """What the check says before anything happened and after each cause."""
    found = [await ground.look(name, **numbers)]
    for cause in causes:
        ground.do(*cause)
        found.append(await ground.look(name, **numbers))
    return found


def statuses(found: list[Result]) -> list[str]:
    return [each.status for each in found]


TABLE = (
    f"CREATE TABLE {{}} ({WIDE}) WITH (autovacuum_enabled = off)",
    "INSERT INTO {} SELECT n FROM generate_series(1, 20000) AS n",
    "CREATE INDEX ON {} (id, word)",
)
# In the order of the index and never by bitmap: each of its blocks once, each of the table's.
ORDERED = ("SET enable_sort = off", "SET enable_bitmapscan = off", "SET enable_seqscan = off")
ASK = "SELECT count(*) FROM (SELECT id, xmin FROM {} ORDER BY id OFFSET 0) AS x"


async def test_cache_hits() -> None:
    """A server with memory for a part of its data: what does not fit is read from disk again and again."""
    with throwaway(fitted={"shared_buffers": "2MB"}) as server:
        ground = Ground(server.url())
        ground.do("CREATE SCHEMA trouble", *(line.format("trouble.large") for line in TABLE))
        ground.do(*(line.replace("20000", "100").format("trouble.small") for line in TABLE))
        ground.do("SELECT pg_stat_reset()")
        found = []
        for table, times in (("large", 1), ("large", 3), ("small", 3000), ("small", 30_000)):
            ask = f"PERFORM * FROM ({ASK.format(f'trouble.{table}')}) AS x"
            loop = f"DO $$ BEGIN FOR n IN 1..{times} LOOP {ask}; END LOOP; END $$"
            ground.do(*ORDERED, loop)
            numbers = {"red": 60, "yellow": 95, "min_blocks": 400}
            found.append([await ground.look(f"cache_hit_{kind}", **numbers) for kind in ("tables", "indexes")])
        assert [statuses(each) for each in found[1:]] == [["red", "red"], ["yellow", "yellow"], ["green", "green"]], (
            found
        )


@pytest.mark.parametrize(
    ("name", "made", "ask"),
    [
        ("cache_hit_tables", (*TABLE[:2], "VACUUM FULL {}"), "SELECT count(word) FROM {}"),
        ("cache_hit_indexes", TABLE, ASK),
    ],
)
async def test_first_reads_are_no_lack_of_memory(ground: Ground, name: str, made: tuple[str, ...], ask: str) -> None:
    """What rewrites a table or makes an index writes beside the buffers: the first scan finds nothing there."""
    ground.do(*(line.format(f"trouble.{name}") for line in made))
    ground.do("SELECT pg_stat_reset()")
    none = await ground.look(name, min_blocks=50)
    assert (none.status, "only 0 blocks" in none.summary) == ("not applicable", True)
    ground.do(*ORDERED, ask.format(f"trouble.{name}"))
    first = await ground.look(name, min_blocks=50)
    assert (first.status, "first reads" in first.summary) == ("not applicable", True), first
    ground.do(*ORDERED, *[ask.format(f"trouble.{name}")] * 60)
    assert (await ground.look(name, min_blocks=50)).status == "green"
    ground.do(f"DROP TABLE trouble.{name}")


async def test_slow_queries(ground: Ground) -> None:
    ground.do("SELECT public.pg_stat_statements_reset()")
    # So slow that nothing else is, also on a machine with other things to do.
    one = ("SELECT pg_sleep(0.25) AS one",)
    more = ("SELECT pg_sleep(0.25) AS two", "SELECT pg_sleep(0.25), 1 AS three", "SELECT 1 AS four, 2, pg_sleep(0.25)")
    found = await step(ground, "slow_queries", {"yellow": 1, "red": 3, "min_calls": 1, "slow_ms": 240}, one, more)
    assert statuses(found) == ["green", "yellow", "red"]
    assert any("pg_sleep" in each["query"] for each in found[-1].evidence["queries"])
    assert (await ground.look("slow_queries", slow_ms=10_000, min_calls=1)).status == "green"


async def test_mean_query_time(ground: Ground) -> None:
    ground.do("SELECT public.pg_stat_statements_reset()")
    assert (await ground.look("mean_query_time")).status == "not applicable"
    # Between cheap statements a second of sleep makes the mean some milliseconds, among few others very many.
    numbers = {"yellow": 2, "red": 15, "min_calls": 1}
    cheap, sleep = ("SELECT 1",) * 300, ("SELECT pg_sleep(1.2)",)
    ground.do(*cheap)
    found = await step(ground, "mean_query_time", numbers, sleep)
    ground.do("SELECT public.pg_stat_statements_reset()")
    found += (await step(ground, "mean_query_time", numbers, sleep))[1:]
    assert statuses(found) == ["green", "yellow", "red"], found


async def test_never_analysed(ground: Ground) -> None:
    def table(name: str) -> tuple[str, ...]:
        return (
            f"CREATE TABLE trouble.{name} (id int) WITH (autovacuum_enabled = off)",
            f"INSERT INTO trouble.{name} SELECT n FROM generate_series(1, 100) AS n",
        )

    parent = (
        "CREATE TABLE trouble.parent (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE trouble.child PARTITION OF trouble.parent FOR VALUES FROM (0) TO (1000)",
        "INSERT INTO trouble.parent SELECT n FROM generate_series(1, 100) AS n",
        "ANALYZE trouble.child",
    )
    analyse = ("ANALYZE trouble.unseen, trouble.unseen_too, trouble.parent",)
    numbers = {"yellow": 1, "red": 3, "min_rows": 50, "min_parent_rows": 50}
    found = await step(ground, "never_analysed", numbers, table("unseen"), table("unseen_too"), parent, analyse)
    assert statuses(found) == ["green", "yellow", "yellow", "red", "green"]
    assert "trouble.parent" in found[-2].summary
    assert "trouble.child" not in found[-2].summary
    few = await ground.look("never_analysed", min_rows=50, min_parent_rows=101)
    assert few.status == "green"


async def test_what_autovacuum_comes_for_is_awaited(ground: Ground) -> None:
    """A table that was loaded a moment ago has no statistics yet, and needs nobody."""
    ground.do("CREATE TABLE trouble.loaded (id int)")
    numbers = {"min_rows": 50, "yellow": 1}
    with ground.session() as holder:
        holder.execute("BEGIN")
        holder.execute(
            "LOCK TABLE trouble.loaded IN SHARE UPDATE EXCLUSIVE MODE"
        )  # autovacuum passes it over meanwhile
        ground.do("INSERT INTO trouble.loaded SELECT n FROM generate_series(1, 100) AS n")
        async with asyncio.timeout(60):  # its workers may all be busy with other tests' tables
            while (found := await ground.look("never_analysed", **numbers)).status != "green":
                await asyncio.sleep(0.1)
        assert found.evidence["awaited"] == ["trouble.loaded"]
        assert found.summary == "none; 1 new wait for autovacuum, which looks every 1min"
        holder.execute("ALTER TABLE trouble.loaded SET (autovacuum_enabled = off)")
        holder.execute("COMMIT")
    nobody = await ground.look("never_analysed", **numbers)
    assert (nobody.status, nobody.summary) == ("yellow", "trouble.loaded")
    ground.do("DROP TABLE trouble.loaded")


async def test_duplicate_indexes(ground: Ground) -> None:
    ground.do("CREATE TABLE trouble.twins (id int)", "CREATE INDEX ON trouble.twins (id)")
    again = ("CREATE INDEX ON trouble.twins (id)",)
    other = ("CREATE TABLE trouble.more_twins (id int UNIQUE)", "CREATE INDEX ON trouble.more_twins (id)")
    found = await step(ground, "duplicate_indexes", {"yellow": 1, "red": 2}, again, other)
    assert statuses(found) == ["green", "yellow", "red"]


async def test_invalid_indexes(ground: Ground) -> None:
    ground.do("CREATE TABLE trouble.repeated (id int)", "INSERT INTO trouble.repeated VALUES (1), (1)")
    found = [await ground.look("invalid_indexes", yellow=1, red=2)]
    for _ in range(2):
        with pytest.raises(psycopg.errors.UniqueViolation):
            ground.do("CREATE UNIQUE INDEX CONCURRENTLY ON trouble.repeated (id)")
        found.append(await ground.look("invalid_indexes", yellow=1, red=2))
    assert statuses(found) == ["green", "yellow", "red"]
    assert found[-1].summary == "repeated_id_idx, repeated_id_idx1"


async def test_foreign_keys_without_index(ground: Ground) -> None:
    """Counts those with an index to walk through as well."""
    ground.do("CREATE TABLE trouble.owner (id int PRIMARY KEY)")
    made = ("CREATE TABLE trouble.owned_{} (id int, owner_id int REFERENCES trouble.owner{})").format
    causes = [(made(1, ""),), (made(2, ", PRIMARY KEY (id, owner_id)"),)]
    mend = tuple(f"CREATE INDEX ON trouble.owned_{n} (owner_id)" for n in (1, 2))
    found = await step(ground, "foreign_keys_without_index", {"yellow": 1, "red": 2}, *causes, mend)
    assert statuses(found) == ["green", "yellow", "red", "green"]


async def test_not_valid_constraints(ground: Ground) -> None:
    ground.do("CREATE TABLE trouble.unchecked (id int)")
    causes = [(f"ALTER TABLE trouble.unchecked ADD CONSTRAINT c{n} CHECK (id > {n}) NOT VALID",) for n in (1, 2)]
    mend = tuple(f"ALTER TABLE trouble.unchecked VALIDATE CONSTRAINT c{n}" for n in (1, 2))
    found = await step(ground, "not_valid_constraints", {"yellow": 1, "red": 2}, *causes, mend)
    assert statuses(found) == ["green", "yellow", "red", "green"]


async def test_unused_indexes(ground: Ground) -> None:
    young = await ground.look("unused_indexes")
    assert (young.status, "30 are needed" in young.summary) == ("not applicable", True)
    ground.do(
        "CREATE TABLE trouble.idle (id int)", "INSERT INTO trouble.idle SELECT n FROM generate_series(1, 60000) AS n"
    )
    numbers = {"yellow": 1, "red": 9, "min_days": 0, "min_mb": 1, "min_reads": 0}
    one = ("CREATE INDEX idle_one ON trouble.idle (id)",)
    more = tuple(f"CREATE INDEX idle_{n} ON trouble.idle (id, (id + {n}))" for n in range(3))
    found = await step(ground, "unused_indexes", numbers, one, more)
    assert statuses(found) == ["green", "yellow", "red"]
    assert {"idle_one", "idle_0"} <= set(found[-1].evidence["indexes"])
    ground.do("DROP TABLE trouble.idle")


async def test_dead_rows(ground: Ground) -> None:
    ground.do(
        "CREATE TABLE trouble.dying (id int) WITH (autovacuum_enabled = off)",
        "INSERT INTO trouble.dying SELECT n FROM generate_series(1, 1000) AS n",
    )
    some, most = ("DELETE FROM trouble.dying WHERE id <= 300",), ("DELETE FROM trouble.dying WHERE id <= 700",)
    found = await step(ground, "dead_rows", {"min_rows": 100}, some, most, ("VACUUM trouble.dying",))
    assert statuses(found) == ["green", "yellow", "red", "green"]
    assert found[2].summary == "trouble.dying: 700 dead beside 300"


async def test_bloat(ground: Ground) -> None:
    """Rows that are deleted between others leave their room in the table's and the index's pages."""
    numbers = {"yellow": 1, "red": 12}

    async def both() -> list[str]:
        return [(await ground.look(f"{kind}_bloat", **numbers)).status for kind in ("table", "index")]

    def table(name: str, rows: int) -> tuple[str, ...]:
        return (
            f"CREATE TABLE trouble.{name} (id int, word text DEFAULT repeat('x', 40)) WITH (autovacuum_enabled = off)",
            f"INSERT INTO trouble.{name} SELECT n FROM generate_series(1, {rows}) AS n",
            f"CREATE INDEX ON trouble.{name} (id, word)",
            f"DELETE FROM trouble.{name} WHERE id % 20 > 0",
            f"VACUUM (ANALYZE) trouble.{name}",
        )

    assert await both() == ["green", "green"]
    ground.do(*table("bloated", 20_000))
    assert await both() == ["yellow", "yellow"]
    ground.do(*table("swollen", 120_000))
    assert await both() == ["red", "red"]
    ground.do("DROP TABLE trouble.bloated, trouble.swollen")


async def test_sequences(ground: Ground) -> None:
    ground.do("CREATE SEQUENCE trouble.ending MAXVALUE 1000")
    causes = [(f"SELECT setval('trouble.ending', {value})",) for value in (750, 950)]
    found = await step(ground, "sequences", {}, *causes)
    assert statuses(found) == ["green", "yellow", "red"]
    assert found[-1].summary == "trouble.ending: 950 of 1000"
    ground.do("DROP SEQUENCE trouble.ending")


async def test_wraparound(ground: Ground) -> None:
    before = (await ground.look("wraparound")).value
    assert before is not None
    one = 100 / 2146483647  # a transaction's number, in per cent
    use = "DO $$ BEGIN FOR n IN 1..200 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
    numbers = {"yellow": before + 100 * one, "red": before + 300 * one}
    found = await step(ground, "wraparound", numbers, (use,), (use,))
    assert statuses(found) == ["green", "yellow", "red"]


async def test_disk(ground: Ground) -> None:
    """The real disk where the server is on this machine; a disk whose size was told, filled for real, elsewhere."""
    here = await ground.look("disk", yellow=99.9, red=100)
    assert here.status == "green"
    assert here.evidence["total_bytes"] > 1024**3
    used = (await ground.look("disk", size_gb=1024)).evidence["used_bytes"]
    told = {"size_gb": used / 0.75 / 1024**3}
    fill = "INSERT INTO trouble.filling SELECT n, repeat(md5(n::text), 60) FROM generate_series(1, {}) AS n"
    ground.do("CREATE UNLOGGED TABLE trouble.filling (id int, word text)")
    share = used / 0.75 / 100 / 2048  # rows that fill a hundredth
    causes = [(fill.format(int(share * 9)),), (fill.format(int(share * 9)),)]
    found = await step(ground, "disk", told, *causes, ("DROP TABLE trouble.filling",))
    assert statuses(found) == ["green", "yellow", "red", "green"]


async def test_backup_age(ground: Ground) -> None:
    def backup(hours: int) -> tuple[str, ...]:
        return (
            "DELETE FROM ops.maintenance_runs",
            f"""INSERT INTO ops.maintenance_runs (job, status, finished_at)
            VALUES ('backup', 'succeeded', now() - interval '{hours} hours'), ('backup', 'failed', now())""",
        )

    found = await step(ground, "backup_age", {}, backup(1), backup(30), backup(60))
    assert statuses(found) == ["not applicable", "green", "yellow", "red"]
    assert found[0].reason == "nobody told of a backup"


async def test_table_growth(ground: Ground) -> None:
    def history(percent: float) -> tuple[str, ...]:
        """Thirty days in which a table of a gigabyte grew by that much."""
        return (
            "DELETE FROM ops.daily_figures",
            f"""INSERT INTO ops.daily_figures (kind, name, day, value)
            SELECT 'table', 'outreach.leads', timezone('UTC', now())::date - n,
                   1e9 * (1 - {percent} / 100.0 * n / 30 / (1 + {percent} / 100.0)) FROM generate_series(0, 29) AS n""",
        )

    found = await step(ground, "table_growth", {}, history(10), history(80), history(300))
    assert statuses(found) == ["not applicable", "green", "yellow", "red"]
    assert found[-1].summary.startswith("outreach.leads")


async def test_default_partition(ground: Ground) -> None:
    made = (
        "CREATE TABLE trouble.sorted (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE trouble.rest PARTITION OF trouble.sorted DEFAULT",
    )
    few, many = (
        ("INSERT INTO trouble.sorted VALUES (1)",),
        ("INSERT INTO trouble.sorted SELECT generate_series(1, 99)",),
    )
    found = await step(ground, "default_partition", {"red": 100}, made, few, many)
    assert statuses(found) == ["not applicable", "green", "yellow", "red"]


async def test_partition_runway(ground: Ground) -> None:
    """Our own tables have three months; one of somebody else's has none, then one, two."""

    def month(ahead: int) -> tuple[str, ...]:
        first = (datetime.now(UTC).replace(day=1) + timedelta(days=31 * ahead)).replace(day=1).date()
        after = (first + timedelta(days=31)).replace(day=1)
        return (
            f"CREATE TABLE trouble.m{ahead} PARTITION OF trouble.monthly FOR VALUES FROM ('{first}') TO ('{after}')",
        )

    empty = ("CREATE TABLE trouble.monthly (at timestamptz) PARTITION BY RANGE (at)", *month(3))
    found = await step(ground, "partition_runway", {}, empty, month(0), month(1), month(2))
    # The month that was missing closes the gap to the third.
    assert [each.value for each in found[1:]] == [-1, 0, 1, 3]
    assert statuses(found) == ["green", "red", "red", "yellow", "green"]
    assert found[1].summary == "trouble.monthly takes no row of now"
    ground.do("DROP TABLE trouble.monthly")


async def test_retention_lag(ground: Ground) -> None:
    """A row in a month that should have gone; empty months keep nothing too long."""
    workspace = ground.do("INSERT INTO outreach.workspaces (name) VALUES ('late') RETURNING id")

    def row(days: int) -> tuple[str, ...]:
        kept = "(SELECT retention_months::int FROM ops.partitioned_tables WHERE table_name = 'message_log')"
        last = f"now() - make_interval(months => {kept}) - interval '{days} days'"
        at = f"date_trunc('month', {last}, 'UTC') - interval '1 day'"
        return (
            f"SELECT outreach.ensure_partitions('message_log', {at}, {at})",
            f"INSERT INTO outreach.message_log (workspace_id, created_at) VALUES ({workspace}, {at})",
        )

    found = await step(ground, "retention_lag", {"yellow": 0.0001, "red": 45}, row(0), row(46))
    assert statuses(found) == ["green", "yellow", "red"]
    ground.do("TRUNCATE outreach.message_log")

    # A table of another schema, which keeps its rows for days; its name needs quotes.
    day = "timezone('UTC', date_trunc('day', now(), 'UTC') - interval '{} days')"

    def kept(days: int) -> tuple[str, ...]:
        return (f"UPDATE ops.partitioned_tables SET retention_days = {days} WHERE table_name LIKE 'trouble.%'",)

    def daily(days: int) -> tuple[str, ...]:
        at = day.format(days)
        return (
            f"SELECT ops.create_partitions('trouble.\"Daily\"', {at} AT TIME ZONE 'UTC', {at} AT TIME ZONE 'UTC')",
            f'INSERT INTO trouble."Daily" VALUES ({at})',
        )

    made = (
        'CREATE TABLE trouble."Daily" (at timestamp NOT NULL) PARTITION BY RANGE (at)',
        "SELECT outreach.register_partitioned_table('trouble.\"Daily\"', 'day', 3, '10 days', false)",
    )
    found = await step(
        ground, "retention_lag", {"yellow": 1, "red": 20}, (*made, *daily(5)), daily(14), kept(20), daily(50), kept(60)
    )
    # A day that ended 13 days ago is 3 days late where 10 are kept, and in time where 20 are.
    assert statuses(found) == ["green", "green", "yellow", "green", "red", "green"]
    assert 29 <= float(found[4].value or 0) < 30
    ground.do('DROP TABLE trouble."Daily"', "DELETE FROM ops.partitioned_tables WHERE table_name LIKE 'trouble.%'")


async def test_detached_partitions(ground: Ground) -> None:
    """A table beside the partitions that is none; what is on its way out or in is told by its record."""
    made = "CREATE TABLE parts.forgotten_{0} (id int)"
    found = await step(
        ground, "detached_partitions", {"red": 2}, (made.format(1),), (made.format(2),),
        ("DROP TABLE parts.forgotten_1, parts.forgotten_2",),
    )  # fmt: skip
    assert statuses(found) == ["green", "yellow", "red", "green"]
    assert found[2].summary == "forgotten_1, forgotten_2"


async def test_replication_slots(ground: Ground) -> None:
    """A slot that nobody reads keeps what is written."""
    write = "INSERT INTO trouble.logged SELECT n, repeat(md5(n::text), 60) FROM generate_series(1, 500) AS n"
    ground.do(
        "CREATE TABLE trouble.logged (id int, word text)", "ALTER TABLE trouble.logged ALTER word SET STORAGE EXTERNAL"
    )
    flush = "SET synchronous_commit = on"
    made = (
        "CHECKPOINT",
        "SELECT pg_create_physical_replication_slot('forgotten', true)",
    )
    found = await step(
        ground, "replication_slots", {"yellow": 0.5, "red": 2}, made, (flush, write), (flush, write, write)
    )
    ground.do("SELECT pg_drop_replication_slot('forgotten')")
    assert statuses(found) == ["green", "green", "yellow", "red"]
    assert found[-1].summary == "1 slots, 1 without a reader"
