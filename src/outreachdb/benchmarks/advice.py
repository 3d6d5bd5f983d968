"""Before and after: a leads table without its indexes, the advisor's advice for a workload, and the advice taken."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from outreachdb.advisor import Finding, advise
from outreachdb.advisor.workload.source import Statement, Workload
from outreachdb.benchmarks import population
from outreachdb.benchmarks.measure import Result
from outreachdb.benchmarks.population import Population
from outreachdb.db.pools import Connection, connect
from outreachdb.progress import Progress, silent

REPEATS = 5
HONEST = 0.3  # how far the promised gain of the workload may lie from the measured one
# What the source documents projected in tables of before and after, and what a team asks of its leads besides.
QUESTIONS: dict[str, tuple[str, str]] = {
    "an industry": (
        (
            "SELECT id, email FROM outreach.leads WHERE workspace_id = {ws} AND industry = 'Biotech' "
            "ORDER BY created_at DESC LIMIT 50"
        ),
        "500-1,000 -> 5-15 ms",
    ),
    "a range of time": (
        "SELECT count(*) FROM outreach.leads WHERE workspace_id = {ws} AND updated_at >= '{recent}'",
        "800-1,500 -> 10-20 ms",
    ),
    "the newest": (
        "SELECT id, email FROM outreach.leads WHERE workspace_id = {ws} ORDER BY created_at DESC, id DESC LIMIT 50",
        "1,000-2,000 -> 15-30 ms",
    ),
    "the best, newest first": (
        (
            "SELECT id, email FROM outreach.leads WHERE workspace_id = {ws} AND qualification_score >= 99 "
            "ORDER BY qualification_score DESC, created_at DESC LIMIT 50"
        ),
        "1,000 -> 50 ms",
    ),
    "the people of a company": (
        "SELECT id, email FROM outreach.leads WHERE workspace_id = {ws} AND company_id = {company}",
        "500 -> 5 ms",
    ),
    "a tag": (
        "SELECT count(*) FROM outreach.leads WHERE workspace_id = {ws} AND tags @> ARRAY['tag299']",
        "100 -> 5 ms",
    ),
    "part of a company's name": (
        "SELECT id, email FROM outreach.leads WHERE workspace_id = {ws} AND company_name ILIKE '%{name}%'",
        "1 s",
    ),
}
BARE = """
    SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS statement FROM pg_index AS i
    WHERE i.indrelid = 'outreach.leads'::regclass AND NOT i.indisunique
"""
SOMEBODY = """
    SELECT l.company_id, split_part(l.company_name, ' ', 1) AS name, l.updated_at AS recent
    FROM outreach.leads AS l
    WHERE l.workspace_id = %(ws)s AND l.company_id IS NOT NULL AND l.id = (
        SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY s.id)
        FROM outreach.leads AS s TABLESAMPLE SYSTEM (1) WHERE s.workspace_id = %(ws)s AND s.company_id IS NOT NULL)
"""
RECENT = """
    SELECT percentile_disc(0.999) WITHIN GROUP (ORDER BY s.updated_at) AS recent
    FROM outreach.leads AS s TABLESAMPLE SYSTEM (5) WHERE s.workspace_id = %(ws)s
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its time in milliseconds."""

    name: str
    text: str
    projected: str
    ms: float


async def run(url: str, leads: int = 2_000_000, progress: Progress = silent) -> list[Result]:
    """Load, take the indexes away, measure, ask the advisor, do as it says, measure again."""
    async with (
        population.scratch(url, leads, progress) as people,
        await connect(people.url, autocommit=True) as connection,
    ):
        questions = await _questions(connection, people)
        for row in await (await connection.execute(BARE.encode())).fetchall():
            await connection.execute(row["statement"].encode())
        before = await _ask(connection, questions, progress)
        workload = Workload(tuple(Statement(each.text, 100, 100 * each.ms) for each in before), "benchmark")
        progress("asking the advisor", 0)
        began = time.monotonic()
        report = await advise(people.url, only=["missing_index"], queries=workload, indexes=True)
        seconds = time.monotonic() - began
        await _take(connection, report.findings, progress)
        after = await _ask(connection, questions, progress)
    return _results(before, after, report.findings, seconds)


async def _questions(connection: Connection, people: Population) -> list[tuple[str, str, str]]:
    given = {"ws": people.large.workspace_id}
    some = await (await connection.execute(SOMEBODY, given)).fetchone()
    last = await (await connection.execute(RECENT, given)).fetchone()
    assert some is not None and last is not None  # noqa: S101, PT018  (the workspace was filled a moment ago)
    values = {"company": some["company_id"], "name": some["name"], "recent": last["recent"].isoformat()}
    return [(name, text.format(**given, **values), projected) for name, (text, projected) in QUESTIONS.items()]


async def _ask(connection: Connection, questions: Sequence[tuple[str, str, str]], progress: Progress) -> list[Asked]:
    """The median of a few runs each, once warm."""
    asked = []
    for done, (name, text, projected) in enumerate(questions):
        progress("measuring", done, len(questions))
        times = []
        for _ in range(REPEATS + 1):
            began = time.monotonic()
            await (await connection.execute(text.encode())).fetchall()
            times.append(1000 * (time.monotonic() - began))
        asked.append(Asked(name, text, projected, statistics.median(times[1:])))
    return asked


async def _take(connection: Connection, findings: Sequence[Finding], progress: Progress) -> None:
    for done, finding in enumerate(findings):
        progress("building what was advised", done, len(findings))
        for statement in (finding.ddl or "").splitlines():
            await connection.execute(statement.encode())
    await connection.execute("VACUUM (ANALYZE) outreach.leads")


def _results(
    before: Sequence[Asked], after: Sequence[Asked], findings: Sequence[Finding], seconds: float
) -> list[Result]:
    results = []
    for old, new in zip(before, after, strict=True):
        results.append(Result(f"{old.name}: before", round(old.ms, 2), "ms", old.projected))
        results.append(Result(f"{old.name}: after", round(new.ms, 2), "ms", old.projected, round(old.ms, 2)))
        results.append(Result(f"{old.name}: times faster", round(old.ms / new.ms, 1), "x"))
    gained = 1 - sum(each.ms for each in after) / sum(each.ms for each in before)
    promised = float(findings[0].evidence["gain_of_all"]) if findings else 0.0
    return [
        *results,
        Result("advisor: time to try the indexes", round(seconds, 1), "s"),
        Result("advisor: indexes advised", len(findings), "indexes"),
        Result("workload: gain promised", round(100 * promised, 1), "%"),
        Result("workload: gain measured", round(100 * gained, 1), "%"),
        Result("workload: promise beside measure", round(abs(promised - gained), 3), "share", None, HONEST),
    ]
