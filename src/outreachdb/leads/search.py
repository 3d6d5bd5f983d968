"""Search: leads by a part of their name, address or company, in any order that an index serves, page by page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Tenant
from outreachdb.db.texts import check_text
from outreachdb.errors import InvalidInput, NotFound, UsageError
from outreachdb.words import did_you_mean

Q = Queries("outreachdb.leads")
MAX_LIMIT = 1000
BIGGEST_ID = 2**63 - 1
SORTS = ("id", "created_at", "updated_at", "score", "qualified_at", "email", "company_name")


@dataclass(frozen=True, slots=True)
class Page:
    """Some leads and the cursor of the next page, ``None`` on the last; ``match`` tells exact from alike."""

    rows: list[Row]
    next_cursor: str | None
    match: Literal["exact", "similar"] = "exact"


async def search(
    tenant: Tenant,
    text: str | None = None,
    where: Mapping[str, Any] | None = None,
    sort: str = "-created_at",
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """Leads that contain every word of ``text`` and meet the segment definition ``where``.

    ``sort`` is one of :data:`SORTS`, with a minus for the other direction; leads without that value come last. Where no
    lead contains the words, those that are spelt alike come instead, best first, as one page. Leads that are added
    meanwhile neither repeat nor hide others on later pages. Raises UsageError for another ``sort``, InvalidInput for
    what can't be looked for.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput("limit: must lie between 1 and 1000")
    for name, given in (("text", text), ("sort", sort), ("cursor", cursor)):
        check_text(name, given)
    if sort.removeprefix("-") not in SORTS:
        orders = f"there are {', '.join(SORTS)}; a minus before it turns it round"
        raise UsageError(f"there is no order {sort[:80]!r}", hint=did_you_mean(sort.lstrip("-"), SORTS, orders))
    parameters = {"query": text, "filters": _filters(where), "sort": sort, "rows": limit + 1, "cursor": cursor}
    async with tenant.reading(doing="searching leads") as session:
        rows = await session.all(Q.search_leads, parameters)
    cursors = [row.pop("next_cursor") for row in rows]
    matches = {row.pop("match") for row in rows}
    return Page(
        rows[:limit],
        cursors[limit - 1] if len(rows) > limit else None,
        "similar" if "similar" in matches else "exact",
    )


async def find(tenant: Tenant, lead: int | str) -> Row:
    """One lead, all its fields, by id or e-mail address in any case; raises NotFound."""
    given = str(lead).strip()
    check_text("lead", given)
    lead_id = int(given) if given.isascii() and given.isdigit() and int(given[:20]) <= BIGGEST_ID else None
    async with tenant.session(doing="looking up a lead") as session:
        row = await session.one(
            Q.find_lead, {"workspace_id": tenant.workspace_id, "id": lead_id, "email_key": given.lower()}
        )
    if row is None:
        raise NotFound(f"no lead {given[:80]!r}", hint="outreachdb leads search TEXT")
    return row


def _filters(where: Mapping[str, Any] | None) -> Jsonb | None:
    """The definition as JSON; what it means, and whether it means anything, the compiler in the database knows."""
    if where is None:
        return None
    try:
        text = json.dumps(where, allow_nan=False)
        text.encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"where: no JSON: {error}") from None
    except RecursionError:
        raise InvalidInput("where: nested too deep", hint="at most 32 levels") from None
    if len(text) > 1_000_000:
        raise InvalidInput("where: is too large", hint="at most 256 kB")
    check_text("where", text.replace("\\\\", "").replace("\\u0000", "\0"))
    return Jsonb(where)
