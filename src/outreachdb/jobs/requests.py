"""What may be asked to be done in the background, checked as far as that is possible before it waits in a queue."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import get_args

from outreachdb.campaigns import campaigns
from outreachdb.db.tenant import Tenant
from outreachdb.db.texts import check_text
from outreachdb.errors import Conflict, InvalidInput, UsageError
from outreachdb.jobs.background import Background, submit
from outreachdb.leads.importing import mappings, policy
from outreachdb.leads.importing.detection import Said
from outreachdb.leads.importing.policy import OnConflict
from outreachdb.leads.importing.sources import is_stream
from outreachdb.segments import effects, segments
from outreachdb.segments.effects import Action
from outreachdb.segments.export import Format
from outreachdb.segments.segments import NameOrDefinition


async def import_file(  # noqa: PLR0913 - each is a choice of its own, with a default
    tenant: Tenant,
    path: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    on_conflict: OnConflict = "update",
    saved_mapping: str = mappings.BY_HEADER,
    save_mapping: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Background:
    """Import a file that the worker can read too; raises InvalidInput where there is none, UsageError for a stream."""
    policy.check(on_conflict)
    Said.of(encoding, delimiter)
    file = _to_read(Path(path))
    arguments = {
        "file": str(file),
        "mapping": dict(mapping or {}),
        "ignore": list(ignore),
        "on_conflict": on_conflict,
        "saved_mapping": saved_mapping,
        "save_mapping": save_mapping,
        "encoding": encoding,
        "delimiter": delimiter,
    }
    return await submit(tenant, "import", f"import {file.name}", arguments)


async def export(
    tenant: Tenant,
    segment: NameOrDefinition,
    path: str | Path,
    *,
    file_format: Format | None = None,
    spreadsheet_safe: bool = False,
) -> Background:
    """Write a segment to a file, whatever it costs: in the background nobody waits for it."""
    file = _to_write(Path(path), file_format)
    await segments.resolve(tenant, segment)
    arguments = {
        "segment": segment if isinstance(segment, str) else dict(segment),
        "file": str(file),
        "format": file_format,
        "spreadsheet_safe": spreadsheet_safe,
    }
    return await submit(tenant, "export", f"export to {file.name}", arguments)


async def action(tenant: Tenant, segment: NameOrDefinition, wanted: Action, *, by: str = "") -> Background:
    """Do something to every lead that is in the segment when the worker begins."""
    async with tenant.trusted(doing="checking the action") as session:
        wanted = await effects.judged(session, wanted)
    check_text("by", by)
    await segments.resolve(tenant, segment)
    chosen = segment if isinstance(segment, str) else dict(segment)
    arguments = {"segment": chosen, "action": dataclasses.asdict(wanted), "by": by}
    return await submit(tenant, "action", f"{wanted.kind.replace('_', ' ')} for a segment", arguments)


async def launch(tenant: Tenant, campaign: str | int, *, check: bool = True) -> Background:
    """Launch a campaign; raises NotFound, or Conflict where it was launched already."""
    found = await campaigns.find(tenant, campaign)
    if found.launched_at is not None:
        raise Conflict(f"the campaign {found.name} was launched already", hint=f"outreachdb campaign add {found.id}")
    return await submit(tenant, "launch", f"launch {found.name}", {"campaign": found.id, "check": check})


def _to_read(path: Path) -> Path:
    if is_stream(path):
        raise UsageError("standard input ends with this command", hint="a background import reads a file")
    if not path.is_file():
        raise InvalidInput(f"{path} is not there, or no file")
    return path.absolute()


def _to_write(path: Path, file_format: Format | None) -> Path:
    if (file_format or path.suffix.lower().removeprefix(".")) not in get_args(Format):
        raise UsageError(f"{path.name}: csv or parquet?", hint="name the file .csv or .parquet, or give --format")
    if not path.absolute().parent.is_dir():
        raise InvalidInput(f"{path} can't be written: there is no folder {path.absolute().parent}")
    return path.absolute()
