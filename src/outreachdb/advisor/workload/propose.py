"""Chooses the indexes that save the whole workload most, less what they cost writers; nothing below 10%."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from outreachdb.advisor.catalogue import Catalogue
from outreachdb.advisor.findings import Finding
from outreachdb.advisor.fixes import Writer, qualified
from outreachdb.advisor.workload.candidates import Candidate, candidates
from outreachdb.advisor.workload.queries import Query, understood
from outreachdb.advisor.workload.source import Workload
from outreachdb.advisor.workload.trial import LIMITS, Hypothetical, Sampled, Trial, sampled
from outreachdb.errors import MigrationError, ServerError

RULE = "missing_index"
WORTH = 0.10  # of the workload's time, all indexes together
EACH = 0.02  # that every further index must add
MOST_CANDIDATES = 60
MOST_INDEXES = 10
LEAST_ROWS = 1000  # smaller tables are read whole in no time


@dataclass(frozen=True, slots=True)
class Planned:
    """A query with its cost without new indexes; its weight is its share of the workload's time."""

    query: Query
    cost: float
    weight: float


@dataclass(slots=True)
class Choice:
    """Indexes in the order of their worth, and each query's cost with all of them."""

    chosen: list[Candidate]
    gains: list[float]
    costs: dict[int, float]
    total: float


def propose(url: str, workload: Workload, known: Catalogue, notes: list[str]) -> list[Finding]:
    """Findings of the rule ``missing_index``; what could not be tried goes to ``notes``. Blocks (use a thread)."""
    queries = understood(workload, known)
    wanted = [each for each in candidates(queries, known) if known.relations[each.relation].rows >= LEAST_ROWS][
        :MOST_CANDIDATES
    ]
    if not wanted:
        return []
    if known.hypopg_schema and all(each.using in {"btree", "brin"} for each in wanted):
        with psycopg.connect(url) as connection:
            connection.read_only = True
            connection.prepare_threshold = None
            connection.execute(LIMITS)
            return _findings(Hypothetical(connection, known.hypopg_schema, known), wanted, queries, known)
    used = {access.relation.oid for query in queries for access in query.accesses}
    relations = [known.relations[oid] for oid in used]
    if hidden := sorted(each.name for each in relations if not each.readable):
        notes.append(
            f"no index was tried: {known.role} may not read {', '.join(hidden[:5])}, and hypopg can't stand in "
            "(GRANT SELECT, or pg_read_all_data; or CREATE EXTENSION hypopg)"
        )
        return []
    try:
        with sampled(url, known, relations) as copy:
            return _findings(copy, copy.build(wanted), queries, known)
    except (MigrationError, ServerError, psycopg.Error) as error:
        # An extension that the copy's server lacks, a table that may not be read, a lock that lasts: the rest is told.
        notes.append(f"no index was tried: {str(error).splitlines()[0]}")
        return []


def _findings(trial: Trial, wanted: Sequence[Candidate], queries: Sequence[Query], known: Catalogue) -> list[Finding]:
    trial.use([])
    planned = _planned(trial, queries)
    choice = choose(trial, wanted, planned, known)
    if choice.total < WORTH:
        return []
    timed = _timed(trial, choice, planned) if isinstance(trial, Sampled) else {}
    trial.use(choice.chosen)
    told = [_told(trial, each, choice, planned, known, timed) for each in choice.chosen]
    gained = _measured_gain(planned, timed)
    writer = Writer(known)
    found = []
    for candidate, gain, evidence in zip(choice.chosen, choice.gains, told, strict=True):
        relation = known.relations[candidate.relation]
        change = writer.index(relation, candidate.fix())
        ddl, rollback = change.text()
        summary = f"the workload gains {choice.total:.0%} by {len(choice.chosen)} indexes, {gain:.0%} of it by this one"
        found.append(
            Finding(
                RULE,
                "warning",
                relation.schema,
                relation.name,
                candidate.keys,
                candidate.definition(qualified(relation.schema, relation.name)),
                {"summary": summary, "how": trial.how, "gain": round(gain, 4), "gain_of_all": round(choice.total, 4)}
                | ({} if gained is None else {"measured_gain_of_all": round(gained, 4)})
                | evidence,
                ddl,
                rollback,
            )
        )
    return found


def _planned(trial: Trial, queries: Sequence[Query]) -> list[Planned]:
    costs = [(each, trial.cost(each.statement.text)) for each in queries]
    total = sum(each.statement.total_ms for each, cost in costs if cost) or 1.0
    return [Planned(each, cost, each.statement.total_ms / total) for each, cost in costs if cost]


