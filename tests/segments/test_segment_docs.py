"""Every example of the pages about segments does what the pages say."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from outreachdb import segments
from outreachdb.cli.main import main
from outreachdb.db.tenant import Tenant
from outreachdb.segments import definition

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "how-to" / "segments.md").read_text(encoding="utf-8")
LEADS = """Email,Title,Country,Employees
ann@a.example,Head of Growth,US,5
bo@b.example,CEO,GB,2000
cy@c.example,CEO,US,10
di@d.example,,GB,
"""


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def test_the_commands_of_the_guide_run(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"guide-{uuid4().hex[:8]}"
    monkeypatch.chdir(tmp_path)
    for key, value in {"DATABASE_URL": database_url, "HOME": str(tmp_path), "WORKSPACE": name}.items():
        monkeypatch.setenv(f"OUTREACHDB_{key}", value)
    (tmp_path / "leads.csv").write_text(LEADS)
    (tmp_path / "growth.json").write_text(blocks(GUIDE, "json")[0])
    (tmp_path / "wider.json").write_text('{"field": "country", "op": "in", "value": ["US", "GB", "PL"]}')

    def run(line: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(line, comments=True)[1:])
        printed = capsys.readouterr()
        assert not ended.value.code, f"{line}: {printed.err}"
        return printed.out

    for line in (f"outreachdb workspace create {name}", "outreachdb import leads.csv"):
        run(line)
    lines = [line for block in blocks(GUIDE, "sh") for line in block.splitlines() if line.strip()]
    said = {}
    for line in lines:
        given_line = line.replace(" acme ", f" {name} ")
        if "segment undo" in line:
            [made] = re.findall(r"segment undo (\d+)", said["apply --add-tag"])
            given_line = line.replace("undo 1", f"undo {made}")
        key = "apply --add-tag" if "--add-tag" in line and "--yes" in line else line
        said[key] = run(given_line)
    assert len(lines) > 15
    assert said[lines[0]].startswith("4 leads")
    assert said["outreachdb segment count growth"].startswith("2 leads")
    assert (tmp_path / "growth.parquet").stat().st_size > 1000
    assert "ann@a.example" in (tmp_path / "growth.csv").read_text()
    [shown] = re.findall(r"```\noutreachdb: (growth\.json: .*)\n```", GUIDE)
    with pytest.raises(definition.InvalidInput) as caught:
        definition.check({"all": [{"field": "contry", "op": "is_set"}]}, where="growth.json")
    assert str(caught.value) == shown


async def test_the_definitions_of_the_pages_compile(tenant: Tenant) -> None:
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.campaigns (workspace_id, id, name) VALUES (%s, 12, 'c')", [tenant.workspace_id]
        )
    await segments.create(tenant, "customers", {})
    found = 0
    for page in ("reference/segments.md", "explanation/empty-values.md", "how-to/segments.md"):
        for text in blocks((DOCS / page).read_text(encoding="utf-8"), "json"):
            assert (await segments.count(tenant, json.loads(text))).count == 0
            found += 1
    assert found >= 3


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    titles=st.lists(st.none() | st.sampled_from(["", "Growth", "CEO"]), min_size=1, max_size=6),
    pair=st.sampled_from([("contains", "growth"), ("equals", "CEO"), ("in", ["CEO"]), ("is_set", None)]),
)
async def test_a_condition_and_its_opposite_share_the_leads_out(
    tenant: Tenant, titles: list[str | None], pair: tuple[str, str | list[str] | None]
) -> None:
    op, value = pair
    opposite = {"is_set": "is_not_set"}.get(op, f"not_{op}")
    async with tenant.trusted() as session:
        await session.execute("DELETE FROM outreach.leads WHERE workspace_id = %s", [tenant.workspace_id])
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, title) SELECT %s, unnest(%s::text[])",
            [tenant.workspace_id, titles],
        )
    more = {} if value is None else {"value": value}
    async with tenant.session() as session:
        for where in ({"op": opposite}, {}):
            one = {"field": "title", "op": op} | more
            other = {"field": "title"} | where | more if where else {"not": one}
            counts = [
                await session.value("SELECT outreach.count_segmented_leads(%s)", [Jsonb(each)])
                for each in (one, other, {"all": [one, other]})
            ]
            assert counts[0] + counts[1] == len(titles)
            assert counts[2] == 0
