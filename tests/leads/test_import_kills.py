"""SIGKILL at random moments, of the importing process and of the server: the end is that of an import in peace."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from server_kills import kill_and_start

import outreachdb
from outreachdb.config import Settings
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.pools import Pools
from outreachdb.leads import suppression
from outreachdb.leads.importing import import_file, resume
from outreachdb.tenancy import workspaces

T = TypeVar("T")

SEED = 20_261
KILLS, SERVER_KILLS, UNDO_KILLS = 50, 10, 9  # of imports: those that hit before the end, of which of the server
ROUNDS = 90  # more than these kills need, as some come too late
VICTIMS = ("client", "client", "client", "client", "client", "server", "server and backends")
AFTER = "after the end"
ROWS, OLD_ROWS = 8_000, 3_000
HEADER = ("email", "first name", "company", "website", "city", "tags", "score", "status", "Plan")
# Where a statement that runs in the killed moment belongs.
PHASES = {
    "CREATE TEMPORARY TABLE": "begin",
    "COPY": "read and copy",
    "One row per row": "judge",
    "INSERT INTO outreach.import_rejects": "rejects",
    "The row that speaks": "fold",
    "INSERT INTO outreach.companies": "companies",
    "The companies that": "companies",
    "A suppressed address": "insert",
    "What the matched leads": "plan updates",
    "INSERT INTO outreach.import_changes": "before-images",
    "UPDATE outreach.leads": "update",
    "UPDATE outreach.imports": "finish",
    "COMMIT": "commit",
    "DELETE FROM outreach.leads": "undo: remove",
    "An opt-out stays": "undo: restore",
}
# The content of every table that an import writes, without numbers and times.
CONTENT = {
    "leads": """SELECT to_jsonb(l) - '{id,workspace_id,company_id,created_at,updated_at}'::text[]
                       || jsonb_build_object('firm', c.name, 'domain', c.domain)
        FROM outreach.leads AS l
        LEFT JOIN outreach.companies AS c ON c.workspace_id = l.workspace_id AND c.id = l.company_id
        WHERE l.workspace_id = %(ws)s""",
    "companies": """SELECT to_jsonb(c) - '{id,workspace_id,created_at,updated_at}'::text[]
        FROM outreach.companies AS c WHERE c.workspace_id = %(ws)s""",
    "suppressions": """SELECT jsonb_build_array(target, reason, regexp_replace(source, '[0-9]+', 'N'), expires_at)
        FROM outreach.suppressions WHERE workspace_id = %(ws)s""",
    "import_rejects": """SELECT to_jsonb(r) - '{workspace_id,import_id}'::text[]
        FROM outreach.import_rejects AS r WHERE workspace_id = %(ws)s""",
    "import_changes": """SELECT before - '{id,workspace_id,company_id,created_at,updated_at}'::text[]
        FROM outreach.import_changes WHERE workspace_id = %(ws)s""",
    # words_pending: words are learned after the commit, by the next import or a job where a kill came between.
    "imports": """SELECT to_jsonb(i) - ('{id,workspace_id,attempts,words_pending}'::text[]
                                         || '{started_at,finished_at,first_lead_id,last_lead_id}'::text[])
        FROM outreach.imports AS i WHERE workspace_id = %(ws)s AND status IN ('done', 'undone')""",
}


class Ground:
    """A server of the test's own, and the commands of people at it."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedServer(folder / "home")
        self.server.start()
        self.old, self.new = folder / "old.csv", folder / "new.csv"
        self.hits: Counter[str] = Counter()
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTREACHDB_")}
        self.environment |= {
            "PYTHONPATH": str(Path(outreachdb.__file__).parents[1]),
            "OUTREACHDB_HOME": str(folder / "home"),
        }

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "outreachdb", *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, env=self.environment, text=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> dict[str, Any]:
        process = self.command(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (arguments, err)
        document: dict[str, Any] = json.loads(out)
        return document

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.url(), autocommit=True)

    def workspace(self, name: str) -> int:
        """A workspace with leads that the file is going to change, and one that opted out."""

        async def fill(pools: Pools) -> int:
            await workspaces.create(pools, name)
            tenant = await workspaces.tenant(pools, name)
            await import_file(tenant, self.old)
            await suppression.add(tenant, ["lead7@firm7.example", "firm9.example"], reason="unsubscribed")
            return tenant.workspace_id

        return self.here(fill)

    def here(self, work: Callable[[Pools], Awaitable[T]]) -> T:
        """Run something in this process: a command takes a second to begin."""

        async def opened() -> T:
            async with Pools(Settings.load({}, database_url=self.server.url())) as pools:
                return await work(pools)

        return asyncio.run(opened())

    def goes_on(self, name: str, import_id: int | None, *, by_number: bool) -> dict[str, Any]:
        """Resume the import, or give the same command again."""

        async def work(pools: Pools) -> dict[str, Any]:
            tenant = await workspaces.tenant(pools, name)
            if import_id is not None and by_number:
                return (await resume(tenant, import_id)).document()
            return (await import_file(tenant, self.new, mapping={"status": "status"})).document()

        return self.here(work)

    def content(self, ws: int) -> dict[str, tuple[int, str]]:
        """Of each table how many rows, and a hash of what they say."""
        found = {}
        with self.connect() as connection:
            for table, query in CONTENT.items():
                summed = f"SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM ({query}) AS q (t)"
                found[table] = connection.execute(summed, {"ws": ws}).fetchone()
            assert connection.execute(
                "SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace"
            ).fetchone() == (0,)
        return found

    def kill_server(self, *, with_backends: bool) -> None:
        kill_and_start(self.server, with_backends=with_backends)


