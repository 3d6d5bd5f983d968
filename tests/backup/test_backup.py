"""Backups: what goes in comes out, by row and by content; what is damaged, unfinished or unfit is refused."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import conninfo, sql

from outreachdb import backup
from outreachdb.backup import Manifest, programs, restoring
from outreachdb.cli.main import main
from outreachdb.config import Settings
from outreachdb.db import catalogue
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.processes import wait_until
from outreachdb.errors import Conflict, DatabaseUnsupported, InvalidInput, NotFound, ServerError
from outreachdb.secrets import Keyring

FILL = """
INSERT INTO outreach.workspaces (name) VALUES ('acme'), ('globex');
INSERT INTO outreach.leads (workspace_id, email, first_name, tags, custom_fields, qualification_score, notes)
SELECT w.id, 'person' || n || '@company.example', 'Zoë ' || n, ARRAY['a' || n % 3],
       jsonb_build_object('n', n, 'text', 'line' || chr(10) || 'break'), n % 100 + 0.1, nullif(n % 7, 0)::text
FROM outreach.workspaces AS w, generate_series(1, 400) AS n;
SELECT outreach.ensure_partitions('email_events', now() - interval '40 days', now());
INSERT INTO outreach.email_events (workspace_id, event_key, created_at, event, provider)
SELECT w.id, 'event' || n, now() - n * interval '1 hour', 'delivered', 'test'
FROM outreach.workspaces AS w, generate_series(1, 300) AS n;
CREATE TABLE public.odd ("a row" text, "Größe" double precision, made timestamptz, raw bytea, nothing integer);
INSERT INTO public.odd
VALUES ('a', 0.1 + 0.2, '2026-03-29 01:30:00+00', '\\x00ff', NULL), (NULL, 'NaN', 'infinity', '', 1);
"""


@pytest.fixture
def filled(own_database_url: str) -> str:
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute(FILL.encode())
    return own_database_url


@pytest.fixture
def target(server: EmbeddedServer) -> Iterator[str]:
    """URL of a database that is not there."""
    name = f"restored_{uuid4().hex[:12]}"
    yield server.url(name)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _made(url: str, place: Path, **more: object) -> backup.BackedUp:
    return asyncio.run(backup.back_up(url, place, **more))  # type: ignore[arg-type]


def _databases(url: str) -> set[str]:
    with psycopg.connect(conninfo.make_conninfo(url, dbname="postgres")) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def test_what_was_backed_up_is_restored(filled: str, target: str, tmp_path: Path) -> None:
    settings = Settings.load({}, home=tmp_path / "home")
    Keyring.load(settings)
    made = _made(filled, tmp_path / "backups", settings=settings)
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [made.folder.name]
    manifest = Manifest.read(made.folder)
    assert manifest.tables["outreach.leads"].rows == 800
    assert manifest.tables["public.odd"].rows == 2
    assert sum(table.rows for name, table in manifest.tables.items() if name.startswith("parts.email_events")) == 600
    assert {"outreachdb_owner", "outreachdb_app", "outreachdb_trusted", "outreachdb_reader"} <= {
        role.name for role in manifest.roles
    }
    assert (settings.home / "secret.key").read_text().strip() not in "".join(
        path.read_text(errors="replace") for path in made.folder.rglob("*") if path.is_file()
    )
    assert "secret key is not in here" in made.document()["notes"][0]

    before = _databases(filled)
    done = asyncio.run(backup.restore(made.folder, target, settings=settings))
    name = conninfo.conninfo_to_dict(target)["dbname"]
    assert (done.database, done.rows, done.compared) == (name, manifest.rows, True)
    assert _databases(filled) == before | {name}
    assert asyncio.run(catalogue.verify(target)) == []
    with psycopg.connect(target, autocommit=True) as connection:
        # The planner knows what came back.
        known = "SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'outreach' AND tablename = 'leads'"
        assert connection.execute(known.encode()).fetchone() == (True,)
        # Numbers go on where they were, and a new lead is none of the old ones.
        made_id = connection.execute(
            "INSERT INTO outreach.leads (workspace_id, email) SELECT id, 'new@company.example' FROM outreach.workspaces"
            " WHERE name = 'acme' RETURNING id"
        ).fetchone()
        assert made_id is not None
        assert made_id[0] > 800
    with pytest.raises(Conflict, match="is not empty"):
        asyncio.run(backup.restore(made.folder, target))

    assert any("is the one that" in note for note in done.notes)
    other = restoring._about_key(manifest, Settings.load({}, home=tmp_path / "other"))
    assert "secret key of the backup is not here" in other[0]


def test_a_backup_is_verified_on_a_server_of_its_own_and_health_is_told(filled: str, tmp_path: Path) -> None:
    made = _made(filled, tmp_path)
    assert made.recorded
    age = "SELECT seconds, verified_seconds, kind, tool, place FROM outreach.get_backup_age()"
    with psycopg.connect(filled) as connection:
        seconds, verified, kind, tool, place = connection.execute(age).fetchone() or ()
    assert (verified, kind, place) == (None, "logical", str(made.folder))
    assert 0 <= seconds < 60
    assert tool.startswith("pg_dump ")
    done = asyncio.run(backup.verify(made.folder, record_at=filled))
    assert (done.rows, done.hashes) == (made.manifest.rows, True)
    assert done.where.startswith("a scratch server of PostgreSQL ")
    with psycopg.connect(filled) as connection:
        assert (connection.execute(age).fetchone() or (0, None))[1] is not None
        connection.execute("SELECT outreach.record_backup('physical', 'pgbackrest', 's3://backups/main')")
        assert (connection.execute(age).fetchone() or ())[3] == "pgbackrest"


def test_other_contents_are_noticed(filled: str, target: str, tmp_path: Path) -> None:
    """A dump that does not hold what the snapshot held: here by one letter in one row."""
    made = _made(filled, tmp_path)
    before = _databases(filled)
    table = made.manifest.tables["outreach.leads"]
    wrong = made.manifest.tables | {"outreach.leads": replace(table, hash="17"), "public.odd": replace(table, rows=3)}
    replace(made.manifest, tables=wrong).write(made.folder)
    with pytest.raises(
        InvalidInput, match=r"not what was backed up: 2 tables, .*outreach.leads: 800 rows, but other contents"
    ) as found:
        asyncio.run(backup.restore(made.folder, target))
    assert found.value.context["tables"] == ["outreach.leads", "public.odd"]
    assert _databases(filled) == before


def test_damaged_and_foreign_folders_are_refused(filled: str, target: str, tmp_path: Path) -> None:
    made = _made(filled, tmp_path)
    largest = max((made.folder / "dump").iterdir(), key=lambda path: path.stat().st_size)
    whole = largest.read_bytes()
    largest.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InvalidInput, match=f"damaged: .*{largest.name} is not what was written"):
        asyncio.run(backup.restore(made.folder, target))
    largest.unlink()
    with pytest.raises(InvalidInput, match=f"not whole: .*{largest.name} is missing"):
        asyncio.run(backup.verify(made.folder))
    text = (made.folder / "manifest.json").read_text()
    (made.folder / "manifest.json").write_text(text.replace('"rows": 800', '"rows": 801'))
    with pytest.raises(InvalidInput, match="has been changed"):
        Manifest.read(made.folder)
    with pytest.raises(NotFound, match="holds no backup"):
        Manifest.read(tmp_path)
    assert conninfo.conninfo_to_dict(target)["dbname"] not in _databases(filled)


def test_a_login_without_superuser_backs_up_and_restores(filled: str, server: EmbeddedServer, tmp_path: Path) -> None:
    """As on managed services: CREATEROLE and CREATEDB are all it has."""
    tag = uuid4().hex[:8]
    login, name = f"manager_{tag}", f"managed_{tag}"
    with psycopg.connect(filled, autocommit=True) as connection:
        member = (
            " WITH ADMIN TRUE, SET TRUE, INHERIT TRUE"
            if connection.info.server_version >= 160000
            else " WITH ADMIN OPTION"
        )
        connection.execute(f"CREATE ROLE {login} LOGIN CREATEROLE CREATEDB".encode())
        for role in ("outreachdb_owner", "outreachdb_app", "outreachdb_trusted"):
            connection.execute(f"GRANT {role} TO {login}{member}".encode())
        connection.execute(f"CREATE ROLE hidden_{tag} LOGIN; GRANT outreachdb_app TO hidden_{tag}".encode())
        connection.execute(f"ALTER TABLE public.odd OWNER TO {login}".encode())
    try:
        with pytest.raises(DatabaseUnsupported, match=r"row-level security hides rows of .*leads"):
            _made(conninfo.make_conninfo(filled, user=f"hidden_{tag}"), tmp_path)
        made = _made(conninfo.make_conninfo(filled, user=login), tmp_path)
        url = conninfo.make_conninfo(filled, user=login, dbname=name)
        done = asyncio.run(backup.restore(made.folder, url))
        assert (done.rows, done.compared) == (made.manifest.rows, True)
        assert asyncio.run(catalogue.verify(url)) == []
    finally:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        with psycopg.connect(filled, autocommit=True) as connection:
            connection.execute(f"REASSIGN OWNED BY {login} TO outreachdb; DROP OWNED BY {login}".encode())
            connection.execute(f"DROP ROLE {login}, hidden_{tag}".encode())


def test_versions_that_do_not_fit(filled: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match=r"of version 19 or later are needed for PostgreSQL 19; here: .*18\."):
        programs.programs(19)
    made = _made(filled, tmp_path)
    replace(made.manifest, server_version=190000).write(made.folder)
    with pytest.raises(InvalidInput, match="the backup is of PostgreSQL 19 and the server is PostgreSQL"):
        asyncio.run(backup.restore(made.folder, target))
    monkeypatch.setattr(programs, "_all", lambda: ())
    with pytest.raises(ServerError, match=r"here: none .*postgresql-client-1"):
        _made(filled, tmp_path)


def _unfinished(place: Path) -> list[Path]:
    return list(place.glob(".unfinished-*"))


@pytest.mark.slow
def test_cancelled_and_killed_backups_leave_nothing(filled: str, tmp_path: Path) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute("CREATE VIEW public.waited_for AS SELECT 1 AS one")
    # pg_dump looks at the view long after our folder was made.
    lock = "LOCK TABLE public.waited_for IN ACCESS EXCLUSIVE MODE"

    async def cancelled() -> None:
        task = asyncio.create_task(backup.back_up(filled, tmp_path))
        while not _unfinished(tmp_path):
            await asyncio.sleep(0.05)
        task.cancel()
        await task

    with psycopg.connect(filled) as blocker:
        blocker.execute(lock)
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(cancelled())
        assert list(tmp_path.iterdir()) == []
        code = (
            "import asyncio; from pathlib import Path; from outreachdb import backup;"
            f"asyncio.run(backup.back_up({filled!r}, Path({str(tmp_path)!r})))"
        )
        process = subprocess.Popen([sys.executable, "-c", code])
        assert wait_until(lambda: bool(_unfinished(tmp_path)), 30)
        process.kill()
        process.wait()
    assert [path.name[:12] for path in tmp_path.iterdir()] == [".unfinished-"]
    made = _made(filled, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [made.folder.name]


def test_commands(
    filled: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTREACHDB_DATABASE_URL", filled)
    monkeypatch.setenv("OUTREACHDB_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    status, out, err = run("backup", "--no-hashes", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    folder = document["folder"]
    assert Path(folder).parent == tmp_path / "home" / "backups"
    assert document["verified"] is None
    name = str(conninfo.conninfo_to_dict(target)["dbname"])
    # As new as an embedded server's: an extension in a schema of its own is no content.
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA extensions")
        connection.execute("CREATE EXTENSION pg_stat_statements SCHEMA extensions")
    status, out, _ = run("restore", folder, "--database", name)
    assert (status, out.startswith(f"{name}: ")) == (0, True)
    status, _, err = run("restore", folder, "--database", name)
    assert (status, "is not empty" in err) == (1, True)
    status, _, err = run("restore", str(tmp_path))
    assert (status, err) == (1, f"outreachdb: {tmp_path} holds no backup (a whole one has a manifest.json)\n")
    assert (tmp_path / "home" / "backups").stat().st_mode & 0o077 == 0
