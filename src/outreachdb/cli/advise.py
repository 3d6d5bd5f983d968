"""The command ``advise``."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from outreachdb import advisor
from outreachdb.advisor import findings, reports, suppressions
from outreachdb.advisor.workload import source
from outreachdb.app import embedded_url
from outreachdb.cli.context import options, run, settings
from outreachdb.cli.output import emit, plain_value
from outreachdb.cli.progress import bar
from outreachdb.errors import InvalidInput

COLORS = {"error": "bold red", "warning": "yellow", "info": "cyan"}


class Format(StrEnum):
    """How the report is written."""

    TERMINAL = "terminal"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(advise)


def advise(
    url: Annotated[str | None, typer.Argument(help="Any PostgreSQL 15 to 18; without one, -d or the settings.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule; may be repeated.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Exit 1 on a finding of this level or above: info, warning, error."),
    ] = None,
    accepted: Annotated[
        Path | None, typer.Option("--suppressions", help="YAML: accepted findings, each with a reason and an end.")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="SQL or JSON lines to judge instead of pg_stat_statements.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How the report is written.")] = Format.TERMINAL,
    output: Annotated[Path | None, typer.Option(help="Write the report to this file.")] = None,
    statement_seconds: Annotated[float, typer.Option(min=0.1, help="Time limit of one statement.")] = 10,
) -> None:
    """Look at a database, change nothing, and say what to mend, with the statements and their way back."""
    level = findings.severity(fail_on) if fail_on else None
    known = suppressions.load(accepted) if accepted else None
    workload = source.from_file(queries) if queries else None

    async def look() -> advisor.Report:
        configuration = settings()
        target = url or configuration.url("admin") or await embedded_url(configuration)
        assert target is not None  # noqa: S101  (one of the three is there)
        with bar("advise") as progress:
            return await advisor.advise(
                target,
                only=rule or (),
                suppressions=known,
                queries=workload,
                statement_ms=int(statement_seconds * 1000),
                timeout=configuration.connect_timeout,
                progress=progress,
            )

    report = run(look())
    _write(report, Format.JSON if options.json else form, output)
    if level is not None and report.reaches(level):
        raise typer.Exit(1)


def _write(report: advisor.Report, form: Format, output: Path | None) -> None:
    if form is Format.TERMINAL and output is None:
        emit(report.document(), _terminal(report))
        return
    if form is Format.HTML:
        text = reports.html(report)
    elif form is Format.JSON:
        text = json.dumps(report.document(), default=plain_value, ensure_ascii=False) + "\n"
    else:
        text = reports.markdown(report)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{output} can't be written: {(error.strerror or str(error)).lower()}") from error
    sys.stderr.write(f"{len(report.findings)} findings written to {output}\n")


def _terminal(report: advisor.Report) -> RenderableType:
    parts: list[RenderableType] = []
    for each in report.findings:
        head = Text.assemble((each.severity, COLORS[each.severity]), " ", (each.rule, "bold"), " ", each.place)
        if each.object:
            head.append(f" {each.object}")
        parts.append(head)
        parts.append(Text(f"  {each.evidence.get('summary', '')}"))
        if "violating_rows" in each.evidence and each.evidence["violating_rows"] is not None:
            parts.append(Text(f"  rows that break it: {each.evidence['violating_rows']:,}"))
        if each.ddl:
            parts.append(Text("\n".join(f"    {line}" for line in each.ddl.splitlines()), style="dim"))
    counts = ", ".join(
        f"{sum(each.severity == level for each in report.findings)} {level}" for level in reversed(advisor.SEVERITIES)
    )
    parts += [Text(f"not seen: {note}", style="yellow") for note in report.notes]
    accepted = f"; {len(report.suppressed)} accepted" if report.suppressed else ""
    parts.append(Text(f"{report.database}, PostgreSQL {report.version}: {counts}{accepted} ({report.seconds:.1f} s)"))
    return Group(*parts)
