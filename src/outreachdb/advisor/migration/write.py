"""Writes the migration for a report, after its proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from outreachdb.advisor.findings import Finding, Report
from outreachdb.advisor.migration import files, history, proof, steps
from outreachdb.errors import InvalidInput, MigrationError


@dataclass(frozen=True, slots=True)
class Written:
    """The files, what they mend, and what was left out with the reason."""

    paths: tuple[Path, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[tuple[Finding, str], ...]


def write(report: Report, url: str, folder: Path, *, as_sql: bool = False, chosen: Sequence[str] = ()) -> Written:
    """An Alembic revision behind the head of the history in ``folder``, or with ``as_sql`` two SQL files.

    Runs it up, down and up on a clone of the schema first and has squawk read it; blocks (use a thread). Errors:
    MigrationError where the history is broken or the proof fails, InvalidInput where the folder can't be written;
    nothing is written then.
    """
    known = None if as_sql else history.read(folder)
    plan = steps.plan(report.findings, chosen=chosen)
    if not plan.up:
        return Written((), (), plan.left_out)
    title = f"Advice of outreachdb advise: {len(plan.findings)} findings"
    up, down = files.sql(plan.up, title=title), files.sql(plan.down, title=f"{title}, taken back")
    if objections := [*proof.lint(up), *proof.lint(down)]:
        raise MigrationError(f"squawk objects: {objections[0]}", hint="nothing was written")
    name = uuid4().hex[:12]
    if known is None:
        proof.prove_sql(url, files.statements(up), files.statements(down))
        stem = f"{report.as_of:%Y%m%d%H%M%S}_advice"
        texts = {folder / f"{stem}.up.sql": up, folder / f"{stem}.down.sql": down}
    else:
        made = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
        text = files.revision(plan, name=name, head=known.head, made=made)
        proof.prove_revision(url, text, name=name, head=known.head)
        texts = {known.folder / f"{name}_advice.py": text}
    try:
        for path, content in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{folder} can't be written: {(error.strerror or str(error)).lower()}") from error
    return Written(tuple(texts), plan.findings, plan.left_out)
