"""A file of our own export changes nothing when it is imported again, and tells another workspace the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lead_rows import leads, state
from psycopg.types.json import Jsonb

from outreachdb import segments
from outreachdb.db.pools import Pools
from outreachdb.db.tenant import Tenant
from outreachdb.leads import suppression
from outreachdb.leads.importing import import_file
from outreachdb.leads.models import Lead
from outreachdb.tenancy import workspaces

WORDS = st.sampled_from(
    ["", "Ann", "O\nNeil", "Zo\u00eb", 'say "hi"', "a,b;c|d", "n/a", "none", "-", "NA", '5" pipe', "'x", "1.50"]
)
TAGS = st.lists(
    st.sampled_from(["a", "one, two", 'in "quotes"', "x;y|z", '"', "none", "Gr\u00fc\u00dfe"]), max_size=3, unique=True
)
CUSTOM = st.dictionaries(
    st.sampled_from(["Plan", "seats", "since", "a.b", "custom.x", "EMAIL_BLACKLISTED", "id", "Caf\u00e9 %"]),
    st.sampled_from(
        ["free", 10, 1.5, 2024, True, False, "10", "2024-01-31", " spaced ", "n./a.", {"deep": [1, "x"]}, ["u", "v, w"]]
    ),
    max_size=4,
)
person = st.fixed_dictionaries({
    "email": st.sampled_from(["", "Ann@x.example", "bo@m\u00fcnchen.de", "cy@acme.example", "d@x.example"]),
    "source_key": st.sampled_from(["", "1", "2"]),
    "first_name": WORDS, "last_name": WORDS, "title": WORDS,
    "company_name": st.sampled_from(["", "Acme", "Globex, Inc."]),
    "company_website": st.sampled_from(["", "acme.example/a", "https://globex.example"]),
    "linkedin_url": st.sampled_from(["", "linkedin.com/in/ann"]), "industry": WORDS, "city": WORDS, "notes": WORDS,
    "country": st.sampled_from(["", "DE", "Deutschland"]),
    "phone": st.sampled_from(["", "030 123456", "+49 30 123456", "="]),
    "timezone": st.sampled_from(["", "Europe/Berlin"]), "source": st.sampled_from(["", "fair"]),
    "status": st.sampled_from(["", "new", "qualified", "unsubscribed", "archived"]),
    "qualification_score": st.sampled_from(["", 0, 70.1, 33.333332, 0.00001, 100]),
    "tags": TAGS, "custom_fields": CUSTOM,
})  # fmt: skip
# What belongs to a workspace: another one gives its own.
OF_A_WORKSPACE = {"workspace_id", "id", "company_id", "qualified_at", "qualification_latency_ms", "email_status",
                  "email_checked_at", "profile_checked_at", "created_at", "updated_at"}  # fmt: skip


async def _new(pools: Pools) -> Tenant:
    return await workspaces.tenant(pools, (await workspaces.create(pools, f"round-{uuid4().hex}")).name)


async def _suppressed(tenant: Tenant) -> set[tuple[str, str]]:
    return {(row["target"], row["reason"]) for row in await suppression.listed(tenant)}


async def _check(pools: Pools, path: Path, people: list[dict[str, Any]]) -> None:
    tenant, other = await _new(pools), await _new(pools)
    async with tenant.session() as session:
        await session.execute("SELECT outreach.bulk_insert_leads(%s, 'update')", [Jsonb(people)])
    async with tenant.trusted() as session:
        await session.execute(
            "UPDATE outreach.leads SET email_status = 'valid', qualified_at = now(), qualification_latency_ms = 5,"
            " profile_checked_at = now(), email_checked_at = now() WHERE workspace_id = %s",
            [tenant.workspace_id],
        )
    before, stopped = await state(tenant), await _suppressed(tenant)
    await segments.export(tenant, {}, path)
    if not before["leads"]:
        return
    for policy in ("update", "fill", "skip"):
        report = await import_file(tenant, path, on_conflict=policy)
        assert (report.inserted, report.updated, report.rejected) == (0, 0, 0), await _rejects(tenant)
        assert await state(tenant) == before
        assert await _suppressed(tenant) == stopped
    await import_file(other, path)
    there, here = _told(await leads(other)), _told(before["leads"])
    assert len(there) == len(here)
    different = [
        (field, there[place][field], here[place][field])
        for place in range(len(here))
        for field in here[place]
        if there[place][field] != here[place][field]
    ]
    assert different == []
    assert await _suppressed(other) == stopped


async def _rejects(tenant: Tenant) -> Any:
    async with tenant.session() as session:
        return await session.all("SELECT * FROM outreach.import_rejects")


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a lead says wherever it is; custom fields as text, since a column of a file is of one type."""
    told = [
        {
            name: _plain(value) if name == "custom_fields" else value
            for name, value in row.items()
            if name not in OF_A_WORKSPACE
        }
        for row in rows
    ]
    return sorted(told, key=lambda row: (row["email_key"] or "", row["source_key"] or ""))


def _plain(fields: dict[str, Any]) -> list[tuple[str, str]]:
    texts = {
        key: str(value).strip() if not isinstance(value, bool) else str(value).lower() for key, value in fields.items()
    }
    return sorted((key, text.replace("'", '"') if text[:1] in "[{" else text) for key, text in texts.items())


@pytest.mark.parametrize("kind", ["csv", "parquet"])
async def test_what_was_exported_changes_nothing(pools: Pools, tmp_path: Path, kind: str) -> None:
    examples: list[list[dict[str, Any]]] = []

    @settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(person, min_size=10, max_size=40))
    def collect(people: list[dict[str, Any]]) -> None:
        examples.append(people)

    collect()
    for number, people in enumerate(examples):
        await _check(pools, tmp_path / f"{number}.{kind}", people)


async def test_every_column_is_known(tenant: Tenant, tmp_path: Path) -> None:
    async with tenant.session() as session:
        await session.execute("SELECT outreach.bulk_insert_leads(%s)", [Jsonb([{"email": "a@x.example", "Plan": "x"}])])
    path = tmp_path / "all.csv"
    done = await segments.export(tenant, {}, path)
    report = await import_file(tenant, path, dry_run=True)
    assert list(report.mapping) == done.columns
    assert report.mapping["custom.Plan"] == "custom.Plan"
    left_out = {column for column, target in report.mapping.items() if target is None}
    own = {column.name for column in Lead.__table__.columns}
    assert left_out == (OF_A_WORKSPACE | {"phone_e164", "email_flags"}) - {"workspace_id"}
    assert {column for column, target in report.mapping.items() if target == column} - {"custom.Plan"} == (
        own - left_out - {"workspace_id", "email_key", "custom_fields"})  # fmt: skip
