"""The reference pages of the rules, written from the rules themselves."""

from __future__ import annotations

from outreachdb.advisor.rulebook import GROUPS, Rule, rules

_HEADINGS = {
    "indexes": "Indexes",
    "constraints": "Constraints",
    "types": "Types and keys",
    "isolation": "Isolation and privileges",
    "storage": "Storage and statistics",
    "design": "Design",
    "workload": "From the workload",
}


def pages() -> dict[str, str]:
    """File name -> text: one page per rule, and ``index.md``."""
    return {"index.md": _index()} | {f"{name}.md": _page(rule) for name, rule in rules().items()}


def _index() -> str:
    lines = [
        f"# Rules of the advisor ({len(rules())})",
        "",
        "`outreachdb advise` runs all of them; `--rule NAME` runs one. What they need to see and how to",
        "accept a finding is told in [Let the advisor look at a database](../../how-to/advise.md).",
        "",
    ]
    for group in GROUPS:
        lines += [f"## {_HEADINGS[group]}", "", "| rule | what | at most |", "|---|---|---|"]
        lines += [
            f"| [{name}]({name}.md) | {rule.title} | {rule.severity} |"
            for name, rule in rules().items()
            if rule.group == group
        ]
        lines.append("")
    return "\n".join(lines)


def _page(rule: Rule) -> str:
    size = ", one level lower on tables below 10 MB" if rule.weigh else ""
    source = "the queries of the workload" if rule.from_workload else "the catalogue and its statistics"
    lines = [
        f"# {rule.name}",
        "",
        f"**{rule.title}.** At most `{rule.severity}`{size}; read from {source}.",
        "",
        "## Why it matters",
        "",
        rule.why,
        "",
        "## What to do",
        "",
        rule.fix,
        "",
        "## Sources",
        "",
        *(f"- <{source}>" for source in rule.sources),
        "",
    ]
    return "\n".join(lines)
