from __future__ import annotations

import pytest

from outreachdb.db import catalogue, migrate, rooms
from outreachdb.db.pools import connect
from outreachdb.db.rooms import RoutineFile
from outreachdb.errors import MigrationError

TENANCY = """-- requires: s001
CREATE OR REPLACE FUNCTION outreach.double(a int) RETURNS int LANGUAGE sql IMMUTABLE RETURN a * 2;

-- Counts all things.
-- owner: outreachdb_trusted
CREATE OR REPLACE FUNCTION outreach.count_things() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT count(*) FROM outreach.things $$;
GRANT EXECUTE ON FUNCTION outreach.count_things() TO outreachdb_app;
"""
LEADS = """-- requires: s002
CREATE OR REPLACE VIEW outreach.doubles WITH (security_barrier = true) AS
SELECT t.id, outreach.double(t.size) AS double, h.kind
FROM outreach.things AS t LEFT JOIN outreach.happenings AS h ON h.workspace_id = t.workspace_id AND h.id = t.id;
GRANT SELECT ON outreach.doubles TO outreachdb_app;
CREATE OR REPLACE FUNCTION outreach.all_doubles() RETURNS SETOF outreach.doubles LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT * FROM outreach.doubles;
END;
"""


@pytest.fixture
def chain(small):
    def make(**files: str) -> migrate.Chain:
        return migrate.Chain(small.versions, tuple(RoutineFile(room, text) for room, text in files.items()))

    return make


async def objects(url):
    connection = await connect(url)
    async with connection:
        whole = await catalogue.snapshot(connection)
    return {key: text for key, text in whole.items() if any(word in key for word in ("double", "count_things"))}


async def test_files_are_replayed_once_and_only_when_changed(empty, settings, chain):
    both = chain(tenancy=TENANCY, leads=LEADS)
    assert (await migrate.upgrade(empty, settings=settings, chain=both)).routines == ["tenancy", "leads"]
    assert (await migrate.upgrade(empty, settings=settings, chain=both)).routines == []
    changed = chain(tenancy=TENANCY.replace("a * 2", "a + a"), leads=LEADS)
    assert (await migrate.upgrade(empty, settings=settings, chain=changed)).routines == ["tenancy"]


async def test_a_file_waits_for_its_revision(empty, settings, chain):
    both = chain(tenancy=TENANCY, leads=LEADS)
    assert (await migrate.upgrade(empty, "s001", settings=settings, chain=both)).routines == ["tenancy"]
    assert (await migrate.upgrade(empty, "s002", settings=settings, chain=both)).routines == ["leads"]
    run = await migrate.rollback(empty, settings=settings, chain=both)
    assert run.after == "s001"
    assert run.routines == ["tenancy"]
    assert "view outreach.doubles" not in await objects(empty)


@pytest.mark.parametrize(
    ("room", "old", "new"),
    [
        (
            "tenancy",
            "RETURNS int LANGUAGE sql IMMUTABLE RETURN a * 2",
            "RETURNS bigint LANGUAGE sql IMMUTABLE RETURN a",
        ),
        ("tenancy", "double(a int)", "double(b int)"),
        ("leads", "t.id, ", "t.id AS number, "),
        ("leads", ", h.kind", ""),
        ("tenancy", "GRANT EXECUTE ON FUNCTION outreach.count_things() TO outreachdb_app;", ""),
        ("tenancy", "-- owner: outreachdb_trusted\n", ""),
        ("leads", "GRANT SELECT ON outreach.doubles TO outreachdb_app;", ""),
    ],
)
async def test_replayed_is_the_same_as_installed_afresh(cluster, empty, settings, chain, room, old, new):
    files = {"tenancy": TENANCY, "leads": LEADS}
    await migrate.upgrade(empty, settings=settings, chain=chain(**files))
    files[room] = files[room].replace(old, new).replace("RETURN a;", "RETURN a;").replace("a * 2", "a * 2")
    if "double(b" in new:
        files[room] = files[room].replace("RETURN a * 2", "RETURN b * 2")
    assert room in (await migrate.upgrade(empty, settings=settings, chain=chain(**files))).routines
    fresh = cluster.database()
    await migrate.upgrade(fresh, settings=settings, chain=chain(**files))
    assert await objects(empty) == await objects(fresh)


async def test_what_left_the_file_leaves_the_database(empty, settings, chain):
    await migrate.upgrade(empty, settings=settings, chain=chain(tenancy=TENANCY, leads=LEADS))
    rest = "-- requires: s001\n" + TENANCY[TENANCY.index("-- Counts") :]
    await migrate.upgrade(empty, settings=settings, chain=chain(tenancy=rest))
    assert {key for key in await objects(empty) if not key.startswith("grant")} == {"function outreach.count_things()"}


async def test_definers_are_closed_to_public_and_owned_as_marked(empty, settings, chain, sql):
    await migrate.upgrade(empty, settings=settings, chain=chain(tenancy=TENANCY))
    live = await objects(empty)
    grants = {key for key in live if key.startswith("grant function outreach.count_things()")}
    assert grants == {"grant function outreach.count_things() to outreachdb_app"}
    assert "owner outreachdb_trusted" in live["function outreach.count_things()"]
    assert "owner outreachdb_owner" in live["function outreach.double(a integer)"]
    assert sql(empty, "SELECT has_schema_privilege('outreachdb_trusted', 'outreach', 'CREATE')") == [(False,)]


