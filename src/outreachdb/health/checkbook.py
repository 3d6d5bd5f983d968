"""The checks: one file each in ``checks/``, with a header that tells what it is about, and the same output columns.

A file is SQL that gives one row: ``value`` (NULL where the check does not apply), ``evidence`` (jsonb with ``summary``)
and, where it may not apply, ``reason``. Or it is Python with an async function ``measure`` that gives a
:class:`Measured`. What SQL reads from: ``given``, one row with the thresholds ``yellow`` and ``red`` and what the
header gives by default; the expressions of ``db/shared.sql`` that it ``uses``; the ``faults`` of ``health/faults`` that
it counts.

The header holds ``title``, ``group``, ``unit``, ``yellow``, ``red``, ``worse`` (``higher`` or ``lower``), ``given``
(``name=number``), ``needs`` (``table:<schema>.<name>``, ``extension:<name>``, ``primary``, ``standby``), ``why``,
``advice`` (one line) and ``sources``. Each check ends in the same columns: ``name, status, value, yellow, red, unit,
advice, reason, evidence``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from psycopg.sql import Literal as Quoted

from outreachdb.db import headed

GROUPS = (
    "memory",
    "connections",
    "locks",
    "queries",
    "indexes",
    "storage",
    "partitions",
    "replication",
    "queues",
    "analytics",
)
_JUDGED = """
SELECT
    {name} AS name,
    CASE
        WHEN m.value IS NULL THEN 'not applicable'
        WHEN m.value {reaches} g.red THEN 'red'
        WHEN m.value {reaches} g.yellow THEN 'yellow'
        ELSE 'green'
    END AS status,
    m.value::float8 AS value, g.yellow, g.red, {unit} AS unit, {advice} AS advice,
    CASE WHEN m.value IS NULL THEN to_jsonb(m) ->> 'reason' END AS reason,
    coalesce(m.evidence, '{{}}') AS evidence
FROM given AS g
LEFT JOIN measured AS m ON true
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a check in Python found; ``value`` None where it does not apply, for the ``reason``."""

    value: float | None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None

    def sql(self) -> str:
        """The row that a check in SQL would give."""
        value = "NULL" if self.value is None else _quoted(float(self.value))
        evidence = _quoted(json.dumps(dict(self.evidence)))
        reason = "NULL" if self.reason is None else _quoted(self.reason)
        return f"SELECT {value}::float8 AS value, {evidence}::jsonb AS evidence, {reason}::text AS reason"


@dataclass(frozen=True, slots=True)
class Check:
    """One check; exactly one of ``body`` and ``measure`` is there."""

    name: str
    title: str
    group: str
    unit: str
    lower_is_worse: bool
    yellow: float
    red: float
    given: Mapping[str, float]
    needs: tuple[str, ...]
    why: str
    advice: str
    sources: tuple[str, ...]
    uses: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    body: str | None = None
    measure: Callable[..., Awaitable[Measured]] | None = None

    def statement(
        self, given: Mapping[str, float], extensions: Mapping[str, str], measured: Measured | None = None
    ) -> str:
        """The whole statement; ``given`` holds the thresholds, ``extensions`` name -> schema, both from outside."""
        body = measured.sql() if measured is not None else self.body or ""
        for name, schema in extensions.items():
            body = body.replace(f"{{{name}}}", f"{schema}.{name}")
        parts = {"given": headed.numbers(given)} | headed.shared_parts(self.uses)
        parts |= {name: _fault(name) for name in self.faults}
        judged = _JUDGED.format(
            name=_quoted(self.name),
            unit=_quoted(self.unit),
            advice=_quoted(self.advice),
            reaches="<" if self.lower_is_worse else ">=",
        )
        return headed.with_parts(parts | {"measured": body}, judged.strip())


@cache
def checks() -> dict[str, Check]:
    """Every check by its name, by group and then by name."""
    found = {}
    for file in resources.files("outreachdb.health.checks").iterdir():
        name, _, kind = file.name.rpartition(".")
        if not name.startswith("_") and kind == "sql":
            about, body = headed.split(file.read_text(encoding="utf-8"))
            found[name] = _check(name, about, body=body)
        elif not name.startswith("_") and kind == "py":
            module = importlib.import_module(f"outreachdb.health.checks.{name}")
            about = headed.pairs((module.__doc__ or "").splitlines())
            found[name] = _check(name, about, measure=module.measure)
    return dict(sorted(found.items(), key=lambda item: (GROUPS.index(item[1].group), item[0])))


def _check(name: str, about: Mapping[str, str], **how: Any) -> Check:
    return Check(
        name=name,
        title=about["title"],
        group=about["group"],
        unit=about["unit"],
        lower_is_worse=about.get("worse", "higher") == "lower",
        yellow=float(about["yellow"]),
        red=float(about["red"]),
        given=headed.given(about),
        needs=tuple(about.get("needs", "").split()),
        why=about["why"],
        advice=about["advice"],
        sources=tuple(about["sources"].split()),
        uses=tuple(about.get("uses", "").split()),
        faults=tuple(about.get("faults", "").split()),
        **how,
    )


@cache
def _fault(name: str) -> str:
    text = resources.files("outreachdb.health.faults").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    about, body = headed.split(text)
    return headed.with_shared(about.get("uses", "").split(), body)


def _quoted(value: str | float) -> str:
    return Quoted(value).as_string(None)
