# ruff: noqa: ASYNC240 - files are small here
"""A month becomes a file and comes back: equal to the last byte, queryable meanwhile, nobody else's rows in sight."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest
from months import MONTH, content, store_events, workspace
from psycopg import pq, sql
from pyarrow import parquet

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound, OutreachDBError, UsageError
from outreachdb.storage import archive_files, archiving, checking, columnar, fingerprints, holds, querying, restoring
from outreachdb.storage.archive_files import Folder
from outreachdb.storage.fingerprints import Fingerprint


@dataclass
class Ground:
    """A database of the test's own, a connection of its administrator, and a folder."""

    pools: Pools
    connection: psycopg.Connection[Any]
    folder: Folder

    def events(self, name: str = "acme", **given: Any) -> str:
        found = self.connection.execute("SELECT id FROM outreach.workspaces WHERE name = %s", [name]).fetchone()
        return store_events(self.connection, found[0] if found else workspace(self.connection, name), **given)

    def content(self, table: str = "outreach.email_events") -> tuple[int, str | None]:
        return content(self.connection, table)

    def state(self) -> list[str]:
        rows = self.connection.execute("SELECT state FROM ops.partition_archives ORDER BY id").fetchall()
        return [row[0] for row in rows]

    def tenant(self, name: str) -> Tenant:
        row = self.connection.execute("SELECT id FROM outreach.workspaces WHERE name = %s", [name]).fetchone()
        assert row is not None
        return Tenant(self.pools, row[0], name)

    async def archive(self, partition: str) -> archiving.Left:
        return await archiving.archive(self.pools, "email_events", partition, folder=self.folder)

    async def restore(self, partition: str) -> list[restoring.Restored]:
        return await restoring.restore(self.pools, "email_events", partition, folder=self.folder)


@pytest.fixture
def connection(own_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(own_database_url, autocommit=True) as opened:
        opened.execute("SET timezone = 'UTC'")
        yield opened


@pytest.fixture
async def ground(own_database_url: str, connection: psycopg.Connection[Any], tmp_path: Path) -> AsyncIterator[Ground]:
    async with Pools(Settings.load({}, database_url=own_database_url)) as pools:
        yield Ground(pools, connection, Folder(tmp_path / "archives"))


SHAPE = """
    SELECT 'index ' || regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX \\S+ ON \\S+ ', '\\1')
    FROM pg_index AS i WHERE i.indrelid = %(table)s::regclass
    UNION ALL
    SELECT 'rule ' || contype::text || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = %(table)s::regclass AND contype <> 'n'
    UNION ALL
    SELECT 'column ' || attname || ' ' || format_type(atttypid, atttypmod) || attnotnull::text
           || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = %(table)s::regclass AND a.attnum > 0
    UNION ALL
    SELECT 'bound ' || pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = %(table)s::regclass
    ORDER BY 1
"""


async def test_a_month_leaves_and_comes_back_as_it_was(ground: Ground) -> None:
    partition = ground.events(months=15)
    ground.events("globex", months=15, rows=300, tag="g")
    ground.events(months=2, rows=40)
    everything, month = ground.content(), ground.content(partition)
    shape = ground.connection.execute(SHAPE, {"table": partition}).fetchall()

    left = await ground.archive(partition)
    assert (left.rows, ground.state()) == (800, ["dropped"])
    assert ground.content()[0] == 40
    path = Path(left.file)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, ground.folder.path)]
    assert modes == [0o600, 0o700, 0o700]
    with archive_files.open_file(path) as file:
        about = archive_files.about(file)
        group = file.metadata.row_group(0).column(2)
        assert (group.compression, group.statistics.has_min_max) == ("ZSTD", True)
    assert (about["table"], about["partition"], about["revision"]) == ("email_events", partition, "0010")
    assert [each.problem for each in await checking.verify(ground.pools, folder=ground.folder)] == [None]

    # One query over both: live and archived rows, each once.
    query = "SELECT count(*), count(raw), sum((raw->>'n')::BIGINT), max(reason) FROM email_events"
    answer = await querying.query_all(ground.pools, query, folder=ground.folder)
    assert (answer.live_rows, answer.archives) == (40, 1)

    restored = (await ground.restore(partition))[0]
    assert (restored.rows, restored.there_already, ground.state()) == (800, 0, ["restored"])
    assert (ground.content(), ground.content(partition)) == (everything, month)
    assert ground.connection.execute(SHAPE, {"table": partition}).fetchall() == shape
    again = await querying.query_all(ground.pools, query, folder=ground.folder)
    assert (again.rows, again.live_rows, again.archives) == (answer.rows, 840, 0)
    # And a second time: the file of the first stays, the second is another.
    assert (await ground.archive(partition)).content_sha256 == left.content_sha256
    assert ground.state() == ["restored", "dropped"]


