"""The pages: one per rule, written from it; a row for each rule of other tools."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from outreachdb.advisor import rules
from outreachdb.advisor.pages import pages
from outreachdb.advisor.rulebook import COLUMNS
from outreachdb.cli.main import build

DOCS = Path(__file__).parents[2] / "docs" / "reference"
_LIST = re.compile(
    r"^- \*\*(splinter|pg-index-health|squawk) \(\d+\)\*\*: (.*?)(?=^- \*\*|\Z)", re.MULTILINE | re.DOTALL
)
# Rules that come from a measured proposal, not from a file of their own.
PROPOSED = {"missing_index"}


def _rows() -> list[tuple[str, ...]]:
    lines = (DOCS / "advisor-parity.md").read_text(encoding="utf-8").splitlines()
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("| ")][1:]


def test_every_rule_has_a_page_and_says_why() -> None:
    assert set(pages()) == {"index.md", *(f"{name}.md" for name in rules())}
    for name, rule in rules().items():
        assert min(len(rule.title), len(rule.why), len(rule.fix)) > 10, name
        assert all(source.startswith("https://") for source in rule.sources), name
        assert rule.sources, name
        assert (DOCS / "advisor" / f"{name}.md").read_text().endswith(pages()[f"{name}.md"]), name


def test_sql_rules_return_the_same_columns() -> None:
    for name, rule in rules().items():
        if rule.sql is not None:
            # The last SELECT list of the file names all of them, in order.
            named = [column for column in COLUMNS if re.search(rf"\bAS {column}\b|\.{column},", rule.sql)]
            assert tuple(named) == COLUMNS, name


def test_parity_rows_name_rules_that_exist_or_reasons() -> None:
    options = {flag for each in get_command(build("advise")).commands["advise"].params for flag in each.opts}  # type: ignore[attr-defined]
    for tool, rule, ours, remark in _rows():
        assert tool
        assert rule
        if ours == "none":
            assert len(remark) > 10, f"{tool}: {rule} is not explained"
        for name in ours.split(", ") if ours != "none" else ():
            assert name in rules() or name in PROPOSED or name in options, f"{tool}: {rule}: there is no {name}"


@pytest.mark.data
def test_parity_has_a_row_for_each_rule_of_the_others(contacts: Path) -> None:
    text = (contacts.parents[1] / "reference" / "specialist-tools.md").read_text(encoding="utf-8")
    wanted: set[tuple[str, str]] = set()
    for tool, listed in _LIST.findall(text):
        for part in " ".join(listed.split()).split(";"):
            group = re.match(r"([a-z]+-) (.*)", part.strip(" ."))
            prefix, rest = (group[1], group[2]) if group else ("", part.strip(" ."))
            whole = tool == "pg-index-health" and "(" in rest
            wanted |= {
                (tool, prefix + name.strip(" .").removeprefix("and "))
                for name in ([rest] if whole else rest.split(","))
            }
    wanted |= {
        ("all", line.split("|")[1].strip()) for line in text.split("## Health")[0].splitlines() if line.startswith("| ")
    }
    missing = wanted - {row[:2] for row in _rows()} - {("all", "rule")}
    assert len(wanted) > 100
    assert not missing
