"""Ten imports into one workspace at one instant, each on connections of its own."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lead_rows import leads, value

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.leads.importing import ImportReport, import_file
from outreachdb.leads.importing.merging import Merge

IMPORTS, PEOPLE, ROWS = 10, 900, 500
CLIENT = """
import asyncio, sys, time
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.leads.importing import import_file

async def main():
    async with Pools(Settings.load({}, database_url=sys.argv[1])) as pools:
        tenant = Tenant(pools, int(sys.argv[2]), sys.argv[3])
        await pools.pool("jobs")
        print("ready", flush=True)
        at = float(sys.stdin.readline())
        time.sleep(max(0, at - time.time()))
        report = await import_file(tenant, sys.argv[4], on_conflict=sys.argv[5])
        print(report.rows_read, report.inserted, report.updated, report.skipped, report.rejected, flush=True)

asyncio.run(main())
"""


def _files(folder: Path, rows: int, people: int) -> list[Path]:
    """Files of the same people in different orders; some have external ids that others give to somebody else."""
    source = random.Random(17)
    paths = []
    for name in range(IMPORTS):
        path = folder / f"part-{name}.csv"
        chosen = source.sample(range(people), rows)
        lines = [
            f"Lead{n}@Example.com,{n if n % 3 else (n + name) % people},Company {n % 23},company{n % 23}.example,"
            f"City {name},t{name}"
            for n in chosen
        ]
        ids = ",external id" if name % 2 else ",memo"
        path.write_text("\n".join([f"email{ids},company,website,city,tags", *lines]) + "\n")
        paths.append(path)
    return paths


async def _balanced(tenant: Tenant, counts: list[tuple[int, int, int, int, int]]) -> None:
    for read, *ends in counts:
        assert read == sum(ends)
    found = await leads(tenant, "email_key, source_key, company_id")
    assert len(found) == sum(inserted for _, inserted, *_ in counts)
    assert len({row["email_key"] for row in found}) == len(found)
    ids = [row["source_key"] for row in found if row["source_key"]]
    assert len(set(ids)) == len(ids)
    assert await value(tenant, "SELECT count(*) FROM outreach.companies") == 23
    assert await value(tenant, "SELECT count(*) FROM outreach.imports WHERE status = 'done'") == IMPORTS
    rejected = await value(tenant, "SELECT count(*) FROM outreach.import_rejects")
    assert rejected == sum(each[4] for each in counts)
    changed = await value(tenant, "SELECT count(*) FROM outreach.import_changes")
    assert changed == sum(each[2] for each in counts)


async def test_ten_merges_at_one_instant(
    tenant: Tenant, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All ten have staged their rows when the first begins to merge."""
    together = asyncio.Barrier(IMPORTS)
    merge = Merge.run

    async def run(self, progress):  # type: ignore[no-untyped-def]
        await together.wait()
        return await merge(self, progress)

    monkeypatch.setattr(Merge, "run", run)

    async def one(number: int, path: Path) -> ImportReport:
        async with Pools(Settings.load({}, database_url=database_url)) as pools:
            own = Tenant(pools, tenant.workspace_id, tenant.name)
            policy = ("update", "fill", "update", "skip")[number % 4]
            return await import_file(own, path, on_conflict=policy)  # type: ignore[arg-type]

    reports = await asyncio.gather(*(one(*each) for each in enumerate(_files(tmp_path, ROWS, PEOPLE))))
    counts = [(each.rows_read, each.inserted, each.updated, each.skipped, each.rejected) for each in reports]
    await _balanced(tenant, counts)


@pytest.mark.slow
async def test_ten_processes_begin_at_one_instant(tenant: Tenant, database_url: str, tmp_path: Path) -> None:
    policies = ("update", "fill", "update", "skip")
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, database_url, str(tenant.workspace_id), tenant.name, str(path),
            policies[number % 4],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number, path in enumerate(_files(tmp_path, 4000, 7000))
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert (await process.stdout.readline()) == b"ready\n"
    at = f"{time.time() + 0.5}\n".encode()
    ended = await asyncio.gather(*(process.communicate(at) for process in processes))
    assert [process.returncode for process in processes] == [0] * IMPORTS, [err.decode()[-400:] for _, err in ended]
    counts = [tuple(map(int, out.split())) for out, _ in ended]
    await _balanced(tenant, counts)  # type: ignore[arg-type]
