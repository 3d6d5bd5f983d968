"""What follows an import: its index entries are in place, and a step that fails is told and made up for by a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lead_rows import value
from structlog.testing import capture_logs

from outreachdb.config import Settings
from outreachdb.db.pools import Pools, connect
from outreachdb.leads.importing import attempt, find, import_file, learn_all_words
from outreachdb.tenancy import workspaces

BROKEN = ("outreach.learn_pending_words()", "outreach.settle_search_index()")
# Each GIN index of leads, and the pages that it takes off its list now.
WAITING = """SELECT c.relname AS index, gin_clean_pending_list(c.oid::regclass) AS pages
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
    WHERE i.indrelid = 'outreach.leads'::regclass AND a.amname = 'gin'"""
WORDS = "SELECT count(*) FROM outreach.search_words"


async def test_a_step_that_fails_is_told_and_fails_no_import(
    own_database_url: str, csv_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "LARGE", 1)  # every step comes
    monkeypatch.setattr(attempt, "WAITING", 1)
    path = csv_file(("email", "first name"), ("ada@acme.example", "Ada"), ("bo@acme.example", "Bo"))
    async with (
        Pools(Settings.load({}, database_url=own_database_url)) as pools,
        await connect(own_database_url, autocommit=True) as admin,
    ):
        await workspaces.create(pools, "acme")
        tenant = await workspaces.tenant(pools, "acme")
        for function in BROKEN:
            await admin.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC, outreachdb_trusted".encode())
        with capture_logs() as said:
            report = await import_file(tenant, path)
        assert (report.rows_read, report.inserted) == (2, 2)
        assert (await find(tenant, report.import_id))["status"] == "done"
        assert [(each["event"], each["log_level"]) for each in said] == [
            ("a step after the import failed", "warning")
        ] * 2
        for function, each in zip(BROKEN, said, strict=True):
            assert f"permission denied for function {function.split('.')[1].removesuffix('()')}" in each["reason"]
        counted = "SELECT reltuples FROM pg_class WHERE oid = 'outreach.leads'::regclass"
        assert await value(tenant, counted) == 2, "the step between them was done"
        assert await value(tenant, WORDS) == 0

        for function in BROKEN:
            await admin.execute(f"GRANT EXECUTE ON FUNCTION {function} TO outreachdb_trusted".encode())
        assert await learn_all_words(pools) > 0
        assert await value(tenant, WORDS) > 0


async def test_no_search_has_to_read_what_an_import_left_waiting(
    own_database_url: str, csv_file: Callable[..., Path]
) -> None:
    people = ((f"lead{number}@acme.example", f"vip;list {number % 7}", str(number % 9)) for number in range(1_200))
    path = csv_file(("email", "tags", "Seats"), *people)
    async with (
        Pools(Settings.load({}, database_url=own_database_url)) as pools,
        await connect(own_database_url, autocommit=True) as admin,
    ):
        await workspaces.create(pools, "acme")
        tenant = await workspaces.tenant(pools, "acme")
        await admin.execute("ALTER TABLE outreach.leads SET (autovacuum_enabled = false)")
        assert (await import_file(tenant, path)).inserted == 1_200
        found = await (await admin.execute(WAITING)).fetchall()
        assert {row["index"]: row["pages"] for row in found} == dict.fromkeys(
            ("gin_leads_custom_fields", "gin_leads_search", "gin_leads_tags"), 0
        )