VANISHED = """-- requires: s001
-- owner: outreachdb_trusted
CREATE FUNCTION outreach.x() RETURNS int LANGUAGE sql RETURN 1;
DROP FUNCTION outreach.x();
"""
VIEWS = (
    LEADS
    + """
CREATE OR REPLACE VIEW outreach.double_names AS SELECT t.name, t.size FROM outreach.things AS t;
CREATE OR REPLACE VIEW outreach.double_report AS
WITH recent AS (
    SELECT workspace_id, date_trunc('month', made_at) AS month, count(*) FILTER (WHERE size > 2) AS n,
           extract(dow FROM max(made_at)) AS weekday
    FROM outreach.things WHERE name ~ '^a.b' AND size IN (1, 2, 3) GROUP BY 1, 2
)
SELECT r.workspace_id, r.month,
       coalesce(r.n, 0)::numeric / nullif(sum(r.n) OVER (PARTITION BY r.workspace_id), 0) AS share,
       (SELECT max(h.created_at) FROM outreach.happenings AS h WHERE h.workspace_id = r.workspace_id) AS last_at,
       l.kinds, jsonb_build_object('a.b', r.n) AS document
FROM recent AS r
LEFT JOIN LATERAL (SELECT array_agg(DISTINCT kind) AS kinds FROM outreach.happenings AS h WHERE h.id = r.n) AS l ON true
WHERE r.month BETWEEN now() - interval '1 year' AND now() AND NOT EXISTS (SELECT FROM outreach.things WHERE id = -1)
ORDER BY r.month DESC NULLS LAST;
"""
)


async def test_descriptions_are_the_same_on_every_version(empty, settings, chain):
    """Taken on PostgreSQL 15; 16 and later print columns without their table in simple queries."""
    await migrate.upgrade(empty, settings=settings, chain=chain(tenancy=TENANCY, leads=VIEWS))
    live = await objects(empty)
    described = {key: text.split()[-1] for key, text in live.items() if not key.startswith(("grant", "column"))}
    assert described == {
        "function outreach.all_doubles()": "3e6af5827f1229ed8bf3a133cf3f10d2",
        "function outreach.count_things()": "5107a3d446bd9199faa8cd3e49064c27",
        "function outreach.double(a integer)": "5866c895dca4557cb177852d355e1b8f",
        "view outreach.double_names": "d78ecc1592b6fb7e4ffc4b4d4895aac4",
        "view outreach.double_report": "fdf0f7392948f9fb44a01ea18bd4e525",
        "view outreach.doubles": "7461fa0884e7c2423fdf5a0ad52b9645",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("CREATE OR REPLACE FUNCTION outreach.double() RETURNS int LANGUAGE sql RETURN 1;", "first line must be"),
        ("-- requires: s001\n\nSELECT 1;\nSELEC 2;\n", r"leads/routines.sql, line 4: syntax error"),
        (
            "-- requires: s001\nCREATE OR REPLACE FUNCTION outreach.double(a int) RETURNS int LANGUAGE sql RETURN 3;",
            r"leads/routines.sql changes outreach.double\(integer\), which it does not own",
        ),
        (
            VANISHED,
            "an owner line names outreach.x",
        ),
    ],
)
async def test_a_wrong_file_changes_nothing(empty, settings, chain, text, complaint):
    await migrate.upgrade(empty, settings=settings, chain=chain(tenancy=TENANCY))
    before = await objects(empty)
    with pytest.raises(MigrationError, match=complaint):
        await migrate.upgrade(empty, settings=settings, chain=chain(tenancy=TENANCY, leads=text))
    assert await objects(empty) == before


async def test_a_routine_that_structure_depends_on_is_not_dropped_silently(empty, settings, chain, sql):
    await migrate.upgrade(empty, settings=settings, chain=chain(tenancy=TENANCY))
    sql(empty, "CREATE INDEX ix_outside ON outreach.things (outreach.double(size))")
    with pytest.raises(MigrationError, match=r"something outside the routine files depends on outreach.double"):
        await migrate.rollback(empty, settings=settings, chain=chain(tenancy=TENANCY))
    assert await migrate.current(empty, settings=settings) == "s003"


def test_a_large_room_is_one_text_whose_lines_are_found_again():
    for file in rooms.routine_files():
        folder = rooms.PACKAGE / file.room
        assert "".join((folder / name).read_text() for name, _ in file.parts) == file.text
        assert {name for name, _ in file.parts} == {path.name for path in folder.glob("routines*.sql")}
        for name, first in file.parts:
            assert file.place(first) == f"{file.room}/{name}, line 1"
            assert file.text.splitlines()[first - 1] == (folder / name).read_text().splitlines()[0]
    assert sum(len(file.parts) for file in rooms.routine_files()) > len(rooms.routine_files())
