"""Partitions of any table and interval, from many places at once, and what the functions tell of them."""

from __future__ import annotations

import asyncio
import json
from calendar import isleap
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

import outreachdb
from outreachdb.config import Settings
from outreachdb.db.tenant import TRUSTED_ROLE
from outreachdb.errors import DatabaseUnsupported, InvalidInput, MigrationError, NotFound
from outreachdb.storage.partitions import PartitionManager

# The last second of a February that is further ahead than any of these tests makes partitions.
LEAP = datetime(
    next(year for year in range(datetime.now(UTC).year + 2, 3000) if isleap(year)), 2, 29, 23, 59, 59, tzinfo=UTC
)


def manager(url: str) -> PartitionManager:
    return PartitionManager(url, Settings.load({}, database_url=url))


def make(connection: psycopg.Connection[tuple[object, ...]], name: str, kind: str = "timestamptz") -> None:
    connection.execute(
        f"CREATE TABLE {name} (id bigint, at {kind} NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)".encode()
    )


async def test_every_interval_and_type_and_a_change_of_interval(own_database_url: str) -> None:
    """Periods follow each other without gap or overlap, whatever the session's time zone and date style."""
    now, year = datetime.now(UTC), LEAP.year
    following = LEAP + timedelta(seconds=1)
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute("SET timezone = 'Asia/Kathmandu'")
        connection.execute("SET datestyle = 'SQL, DMY'")
        week = LEAP.isocalendar().week
        names = {"day": f"{year}_02_29", "week": f"{year}_w{week:02}", "month": f"{year}_02", "quarter": f"{year}_q1"}
        same = {"week": following.isocalendar().week == week, "quarter": True}
        for kind in ("timestamptz", "timestamp", "date"):
            for interval, suffix in names.items():
                table = f'shop."T {kind} {interval}"'
                make(connection, table, kind)
                made = await manager(own_database_url).register(table, interval=interval)
                assert (made.table, made.ahead, made.retention) == (table, 3, "12 months")
                made_now = connection.execute(
                    "SELECT ops.create_partitions(%s, %s, %s)", [table, LEAP, following]
                ).fetchone()
                # The next second is another day and month, but the same quarter, and mostly the same week.
                assert made_now == (1 if same.get(interval) else 2,)
                partitions = await manager(own_database_url).partitions(table)
                assert f'shop."T {kind} {interval}_{suffix}"' in {each.name for each in partitions}
                near = [each for each in partitions if each.range_from and each.range_from.year < year]
                assert len(near) == 4
                assert all(a.range_to == b.range_from for a, b in zip(near, near[1:], strict=False))
                assert near[0].range_from is not None
                assert near[0].range_from <= now < (near[0].range_to or now)
                assert [each.state for each in near] == ["current", "future", "future", "future"]
                # Without a zone they are UTC, whatever day it is in Kathmandu.
                connection.execute(
                    f"INSERT INTO {table} VALUES (1, %s), (2, %s)".encode(),
                    [each if kind == "timestamptz" else each.replace(tzinfo=None) for each in (LEAP, now)],
                )
        # From months to weeks to days: what is there stays, the rest is filled.
        table = 'shop."T timestamptz month"'
        for interval in ("week", "day"):
            await manager(own_database_url).register(table, interval=interval)
            far = now + timedelta(days=200)
            await manager(own_database_url).ensure_partitions(table, now, far)
            known = sorted(
                (each.range_from, each.range_to)
                for each in await manager(own_database_url).partitions(table)
                if each.range_from and each.range_to and each.range_from < far
            )
            assert all(first[1] == second[0] for first, second in zip(known, known[1:], strict=False))
            assert known[0][0] <= now
            assert known[-1][1] > far
        runway = dict(connection.execute("SELECT table_name, periods FROM outreach.get_partition_runway()").fetchall())
        assert runway['shop."T date quarter"'] == 3
        assert runway[table] >= 200


async def test_many_places_at_once(own_database_url: str) -> None:
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        make(connection, "public.busy")
        await manager(own_database_url).register("public.busy", interval="day")
        now = datetime.now(UTC)
        ends = (now + timedelta(days=20), now + timedelta(days=40))
        made = await asyncio.gather(
            *(manager(own_database_url).ensure_partitions("public.busy", now, ends[n % 2]) for n in range(4)),
            *(manager(own_database_url).maintain_all_partitions() for _ in range(2)),
        )
        assert sum(each for each in made if isinstance(each, int)) == 37
        assert all(each.error is None for run in made if isinstance(run, list) for each in run)
        count = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.busy'::regclass"
        ).fetchone()
        assert count == (41,)
        # A reader in the middle of its transaction holds up nobody, a writer of a referenced table only itself.
        with psycopg.connect(own_database_url) as reader:
            reader.execute("SELECT count(*) FROM outreach.email_sends")
            assert await manager(own_database_url).ensure_partitions("email_sends", LEAP, LEAP) == 1


