"""How each kind of background job is done. Any may be killed at any line and begun again: nothing is done twice."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outreachdb import segments
from outreachdb.campaigns import campaigns
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict
from outreachdb.leads import importing
from outreachdb.progress import Progress
from outreachdb.sending import schedule


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker has in its hands: the arguments, which attempt it is, and when the first one began."""

    tenant: Tenant
    background_id: int
    arguments: dict[str, Any]
    attempt: int
    began_at: datetime
    asked_at: datetime
    progress: Progress


async def import_(task: Task) -> dict[str, Any]:
    """Import a file; one that was killed after the leads were stored gives that import's report."""
    given = task.arguments
    if task.attempt > 1 and (done := await _stored(task)) is not None:
        return done.document()
    report = await importing.import_file(
        task.tenant,
        given["file"],
        mapping=given.get("mapping"),
        ignore=given.get("ignore") or (),
        on_conflict=given.get("on_conflict", "update"),
        saved_mapping=given.get("saved_mapping", "auto"),
        save_mapping=given.get("save_mapping"),
        encoding=given.get("encoding"),
        delimiter=given.get("delimiter"),
        progress=task.progress,
    )
    return report.document()


async def _stored(task: Task) -> importing.ImportReport | None:
    for row in await importing.listed(task.tenant, 200):
        if row["status"] == "done" and row["started_at"] >= task.began_at:
            found = await importing.find(task.tenant, row["id"])
            if found["source_path"] == task.arguments["file"]:
                return await importing.resume(task.tenant, row["id"])
    return None


async def export(task: Task) -> dict[str, Any]:
    """Write a segment to a file, which appears when it is whole."""
    given = task.arguments
    done = await segments.export(
        task.tenant,
        given["segment"],
        given["file"],
        file_format=given.get("format"),
        spreadsheet_safe=bool(given.get("spreadsheet_safe")),
        confirmed=True,
        progress=task.progress,
    )
    return dataclasses.asdict(done)


async def launch(task: Task) -> dict[str, Any]:
    """Launch a campaign; its sends carry the instant of the first attempt, by which they are known again."""
    given = task.arguments
    try:
        made = await schedule.launch(
            task.tenant, given["campaign"], launched_at=task.began_at, check=bool(given.get("check", True))
        )
    except Conflict:
        found = await campaigns.show(task.tenant, given["campaign"])
        if task.attempt == 1 or found.campaign.launched_at != task.began_at:
            raise
        # The attempt before this one launched it and died before it could say so.
        scheduled = sum(found.sends.values())
        return {"campaign_id": found.campaign.id, "scheduled": scheduled, "excluded": found.excluded, "seconds": None}
    return dataclasses.asdict(made)


async def action(task: Task) -> dict[str, Any]:
    """Do something to every lead of a segment; one that was done before it was killed is not done again."""
    given = task.arguments
    by = f"{given.get('by') or 'somebody'}, job {task.background_id}"
    if task.attempt > 1 and (earlier := await segments.done_by(task.tenant, by)) is not None:
        return {"action_id": earlier["id"], "matched": earlier["matched"], "changed": earlier["changed"]}
    wanted = segments.Action(**given["action"])
    done = await segments.apply(task.tenant, given["segment"], wanted, by=by, confirmed=True)
    document: dict[str, Any] = dataclasses.asdict(done)
    return document


HANDLERS: dict[str, Callable[[Task], Awaitable[dict[str, Any]]]] = {
    "action": action,
    "export": export,
    "import": import_,
    "launch": launch,
}


async def do(kind: str, task: Task) -> dict[str, Any]:
    """Do a job; its result as JSON holds it."""
    result = await HANDLERS[kind](task)
    plain: dict[str, Any] = json.loads(json.dumps(result, default=str))
    return plain
