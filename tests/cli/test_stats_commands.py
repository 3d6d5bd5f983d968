"""The commands of stats: tables and charts for people, JSON and CSV for programs, refusals in one line."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from commands import Run
from launched import Launched, launch

from outreachdb.config import Settings
from outreachdb.db.pools import Pools
from outreachdb.events.ingest import ingest
from outreachdb.secrets import Keyring
from outreachdb.tenancy import workspaces

KEYS = {
    *("as_of", "scheduled", "sent", "delivered", "opened", "unique_opened", "clicked", "unique_clicked", "replied"),
    *("bounced", "complained", "unsubscribed"),
}


@pytest.fixture
def campaign(database_url: str, workspace: str, keyring: Keyring) -> Launched:
    async def fill() -> Launched:
        async with Pools(Settings.load({}, database_url=database_url)) as pools:
            tenant = await workspaces.tenant(pools, workspace)
            made = await launch(tenant, keyring, leads=3, steps=2, launched_at=_within_a_day())
            kinds = ("delivered", "opened", "opened", "clicked")
            events = [made.event(send, kind, n) for send in made.sends for n, kind in enumerate(kinds)]
            await ingest(tenant, keyring, events)
            return made

    return asyncio.run(fill())


def _within_a_day() -> datetime:
    """Some two hours ago, with the next minutes on the same day: the reports below have one line for it."""
    when = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    return when - timedelta(minutes=10) if (when + timedelta(minutes=10)).date() > when.date() else when


def test_a_campaign_in_all_forms(run: Run, campaign: Launched, tmp_path: Path) -> None:
    document = run("stats", "campaign", campaign.name, "--json").document
    assert document.keys() >= KEYS
    assert (document["opened"], document["unique_opened"], document["delivered"], document["open_rate"]) == (
        12,
        3,
        6,
        1,
    )
    assert document["units"]["days"] == "UTC"
    by_step = run("--json", "stats", "campaign", campaign.name, "--by", "step").document
    assert [(row["step"], row["opened"], row["unique_opened"]) for row in by_step["rows"]] == [(1, 6, 3), (2, 6, 3)]
    told = run("stats", "campaign", campaign.name).out
    assert "unique opened" in told
    assert "█" in told
    assert "as of" in told
    assert (
        "100.0% of delivered"
        not in run("stats", "campaign", campaign.name, "--since", "2020-01-01", "--until", "2020-01-02").out
    )
    file = tmp_path / "days.csv"
    assert run("stats", "campaign", campaign.name, "--by", "day", "--csv", str(file)).status == 0
    [day] = list(csv.DictReader(file.read_text().splitlines()))
    assert (day["opened"], day["day"]) == ("12", campaign.launched_at.date().isoformat())
    printed = run("stats", "campaign", campaign.name, "--by", "step", "--csv", "-").out
    assert [row["step"] for row in csv.DictReader(io.StringIO(printed))] == ["1", "2"]


def test_the_other_reports(run: Run, campaign: Launched) -> None:
    domains = run("--json", "stats", "workspace", "--by", "domain").document
    assert sum(row["opened"] for row in domains["rows"]) == domains["opened"] == 12
    assert len(run("--json", "stats", "workspace", "--by", "domain", "--limit", "2").document["rows"]) == 2
    names = [row["campaign"] for row in run("--json", "stats", "workspace", "--by", "campaign").document["rows"]]
    assert names == [campaign.name]
    [mailbox] = run("--json", "stats", "deliverability").document["rows"]
    assert mailbox["mailbox"].endswith("@sender.example")
    assert mailbox["reputation"] == "good"
    growth = run("--json", "stats", "growth", "--refresh").document
    assert (growth["new_leads"], len(growth["rows"])) == (3, 30)
    engagement = run("--json", "stats", "engagement", "--refresh").document
    assert engagement["levels"] == {"hot": 0, "engaged": 3, "warm": 0, "cold": 0}
    for report in ("workspace", "deliverability", "growth", "engagement"):
        told = run("stats", report)
        assert told.status == 0
        assert "as of" in told.out
    assert "reputation" in run("stats", "deliverability").out
    refreshed = run("--json", "stats", "refresh", "campaign_analytics").document["refreshed"]
    assert [each["view"] for each in refreshed] == ["campaign_analytics"]


def test_reconcile_tells_by_its_exit_status(run: Run, campaign: Launched) -> None:
    # The mails of this campaign were put there without a sender counting them.
    found = run("--json", "stats", "reconcile", "--days", "9")
    assert (found.status, found.document["drifted"] > 0) == (1, True)
    mended = run("stats", "reconcile", "--days", "9", "--repair")
    assert (mended.status, "mended" in mended.out) == (0, True)
    assert run("--json", "stats", "reconcile", "--days", "9").document["drifted"] == 0
    assert run("--json", "stats", "campaign", campaign.name).document["sent"] == 6


def test_wrong_calls_are_one_clear_line(run: Run, campaign: Launched, tmp_path: Path) -> None:
    wrong = {
        ("campaign", "nobody"): 1,
        ("campaign", campaign.name, "--by", "mailbox"): 2,
        ("campaign", campaign.name, "--since", "2026-02-02", "--until", "2026-02-01"): 2,
        ("campaign", campaign.name, "--since", "yesterday"): 2,
        ("workspace", "--limit", "0"): 2,
        ("refresh", "nothing"): 2,
        ("growth", "--csv", str(tmp_path / "no" / "such.csv")): 1,
    }
    for arguments, status in wrong.items():
        ended = run("stats", *arguments)
        assert ended.status == status, arguments
        assert "Traceback" not in ended.err
        assert ended.out == ""
