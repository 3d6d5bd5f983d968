"""What the advisor found: one shape for every rule, and the report that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from outreachdb.errors import UsageError

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
# Other tools' words for the same three.
_ALIASES = {"low": "info", "medium": "warning", "high": "error", "warn": "warning", "critical": "error"}


def severity(text: str) -> Severity:
    """A level by its name or another tool's name for it; UsageError when there is none."""
    known = _ALIASES.get(text.lower(), text.lower())
    if known not in SEVERITIES:
        raise UsageError(f"there is no level {text!r}", hint=f"one of: {', '.join(SEVERITIES)}")
    return known


def lower(level: Severity) -> Severity:
    """The next level below; ``info`` stays."""
    return SEVERITIES[max(SEVERITIES.index(level) - 1, 0)]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact with what follows from it.

    ``object`` is the thing itself (an index, a constraint, a function) by its name; ``evidence`` holds ``summary``, one
    sentence, and the figures behind it. ``ddl`` and ``rollback`` are statements, one per line, or None where the change
    is a person's to design.
    """

    rule: str
    severity: Severity
    schema: str | None
    table: str | None
    columns: tuple[str, ...]
    object: str | None
    evidence: Mapping[str, Any]
    ddl: str | None = None
    rollback: str | None = None

    @property
    def place(self) -> str:
        """Where it is, as people write it: ``schema.table (column, column)``."""
        name = ".".join(part for part in (self.schema, self.table) if part) or str(self.object or "database")
        return f"{name} ({', '.join(self.columns)})" if self.columns else name

    def document(self) -> dict[str, Any]:
        """For JSON: ``rule, severity, schema, table, columns, object, evidence, ddl, rollback``."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "schema": self.schema,
            "table": self.table,
            "columns": list(self.columns),
            "object": self.object,
            "evidence": dict(self.evidence),
            "ddl": self.ddl,
            "rollback": self.rollback,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one run, the worst first; ``notes`` say what could not be seen, ``suppressed`` were accepted."""

    database: str
    version: str
    as_of: datetime
    seconds: float
    findings: Sequence[Finding]
    suppressed: Sequence[tuple[Finding, str]] = ()
    notes: Sequence[str] = ()
    rules: Sequence[str] = ()
    queries: Sequence[Any] = field(default=())

    def worst(self) -> Severity | None:
        """The highest level among the findings."""
        levels = [SEVERITIES.index(each.severity) for each in self.findings]
        return SEVERITIES[max(levels)] if levels else None

    def reaches(self, level: Severity) -> bool:
        """Whether a finding has that level or a higher one."""
        worst = self.worst()
        return worst is not None and SEVERITIES.index(worst) >= SEVERITIES.index(level)

    def document(self) -> dict[str, Any]:
        """For JSON: ``findings`` and beside them ``database, version, as_of, seconds, suppressed, notes``."""
        return {
            "database": self.database,
            "version": self.version,
            "as_of": self.as_of,
            "seconds": round(self.seconds, 3),
            "findings": [each.document() for each in self.findings],
            "suppressed": [each.document() | {"reason": reason} for each, reason in self.suppressed],
            "notes": list(self.notes),
        }


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """The worst first, then by rule and place, so that two runs print the same."""
    return sorted(
        findings,
        key=lambda each: (
            -SEVERITIES.index(each.severity),
            each.rule,
            each.schema or "",
            each.table or "",
            each.columns,
            each.object or "",
        ),
    )
