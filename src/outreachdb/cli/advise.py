"""The command ``advise``."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from outreachdb import advisor
from outreachdb.advisor import findings, migration, models_check, reports, suppressions
from outreachdb.advisor import review as reviewing
from outreachdb.advisor.migration import Written
from outreachdb.advisor.workload import logs, source
from outreachdb.app import embedded_url
from outreachdb.cli.context import options, run, settings
from outreachdb.cli.output import emit, plain_value
from outreachdb.cli.progress import bar
from outreachdb.errors import InvalidInput, UsageError

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


def advise(  # noqa: PLR0913, PLR0917  (each is an option)
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
    log: Annotated[
        Path | None, typer.Option(help="A server's log (stderr, csvlog, jsonlog; .gz) instead of pg_stat_statements.")
    ] = None,
    indexes: Annotated[
        bool | None,
        typer.Option(
            "--propose-indexes/--no-indexes",
            help="Try indexes for the queries on a copy with a sample of their tables; default with --queries, --log.",
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How the report is written.")] = Format.TERMINAL,
    output: Annotated[Path | None, typer.Option(help="Write the report to this file.")] = None,
    write_migration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write what is advised as a revision behind the head of DIR's Alembic history."
        ),
    ] = None,
    as_sql: Annotated[bool, typer.Option("--sql", help="Write the migration as a pair of SQL files instead.")] = False,
    metadata: Annotated[
        str | None, typer.Option(metavar="MODULE:BASE", help="Look at SQLAlchemy models instead of a database.")
    ] = None,
    review: Annotated[
        str | None,
        typer.Option(metavar="FILE|INI:REV", help="Look at a migration: an SQL file, or alembic.ini:REVISION."),
    ] = None,
    unused_days: Annotated[
        int, typer.Option(min=0, help="Days for which use must have been counted before an index is called unused.")
    ] = 30,
    statement_seconds: Annotated[float, typer.Option(min=0.1, help="Time limit of one statement.")] = 10,
) -> None:
    """Look at a database, change nothing, and say what to mend, with the statements and their way back."""
    level = findings.severity(fail_on) if fail_on else None
    known = suppressions.load(accepted) if accepted else None
    if queries and log:
        raise UsageError("--queries and --log each say what the workload is", hint="give one of them")
    workload = source.from_file(queries) if queries else logs.from_log(log) if log else None
    if as_sql and write_migration is None:
        raise UsageError("--sql says how --write-migration writes", hint="give --write-migration DIR")

    async def look() -> tuple[advisor.Report, Written | None]:
        configuration = settings()
        if metadata is not None:
            return await models_check.advise_metadata(metadata, suppressions=known), None
        target = url or configuration.url("admin") or await embedded_url(configuration)
        assert target is not None  # noqa: S101  (one of the three is there)
        if review is not None:
            return await _review(review, target, known, asked=url is not None), None
        with bar("advise") as progress:
            report = await advisor.advise(
                target,
                only=rule or (),
                suppressions=known,
                queries=workload,
                indexes=indexes if indexes is not None else workload is not None or "missing_index" in (rule or ()),
                given={"min_days": unused_days},
                statement_ms=int(statement_seconds * 1000),
                timeout=configuration.connect_timeout,
                progress=progress,
            )
            if write_migration is None:
                return report, None
            progress("proving the migration on a clone", 0)
            return report, await asyncio.to_thread(
                migration.write, report, target, write_migration, as_sql=as_sql, chosen=rule or ()
            )

    report, written = run(look())
    _write(report, Format.JSON if options.json else form, output)
    if written is not None:
        _tell(written)
    if level is not None and report.reaches(level):
        raise typer.Exit(1)


async def _review(what: str, url: str, known: suppressions.Suppressions | None, *, asked: bool) -> advisor.Report:
    """A migration's findings in the form of a report; where nobody asked for that database, it need not fit there."""
    began = datetime.now(UTC)
    notes: list[str] = []
    try:
        found = await asyncio.to_thread(reviewing.review, what, url)
    except InvalidInput as error:
        if asked or "statement" not in error.context:
            raise
        found = await asyncio.to_thread(reviewing.review, what, None)
        notes.append(f"the locks that it takes: {error.detail}; give the URL of the database that it is for")
    kept, accepted = (known or suppressions.Suppressions()).apply(found, today=began.date(), notes=notes)
    seconds = (datetime.now(UTC) - began).total_seconds()
    return advisor.Report(what, "15 to 18", began, seconds, findings.ordered(kept), accepted, notes)


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


def _tell(written: Written) -> None:
    """What was written, on stderr: stdout holds the report."""
    lines = [f"written: {path}" for path in written.paths] or ["nothing to write: no finding has statements to run"]
    lines += [f"left out: {each.rule} {each.place}: {reason}" for each, reason in written.left_out]
    sys.stderr.writelines(f"{line}\n" for line in lines)


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
