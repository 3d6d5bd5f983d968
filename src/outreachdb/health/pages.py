"""The reference page of the checks, written from the checks themselves."""

from __future__ import annotations

from outreachdb.health.checkbook import GROUPS, Check, checks

_HEADINGS = {
    "memory": "Memory",
    "connections": "Connections and transactions",
    "locks": "Locks",
    "queries": "Queries and statistics",
    "indexes": "Indexes and constraints",
    "storage": "Room and limits",
    "partitions": "Partitions",
    "replication": "Replication",
    "queues": "Queues and jobs",
    "analytics": "Analytics",
}
_WORDS = {"primary": "a primary", "standby": "a standby"}
_INTRODUCTION = """`outreachdb health` runs all of them, `--check NAME` one. A check is yellow or red when its
value reaches the threshold (falls below it, where lower is worse). One that does not apply to a database says why.
Thresholds, and what stands under "also set", are changed in a file: see [Watch its health](../how-to/health.md).
[What the advisor finds](advisor/index.md) are the same faults, one by one, with statements."""


def page() -> str:
    """The page."""
    lines = [f"# Health checks ({len(checks())})", "", _INTRODUCTION, ""]
    for group in GROUPS:
        here = [each for each in checks().values() if each.group == group]
        lines += [f"## {_HEADINGS[group]}", ""]
        for each in here:
            lines += _part(each)
    return "\n".join(lines).rstrip() + "\n"


def _part(each: Check) -> list[str]:
    word = "below" if each.lower_is_worse else "from"
    limits = f"Yellow {word} {each.yellow:g}, red {word} {each.red:g}; {each.unit}."
    given = ", ".join(f"`{name}` {value:g}" for name, value in each.given.items())
    needs = ", ".join(_need(need) for need in each.needs)
    lines = [f"### {each.name}", "", f"**{each.title}.** {limits}", "", each.why, "", f"What to do: {each.advice}", ""]
    if given:
        lines += [f"Also set: {given}.", ""]
    if needs:
        lines += [f"Needs {needs}.", ""]
    asked = [source for source in each.sources if not source.startswith("http")]
    lines += [f"- <{source}>" for source in each.sources if source.startswith("http")]
    lines += [f"- asked for by {', '.join(asked)}"] if asked else []
    return [*lines, ""]


def _need(need: str) -> str:
    kind, _, name = need.partition(":")
    return _WORDS.get(kind) or f"the {kind} `{name}`"
