"""A whole import, from file to report, beside plain COPY of the same clean rows into an identical table."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from outreachdb.benchmarks.measure import Result, scratch_database
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.errors import OutreachDBError
from outreachdb.progress import Progress, silent
from outreachdb.tenancy import workspaces

MEMORY_LIMIT_MB = 300.0
COPY_LIMIT = 1.6  # times the time of COPY
HEADER = ("Email", "First Name", "Last Name", "Phone", "Job Title", "Company", "Website", "LinkedIn URL", "Industry",
          "Country", "City", "Tags", "Plan")  # fmt: skip
FIRST = ("Anna", "Björn", "Carla", "David", "Elif", "François", "Grace", "Hiro", "Ines", "Jorge", "Kate", "Liam")
LAST = ("Adams", "Becker", "Castillo", "Dubois", "Eriksson", "Fischer", "García", "Hansen", "Ito", "Jensen", "Kowalski")
# The import runs in a process of its own, so that its memory is its own.
CHILD = """
import asyncio, json, resource, sys
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.leads.importing import import_file
from outreachdb.tenancy import workspaces

async def main(url, name, path):
    async with Pools(Settings.load({}, database_url=url)) as pools:
        report = await import_file(await workspaces.tenant(pools, name), path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(report.document() | {"peak_mb": peak / (1024 if sys.platform != "darwin" else 1024**2)}))

asyncio.run(main(*sys.argv[1:]))
"""
COLUMNS = """workspace_id, id, email, first_name, last_name, phone, title, company_id, company_name, company_website,
    linkedin_url, industry, country, city, timezone, source, source_key, status, tags, custom_fields, notes,
    qualification_score, email_status, created_at, updated_at"""
TWIN = (
    "CREATE TABLE public.leads_by_copy (LIKE outreach.leads INCLUDING ALL)",
    """ALTER TABLE public.leads_by_copy ADD FOREIGN KEY (workspace_id, company_id)
       REFERENCES outreach.companies (workspace_id, id)""",
    "ALTER TABLE public.leads_by_copy ADD FOREIGN KEY (workspace_id) REFERENCES outreach.workspaces (id)",
)


async def run(url: str, rows: int = 1_000_000, progress: Progress = silent) -> list[Result]:
    """Generate a 13-column file of ``rows`` leads, import it twice, then COPY what it became; seconds, rows/s, MB."""
    async with scratch_database(url, "import") as scratch:
        await migrate.upgrade(scratch)
        async with Pools(Settings.load({}, database_url=scratch)) as pools:
            await workspaces.create(pools, "bench")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "leads.csv"
            progress("generating", 0, 4)
            await asyncio.to_thread(generate, path, rows)
            progress("importing", 1, 4)
            first = await _import(scratch, path)
            progress("importing again", 2, 4)
            again = await _import(scratch, path)
            progress("plain COPY", 3, 4)
            copied = await _copy(scratch, Path(folder) / "clean.copy")
            progress("plain COPY", 4, 4)
    speed = first["rows_per_second"]
    return [
        Result("import: whole run", first["seconds"], "s", "100k leads in 15 s", COPY_LIMIT * copied),
        Result("import: rate", speed, "rows/s", "6,700 rows/s", 20_000, more_is_better=True),
        Result("import: memory of the Python process", round(first["peak_mb"], 1), "MB", None, MEMORY_LIMIT_MB),
        Result("import: the same file again", again["seconds"], "s"),
        Result("COPY of the clean rows into an identical table", round(copied, 3), "s"),
        Result("import: times COPY", round(first["seconds"] / copied, 2), "x", None, COPY_LIMIT),
    ]


def generate(path: Path, rows: int, seed: int = 1) -> None:
    """Write the file: unique addresses in random order, 13 columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(_rows(rows, random.Random(seed)))  # noqa: S311 - data, not secrets


def _rows(rows: int, source: random.Random) -> Iterator[tuple[Any, ...]]:
    numbers = list(range(rows))
    source.shuffle(numbers)
    for number in numbers:
        first, last = FIRST[number % len(FIRST)], LAST[number % len(LAST)]
        company = number % max(1, rows // 20)
        yield (
            f"{first}.{last}{number}@company{company}.example",
            first,
            last,
            f"+1 555 {number:07d}",
            f"Head of {number % 200}",
            f"Company {company}",
            f"https://www.company{company}.example",
            f"https://www.linkedin.com/in/{first}-{last}-{number}",
            f"Industry {number % 30}",
            f"Country {number % 50}",
            f"City {number % 700}",
            f"list {number % 12};q{number % 4}",
            ("free", "team", "business")[number % 3],
        )


async def _import(url: str, path: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, url, "bench", str(path), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise OutreachDBError(f"the import of the benchmark ended with status {process.returncode}")
    document: dict[str, Any] = json.loads(out)
    return document


async def _copy(url: str, path: Path) -> float:
    connection = await connect(url, autocommit=True)
    async with connection:
        for statement in TWIN:
            await connection.execute(statement.encode())
        await _save(connection, path)
        await connection.execute("CHECKPOINT")
        began = time.perf_counter()
        with path.open("rb") as file:
            async with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY public.leads_by_copy ({COLUMNS}) FROM STDIN".encode()) as copy,
            ):
                while block := file.read(1 << 18):
                    await copy.write(block)
        return time.perf_counter() - began


async def _save(connection: Connection, path: Path) -> None:
    """The clean rows in the order in which the import wrote them."""
    query = f"COPY (SELECT {COLUMNS} FROM outreach.leads ORDER BY id) TO STDOUT"  # noqa: S608
    with path.open("wb") as file:
        async with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            async for block in copy:
                file.write(block)
