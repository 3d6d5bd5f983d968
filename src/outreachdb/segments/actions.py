"""Actions on all leads of a segment (tags, a field, suppression, deletion), recorded as imports are, and undone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, LiteralString, get_args

from psycopg import sql
from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Session, Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound, UsageError
from outreachdb.leads import importing
from outreachdb.leads.vocabulary import COMPUTED, LEAD_COLUMNS, LEAD_STATUSES
from outreachdb.segments import segments
from outreachdb.segments.segments import NameOrDefinition
from outreachdb.words import did_you_mean

A = Queries("outreachdb.segments", "actions.sql")
Kind = Literal["add_tags", "remove_tags", "set", "suppress", "delete"]
# A suppression by an action lasts until here, or until somebody else asks for it; see decision 0014.
FAR_END = datetime(3000, 1, 1, tzinfo=UTC)
REASONS = ("manual", "blocked")
OPT_OUTS = ("unsubscribed", "bounced")
# Fields that an action may set, all of which the undo of imports puts back.
TEXTS = ("city", "company_name", "company_website", "country", "first_name", "industry", "last_name", "linkedin_url",
         "notes", "phone", "source", "timezone", "title")  # fmt: skip
WORDED = ("company_name", "first_name", "last_name")  # what misspelt searches look among
SAMPLES = 10
# What the undo of imports doesn't take back; and what is left to do once the history of such an action is pruned.
INSTEAD = {"delete": "import the leads again", "suppress": "outreachdb suppress remove lifts single ones"}
MAX_TEXT = 10_000


@dataclass(frozen=True, slots=True)
class Action:
    """What is done to each lead: ``tags`` ``field`` and ``value``, or ``reason``, as the kind needs.

    A ``field`` is one of a lead's own or ``custom.<name>``; ``value`` None empties it.
    """

    kind: Kind
    tags: Sequence[str] = ()
    field: str = ""
    value: str | float | bool | None = None
    reason: str = "manual"

    def document(self) -> dict[str, Any]:
        """What is stored with the action."""
        told: dict[Kind, dict[str, Any]] = {
            "add_tags": {"tags": list(self.tags)},
            "remove_tags": {"tags": list(self.tags)},
            "set": {"field": self.field, "value": self.value},
            "suppress": {"reason": self.reason},
            "delete": {},
        }
        return {"action": self.kind} | told[self.kind]


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
    tenant: Tenant, segment: NameOrDefinition, action: Action, *, by: str = "", dry_run: bool = False
) -> ActionReport:
    """Do something to every lead of a segment, in one transaction; ``dry_run`` does it and takes it back at once.

    Deleting keeps leads that any table knows (sends, events, profiles ...) and opt-outs that nothing else remembers.
    Raises InvalidInput where the action makes no sense, NotFound.
    """
    check(action)
    definition = await segments.resolve(tenant, segment)
    title = f"segment {segment}" if isinstance(segment, str) else "segment"
    stored = action.document() | {"definition": definition, "by": by}
    began = time.monotonic()
    async with tenant.trusted(doing=f"applying {action.kind} to the {title}") as session:
        work = _Work(session, tenant, action, {"title": title, "action": Jsonb(stored)})
        report = await work.run(Jsonb(definition), began)
        if dry_run:
            await (await session.connection()).rollback()
            return ActionReport(None, report.matched, report.changed, report.kept, report.seconds)
    if action.field in WORDED and report.changed:
        await importing.learn_words(tenant)
    return report


async def listed(tenant: Tenant, limit: int = 50) -> list[Row]:
    """The newest actions: id, title, action, status, matched, changed, started_at."""
    async with tenant.session(doing="listing actions") as session:
        return await session.all(A.list_actions, {"workspace_id": tenant.workspace_id, "limit": limit})


async def undo(tenant: Tenant, action_id: int, *, keep_changed: bool = False) -> ActionUndo:
    """Take an action back; leads that were written since stay as they are and are reported.

    Where later imports or actions changed its leads, these are to be undone first; ``keep_changed`` leaves such leads.
    A suppression is lifted where this action alone asked for it and the lead has not opted out since. Deleted leads
    return under their old ids unless their address is taken. Raises NotFound, or Conflict where it is undone already
    or has to wait for others, or where its history is pruned.
    """
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


def check(action: Action) -> None:
    """Raise InvalidInput or UsageError where an action makes no sense."""
    if action.kind not in get_args(Kind):
        raise UsageError(f"no action {action.kind!r}", hint=f"there are {', '.join(get_args(Kind))}")
    if action.kind in {"add_tags", "remove_tags"}:
        bad = [tag for tag in action.tags if not 0 < len(tag.strip()) <= 200 or not tag.isprintable()]
        if bad or not action.tags:
            raise InvalidInput(f"no tag: {bad[:1] or 'none given'}", hint="1 to 200 printable characters each")
    if action.kind == "suppress" and action.reason not in REASONS:
        raise InvalidInput(f"an action can't suppress as {action.reason!r}", hint=f"one of {', '.join(REASONS)}")
    if action.kind == "set":
        _check_field(action.field, action.value)


def _check_field(field: str, value: Any) -> None:
    custom = field.startswith("custom.") and len(field) > 7
    if not custom and field not in {*TEXTS, "status", "qualification_score"}:
        known = (*TEXTS, "status", "qualification_score")
        hint = did_you_mean(field, known, f"there are {', '.join(known)} and custom.<name>")
        raise UsageError(f"the field {field[:100]!r} can't be set", hint=hint)
    if isinstance(value, str) and (len(value) > MAX_TEXT or "\0" in value):
        raise InvalidInput(f"{field[:100]}: too long a text", hint=f"at most {MAX_TEXT} characters, none of them NUL")
    if field == "status" and (value not in LEAD_STATUSES or value in OPT_OUTS):
        raise InvalidInput(f"status: can't be set to {value!r}", hint="opt-outs are made by suppressing")
    if field == "qualification_score" and not (value is None or _score(value)):
        raise InvalidInput("qualification_score: must be a number from 0 to 100")
    if field in TEXTS and not isinstance(value, str | None):
        raise InvalidInput(f"{field}: must be a text")


def _score(value: Any) -> bool:
    try:
        return 0 <= float(value) <= 100
    except (TypeError, ValueError):
        return False


# By kind of change: which leads ``l`` it changes, and how.
CHANGES: dict[str, LiteralString] = {
    "add_tags": "NOT l.tags @> %(tags)s::text[]",
    "remove_tags": "l.tags && %(tags)s::text[]",
    "set": "l.{column} IS DISTINCT FROM %(value)s::{type}",
    "set_custom": "NOT l.custom_fields @> jsonb_build_object(%(key)s::text, %(value)s::jsonb)",
    "empty_custom": "l.custom_fields ? %(key)s::text",
}
ASSIGNMENTS: dict[str, LiteralString] = {
    "add_tags": "tags = l.tags || ARRAY(SELECT t FROM unnest(%(tags)s::text[]) WITH ORDINALITY AS u (t, place)"
    " WHERE t <> ALL (l.tags) ORDER BY place)",
    "remove_tags": "tags = ARRAY(SELECT t FROM unnest(l.tags) WITH ORDINALITY AS u (t, place)"
    " WHERE t <> ALL (%(tags)s::text[]) ORDER BY place)",
    "set": "{column} = %(value)s::{type}",
    "set_custom": "custom_fields = l.custom_fields || jsonb_build_object(%(key)s::text, %(value)s::jsonb)",
    "empty_custom": "custom_fields = l.custom_fields - %(key)s::text",
}


class _Work:
    """One action; its locks are taken in the order of a merge: workspace, suppressions, leads by id."""

    def __init__(self, session: Session, tenant: Tenant, action: Action, values: dict[str, Any]) -> None:
        self._session = session
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
        changed = await steps.get(self._action.kind, self._change)()
        status = "applied" if self._action.kind in steps else "done"
        worded = self._action.field in WORDED and changed > 0
        ended = {"status": status, "matched": matched, "changed": changed, "finished_at": datetime.now(UTC)}
        ended["words_pending"] = worded
        await self._session.execute(A.finish_action, self._values | ended)
        rows = await self._session.all(A.count_kept, self._values)
        kept = tuple(importing.Kept(row["reason"], row["leads"], tuple(row["sample"])) for row in rows)
        return ActionReport(self._values["action_id"], matched, changed, kept, time.monotonic() - began)

    async def _change(self) -> int:
        await self._do(A.lock_members)
        if self._action.kind == "set" and self._action.field == "status":
            await self._do(A.keep_opted_out)
        changes, assignment, values = _change_of(self._action)
        self._values |= values
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


def _change_of(action: Action) -> tuple[sql.Composable, sql.Composable, dict[str, Any]]:
    """Which leads an action changes, the assignment that does it, and the values of both."""
    if action.kind in {"add_tags", "remove_tags"}:
        values: dict[str, Any] = {"tags": [tag.strip() for tag in action.tags]}
        return sql.SQL(CHANGES[action.kind]), sql.SQL(ASSIGNMENTS[action.kind]), values
    if action.field.startswith("custom."):
        kind = "empty_custom" if action.value is None else "set_custom"
        values = {"key": action.field[7:], "value": Jsonb(action.value)}
        return sql.SQL(CHANGES[kind]), sql.SQL(ASSIGNMENTS[kind]), values
    parts = {
        "column": sql.Identifier(action.field),
        "type": sql.SQL("real" if action.field == "qualification_score" else "text"),
    }
    return (
        sql.SQL(CHANGES["set"]).format(**parts),
        sql.SQL(ASSIGNMENTS["set"]).format(**parts),
        {"value": action.value},
    )


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