async def test_a_tenant_asks_about_its_own_rows_only(ground: Ground) -> None:
    partition = ground.events(months=15, rows=70)
    ground.events("globex", months=15, rows=30, tag="g")
    ground.events("globex", months=1, rows=5, tag="g")
    ground.events(months=1, rows=9)
    left = await ground.archive(partition)
    acme, globex = ground.tenant("acme"), ground.tenant("globex")

    async def ask(tenant: Tenant, query: str, **given: Any) -> list[tuple[Any, ...]]:
        return (await querying.query(tenant, query, folder=ground.folder, **given)).rows

    count = "SELECT count(*), count(DISTINCT workspace_id) FROM email_events"
    assert await ask(acme, count) == [(79, 1)]
    assert await ask(globex, count) == [(35, 1)]
    both = "SELECT count(*) FROM email_events a JOIN email_events b USING (event_key) WHERE a.workspace_id > 0 OR true"
    assert await ask(globex, both) == [(45,)]  # five keys are in both months
    since = ground.connection.execute("SELECT now() - interval '3 months'").fetchone()
    assert since is not None
    assert await ask(acme, count, since=since[0]) == [(9, 1)]
    assert await ask(acme, count, until=since[0]) == [(70, 1)]
    # The files themselves, settings, other programs: out of reach.
    for attempt in (
        f"SELECT count(*) FROM read_parquet('{left.file}')",
        f"SELECT count(*) FROM '{left.file}'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT count(*) FROM glob('/*')",
        "SELECT getenv('HOME')",
    ):
        with pytest.raises(InvalidInput):
            await ask(acme, attempt)
    for attempt in (
        "SET enable_external_access = true",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SELECT 1; SELECT 2",
        "ATTACH 'x'",
    ):
        with pytest.raises((UsageError, InvalidInput)):
            await ask(acme, attempt)
    hidden = await ask(
        acme, "SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
    )
    for (name,) in hidden:
        assert await ask(acme, f'SELECT count(*) FROM "{name}" WHERE workspace_id <> {acme.workspace_id}') in (
            [(0,)],
            [],
        ), name


async def test_a_table_of_another_schema_and_owner_leaves_is_asked_about_and_comes_back(ground: Ground) -> None:
    at = MONTH.format(months=15)
    keeper = f"keeper_{uuid4().hex[:8]}"
    for statement in (
        f"CREATE ROLE {keeper}",
        f"CREATE SCHEMA shop AUTHORIZATION {keeper}",
        f"SET ROLE {keeper}",
        """CREATE TABLE shop."Odd 5%s Orders" (
            id bigint, taken_at timestamptz NOT NULL, price numeric(9, 2), PRIMARY KEY (id, taken_at))
            PARTITION BY RANGE (taken_at)""",
        "RESET ROLE",
        """SELECT outreach.register_partitioned_table('shop."Odd 5%s Orders"')""",
        f"""SELECT ops.create_partitions('shop."Odd 5%s Orders"', {at}, now())""",
        f"""INSERT INTO shop."Odd 5%s Orders"
            SELECT n, {at} + n * interval '1 hour', n * 1.5 FROM generate_series(1, 90) AS n""",
        """INSERT INTO shop."Odd 5%s Orders" SELECT n, now(), 7 FROM generate_series(91, 100) AS n""",
    ):
        ground.connection.execute(statement.encode())
    table, before = 'shop."Odd 5%s Orders"', ground.content('shop."Odd 5%s Orders"')
    row = ground.connection.execute('SELECT min(tableoid::regclass::text) FROM shop."Odd 5%s Orders"').fetchone()
    partition = str(row[0]) if row else ""
    left = await archiving.archive(ground.pools, table, partition, folder=ground.folder)
    assert (left.rows, ground.content(table)[0]) == (90, 10)
    assert [each.problem for each in await checking.verify(ground.pools, table, folder=ground.folder)] == [None]
    ground.events(months=1, rows=3)
    for name in (table, 'SHOP."odd 5%s orders"', '"shop.""Odd 5%s Orders"""'):
        query = f"SELECT count(*), sum(price)::DOUBLE, (SELECT count(*) FROM outreach.email_events) FROM {name}"
        answer = await querying.query_all(ground.pools, query, folder=ground.folder)
        assert (answer.rows, answer.archives) == ([(100, 90 * 91 / 2 * 1.5 + 70, 3)], 1), name
    with pytest.raises(UsageError, match="does not belong to workspaces"):
        await querying.query(ground.tenant("acme"), f"SELECT count(*) FROM {table}", folder=ground.folder)
    (restored,) = await restoring.restore(ground.pools, table, partition, folder=ground.folder)
    assert (restored.rows, ground.content(table), ground.state()) == (90, before, ["restored"])
    owner = ground.connection.execute(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = %s::regclass", [partition]
    )
    assert owner.fetchone() == (keeper,)
    ground.connection.execute(f"DROP OWNED BY {keeper} CASCADE; DROP ROLE {keeper}".encode())


