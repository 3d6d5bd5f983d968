"""Actions on all leads of a segment (tags, a field, suppression, deletion), recorded as imports are, and undone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Session, Tenant
from outreachdb.db.texts import check_text
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.leads import importing
from outreachdb.leads.vocabulary import COMPUTED, LEAD_COLUMNS
from outreachdb.segments import cost, effects, segments
from outreachdb.segments.effects import Action
from outreachdb.segments.segments import NameOrDefinition

A = Queries("outreachdb.segments", "actions.sql")
# A suppression by an action lasts until here, or until somebody else asks for it; see decision 0014.
FAR_END = datetime(3000, 1, 1, tzinfo=UTC)
WORDED = ("company_name", "first_name", "last_name")  # what misspelt searches look among
SAMPLES = 10
MAX_LISTED = 10_000
# What the undo of imports doesn't take back; and what is left to do once the history of such an action is pruned.
INSTEAD = {"delete": "import the leads again", "suppress": "outreachdb suppress remove lifts single ones"}


@dataclass(frozen=True, slots=True)
class ActionReport:
    """What an action did, or would do: of ``matched`` leads ``changed`` ones, and why others were ``kept``.

    ``action_id`` is None where nothing was done.
    """

    action_id: int | None
    matched: int
    changed: int
    kept: tuple[importing.Kept, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class ActionUndo:
    """What taking an action back did: ``restored`` leads or suppressions, and why others were ``kept``."""

    action_id: int
    restored: int
    kept: tuple[importing.Kept, ...]
    seconds: float


async def apply(
    tenant: Tenant,
    segment: NameOrDefinition,
    action: Action,
    *,
    by: str = "",
    dry_run: bool = False,
    confirmed: bool = False,
) -> ActionReport:
    """Do something to every lead of a segment, in one transaction; ``dry_run`` does it and takes it back at once.

    A field that is set leaves a lead as an import of that value would: its number in international form and its company
    follow. Deleting keeps leads that any table knows (sends, events, profiles ...) and opt-outs that nothing else
    remembers. Raises InvalidInput where the action makes no sense, TooCostly where finding the leads would take longer
    than the budget and is not ``confirmed``, NotFound.
    """
    effects.check(action)
    check_text("by", by)
    definition = await segments.resolve(tenant, segment)
    title = f"segment {segment}" if isinstance(segment, str) else "segment"
    began = time.monotonic()
    async with tenant.trusted(doing=f"applying {action.kind} to the {title}") as session:
        action = await effects.judged(session, action)
        await cost.guard(session, tenant, Jsonb(definition), confirmed=confirmed)
        stored = action.document() | {"definition": definition, "by": by}
        work = _Work(session, tenant, action, {"title": title, "action": Jsonb(stored)})
        report = await work.run(Jsonb(definition), began)
        if dry_run:
            await (await session.connection()).rollback()
            return ActionReport(None, report.matched, report.changed, report.kept, report.seconds)
    if action.field in WORDED and report.changed:
        await importing.learn_words(tenant)
    return report


async def listed(tenant: Tenant, limit: int = 50) -> list[Row]:
    """The newest actions: id, title, action, status, matched, changed, started_at; at most 10,000."""
    if not 1 <= limit <= MAX_LISTED:
        raise InvalidInput(f"limit: must lie between 1 and {MAX_LISTED}")
    async with tenant.session(doing="listing actions") as session:
        return await session.all(A.list_actions, {"workspace_id": tenant.workspace_id, "limit": limit})


async def done_by(tenant: Tenant, by: str) -> Row | None:
    """The first action that is stored as done ``by`` somebody (id, matched, changed), or None."""
    async with tenant.session(doing="looking for an action") as session:
        return await session.one(A.find_done, {"workspace_id": tenant.workspace_id, "by": by})


async def undo(tenant: Tenant, action_id: int, *, keep_changed: bool = False) -> ActionUndo:
    """Take an action back; leads that were written since stay as they are and are reported.

    Where later imports or actions changed its leads, these are to be undone first; ``keep_changed`` leaves such leads.
    A suppression is lifted where this action alone asked for it and the lead has not opted out since. Deleted leads
    return under their old ids unless their address is taken. Raises NotFound, or Conflict where it is undone already
    or has to wait for others, or where its history is pruned.
    """
    if not 0 < action_id <= segments.BIGGEST_ID:
        raise NotFound(f"there is no action {action_id}", hint="outreachdb segment actions")
    began = time.monotonic()
    values = {"workspace_id": tenant.workspace_id, "action_id": action_id, "source": _source(action_id)}
    async with tenant.trusted(doing=f"undoing the action {action_id}") as session:
        await session.execute(A.lock_workspace, values)
        found = await session.one(A.lock_action, values)
        if found is None:
            raise NotFound(f"there is no action {action_id}", hint="outreachdb segment actions")
        if found["status"] == "undone":
            raise Conflict(f"the action {action_id} is undone already")
        if found["action"] in INSTEAD:
            what = f"the action {action_id} can't be undone any more"
            importing.check_history(found, what, instead=INSTEAD[found["action"]])
            restored = await (_unsuppress if found["action"] == "suppress" else _bring_back)(session, values)
            await session.execute(A.finish_undo, values)
            missing = found["updated"] - restored
            reason = "asked for by others, or opted out since" if found["action"] == "suppress" else "taken since"
            kept = (importing.Kept(reason, missing, ()),) if missing > 0 else ()
            return ActionUndo(action_id, restored, kept, time.monotonic() - began)
    report = await importing.undo(tenant, action_id, keep_changed=keep_changed)
    return ActionUndo(action_id, report.restored, report.kept, time.monotonic() - began)


class _Work:
    """One action; its locks are taken in the order of a merge: workspace, suppressions, leads by id."""

    def __init__(self, session: Session, tenant: Tenant, action: Action, values: dict[str, Any]) -> None:
        self._session = session
        self._tenant = tenant
        self._action = action
        self._values = values | {"workspace_id": tenant.workspace_id, "now": datetime.now(UTC), "samples": SAMPLES}

    async def run(self, definition: Jsonb, began: float) -> ActionReport:
        """Find the leads, change them, record what they were."""
        await self._do(A.lock_workspace)
        await self._do(A.create_members)
        self._values["definition"] = definition
        await self._do(A.list_members)
        await self._do(A.analyze_members)
        matched = await self._session.value(A.count_members)
        self._values["action_id"] = await self._session.value(A.begin_action, self._values)
        steps = {"suppress": self._suppress, "delete": self._delete}
        changed = await steps.get(self._action.kind, self._change)() if matched else 0
        status = "applied" if self._action.kind in steps else "done"
        worded = self._action.field in WORDED and changed > 0
        ended = {"status": status, "matched": matched, "changed": changed, "finished_at": datetime.now(UTC)}
        ended["words_pending"] = worded
        await self._session.execute(A.finish_action, self._values | ended)
        rows = await self._session.all(A.count_kept, self._values)
        kept = tuple(importing.Kept(row["reason"], row["leads"], tuple(row["sample"])) for row in rows)
        return ActionReport(self._values["action_id"], matched, changed, kept, time.monotonic() - began)

    async def _change(self) -> int:
        changes, assignment, values = effects.change_of(self._action)
        company = await effects.company_of(self._session, self._tenant, self._action, self._values["now"])
        self._values |= values | {"company_id": company}
        await self._do(A.lock_members)
        if self._action.kind == "set" and self._action.field == "status":
            await self._do(A.keep_opted_out)
        await self._do(sql.SQL(A.store_before_images).format(changes=changes))
        return await self._do(sql.SQL(A.change_leads).format(assignment=assignment))

    async def _suppress(self) -> int:
        await self._do(A.store_suppressions)
        self._values |= {"reason": self._action.reason, "far_end": FAR_END}
        self._values["source"] = _source(self._values["action_id"])
        return await self._do(A.suppress_members)

    async def _delete(self) -> int:
        await self._do(A.lock_members)
        for table in await self._session.all(A.tables_of_leads):
            named = sql.Identifier(table["schema"], table["name"])
            reason = sql.Literal(f"used in {table['name']}")
            await self._do(sql.SQL(A.keep_used).format(table=named, reason=reason))
        await self._do(A.keep_opt_out_only)
        await self._do(sql.SQL(A.store_before_images).format(changes=sql.SQL("true")))
        return await self._do(A.delete_leads)

    async def _do(self, statement: str | sql.Composed) -> int:
        return (await self._session.execute(statement, self._values)).rowcount


async def _unsuppress(session: Session, values: dict[str, Any]) -> int:
    await session.execute(A.hand_over, values)
    await session.execute(A.hand_on, values)
    given_back = (await session.execute(A.give_back, values)).rowcount
    return given_back + (await session.execute(A.lift, values)).rowcount


async def _bring_back(session: Session, values: dict[str, Any]) -> int:
    columns = [name for name in LEAD_COLUMNS if name not in COMPUTED]
    given: list[sql.Composable] = [
        sql.SQL(
            "(SELECT f.id FROM outreach.companies AS f WHERE f.workspace_id = b.workspace_id AND f.id = b.company_id)"
        )
        if name == "company_id"
        else sql.Identifier("b", name)
        for name in columns
    ]
    statement = sql.SQL(A.bring_back).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)), values=sql.SQL(", ").join(given)
    )
    return (await session.execute(statement, values)).rowcount


def _source(action_id: int) -> str:
    return f"segment action {action_id}"
