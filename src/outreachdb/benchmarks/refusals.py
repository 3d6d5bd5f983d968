"""How fast nonsense is refused: through Python, both SQL functions and the command, each with an error that is clear.

What is taken for good, or is refused without saying where or why, ends the benchmark.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from outreachdb import segments
from outreachdb.benchmarks.measure import Result
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput, OutreachDBError
from outreachdb.progress import Progress, silent
from outreachdb.segments import definition

LIMIT_MS = 50
ASKED = 5


def _text(op: str, value: str) -> str:
    return json.dumps({"field": "title", "op": op, "value": value})


# Name -> definition as it arrives, and what the error has to say.
NONSENSE: dict[str, tuple[str, str]] = {
    "unknown field": ('{"all": [{}, {"field": "contry", "op": "is_set"}]}', 'did you mean "country"?'),
    "wrong type": ('{"field": "id", "op": "gte", "value": "many"}', "must be a number"),
    "impossible date": ('{"field": "created_at", "op": "before", "value": "2026-02-30"}', "no date 2026-02-30"),
    "33 levels": ('{"not":' * 33 + "{}" + "}" * 33, "nested too deep"),
    "10,000 levels": ('{"not":' * 10_000 + "{}" + "}" * 10_000, "nested too deep"),
    "a megabyte": (_text("equals", "x" * 1_000_000), "too large"),
    "a megabyte of conditions": (json.dumps({"any": [{"field": "title", "op": "is_set"}] * 30_000}), "too"),
    "invalid expression": (_text("matches", "(a"), "no regular expression"),
    "expression with a way back": (_text("matches", r"^(a+)+\1$"), "no references back"),
    "expression of repeated repeats": (_text("matches", "((a{99}){99}){99}"), "repeats too much"),
    "expression of repeated nothing": (_text("matches", "((.*){30}){30}"), "repeats too much"),
}
# The command without the start of its interpreter and of the command line: in one process, the first to warm up.
COMMANDS = """
import contextlib, io, json, sys, time
from outreachdb.cli import main as cli

app = cli.build("segment")
cli.build = lambda command: app

def asked(path):
    said, began = io.StringIO(), time.perf_counter()
    try:
        with contextlib.redirect_stderr(said):
            cli.main(["segment", "count", "--where", "@" + path])
    except SystemExit as ended:
        return [(time.perf_counter() - began) * 1000, ended.code, said.getvalue()]

asked(sys.argv[1])
print(json.dumps([[asked(path) for _ in range(int(sys.argv[2]))] for path in sys.argv[3:]]))
"""


async def measured(url: str, tenant: Tenant, progress: Progress = silent) -> list[Result]:
    """The median of some tries of each kind of nonsense each way, in milliseconds."""
    results = []
    for way, ask in _ways(tenant).items():
        for number, (name, (text, saying)) in enumerate(NONSENSE.items()):
            progress(f"nonsense by {way}", number, len(NONSENSE))
            taken = [await _refused(ask, text, saying) for _ in range(ASKED)]
            results.append(_result(way, name, taken))
    progress("nonsense by the command", 0)
    return results + await _commands(url, tenant)


def _result(way: str, name: str, taken: list[float]) -> Result:
    return Result(f"bad input, {way}: {name}", round(statistics.median(taken), 1), "ms", None, LIMIT_MS)


def _ways(tenant: Tenant) -> dict[str, Callable[[str], Awaitable[object]]]:
    async def by_python(text: str) -> object:
        return await segments.count(tenant, definition.parse(text))

    def by_sql(statement: str) -> Callable[[str], Awaitable[object]]:
        async def ask(text: str) -> object:
            async with tenant.session() as session:
                return await session.value(statement, {"text": text})

        return ask

    return {
        "Python": by_python,
        "count_segmented_leads": by_sql("SELECT outreach.count_segmented_leads(%(text)s::jsonb)"),
        "get_segmented_leads": by_sql("SELECT l.id FROM outreach.get_segmented_leads(%(text)s::jsonb) AS l"),
    }


async def _refused(ask: Callable[[str], Awaitable[object]], text: str, saying: str) -> float:
    began = time.perf_counter()
    try:
        await ask(text)
    except OutreachDBError as error:
        taken = (time.perf_counter() - began) * 1000
        if isinstance(error, InvalidInput) and saying in str(error):
            return taken
        raise AssertionError(f"not clear: {str(error)[:300]}") from error
    raise AssertionError(f"taken for good: {text[:80]}")


async def _commands(url: str, tenant: Tenant) -> list[Result]:
    environment = os.environ | {"OUTREACHDB_DATABASE_URL": url, "OUTREACHDB_WORKSPACE": tenant.name}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.json" for number in range(len(NONSENSE))]
        for path, (text, _) in zip(paths, NONSENSE.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMANDS, str(paths[0]), str(ASKED), *map(str, paths),
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await child.communicate()
    if child.returncode:
        raise AssertionError(err.decode(errors="replace"))
    results = []
    for (name, (_, saying)), tries in zip(NONSENSE.items(), json.loads(out), strict=True):
        for _, status, said in tries:
            if status != 1 or saying not in said or len(said.splitlines()) != 1:
                raise AssertionError(f"{name}: status {status}, {said[:300]}")
        results.append(_result("command", name, [took for took, _, _ in tries]))
    return results