async def test_what_can_not_be_registered(own_database_url: str) -> None:
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute(
            b"""
            CREATE TABLE public.plain (at timestamptz);
            CREATE TABLE public.listed (at date) PARTITION BY LIST (at);
            CREATE TABLE public.two (at date, b int) PARTITION BY RANGE (at, b);
            CREATE TABLE public.worded (at text) PARTITION BY RANGE (at);
            CREATE TABLE public.computed (at timestamp) PARTITION BY RANGE (date_trunc('day', at));
            CREATE TABLE public.good (at date) PARTITION BY RANGE (at)
            """
        )
        wrong = {
            "public.none": "no table named",
            "public.plain": "not partitioned.*adopt",
            "public.listed": "not partitioned by RANGE over one column",
            "public.two": "not partitioned by RANGE over one column",
            "public.computed": "not partitioned by RANGE over one column",
            "public.worded": "column of type text",
        }
        for table, reason in wrong.items():
            with pytest.raises(InvalidInput, match=reason):
                await manager(own_database_url).register(table)
        for retention in ("3 hours", "-1 months", "0 days"):
            with pytest.raises(InvalidInput, match="whole days or months"):
                await manager(own_database_url).register("public.good", retention=retention)
        with pytest.raises(InvalidInput, match="between 3 and 1000"):
            await manager(own_database_url).register("public.good", ahead=2)
        assert [each.table for each in await manager(own_database_url).tables() if "." in each.table] == []
        with pytest.raises(NotFound):
            await manager(own_database_url).maintain("public.good")
        # Owned by somebody else: told to the trusted role, done by who may.
        await manager(own_database_url).register("public.good", retention="1 year 10 days")
        assert (await manager(own_database_url).tables("public.good"))[0].retention == "12 months 10 days"
        connection.execute(f"SET ROLE {TRUSTED_ROLE}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="belong to"):
            connection.execute("SELECT outreach.ensure_partitions('public.good', '2031-01-01', '2031-01-01')")
        made = connection.execute("SELECT table_name FROM outreach.create_monthly_partitions()").fetchall()
        assert "public.good" not in {name for (name,) in made}
    with pytest.raises(MigrationError):
        await outreachdb.get_partition_manager(_postgres(own_database_url))


def _postgres(url: str) -> str:
    return psycopg.conninfo.make_conninfo(url, dbname="postgres")


async def test_how_partitions_fare(own_database_url: str) -> None:
    now = datetime.now(UTC)
    old = datetime(now.year - 2, 3, 10, tzinfo=UTC)
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        make(connection, "public.asked")
        await manager(own_database_url).register("public.asked", retention="6 months")
        await manager(own_database_url).ensure_partitions("public.asked", old, now)
        # Its dead rows are there until somebody asks.
        connection.execute(f"ALTER TABLE public.asked_{old:%Y_%m} SET (autovacuum_enabled = false)".encode())
        connection.execute("INSERT INTO public.asked SELECT n, %s FROM generate_series(1, 40000) AS n", [old])
        connection.execute("INSERT INTO public.asked SELECT n, now() FROM generate_series(1, 1000) AS n")
        connection.execute("DELETE FROM public.asked WHERE id > 20000")
        # 150 questions about today, 60 about everything.
        for _ in range(150):
            connection.execute("SELECT max(id) FROM public.asked WHERE at > now() - interval '1 hour'").fetchone()
        for _ in range(160):
            connection.execute("SELECT count(*) FROM public.asked WHERE id = 7").fetchone()
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
        found = {row["partition_name"]: row for row in await manager(own_database_url).performance("public.asked")}
        current, past = (found[f"public.asked_{each:%Y_%m}"] for each in (now, old))
        assert current["index_scans"] + current["sequential_scans"] >= 310
        assert past["index_scans"] + past["sequential_scans"] >= 160
        assert past["pruned"] is False
        assert "read as often as the busiest partition" in past["advice"]
        assert "older than the retention" in past["advice"]
        assert past["dead_rows"] >= 20000
        assert "VACUUM public.asked_" in past["advice"]
        # Then only questions about today: the old ones are passed over.
        for _ in range(400):
            connection.execute("SELECT max(id) FROM public.asked WHERE at > now() - interval '1 hour'").fetchone()
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
        connection.execute("VACUUM (ANALYZE) public.asked")
        found = {row["partition_name"]: row for row in await manager(own_database_url).performance("public.asked")}
        assert found[f"public.asked_{old:%Y_%m}"]["pruned"] is True
        assert "VACUUM" not in found[f"public.asked_{old:%Y_%m}"]["advice"]
        assert found[f"public.asked_{now:%Y_%m}"]["advice"] == "nothing to do"
        # What pg_stat_statements knows: of the calls, which never mention the column.
        assert found[f"public.asked_{now:%Y_%m}"]["statement_calls"] is None
        connection.execute("CREATE EXTENSION pg_stat_statements")
        for _ in range(3):
            connection.execute("SELECT count(*) FROM public.asked WHERE id = 8").fetchone()
            connection.execute("SELECT count(*) FROM public.asked WHERE at > now()").fetchone()
        row = (await manager(own_database_url).performance("public.asked"))[0]
        assert row["unpruned_calls"] >= 3
        assert row["statement_calls"] - row["unpruned_calls"] >= 3
        # Monitoring may ask, tenants may not.
        connection.execute("SET ROLE outreachdb_reader")
        assert connection.execute(
            "SELECT count(*) > 20 FROM outreach.analyze_partition_performance('public.asked')"
        ).fetchone() == (True,)
        connection.execute("SET ROLE outreachdb_app")
        for function in ("get_partition_info", "analyze_partition_performance"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM outreach.{function}('email_sends')".encode())


def test_the_commands(
    own_database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from outreachdb.cli.main import main

    monkeypatch.setenv("COLUMNS", "140")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["-d", own_database_url, "partitions", *arguments])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    with psycopg.connect(own_database_url, autocommit=True) as connection:
        make(connection, "public.measured")
        connection.execute("CREATE TABLE public.plain (id int PRIMARY KEY, created_at timestamptz NOT NULL)")
        connection.execute(
            "INSERT INTO public.plain SELECT n, now() - n * interval '1 day' FROM generate_series(1, 90) AS n"
        )
    status, out, _ = run("list", "--json")
    listed = json.loads(out)["partitions"]
    assert status == 0
    assert {each["table"] for each in listed} == {
        "audit_log",
        "email_events",
        "email_sends",
        "lead_activities",
        "message_log",
    }
    assert set(listed[0]) == {"table", "name", "from", "to", "rows", "bytes", "state"}
    status, out, _ = run(
        "register", "public.measured", "--interval", "day", "--ahead", "5", "--retention", "90 days", "--json"
    )
    assert status == 0
    assert json.loads(out)["retention"] == "90 days"
    # What a change does not speak of stays as it was: a year less would let rows leave.
    for name, change, wanted in (
        ("public.measured", ("--no-archive",), ("day", 5, "90 days", False)),
        ("public.measured", ("--retention", "forever"), ("day", 5, "for ever", False)),
        ("public.measured", ("--ahead", "4"), ("day", 4, "for ever", False)),
        ("outreach.audit_log", ("--ahead", "6"), ("month", 6, "24 months", True)),
    ):
        status, out, _ = run("register", name, *change, "--json")
        told = json.loads(out)
        assert (status, tuple(told[key] for key in ("interval", "ahead", "retention", "archive"))) == (0, wanted)
    status, out, _ = run("maintain", "--json")
    assert status == 0
    assert {each["table"]: each["created"] for each in json.loads(out)["tables"]}["public.measured"] == 0
    status, out, err = run("adopt", "plain")
    assert status == 1
    assert "--widen-key" in err
    assert out == ""
    status, out, _ = run("adopt", "plain", "--widen-key", "--drop-old", "--json")
    assert status == 0
    assert (json.loads(out)["rows"], json.loads(out)["old_table"]) == (90, None)
    status, out, _ = run("list", "public.plain")
    assert status == 0
    assert "current" in out
    status, out, _ = run("list", "public.plain", "--analyze")
    assert status == 0
    assert "nothing to do" in out
    assert run("register", "public.measured", "--forget")[0] == 0
    assert run("list", "public.measured")[0] == 1
    assert run("adopt", "plain", "--cancel")[1] == "nothing is adopting plain\n"
    assert [run(*words)[0] for words in (("maintain", "--backend", "magic"), ("adopt",), ("list", "--analyze"))] == [
        2,
        2,
        2,
    ]
    with pytest.raises(DatabaseUnsupported, match="pg_partman"):
        asyncio.run(manager(own_database_url).hand_over("email_events", "partman"))
