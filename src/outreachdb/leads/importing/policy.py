"""What a row of the file makes of a lead that is there already."""

from __future__ import annotations

from typing import Literal, get_args

from psycopg import sql

from outreachdb.errors import UsageError
from outreachdb.leads.importing.cells import PLAIN, URLS

OnConflict = Literal["update", "fill", "skip"]
FOLDED = ("email", "email_key", *PLAIN, *URLS, "source_key", "qualification_score", "status_now", "phone_e164")
CHANGED = ("email", "email_flags", *PLAIN, "phone_e164", *URLS, "company_id", "source_key", "qualification_score",
           "status", "tags", "custom_fields")  # fmt: skip

_TAGS_JOINED = """CASE WHEN c.tags <@ l.tags THEN l.tags ELSE l.tags || ARRAY(
    SELECT tag FROM unnest(c.tags) WITH ORDINALITY AS given (tag, place) WHERE tag <> ALL (l.tags) ORDER BY place)
    END"""


def check(on_conflict: str) -> None:
    """Raise UsageError unless it is one of the three policies."""
    if on_conflict not in get_args(OnConflict):
        raise UsageError(f"on_conflict is update, fill or skip, not {on_conflict!r}")


def direction(on_conflict: OnConflict) -> sql.SQL:
    """Which row of a file speaks for its key: the last, or the first where what is there is kept."""
    return sql.SQL("DESC" if on_conflict == "update" else "ASC")


def folded_cells() -> sql.Composed:
    """For each field the first filled cell of a key's rows."""
    template = sql.SQL("(array_agg({f} ORDER BY nth) FILTER (WHERE {given} IS NOT NULL))[1] AS {f}")
    return sql.SQL(", ").join(
        # Both forms of a number come from one row.
        template.format(f=sql.Identifier(field), given=sql.Identifier(field.removesuffix("_e164")))
        for field in FOLDED
    )


def folded_assignments() -> sql.Composed:
    """The assignments of those."""
    return sql.SQL(", ").join(sql.SQL("{f} = cells.{f}").format(f=sql.Identifier(field)) for field in FOLDED)


def new_values(on_conflict: OnConflict, workspace_id: int) -> sql.Composed:
    """Select list of a matched lead ``l`` as the row ``c`` (company ``f``) leaves it."""
    fill = on_conflict == "fill"
    first, second = ("l", "c") if fill else ("c", "l")
    values: dict[str, sql.Composable] = {
        field: sql.SQL(f"coalesce({first}.{field}, {second}.{field})")
        for field in (*PLAIN, *URLS, "qualification_score")
    }
    # An address in other letters of case is the same address: it is not worth a write.
    values["email"] = sql.SQL(
        f"CASE WHEN l.email_key = c.email_key THEN l.email ELSE coalesce({first}.email, {second}.email) END"
    )
    values["email_flags"] = sql.SQL(
        f"CASE WHEN coalesce({first}.email_key, {second}.email_key) = l.email_key"
        " THEN l.email_flags ELSE outreach.email_flags(c.email_key) END"
    )
    values["phone_e164"] = sql.SQL(
        "CASE WHEN l.phone IS NULL THEN c.phone_e164 ELSE l.phone_e164 END"
        if fill
        else "CASE WHEN c.phone IS NULL THEN l.phone_e164"
        " WHEN c.phone = l.phone THEN coalesce(c.phone_e164, l.phone_e164) ELSE c.phone_e164 END"
    )
    # A name alone says less than the company that the lead is linked to under that name.
    linked, named = ("l", "f") if fill else ("f", "l")
    values["company_id"] = sql.SQL(
        "CASE WHEN c.company_website IS NULL AND lower(l.company_name) = lower(c.company_name)"
        " AND l.company_id IS NOT NULL THEN l.company_id"
        f" ELSE coalesce({linked}.company_id, {named}.company_id) END"
    )
    values["source_key"] = sql.SQL(
        "CASE WHEN l.source_key IS NULL AND NOT EXISTS (SELECT FROM outreach.leads AS o WHERE o.workspace_id = {}"
        " AND o.source_key = c.source_key) THEN c.source_key ELSE l.source_key END"
    ).format(sql.Literal(workspace_id))
    values["status"] = sql.SQL(
        "CASE WHEN l.status IN ('unsubscribed', 'bounced') THEN l.status"
        " WHEN c.status_now IN ('unsubscribed', 'bounced') THEN c.status_now"
        f" ELSE {'l.status' if fill else 'coalesce(c.status_now, l.status)'} END"
    )
    values["tags"] = sql.SQL("CASE WHEN l.tags = '{}' THEN c.tags ELSE l.tags END" if fill else _TAGS_JOINED)
    values["custom_fields"] = sql.SQL(f"{second}.custom_fields || {first}.custom_fields")
    pairs = [sql.SQL("{} AS {}").format(values[field], sql.Identifier(field)) for field in CHANGED]
    return sql.SQL(", ").join(pairs)


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