def choose(trial: Trial, wanted: Sequence[Candidate], planned: Sequence[Planned], known: Catalogue) -> Choice:
    """Greedy: the index that adds most, again and again, as long as it adds something worth its writes."""
    costs = {place: each.cost for place, each in enumerate(planned)}
    choice = Choice([], [], costs, 0.0)
    left = list(wanted)
    while left and len(choice.chosen) < MOST_INDEXES:
        tried = [(*_added(trial, each, choice, planned, known), each) for each in left]
        added, costs, best = max(tried, key=lambda each: (each[0], -len(each[2].keys), -len(each[2].include)))
        if added < EACH:
            break
        choice.chosen.append(best)
        choice.gains.append(added)
        choice.costs = costs
        choice.total += added
        left = [each for each, (gain, _, _) in zip(left, tried, strict=True) if each is not best and gain >= EACH]
    return choice


def _added(
    trial: Trial, candidate: Candidate, choice: Choice, planned: Sequence[Planned], known: Catalogue
) -> tuple[float, dict[int, float]]:
    """What an index adds to those chosen: share of the workload's time saved, less a percent per busy writer."""
    trial.use([*choice.chosen, candidate])
    costs = dict(choice.costs)
    saved = 0.0
    for place, each in enumerate(planned):
        if all(access.relation.oid != candidate.relation for access in each.query.accesses):
            continue
        cost = trial.cost(each.query.statement.text)
        if cost is not None and cost < costs[place]:
            saved += each.weight * (costs[place] - cost) / each.cost
            costs[place] = cost
    return saved - _write_share(candidate, planned, known), costs


def _write_share(candidate: Candidate, planned: Sequence[Planned], known: Catalogue) -> float:
    """Writes of the table for each call of its queries, at most a tenth: what is written and never read is dear."""
    relation = known.relations[candidate.relation]
    calls = sum(
        each.query.statement.calls
        for each in planned
        if any(access.relation.oid == candidate.relation for access in each.query.accesses)
    )
    writes = relation.updated + relation.deleted + relation.inserted
    return min(0.1, 0.00001 * writes / max(calls, 1.0))


def _told(
    trial: Trial,
    candidate: Candidate,
    choice: Choice,
    planned: Sequence[Planned],
    known: Catalogue,
    timed: dict[int, tuple[float, float]],
) -> dict[str, Any]:
    """Before and after of each query of the table that gains, and what the index costs."""
    relation = known.relations[candidate.relation]
    measured = []
    for place, each in enumerate(planned):
        concerned = any(access.relation.oid == candidate.relation for access in each.query.accesses)
        if not concerned or choice.costs[place] >= each.cost:
            continue
        before, after = timed.get(place, (each.cost, choice.costs[place]))
        unit = "ms" if place in timed else "cost"
        measured.append({"query": each.query.statement.text[:300], "before": before, "after": after, "unit": unit})
    indexed = {key for index in known.indexes.get(relation.oid, ()) for key in index.keys}
    evidence: dict[str, Any] = {
        "index_bytes": trial.size(candidate),
        "hot_updates_at_risk": relation.hot if set(candidate.keys) - indexed else 0,
        "writes": relation.inserted + relation.updated,
    }
    if isinstance(trial, Sampled):
        evidence["extra_ms_per_insert"] = round(trial.write_ms(candidate), 5)
    return evidence | {"measured": measured}


def _timed(trial: Sampled, choice: Choice, planned: Sequence[Planned]) -> dict[int, tuple[float, float]]:
    """Milliseconds of each query without and with all chosen indexes, where it can be run as it stands."""
    times: list[dict[int, float | None]] = []
    for chosen in ([], choice.chosen):
        trial.use(chosen)
        times.append({place: trial.milliseconds(each.query.statement.text) for place, each in enumerate(planned)})
    found = {}
    for place in range(len(planned)):
        before, after = times[0][place], times[1][place]
        if before is not None and after is not None:
            found[place] = (before, after)
    return found


def _measured_gain(planned: Sequence[Planned], timed: dict[int, tuple[float, float]]) -> float | None:
    """The share of the time that was saved, over the queries that could be run."""
    weight = sum(planned[place].weight for place in timed)
    if not weight:
        return None
    return (
        sum(planned[place].weight * (1 - after / before) for place, (before, after) in timed.items() if before) / weight
    )
