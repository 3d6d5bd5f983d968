"""What each policy makes of a file and of a workspace, compared with a model in plain Python: fields and counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lead_rows import leads

from outreachdb.db.pools import Pools
from outreachdb.leads import suppression
from outreachdb.leads.importing import import_file
from outreachdb.leads.importing.policy import OnConflict
from outreachdb.tenancy import workspaces

HEADER = ("email", "first name", "city", "tags", "Plan", "Team")
ADDRESSES = ("a@x.com", "A@X.com", " b@x.com", "c@x.com", "d@x.com", "D@x.com ")
Row = tuple[str, ...]
Lead = dict[str, Any]

row = st.tuples(
    st.sampled_from([*ADDRESSES, *ADDRESSES, "", "no address"]),
    st.sampled_from(["", "", "Ann", " Bo "]),
    st.sampled_from(["", "", "Rome", "Oslo"]),
    st.sampled_from(["", "", "a", "b;a", "c, b"]),
    st.sampled_from(["", "", "free", "team"]),
    st.sampled_from(["", "", "north", "south"]),
)
rows = st.lists(row, min_size=1, max_size=14)
stopped = st.sets(st.sampled_from(["a@x.com", "c@x.com", "d@x.com"]), max_size=2)


def typed(cells: Row) -> Lead:
    """A row by itself; None is an empty cell."""
    email, first_name, city, tags, plan, team = (cell.strip() or None for cell in cells)
    listed = [tag.strip() for tag in (tags or "").replace(";", ",").split(",") if tag.strip()]
    custom = {name: value for name, value in (("Plan", plan), ("Team", team)) if value}
    return {"email": email, "first_name": first_name, "city": city, "tags": listed, "custom_fields": custom}


def joined(first: list[str], second: list[str]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))


def as_one(found: list[Lead], policy: OnConflict) -> Lead:
    """Several rows of one lead: under "update" the last one speaks, else the first; "skip" hears no other."""
    if policy == "skip":
        return found[0]
    speaking = found[::-1] if policy == "update" else found
    made: Lead = {
        name: next((each[name] for each in speaking if each[name]), None) for name in ("email", "first_name", "city")
    }
    made["custom_fields"] = {name: value for each in speaking[::-1] for name, value in each["custom_fields"].items()}
    tags: list[str] = []
    for each in found:
        tags = joined(tags, each["tags"]) if policy == "update" else tags or each["tags"]
    return made | {"tags": tags}


def merged(lead: Lead, new: Lead, policy: OnConflict) -> Lead:
    """What a lead becomes; its address stays as it was written."""
    if policy == "skip":
        return lead
    strong, weak = (new, lead) if policy == "update" else (lead, new)
    made = {name: strong[name] or weak[name] for name in ("first_name", "city")}
    tags = joined(lead["tags"], new["tags"]) if policy == "update" else lead["tags"] or new["tags"]
    custom = weak["custom_fields"] | strong["custom_fields"]
    return lead | made | {"tags": tags, "custom_fields": custom}


def modelled(known: dict[Any, Lead], content: list[Row], policy: OnConflict) -> tuple[int, int, int, int, int]:
    """Import the rows into the model; the counts."""
    groups: dict[Any, list[Lead]] = {}
    rejected = 0
    for cells in content:
        found = typed(cells)
        if found["email"] and "@" not in found["email"]:
            rejected += 1
        elif not (found["email"] or found["first_name"] or found["city"]) and any(found.values()):
            rejected += 1  # it says something, and of nobody
        elif any(found.values()):
            # Without an address a lead is known by all of its cells.
            key = found["email"].lower() if found["email"] else tuple(cell.strip() for cell in cells)
            groups.setdefault(key, []).append(found)
    inserted = updated = 0
    for key, group in groups.items():
        new = as_one(group, policy)
        if key not in known:
            known[key] = new
            inserted += 1
        elif (made := merged(known[key], new, policy)) != known[key]:
            known[key] = made
            updated += 1
    return len(content), inserted, updated, len(content) - inserted - updated - rejected, rejected


def comparable(found: list[Lead]) -> list[str]:
    fields = ("email", "first_name", "city", "tags")
    return sorted(repr([*(each[name] for name in fields), sorted(each["custom_fields"].items())]) for each in found)


@pytest.mark.parametrize("policy", ["update", "fill", "skip"])
async def test_every_policy_does_what_a_model_does(
    pools: Pools, csv_file: Callable[..., Path], policy: OnConflict
) -> None:
    async def check(first: list[Row], second: list[Row], targets: set[str]) -> None:
        made = await workspaces.create(pools, f"merge-{uuid4().hex}")
        tenant = await workspaces.tenant(pools, made.name)
        known: dict[Any, Lead] = {}
        for content, how in ((first, "update"), (second, policy)):
            report = await import_file(tenant, csv_file(HEADER, *content), on_conflict=how)
            counted = (report.rows_read, report.inserted, report.updated, report.skipped, report.rejected)
            assert counted == modelled(known, content, how)
            if targets and content is first:
                await suppression.add(tenant, sorted(targets), reason="unsubscribed")
        found = await leads(tenant, "email, first_name, city, tags, custom_fields, status")
        # Nobody comes back, and nobody arrives, who must not be mailed.
        assert {each["status"] for each in found if (each["email"] or "").lower() in targets} <= {"unsubscribed"}
        assert {each["status"] for each in found if (each["email"] or "").lower() not in targets} <= {"new"}
        assert comparable(found) == comparable(list(known.values()))

    examples: list[tuple[list[Row], list[Row], set[str]]] = []

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(rows, rows, stopped)
    def collect(first: list[Row], second: list[Row], targets: set[str]) -> None:
        examples.append((first, second, targets))

    collect()
    for example in examples:
        await check(*example)
