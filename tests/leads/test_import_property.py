"""Any messy file: the counts balance, the accepted rows are those of a plain Python model, twice changes nothing."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import unicodedata
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lead_rows import leads, state, value

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.leads.importing import import_file
from outreachdb.tenancy import workspaces

HEADER = ("email", "first name", "city", "tags", "score", "Extra")
SAID = {"score": "qualification_score"}  # where wrong scores are about, it would be a custom field by itself
PEOPLE = [f"{name}@{host}" for name in ("ann", "Bo", "c.d", "e+f", "gü") for host in ("x.com", "Y.org")]
BAD = ["ann", "a@b", "a b@x.com", "a@@x.com", "a@x..com", ".a@x.com", "a@-x.com", "a@x.com.", "a,b@x.com", "a@x.1"]
text = st.text(st.sampled_from("abcXYZ éñ日\"',;|\n\t\\.ü" + "e\u0301"), max_size=8)
email = st.one_of(
    st.sampled_from(PEOPLE), st.sampled_from(PEOPLE).map(str.upper), st.sampled_from(BAD), st.just(""), st.just("  ")
)
score = st.sampled_from(["", "", "0", "100", "55,5", "101", "-1", "many"])
good_row = st.tuples(email, text, text, st.sampled_from(["", "a", "a;b", " b | c ,"]), score, text).map(list)
row = st.one_of(
    good_row, good_row, good_row, good_row,
    good_row.map(lambda cells: cells[:3]), good_row.map(lambda cells: [*cells, "more"]),
    good_row.map(lambda cells: [*cells[:-1], cells[-1] + "\x00"]),
)  # fmt: skip
SHAPE = re.compile(r"[a-zü]+([.+][a-z]+)*@[a-z]+\.[a-z]+", re.IGNORECASE)


def oracle(rows):
    """Row numbers that are rejected, and for each address the row that speaks for it."""
    rejected, last = set(), {}
    for number, cells in enumerate(rows, start=1):
        address, points = cells[0].strip(), cells[4].strip() if len(cells) > 4 else ""
        wrong_score = points in {"101", "-1", "many"}
        if len(cells) != len(HEADER) or "\x00" in "".join(cells) or wrong_score or (
            address and not SHAPE.fullmatch(address)
        ):  # fmt: skip
            rejected.add(number)
        elif address:
            last[address.lower()] = cells
    return rejected, last


def as_csv(rows):
    out = io.StringIO(newline="")
    csv.writer(out).writerows([HEADER, *rows])
    return out.getvalue()


async def _check(url, path, rows, policy):
    async with Pools(Settings.load({}, database_url=url)) as pools:
        made = await workspaces.create(pools, f"messy-{uuid4().hex}")
        tenant = await workspaces.tenant(pools, made.name)
        report = await import_file(tenant, path, on_conflict=policy, mapping=SAID)
        assert report.rows_read == len(rows)
        assert report.rows_read == report.inserted + report.updated + report.skipped + report.rejected
        assert report.updated == 0
        rejected, last = oracle(rows)
        async with tenant.session() as session:
            numbers = await session.all("SELECT row_number FROM outreach.import_rejects")
        assert {each["row_number"] for each in numbers} == rejected
        found = await leads(tenant)
        assert len(found) == report.inserted
        assert {lead["email_key"] for lead in found} - {None} == set(last)
        if policy == "update":
            for lead in found:
                if lead["email_key"] and (name := _trimmed(last[lead["email_key"]][1])):
                    assert lead["first_name"] == name
        before = await state(tenant)
        again = await import_file(tenant, path, on_conflict=policy, mapping=SAID)
        assert (again.inserted, again.updated, again.rejected) == (0, 0, report.rejected)
        assert await state(tenant) == before
        assert await value(tenant, "SELECT count(*) FROM outreach.imports WHERE status = 'done'") == 2


def _trimmed(cell):
    return unicodedata.normalize("NFC", cell.strip())


@pytest.mark.parametrize("policy", ["update", "fill", "skip"])
def test_any_messy_file(database_url, tmp_path_factory, policy):
    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(row, min_size=1, max_size=25))
    def run(rows):
        path = tmp_path_factory.mktemp("messy") / "messy.csv"
        path.write_text(as_csv(rows), encoding="utf-8", newline="")
        asyncio.run(_check(database_url, path, rows, policy))

    run()
