"""A process that is killed between its import's commit and the learning of words: the next import makes up for it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lead_rows import value

import outreachdb
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.leads.importing import import_file, learn_all_words, listed

CLIENT = """
import asyncio, sys
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.leads.importing import import_file, runs

async def killed_here(*_):
    print("there", flush=True)
    sys.stdin.read()

async def main():
    runs.learn_words = killed_here
    async with Pools(Settings.load({}, database_url=sys.argv[1])) as pools:
        await import_file(Tenant(pools, int(sys.argv[2]), sys.argv[3]), sys.argv[4])

asyncio.run(main())
"""


async def _killed(url: str, tenant: Tenant, path: Path) -> None:
    arguments = [sys.executable, "-c", CLIENT, url, str(tenant.workspace_id), tenant.name, str(path)]
    environment = os.environ | {"PYTHONPATH": str(Path(outreachdb.__file__).parents[1])}
    process = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    said = await asyncio.to_thread(process.stdout.readline)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert said == "there\n"


async def test_words_of_a_killed_import_are_learned_by_the_next(
    tenant: Tenant, pools: Pools, database_url: str, csv_file: Callable[..., Path]
) -> None:
    head = ("email", "first name", "company")
    await _killed(database_url, tenant, csv_file(head, ("zbigniew@x.example", "Zbigniew", "Acme")))
    assert (await listed(tenant, 1))[0]["status"] == "done"
    assert await _words(tenant) == set()
    await import_file(tenant, csv_file(head, ("other@x.example", "Maria", "Acme")))
    assert await _words(tenant) == {"acme", "example", "maria", "zbigniew"}
    # A job does the same.
    async with tenant.trusted() as session:
        values = [tenant.workspace_id]
        await session.execute("DELETE FROM outreach.search_words WHERE workspace_id = %s", values)
        await session.execute("UPDATE outreach.imports SET words_pending = true WHERE workspace_id = %s", values)
    assert await learn_all_words(pools) >= 4
    assert await _words(tenant) == {"acme", "example", "maria", "zbigniew"}
    assert await value(tenant, "SELECT count(*) FROM outreach.imports WHERE words_pending") == 0


async def _words(tenant: Tenant) -> set[str]:
    async with tenant.trusted() as session:
        rows = await session.all(
            "SELECT word FROM outreach.search_words WHERE workspace_id = %s", [tenant.workspace_id]
        )
    return {row["word"] for row in rows}
