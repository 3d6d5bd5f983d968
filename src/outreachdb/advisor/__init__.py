"""The advisor: looks at any PostgreSQL 15-18 database and says what to mend, with the statements and their way back."""

from outreachdb.advisor.advise import advise
from outreachdb.advisor.findings import SEVERITIES, Finding, Report, Severity
from outreachdb.advisor.rulebook import Rule, rules

__all__ = ["SEVERITIES", "Finding", "Report", "Rule", "Severity", "advise", "rules"]
