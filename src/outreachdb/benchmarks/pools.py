"""What a connection and a request cost directly and through PgBouncer, by PostgreSQL's own pgbench."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import conninfo

from outreachdb import pooling
from outreachdb.backup.programs import programs, run, without_password
from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.config import WORKLOADS, Settings
from outreachdb.db import migrate
from outreachdb.db.embedded import EmbeddedServer
from outreachdb.db.embedded.binaries import DEBIAN
from outreachdb.db.embedded.cluster import SUPERUSER
from outreachdb.db.embedded.home import Home
from outreachdb.db.pools import check_server, connect
from outreachdb.errors import OutreachDBError
from outreachdb.pooling import PoolFolder
from outreachdb.progress import Progress, silent

SECONDS = 5
ROUNDS = 3
SOURCES = "40 to 80 % less"
MANY = 300  # clients at once, more than the server takes
# One request as the engine sends it: a tenant's transaction.
REQUEST = """\\set lead random(1, 20000)
BEGIN;
SET LOCAL ROLE outreachdb_app;
SET LOCAL app.workspace_id = '1';
SELECT l.id, l.email FROM outreach.leads AS l
    WHERE l.workspace_id = 1 AND l.email_key = 'person' || :lead || '@company.example';
COMMIT;
"""
FILL = (
    "INSERT INTO outreach.workspaces (name) VALUES ('bench')",
    """INSERT INTO outreach.leads (workspace_id, email)
       SELECT 1, 'person' || n || '@company.example' FROM generate_series(1, 20000) AS n""",
    "VACUUM ANALYZE outreach.leads",
)


@dataclass(frozen=True, slots=True)
class Told:
    """What pgbench told: transactions per second, and milliseconds of one, its connection included."""

    per_second: float
    milliseconds: float


async def run_pools(url: str, _leads: int = 0, progress: Progress = silent) -> list[Result]:
    """Short and held connections, few and many clients; each pair in turns, the best of three rounds counts."""
    async with scratch_database(url, "pools") as scratch, _pooled(scratch) as (direct, pooled):
        await migrate.upgrade(scratch)
        async with await connect(scratch, autocommit=True) as connection:
            for statement in FILL:
                await connection.execute(statement.encode())
        program = await asyncio.to_thread(_pgbench, await check_server(url) // 10000)
        with tempfile.TemporaryDirectory() as folder:
            request = Path(folder) / "request.sql"
            request.write_text(REQUEST)
            one = Path(folder) / "one.sql"
            one.write_text("SELECT 1;\n")
            results = []
            for number, (name, script, options) in enumerate(_cases(one, request)):
                progress(name, number, 4)
                results += await _pair(
                    program, name, [*options, f"--time={SECONDS}", f"--file={script}"], direct, pooled
                )
            progress("more clients than the server takes", 3, 4)
            return results + await _crowd(program, request, direct, pooled)


def _pgbench(major: int) -> Path:
    """The system's, if there is one: that of the wheel proves passwords without OpenSSL, several times slower."""
    system = sorted(DEBIAN.glob("*/bin/pgbench"))
    return system[-1] if system else programs(major).path / "pgbench"


def _cases(one: Path, request: Path) -> list[tuple[str, Path, list[str]]]:
    return [
        ("a connection for each request, 8 clients", one, ["--connect", "--client=8"]),
        ("a connection for each request, 50 clients", request, ["--connect", "--client=50"]),
        ("held connections, 8 clients", request, ["--client=8"]),
    ]


async def _pair(program: Path, name: str, options: list[str], direct: str, pooled: str) -> list[Result]:
    told: dict[str, list[Told]] = {direct: [], pooled: []}
    for _ in range(ROUNDS):
        for url in (direct, pooled):
            told[url].append(await _bench(program, options, url))
    best = {url: min(each.milliseconds for each in rounds) for url, rounds in told.items()}
    saved = 100 * (1 - best[pooled] / best[direct])
    target = SOURCES if "a connection for" in name else None
    return [
        Result(f"{name}: direct", round(best[direct], 3), "ms"),
        Result(f"{name}: through the pooler", round(best[pooled], 3), "ms"),
        Result(f"{name}: saved", round(saved, 1), "%", target),
    ]


async def _bench(program: Path, options: list[str], url: str) -> Told:
    target, environment = without_password(url)
    said = await run([program, "--no-vacuum", "--jobs=2", *options, target], environment)
    rate = re.search(r"tps = ([\d.]+)", said)
    latency = re.search(r"latency average = ([\d.]+) ms", said)
    if rate is None or latency is None:
        raise OutreachDBError("pgbench did not tell its figures")
    return Told(float(rate[1]), float(latency[1]))


async def _crowd(program: Path, script: Path, direct: str, pooled: str) -> list[Result]:
    """How many of many clients get a connection at once, and what the pooler does for all of them."""
    held, refused = [], 0
    try:
        for _ in range(MANY):
            try:
                held.append(await connect(direct, autocommit=True))
            except OutreachDBError:
                refused += 1
    finally:
        for connection in held:
            await connection.close()
    await asyncio.sleep(0.5)
    told = await _bench(program, [f"--client={MANY}", "--transactions=10", f"--file={script}"], pooled)
    return [
        Result(f"{MANY} clients at once, direct: refused", float(refused), "clients"),
        Result(f"{MANY} clients at once, through the pooler: refused", 0.0, "clients", None, 0),
        Result(f"{MANY} clients at once, through the pooler", round(told.per_second), "requests/s"),
    ]


@asynccontextmanager
async def _pooled(scratch: str) -> AsyncIterator[tuple[str, str]]:
    """URLs by TCP with a password: to the server, and to a pooler in front of it that goes away at the end."""
    home = Settings.load().home
    place = await asyncio.to_thread(_folder)
    folder = PoolFolder.of_home(home, place / "pooling")
    database = str(conninfo.conninfo_to_dict(scratch)["dbname"])
    direct, passwords = scratch, {}
    if str(conninfo.conninfo_to_dict(scratch).get("host", "")).startswith(str(home)):
        direct = EmbeddedServer(home).tcp_url(database)
        passwords = {SUPERUSER: Home(home).password() or ""}
    try:
        port = pooling.free_port()
        await pooling.write(folder, dict.fromkeys(WORKLOADS, scratch), port=port, passwords=passwords)
        await asyncio.to_thread(pooling.start, folder)
        given = conninfo.conninfo_to_dict(direct) | {"host": "127.0.0.1", "port": port, "dbname": f"{database}_web"}
        yield direct, conninfo.make_conninfo("", **given)
    finally:
        await asyncio.to_thread(pooling.stop, folder, 0)
        await asyncio.to_thread(shutil.rmtree, place)


def _folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="odb-pools-", dir="/tmp"))
    made.chmod(0o755)
    return made
