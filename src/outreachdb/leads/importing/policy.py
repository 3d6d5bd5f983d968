"""What a row of the file makes of a lead that is there already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, get_args

from psycopg import sql

from outreachdb.errors import UsageError
from outreachdb.leads.importing.cells import PLAIN, URLS

OnConflict = Literal["update", "fill", "skip"]
CHANGED = ("email", "email_flags", *PLAIN, "phone_e164", *URLS, "company_id", "source_key", "qualification_score",
           "status", "tags", "custom_fields")  # fmt: skip

# What outreach.merged_lead takes of a row ``c``, of its company ``f``, and of the policy.
_GIVEN = {field: f"c.{field}" for field in ("email", "email_key", *PLAIN, *URLS, "source_key", "qualification_score",
                                            "tags", "custom_fields")} | {
    "company_id": "f.company_id", "status": "c.status_now",
}  # fmt: skip


def check(on_conflict: str) -> None:
    """Raise UsageError unless it is one of the three policies."""
    if on_conflict not in get_args(OnConflict):
        raise UsageError(f"on_conflict is update, fill or skip, not {on_conflict!r}")


def direction(on_conflict: OnConflict) -> sql.SQL:
    """Which row of a file speaks for its key: the last, or the first where what is there is kept."""
    return sql.SQL("DESC" if on_conflict == "update" else "ASC")


def merged(on_conflict: OnConflict, now: datetime) -> sql.Composed:
    """The arguments that make a matched lead ``l`` and its row what the row leaves of the lead."""
    given = {field: sql.SQL(value) for field, value in _GIVEN.items()}
    return _arguments(given, sql.Literal(now), fill=on_conflict == "fill")


def merging(given: Mapping[str, sql.Composable], now: sql.Composable) -> sql.Composed:
    """The arguments that make a lead ``l`` what a row with these fields alone would make of it."""
    return _arguments({field: given.get(field, sql.SQL("NULL")) for field in _GIVEN}, now, fill=False)


def _arguments(values: Mapping[str, sql.Composable], now: sql.Composable, *, fill: bool) -> sql.Composed:
    pairs = [sql.SQL("{} => {}").format(sql.Identifier(f"p_{field}"), value) for field, value in values.items()]
    last = sql.SQL("p_fill => {}, p_now => {}").format(sql.Literal(fill), now)
    return sql.SQL(", ").join([sql.SQL("p_lead => l"), *pairs, last])


def differs() -> sql.Composed:
    """Whether the lead would change."""
    new, old = (sql.SQL(", ").join(sql.Identifier(side, field) for field in CHANGED) for side in ("new", "l"))
    return sql.SQL("({}) IS DISTINCT FROM ({})").format(new, old)


def assignments() -> sql.Composed:
    """The assignments of the update."""
    return sql.SQL(", ").join(sql.SQL("{f} = n.{f}").format(f=sql.Identifier(field)) for field in CHANGED)


def chosen(on_conflict: OnConflict, workspace_id: int, match: sql.Identifier) -> sql.Composable:
    """Which rows may need a company: not those of leads that keep what they have."""
    if on_conflict == "update":
        return sql.SQL("true")
    lacking = sql.SQL(
        " OR EXISTS (SELECT FROM {m} AS m JOIN outreach.leads AS l ON l.workspace_id = {w} AND l.id = m.lead_id"
        " WHERE m.row_number = c.row_number AND l.company_id IS NULL)"
    ).format(m=match, w=sql.Literal(workspace_id))
    absent = sql.SQL("(NOT EXISTS (SELECT FROM {m} AS m WHERE m.row_number = c.row_number){or_lacking})")
    return absent.format(m=match, or_lacking=lacking if on_conflict == "fill" else sql.SQL(""))
