"""The report of an import for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from outreachdb.leads.importing.fields import CUSTOM
from outreachdb.leads.importing.report import ImportReport
from outreachdb.words import counted

COUNTS = ("rows_read", "inserted", "updated", "skipped", "rejected")
SHOWN = 60  # characters of a value
NOTES = (
    ("without_address", "without an e-mail address", "without an e-mail address"),
    ("role", "role address (info@, sales@)", "role addresses (info@, sales@)"),
    ("disposable", "disposable address", "disposable addresses"),
    ("phones_normalised", "phone number in international form", "phone numbers in international form"),
    ("arrived_suppressed", "suppressed from the start", "suppressed from the start"),
)


def summary(report: ImportReport) -> str:
    """Counts, how the columns were taken, what to know of the new leads; of a dry run also what would change."""
    counts = ", ".join(f"{getattr(report, name):,} {name}" for name in COUNTS[1:])
    speed = f"{report.seconds:.1f} s, {report.rows_per_second:,} rows/s"
    what = "dry run, nothing changed" if report.dry_run else f"import {report.import_id}"
    return "\n".join([f"{what}: {counted(report.rows_read, 'row')} read = {counts} ({speed})", *_lines(report)])


def _lines(report: ImportReport) -> Iterator[str]:
    if report.dry_run:
        yield ", ".join(_read_as(report))
    if report.sheets_left_out:
        named = ", ".join(report.sheets_left_out)
        yield f"not read: {counted(len(report.sheets_left_out), 'more sheet')} with rows: {named} (save each as a file)"
    if report.saved_mapping is not None:
        yield f"columns as saved in mapping {report.saved_mapping}"
    yield from _columns(report)
    new = report.details.get("new_leads", {})
    noted = [counted(new[name], one, many) for name, one, many in NOTES if new.get(name)]
    if noted:
        yield f"new leads: {'; '.join(noted)}"
    if "suppressed" in report.details:
        yield f"{counted(report.details['suppressed'], 'lead')} of the file may not be mailed"
    yield from _changes(report.details.get("changes", ()))
    yield from _rejects(report)
    if report.rejected and not report.dry_run:
        yield f"why: outreachdb imports rejects {report.import_id}"


def _read_as(report: ImportReport) -> Iterator[str]:
    """How the file was read; not every format has all of it."""
    yield report.format
    if report.encoding is not None:
        yield report.encoding
    if report.delimiter is not None:
        yield f"delimiter {report.delimiter!r}"
    if report.header_line is not None:
        yield f"header in {'row' if report.format.startswith('xlsx') else 'line'} {report.header_line}"


def _rejects(report: ImportReport) -> Iterator[str]:
    """The first rejected rows of a dry run, which leaves none to look at later."""
    shown = report.details.get("rejects", ())
    if shown:
        yield (
            "rejected:"
            if len(shown) == report.rejected
            else f"rejected, the first {len(shown)} of {report.rejected:,}:"
        )
    for row in shown:
        where = f", {row['column_name']}" if row["column_name"] else ""
        value = row["raw"] if row["value"] is None else row["value"]
        yield f"  row {row['row_number']}{where}: {_short(value)}: {row['reason']}"


def _columns(report: ImportReport) -> Iterator[str]:
    if report.dry_run:
        for column in report.preview:
            yield _column(column, report.details.get("typed_columns", {}))
        return
    fields = [
        f"{name} -> {target}" for name, target in report.mapping.items() if target and not target.startswith(CUSTOM)
    ]
    custom = [name for name, target in report.mapping.items() if target and target.startswith(CUSTOM)]
    ignored = [name for name, target in report.mapping.items() if target is None]
    for words, names in (("fields", fields), ("custom fields", custom), ("left out", ignored)):
        if names:
            yield f"{words}: {', '.join(names)}"


def _column(column: Any, kinds: Any) -> str:
    """One line of a dry run: where the column goes, how sure that is, what it holds."""
    target = column["target"] or "(left out)"
    notes = [f"{column['confidence']:.0%} sure"] if column["confidence"] else []
    notes += [f"a {kinds[column['column']]}"] if column["column"] in kinds else []
    notes += ["tells who must not be mailed"] if column.get("marks") else []
    examples = ", ".join(_short(value) for value in column["examples"])
    return f"  {column['column']} -> {target}" + (f" ({'; '.join(notes)})" if notes else "") + f"  {examples}".rstrip()


def _changes(changes: Any) -> Iterator[str]:
    if changes:
        yield "would change, for example:"
    for row in changes:
        who = row["email"] or f"lead {row['lead_id']}"
        yield f"  {who}: {row['field']} {_short(row['before'])} -> {_short(row['after'])}"


def _short(value: Any) -> str:
    text = "(empty)" if value is None else " ".join(str(value).split())
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