async def _full(_work: Any) -> None:
    raise OutreachDBError("no room left on the disk")


async def test_what_may_not_leave_stays(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    young, old = ground.events(months=3), ground.events(months=15)
    with pytest.raises(Conflict, match="rows may still come"):
        await ground.archive(young)
    with pytest.raises(NotFound):
        await ground.archive("email_events_1999_01")
    hold = await holds.add(ground.pools, "case 7", table="email_events", workspace="acme")
    with pytest.raises(Conflict, match="case 7"):
        await ground.archive(old)
    await holds.release(ground.pools, hold.id)
    await holds.set_policy(ground.pools, "acme", "email_events", 36)
    with pytest.raises(Conflict, match="keeps 36 months"):
        await ground.archive(old)
    await holds.drop_policy(ground.pools, "acme", "email_events")
    monkeypatch.setattr(archiving, "in_thread", _full)
    with pytest.raises(OutreachDBError, match="disk"):
        await ground.archive(old)
    monkeypatch.undo()
    # Begun and not ended: whoever goes on minds what was said meanwhile, and no row is out of sight.
    hold = await holds.add(ground.pools, "case 8", workspace="acme")
    with pytest.raises(Conflict, match="case 8"):
        await ground.archive(old)
    count = "SELECT count(*) FROM email_events"
    assert (await querying.query_all(ground.pools, count, folder=ground.folder)).rows == [(1000,)]
    await holds.release(ground.pools, hold.id)
    assert (await ground.archive(old)).rows == 500
    assert ground.state() == ["dropped"]


async def test_a_month_that_comes_again_is_archived_again(ground: Ground) -> None:
    partition = ground.events(months=15, rows=100)
    await ground.archive(partition)
    # Somebody lengthens the retention, a late event makes the month anew, and one that was archived is delivered again.
    assert ground.events(months=15, rows=20, tag="late") == partition
    ground.events(months=15, rows=3)
    await ground.archive(partition)
    everything = "SELECT count(*), count(DISTINCT event_key) FROM email_events"
    assert (await querying.query_all(ground.pools, everything, folder=ground.folder)).rows == [(123, 120)]
    ground.events(months=15, rows=7, tag="later")
    restored = await ground.restore(partition)
    # The second file's row that the first had brought already is there once.
    assert [(each.rows, each.there_already) for each in restored] == [(100, 0), (23, 3)]
    assert ground.content()[0] == 127
    assert ground.state() == ["restored", "restored"]


async def test_a_damaged_or_missing_file_is_told_and_never_restored(ground: Ground) -> None:
    partition = ground.events(months=15)
    path = Path((await ground.archive(partition)).file)
    whole = path.read_bytes()
    table = parquet.read_table(path)

    def changed(column: str, values: list[Any]) -> None:
        index = table.schema.names.index(column)
        arrays = [*table.columns[:index], pa.array(values, table.schema.types[index]), *table.columns[index + 1 :]]
        parquet.write_table(pa.table(arrays, schema=table.schema), path)

    keys = table.column("event_key").to_pylist()
    leads = table.column("lead_id").to_pylist()
    found = {}

    async def told() -> str:
        problem = (await checking.verify(ground.pools, folder=ground.folder))[0].problem
        with pytest.raises(OutreachDBError):
            await ground.restore(partition)
        assert ground.state() == ["dropped"]
        return str(problem)

    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 1
    path.write_bytes(damaged)
    found["a bit"] = await told()
    path.write_bytes(whole[: len(whole) // 2])
    found["half"] = await told()
    changed("lead_id", [leads[0] + 1, *leads[1:]])
    assert "column lead_id: other values" in await told()
    changed("event_key", [keys[1], keys[0], *keys[2:]])
    assert await told() == "values stand in other rows"
    changed("reason", [None if each == "" else each for each in table.column("reason").to_pylist()])
    assert "column reason: 375 values against 250" in await told()
    path.unlink()
    assert "missing" in await told()
    assert all("damaged" in each or "can't be read" in each for each in found.values()), found
    path.write_bytes(whole)
    assert [each.problem for each in await checking.verify(ground.pools, folder=ground.folder)] == [None]
    assert (await ground.restore(partition))[0].rows == 500


async def test_two_who_archive_the_same_month_archive_it_once(ground: Ground) -> None:
    partition = ground.events(months=15, rows=3000)
    results = await asyncio.gather(*(ground.archive(partition) for _ in range(4)), return_exceptions=True)
    left = [each for each in results if isinstance(each, archiving.Left)]
    assert len(left) >= 1
    assert all(isinstance(each, archiving.Left | Conflict | NotFound) for each in results), results
    assert ground.state() == ["dropped"]
    assert len(list(ground.folder.path.rglob("*"))) == 2


async def test_a_folder_without_room_or_rights_leaves_the_rows_where_they_are(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    partition = ground.events(months=15)
    before = ground.content()
    blocked = tmp_path / "a file"
    blocked.write_text("")
    with pytest.raises(InvalidInput, match="can't be put"):
        await archiving.archive(ground.pools, "email_events", partition, folder=Folder(blocked / "x"))
    monkeypatch.setattr(archiving, "SPACE_SHARE", 1e12)
    with pytest.raises(InvalidInput, match="MB left"):
        await ground.archive(partition)
    assert (ground.content(), ground.state()) == (before, [])


async def test_who_stops_taking_rows_out_leaves_the_connection_free(ground: Ground) -> None:
    """The next portion is fetched ahead, in a thread; nobody else may use the connection while it is."""
    partition = sql.SQL(ground.events(months=14, rows=4000))  # type: ignore[arg-type]
    url = ground.pools.url("admin")
    with archiving.opened(url) as work, archiving.opened(url) as beside:
        columns = archiving.columns_of_table(work, partition)
        told = Fingerprint(columns)
        rows = columnar.table_out([beside, work], partition, columns, told, portion=8192)
        assert next(rows).num_rows == told.rows < 4000
        rows.close()
        assert work.info.transaction_status == pq.TransactionStatus.INTRANS
        assert [*work.execute(sql.SQL("SELECT count(*) AS n FROM {}").format(partition))] == [{"n": 4000}]


async def test_portions_that_are_too_long_are_halved_and_every_row_comes_once(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL refuses a value of over a gigabyte; here from the third page on."""
    partition = sql.SQL(ground.events(months=14, rows=4000))  # type: ignore[arg-type]
    ranges: list[tuple[int, int]] = []
    portion = columnar._portion

    def limited(connection: Any, statement: Any, some: tuple[int, int]) -> Any:
        if some[1] - some[0] > 2:
            raise psycopg.errors.ProgramLimitExceeded
        ranges.append(some)
        return portion(connection, statement, some)

    monkeypatch.setattr(columnar, "_portion", limited)
    url = ground.pools.url("admin")
    with archiving.opened(url) as work, archiving.opened(url) as beside:
        columns = archiving.columns_of_table(work, partition)
        told = Fingerprint(columns)
        rows = pa.concat_tables(columnar.table_out([work, beside], partition, columns, told, portion=13 * 8192))
        assert told.sha256 == fingerprints.of_table(work, partition, columns).sha256
        keys = work.execute(sql.SQL("SELECT event_key FROM {} ORDER BY ctid").format(partition)).fetchall()
    assert rows.column("event_key").to_pylist() == [each["event_key"] for each in keys]
    read = Fingerprint(columns)
    read.add(rows)
    assert (read.rows, read.sha256) == (4000, told.sha256)
    assert len(ranges) > 10


async def test_a_portion_that_was_left_out_is_missed_before_the_drop(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition, before = ground.events(months=14), ground.content()
    take = columnar._Pages.take

    def short(pages: columnar._Pages) -> columnar.Range | None:
        taken = take(pages)
        return taken and (taken[0], taken[1] - 1)

    with monkeypatch.context() as patched:
        patched.setattr(columnar._Pages, "take", short)
        with pytest.raises(OutreachDBError, match=r"is not what the table says: \d+ rows of \d+"):
            await ground.archive(partition)
    await ground.archive(partition)
    assert ground.state() == ["dropped"]
    await ground.restore(partition)
    assert ground.content() == before


async def test_an_archive_that_can_not_be_written_leaves_the_rows(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition, before = ground.events(months=14), ground.content()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(parquet.ParquetWriter, "write_table", full)
        with pytest.raises(OSError, match="No space left"):
            await ground.archive(partition)
    assert ground.state() == ["writing"]
    await ground.archive(partition)
    assert ground.state() == ["dropped"]
    await ground.restore(partition)
    assert ground.content() == before
