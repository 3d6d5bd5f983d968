"""What an action writes: checked and read as an import would read it, and the statements that make it so.

What a value means for the other fields of a lead (its number in international form, its company) is said by
``outreach.merged_lead`` alone, as for rows of files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString, get_args

from psycopg import sql
from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Session, Tenant
from outreachdb.db.texts import check_text
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.leads.importing import policy
from outreachdb.leads.importing.cells import CUSTOM_LENGTH, TAG_LENGTH
from outreachdb.leads.vocabulary import LEAD_STATUSES
from outreachdb.words import did_you_mean

A = Queries("outreachdb.segments", "actions.sql")
Kind = Literal["add_tags", "remove_tags", "set", "suppress", "delete"]
REASONS = ("manual", "blocked")
OPT_OUTS = ("unsubscribed", "bounced")
# Fields that an action may set, all of which the undo of imports puts back.
TEXTS = ("city", "company_name", "company_website", "country", "first_name", "industry", "last_name", "linkedin_url",
         "notes", "phone", "source", "timezone", "title")  # fmt: skip
COMPANY = ("company_name", "company_website")
# Fields that follow from others.
FOLLOWING = {"phone": "phone_e164", "country": "phone_e164"} | dict.fromkeys(COMPANY, "company_id")
CUSTOM = "custom."
WEB_ADDRESS = "such as https://www.example.com/about"


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


def check(action: Action) -> None:
    """Raise InvalidInput or UsageError where an action makes no sense."""
    if action.kind not in get_args(Kind):
        raise UsageError(f"no action {action.kind!r}", hint=f"there are {', '.join(get_args(Kind))}")
    if action.kind in {"add_tags", "remove_tags"}:
        bad = [tag for tag in action.tags if not 0 < len(tag.strip()) <= TAG_LENGTH or not tag.isprintable()]
        if bad or not action.tags:
            raise InvalidInput(
                f"no tag: {bad[:1] or 'none given'}", hint=f"1 to {TAG_LENGTH} printable characters each"
            )
    if action.kind == "suppress" and action.reason not in REASONS:
        raise InvalidInput(f"an action can't suppress as {action.reason!r}", hint=f"one of {', '.join(REASONS)}")
    if action.kind == "set":
        _check_field(action.field, action.value)


async def judged(session: Session, action: Action) -> Action:
    """The action with its tags or its value as an import would store them; raises what :func:`check` raises.

    Raises InvalidInput as well where an import would reject the value. White space alone empties a field.
    """
    check(action)
    if action.kind in {"add_tags", "remove_tags"}:
        return dataclasses.replace(action, tags=await _judged(session, "tags", list(action.tags)))
    value = action.value
    if action.kind != "set" or value is None or action.field == "status" or action.field.startswith(CUSTOM):
        return action
    if isinstance(value, str) and not value.strip():
        return dataclasses.replace(action, value=None)
    found = await _judged(session, action.field, value)
    if found is None:
        hint = "to empty the field, give no value"
        raise InvalidInput(f"{action.field}: {str(value)[:40]!r} says that there is nothing", hint=hint)
    return dataclasses.replace(action, value=found)


async def company_of(session: Session, tenant: Tenant, action: Action, now: datetime) -> int | None:
    """The company that the leads will belong to by what is set, made where nobody has it yet."""
    if action.field not in COMPANY or action.value is None:
        return None
    row = Jsonb({action.field: action.value})
    values = {"workspace_id": tenant.workspace_id, "row": row, "now": now}
    await session.execute(A.ensure_company, values)
    found: int | None = await session.value(A.company_of, values)
    return found


# By kind of change: which leads ``l`` it changes, and how.
CHANGES: dict[str, LiteralString] = {
    "add_tags": "NOT l.tags @> %(tags)s::text[]",
    "remove_tags": "l.tags && %(tags)s::text[]",
    "set": "(SELECT ({new}) IS DISTINCT FROM ({old}) FROM outreach.merged_lead({given}) AS new)",
    "empty": "l.{column} IS NOT NULL",
    "set_custom": "NOT l.custom_fields @> jsonb_build_object(%(key)s::text, %(value)s::jsonb)",
    "empty_custom": "l.custom_fields ? %(key)s::text",
}
ASSIGNMENTS: dict[str, LiteralString] = {
    "add_tags": "tags = l.tags || ARRAY(SELECT t FROM unnest(%(tags)s::text[]) WITH ORDINALITY AS u (t, place)"
    " WHERE t <> ALL (l.tags) ORDER BY place)",
    "remove_tags": "tags = ARRAY(SELECT t FROM unnest(l.tags) WITH ORDINALITY AS u (t, place)"
    " WHERE t <> ALL (%(tags)s::text[]) ORDER BY place)",
    "set": "({columns}) = (SELECT {new} FROM outreach.merged_lead({given}) AS new)",
    "empty": "{column} = NULL",
    "set_custom": "custom_fields = l.custom_fields || jsonb_build_object(%(key)s::text, %(value)s::jsonb)",
    "empty_custom": "custom_fields = l.custom_fields - %(key)s::text",
}
# What goes with a field that is emptied, which no import does. A lead keeps its company as long as what it still says
# names it.
STILL_NAMED: LiteralString = (
    ", company_id = (SELECT k.id FROM outreach.companies AS k"
    " WHERE k.workspace_id = %(workspace_id)s AND k.id = l.company_id AND "
)
EMPTIED_TOO: dict[str, LiteralString] = {
    "phone": ", phone_e164 = NULL",
    "country": ", phone_e164 = outreach.phone_e164(outreach.phone_digits(l.phone), NULL)",
    "company_name": STILL_NAMED + "k.domain = outreach.web_domain(l.company_website))",
    "company_website": STILL_NAMED + "k.name_key = lower(l.company_name))",
}


def change_of(action: Action) -> tuple[sql.Composable, sql.Composable, dict[str, Any]]:
    """Which leads an action changes, the assignment that does it, and the values of both (but the company)."""
    if action.kind in {"add_tags", "remove_tags"}:
        return sql.SQL(CHANGES[action.kind]), sql.SQL(ASSIGNMENTS[action.kind]), {"tags": list(action.tags)}
    if action.field.startswith(CUSTOM):
        kind = "empty_custom" if action.value is None else "set_custom"
        values = {"key": action.field[len(CUSTOM) :], "value": Jsonb(action.value)}
        return sql.SQL(CHANGES[kind]), sql.SQL(ASSIGNMENTS[kind]), values
    if action.value is None:
        column = sql.Identifier(action.field)
        assignment = sql.SQL(ASSIGNMENTS["empty"] + EMPTIED_TOO.get(action.field, ""))
        return sql.SQL(CHANGES["empty"]).format(column=column), assignment.format(column=column), {}
    parts = _set_parts(action.field)
    return (
        sql.SQL(CHANGES["set"]).format(**parts),
        sql.SQL(ASSIGNMENTS["set"]).format(**parts),
        {"value": action.value},
    )


def _set_parts(field: str) -> dict[str, sql.Composable]:
    """The columns that a field brings along, as they are and as they will be, and what the rule is given."""
    columns = [field, *([FOLLOWING[field]] if field in FOLLOWING else [])]
    value = sql.SQL("%(value)s::real" if field == "qualification_score" else "%(value)s::text")
    given: dict[str, sql.Composable] = {field: value}
    if field in COMPANY:
        given["company_id"] = sql.SQL("%(company_id)s::bigint")
    listed = {
        side: sql.SQL(", ").join(sql.Identifier(*prefix, column) for column in columns)
        for side, prefix in (("columns", ()), ("new", ("new",)), ("old", ("l",)))
    }
    return {**listed, "given": policy.merging(given, sql.SQL("now()"))}


async def _judged(session: Session, field: str, value: Any) -> Any:
    """The value of a field as the rules of imports read it; None where it says that there is nothing."""
    # Somebody's, as a row of an import that names nobody is rejected whatever else it says.
    row = await session.one(A.judge_value, {"field": field, "rows": Jsonb([{"source_key": "1", field: value}])})
    assert row is not None  # noqa: S101  (one row in, one row out)
    if row["reason"] is not None:
        hint = WEB_ADDRESS if row["reason"] == "not a web address" else None
        raise InvalidInput(f"{field}: {row['reason']}", hint=hint)
    return row["value"]


def _check_field(field: str, value: Any) -> None:
    check_text("field", field)
    custom = field.startswith(CUSTOM) and len(field) > len(CUSTOM)
    known = (*TEXTS, "status", "qualification_score")
    if not custom and field not in known:
        hint = did_you_mean(field, known, f"there are {', '.join(known)} and custom.<name>")
        raise UsageError(f"the field {field[:100]!r} can't be set", hint=hint)
    if isinstance(value, str):
        check_text(field[:100], value)
    if field == "status" and (value not in LEAD_STATUSES or value in OPT_OUTS):
        raise InvalidInput(f"status: can't be set to {value!r}", hint="opt-outs are made by suppressing")
    if field in TEXTS and not isinstance(value, str | None):
        raise InvalidInput(f"{field}: must be a text")
    if field == "qualification_score" and not (isinstance(value, str | None) or _is_number(value)):
        raise InvalidInput("qualification_score: not a score between 0 and 100")
    if custom:
        _check_custom(field[:100], value)


def _check_custom(field: str, value: Any) -> None:
    if isinstance(value, str) and len(value) > CUSTOM_LENGTH:
        raise InvalidInput(f"{field}: too long a text", hint=f"at most {CUSTOM_LENGTH:,} characters")
    if not (isinstance(value, str | bool | None) or _is_number(value)):
        raise InvalidInput(f"{field}: must be a text, a number, true or false")


def _is_number(value: Any) -> bool:
    """Whether it is a number that JSON can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:  # no number, infinite, or more digits than Python writes
        return False
    return True