def _write(path: Path, first: int, rows: int, tag: str, source: random.Random) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(first, first + rows):
            status = {0: "unsubscribed", 1: "bounced"}.get(number % 211, "")
            email = "not an address" if number % 97 == 0 else f"Lead{number}@firm{number % 300}.example"
            if number % 50 == 0:
                other = first + source.randrange(rows)  # some say the same lead twice
                email = f"lead{other}@firm{other % 300}.example"
            firm, tags = f"Firm {number % 300}", f"{tag};t{number % 9}"
            website, score, plan = f"firm{number % 300}.example", number % 100, number % 3
            writer.writerow((email, f"Ann {tag}", firm, website, tag, tags, score, status, plan))


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    folder = Path(tempfile.mkdtemp(prefix="odb-kill-", dir="/tmp"))
    folder.chmod(0o755)
    made = Ground(folder)
    try:
        source = random.Random(SEED)
        _write(made.old, 0, OLD_ROWS, "old", source)
        _write(made.new, OLD_ROWS // 2, ROWS, "new", source)
        made.run("migrate")
        yield made
    finally:
        made.server.destroy()
        subprocess.run(["rm", "-r", str(folder)], check=True)


OPTIONS = ("--map", "status=status")


def _phase(connection: psycopg.Connection[Any]) -> str:
    """What the killed process was just having done."""
    row = connection.execute(
        "SELECT query, state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND application_name = 'outreachdb' ORDER BY state_change DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return "before or after its connection"
    return next((name for start, name in PHASES.items() if start in row[0]), "between, or a short step")


def _killed(ground: Ground, arguments: tuple[str, ...], begun: str, ws: int, delay: float, victim: str) -> str:
    """Run a command, wait until its work has begun, and some time more, and kill; where it hit."""
    with ground.connect() as connection:
        process = ground.command(*arguments)
        try:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if connection.execute(begun, [ws]).fetchone() != (0,):
                    break
                time.sleep(0.003)
            time.sleep(delay)
            phase = _phase(connection) if process.poll() is None else AFTER
        finally:
            if victim == "client":
                process.send_signal(signal.SIGKILL)
            else:
                connection.close()
                ground.kill_server(with_backends=victim == "server and backends")
            process.communicate(timeout=60)
    return phase


BEGUN = "SELECT count(*) FROM outreach.imports WHERE workspace_id = %s AND file_name = 'new.csv' AND status = 'running'"


def _stands(ground: Ground, ws: int) -> tuple[int | None, str | None]:
    """The import and its status."""
    with ground.connect() as connection:
        row = connection.execute(
            "SELECT id, status FROM outreach.imports WHERE workspace_id = %s AND file_name = 'new.csv'"
            " ORDER BY id DESC LIMIT 1",
            [ws],
        ).fetchone()
    return row or (None, None)


def _victims(source: random.Random) -> Iterator[str]:
    for _ in range(0, ROUNDS, len(VICTIMS)):
        yield from source.sample(VICTIMS, len(VICTIMS))


@pytest.mark.slow
def test_killed_imports_end_as_if_nothing_had_been(ground: Ground) -> None:
    source = random.Random(SEED)
    peace = ground.workspace("peace")
    begun = time.monotonic()
    done = ground.run("import", str(ground.new), *OPTIONS, "-w", "peace")
    expected = ground.content(peace)
    # The shorter of two: kills are to come while an import runs, also where the machine stood still in one.
    ground.workspace("quiet")
    seconds = min(done["seconds"], ground.run("import", str(ground.new), *OPTIONS, "-w", "quiet")["seconds"])
    assert min(done["inserted"], done["updated"], done["skipped"], done["rejected"]) > 50
    ground.hits.clear()
    for number, victim in enumerate(_victims(source)):
        if _hit(ground) >= KILLS and _hit(ground, "server") >= SERVER_KILLS:
            break
        name = f"killed-{number}"
        ws = ground.workspace(name)
        command = ("import", str(ground.new), *OPTIONS, "-w", name)
        phase = _killed(ground, command, BEGUN, ws, source.uniform(0, 0.55 * seconds), victim)
        import_id, status = _stands(ground, ws)
        # What was stored whole was not hit, whatever its process was still about to do.
        ground.hits[f"{victim}: {AFTER if status == 'done' else phase}"] += 1
        if import_id is not None and source.random() < 0.2:  # killed twice
            again = ("imports", "resume", str(import_id), "-w", name)
            _killed(ground, again, BEGUN, ws, source.uniform(0, seconds), "client")
        ended = ground.goes_on(name, import_id, by_number=source.random() < 0.6)
        assert ended["rows_read"] == done["rows_read"]
        found = ground.content(ws)
        if ended["inserted"] == 0:  # it was done when the kill came, and the same command ran once more
            del found["imports"], found["import_rejects"]
        assert found == {table: expected[table] for table in found}, (number, victim, ground.hits)
    _tell(ground, time.monotonic() - begun)
    assert _hit(ground) >= KILLS
    assert _hit(ground, "server") >= SERVER_KILLS
    assert len(ground.hits) > 8


UNDO_BEGUN = """SELECT count(*) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND application_name = 'outreachdb' AND query ~ 'undo_[0-9]' AND %s::bigint > 0"""


@pytest.mark.slow
def test_killed_undos_end_as_if_nothing_had_been(ground: Ground) -> None:
    source = random.Random(SEED + 1)
    begun = time.monotonic()
    ws = ground.workspace("undo-peace")
    done = ground.run("import", str(ground.new), *OPTIONS, "-w", "undo-peace")
    undone = ground.run("imports", "undo", str(done["import_id"]), "-w", "undo-peace")
    expected = ground.content(ws)
    ground.hits.clear()
    for number in range(UNDO_KILLS):
        name, victim = f"undo-{number}", ("client", "server", "server and backends")[number % 3]
        ws = ground.workspace(name)
        import_id = str(ground.goes_on(name, None, by_number=False)["import_id"])
        command = ("imports", "undo", import_id, "-w", name)
        phase = _killed(ground, command, UNDO_BEGUN, ws, source.uniform(0, undone["seconds"]), victim)
        ground.hits[f"{victim}: {phase}"] += 1
        with ground.connect() as connection:
            # The server may still be about to end what the killed client asked for: its lock is waited for.
            query = "SELECT status FROM outreach.imports WHERE id = %s FOR UPDATE"
            row = connection.execute(query, [import_id]).fetchone()
        if row == ("done",):
            again = ground.run(*command)
            assert (again["removed"], again["restored"]) == (undone["removed"], undone["restored"])
        assert ground.content(ws) == expected
    _tell(ground, time.monotonic() - begun)


def _hit(ground: Ground, victim: str = "") -> int:
    """How many kills hit before the end."""
    return sum(count for where, count in ground.hits.items() if where.startswith(victim) and not where.endswith(AFTER))


def _tell(ground: Ground, seconds: float) -> None:
    hits = "".join(f"\n  {count:3} {where}" for where, count in sorted(ground.hits.items()))
    print(f"\n{sum(ground.hits.values())} kills in {seconds:.0f} s:{hits}")
