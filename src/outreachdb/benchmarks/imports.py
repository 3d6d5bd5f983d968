"""A whole import, from file to report, beside COPY of the same clean rows and beside what applications do by hand."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from outreachdb.benchmarks import row_by_row
from outreachdb.benchmarks.measure import Result, checkpoint, scratch_database
from outreachdb.config import Settings
from outreachdb.db import migrate
from outreachdb.db.pools import Connection, Pools, connect
from outreachdb.errors import OutreachDBError
from outreachdb.progress import Progress, silent
from outreachdb.tenancy import workspaces

MEMORY_LIMIT_MB = 300.0
COPY_LIMIT = 1.6  # times the time of COPY
BY_HAND_LIMIT = 3.5  # times the rate of prepared upserts, one by one
CHANGED_LIMIT = 2.0  # times the time of the first import
SCALE_LIMIT = 1.6  # times the cost per row at a tenth of the size
SMALL, SMALL_LIMIT = 100_000, 5.0  # rows, seconds
SMALL_NAMES = ("small", "small-2", "small-3")  # a workspace for each time; the first may be a new server's first work
SAMPLED = f"a sample of {row_by_row.SAMPLE:,} rows into the same table"
HEADER = ("Email", "First Name", "Last Name", "Phone", "Job Title", "Company", "Website", "LinkedIn URL", "Industry",
          "Country", "City", "Tags", "Plan")  # fmt: skip
FIRST = ("Anna", "Björn", "Carla", "David", "Elif", "François", "Grace", "Hiro", "Ines", "Jorge", "Kate", "Liam")
LAST = ("Adams", "Becker", "Castillo", "Dubois", "Eriksson", "Fischer", "García", "Hansen", "Ito", "Jensen", "Kowalski")
# The import runs in a process of its own, so that its memory is its own.
CHILD = """
import asyncio, json, sys
from outreachdb.benchmarks.measure import peak_mb
from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.leads.importing import import_file, undo
from outreachdb.tenancy import workspaces

async def main(url, name, task, argument):
    async with Pools(Settings.load({}, database_url=url)) as pools:
        tenant = await workspaces.tenant(pools, name)
        report = await (import_file(tenant, argument) if task == "import" else undo(tenant, int(argument)))
    print(json.dumps(report.document() | {"peak_mb": peak_mb()}))

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


@dataclass(frozen=True, slots=True)
class Measured:
    """Reports of what was run, as documents, and seconds or rows/s of what it is compared with."""

    small: list[dict[str, Any]]
    first: dict[str, Any]
    again: dict[str, Any]
    copied: float
    single: float
    pipelined: float
    changed: dict[str, Any]
    changed_undone: dict[str, Any]
    first_undone: dict[str, Any]

    def results(self) -> list[Result]:
        """The figures, each with its limit from the same run."""
        first = self.first["seconds"]
        rate = self.first["rows_per_second"]
        peak = max(each["peak_mb"] for each in (self.first, self.changed, self.changed_undone, self.first_undone))
        return [
            Result("import: 100,000 rows, the middle one of three times",
                   median(each["seconds"] for each in self.small), "s", "100k leads in 15 s", SMALL_LIMIT),
            Result("import: 100,000 rows, the first of the three", self.small[0]["seconds"], "s", "100k leads in 15 s",
                   SMALL_LIMIT),
            Result("import: whole run", first, "s", None, round(COPY_LIMIT * self.copied, 3)),
            Result("import: rate", rate, "rows/s", "6,700 rows/s", BY_HAND_LIMIT * self.single, more_is_better=True),
            Result("COPY of the clean rows into an identical table", round(self.copied, 3), "s"),
            Result("import: times COPY", round(first / self.copied, 2), "x", None, COPY_LIMIT),
            Result(f"prepared upserts one by one, a commit every 10,000 ({SAMPLED})", round(self.single), "rows/s"),
            Result(f"the same through pipelined executemany ({SAMPLED})", round(self.pipelined), "rows/s"),
            Result("import: times prepared upserts", round(rate / self.single, 2), "x", None, BY_HAND_LIMIT,
                   more_is_better=True),
            Result("import: times pipelined executemany", round(rate / self.pipelined, 2), "x"),
            Result("import: the same file again", self.again["seconds"], "s", None, first),
            Result("import: a file that changes every row", self.changed["seconds"], "s", None, CHANGED_LIMIT * first),
            Result("undo of the file that changed every row", self.changed_undone["seconds"], "s", None,
                   self.changed["seconds"]),
            Result("undo of the first import", self.first_undone["seconds"], "s", None, first),
            Result("import: memory of the Python process", round(peak, 1), "MB", None, MEMORY_LIMIT_MB),
        ]  # fmt: skip


