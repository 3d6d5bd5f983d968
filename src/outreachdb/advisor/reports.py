"""The report as Markdown and as one HTML page that needs nothing else, with before and after drawn where measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from outreachdb.advisor.findings import SEVERITIES, Finding, Report
from outreachdb.advisor.rulebook import rules

_WIDTH, _BAR, _LABEL = 640, 16, 90
PAGE = 8192  # bytes


def markdown(report: Report) -> str:
    """The report for a ticket or a merge request."""
    lines = [f"# Advice for {report.database}", "", _intro(report), ""]
    lines += [f"> {note}" for note in report.notes] + ([""] if report.notes else [])
    for number, finding in enumerate(report.findings, 1):
        lines += _section(number, finding)
    if report.suppressed:
        lines += ["## Accepted", "", "| rule | where | reason |", "|---|---|---|"]
        lines += [f"| {each.rule} | {_cell(each.place)} | {_cell(reason)} |" for each, reason in report.suppressed]
    return "\n".join(lines) + "\n"


def html(report: Report) -> str:
    """The report as a page: no script, no font, no picture from elsewhere."""
    page: str = _template().render(
        report=report,
        intro=_intro(report),
        titles={name: rule.title for name, rule in rules().items()},
        whys={name: rule.why for name, rule in rules().items()},
        levels=list(reversed(SEVERITIES)),
        overview=_bars({level: _count(report, level) for level in reversed(SEVERITIES)}, "findings"),
        plot=_plot,
        facts=_facts,
    )
    return page


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("outreachdb.advisor").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text)


def _intro(report: Report) -> str:
    counts = ", ".join(f"{_count(report, level)} {level}" for level in reversed(SEVERITIES))
    return (
        f"PostgreSQL {report.version}, as of {report.as_of:%Y-%m-%d %H:%M} UTC, {len(report.rules)} rules in "
        f"{report.seconds:.1f} s: {counts}; {len(report.suppressed)} accepted."
    )


def _count(report: Report, level: str) -> int:
    return sum(each.severity == level for each in report.findings)


def _section(number: int, finding: Finding) -> list[str]:
    what = f" `{finding.object}`" if finding.object else ""
    lines = [f"## {number}. {finding.severity}: {finding.rule}", "", f"`{finding.place}`{what}", ""]
    lines += [_cell(str(finding.evidence.get("summary", ""))), ""]
    lines += [f"- {key}: {_cell(value)}" for key, value in _facts(finding).items()]
    for title, statements in (("Change", finding.ddl), ("Way back", finding.rollback)):
        if statements:
            lines += ["", f"{title}:", "", "```sql", statements, "```"]
    return [*lines, ""]


def _facts(finding: Finding) -> dict[str, str]:
    """The evidence but its summary, as text."""
    facts = {key: value for key, value in finding.evidence.items() if key not in {"summary", "measured"}}
    return {key.replace("_", " "): _text(value) for key, value in facts.items()}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _plot(finding: Finding) -> Markup:
    """Before and after of each query that was measured or planned; nothing where none was."""
    drawn = Markup("")
    for each in finding.evidence.get("measured", ()):
        drawn += _bars({"before": each["before"], "after": each["after"]}, each["unit"], str(each["query"]))
    if (freed := _freed_bytes(finding)) is not None:
        before, after = freed
        drawn += _bars({"before": before / 2**20, "after": after / 2**20}, "MiB", "size on disk")
    return drawn


def _freed_bytes(finding: Finding) -> tuple[float, float] | None:
    """Bytes now and after the change, where a rule knows both: what is dropped is gone, bloat is rewritten."""
    evidence = finding.evidence
    if "pages_needed" in evidence:
        return float(evidence["pages"]) * PAGE, float(evidence["pages_needed"]) * PAGE
    held = evidence.get("wasted_bytes", evidence.get("index_bytes"))
    return (float(held), 0.0) if held and (finding.ddl or "").startswith("DROP INDEX") else None


def _bars(values: Mapping[str, float], unit: str, title: str = "") -> Markup:
    """Horizontal bars in one SVG."""
    most = max([*values.values(), 1e-9])
    top = 20 if title else 0
    parts = [Markup('<text x="0" y="13" class="t">{}</text>').format(title[:110])] if title else []
    for row, (name, value) in enumerate(values.items()):
        y = top + row * (_BAR + 6)
        width = max(value / most * (_WIDTH - _LABEL - 110), 1)
        parts.append(
            Markup(
                '<text x="0" y="{}">{}</text><rect x="{}" y="{}" width="{:.1f}" height="{}" class="b-{}"/>'
                '<text x="{:.1f}" y="{}">{} {}</text>'
            ).format(y + 13, name, _LABEL, y, width, _BAR, name, _LABEL + width + 6, y + 13, f"{value:,.4g}", unit)
        )
    height = top + len(values) * (_BAR + 6)
    body = Markup("").join(parts)
    return Markup(
        '<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">{body}</svg>'
    ).format(w=_WIDTH, h=height, label=escape(title or unit), body=body)