async def run(url: str, rows: int = 1_000_000, progress: Progress = silent) -> list[Result]:
    """Import a 13-column file of ``rows`` leads, and all that it is compared with; seconds, rows/s, MB, ratios."""
    async with scratch_database(url, "import") as scratch:
        await _prepare(scratch, *SMALL_NAMES, "bench", "by-hand")
        with tempfile.TemporaryDirectory() as folder:
            return (await _measure(scratch, Path(folder), rows, progress)).results()


async def run_scale(url: str, rows: int = 5_000_000, progress: Progress = silent) -> list[Result]:
    """The cost of a row at ``rows`` leads and at a tenth of them, each in a database of its own; and the memory."""
    done = []
    with tempfile.TemporaryDirectory() as folder:
        for number, size in enumerate((rows // 10, rows)):
            async with scratch_database(url, "scale") as scratch:
                await _prepare(scratch, "bench")
                progress("generating", 2 * number, 4)
                path = Path(folder) / "leads.csv"
                await asyncio.to_thread(generate, path, size)
                progress("importing", 2 * number + 1, 4)
                await checkpoint(scratch)
                done.append(await _child(scratch, "bench", "import", path))
    few, many = (1e6 * each["seconds"] / each["rows_read"] for each in done)
    return [
        Result(f"import: a row of {rows // 10:,}", round(few, 1), "µs"),
        Result(f"import: a row of {rows:,}", round(many, 1), "µs", None, SCALE_LIMIT * few),
        Result("import: times a tenth of the rows", round(many / few, 2), "x", None, SCALE_LIMIT),
        Result(f"import: memory of the Python process, {rows:,} rows", round(done[1]["peak_mb"], 1), "MB", None,
               MEMORY_LIMIT_MB),
    ]  # fmt: skip


async def _prepare(url: str, *names: str) -> None:
    await migrate.upgrade(url)
    async with Pools(Settings.load({}, database_url=url)) as pools:
        for name in names:
            await workspaces.create(pools, name)


async def _measure(url: str, folder: Path, rows: int, progress: Progress) -> Measured:
    steps = iter(range(10))

    def told(what: str) -> None:
        progress(what, next(steps), 10)

    told("generating")
    paths = [folder / name for name in ("small.csv", "leads.csv", "changed.csv")]
    for path, size, places in zip(paths, (SMALL, rows, rows), ("City", "City", "Town"), strict=True):
        await asyncio.to_thread(generate, path, size, places=places)
    told("importing 100,000")
    small = []
    for name in SMALL_NAMES:
        await checkpoint(url)
        small.append(await _child(url, name, "import", paths[0]))
    told("importing")
    await checkpoint(url)
    first = await _child(url, "bench", "import", paths[1])
    told("importing again")
    again = await _child(url, "bench", "import", paths[1])
    told("plain COPY")
    copied = await _copy(url, folder / "clean.copy")
    told("upserts one by one")
    single = await row_by_row.single(url, "by-hand", _rows(row_by_row.SAMPLE, 2, "City"))
    told("pipelined executemany")
    pipelined = await row_by_row.pipelined(url, "by-hand", _rows(row_by_row.SAMPLE, 3, "City"))
    told("changing every row")
    await checkpoint(url)
    changed = await _child(url, "bench", "import", paths[2])
    told("undoing the changes")
    changed_undone = await _child(url, "bench", "undo", changed["import_id"])
    told("undoing the first import")
    first_undone = await _child(url, "bench", "undo", first["import_id"])
    return Measured(small, first, again, copied, single, pipelined, changed, changed_undone, first_undone)


def generate(path: Path, rows: int, seed: int = 1, places: str = "City") -> None:
    """Write the file: unique addresses in random order, 13 columns. It is on disk before anything is timed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(_rows(rows, seed, places))
        file.flush()
        os.fsync(file.fileno())


def _rows(rows: int, seed: int, places: str) -> Iterator[tuple[str, ...]]:
    numbers = list(range(rows))
    random.Random(seed).shuffle(numbers)  # noqa: S311 - data, not secrets
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
            f"{places} {number % 700}",
            f"list {number % 12};q{number % 4}",
            ("free", "team", "business")[number % 3],
        )


async def _child(url: str, workspace: str, task: str, argument: object) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, url, workspace, task, str(argument), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise OutreachDBError(f"the {task} of the benchmark ended with status {process.returncode}")
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
        seconds = time.perf_counter() - began
        await connection.execute("DROP TABLE public.leads_by_copy")
        return seconds


async def _save(connection: Connection, path: Path) -> None:
    """The clean rows of the large workspace in the order in which the import wrote them."""
    query = f"""COPY (SELECT {COLUMNS} FROM outreach.leads
                      WHERE workspace_id = (SELECT id FROM outreach.workspaces WHERE name = 'bench')
                      ORDER BY id) TO STDOUT"""  # noqa: S608
    with path.open("wb") as file:
        async with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            async for block in copy:
                file.write(block)
