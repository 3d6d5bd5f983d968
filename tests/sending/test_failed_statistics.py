"""What follows a launch may fail: the sends are committed, and the log says why."""

from __future__ import annotations

import pytest
from mailing import add_leads, launched, statuses
from structlog.testing import capture_logs

from outreachdb.config import Settings
from outreachdb.db.pools import Pools, connect
from outreachdb.secrets import Keyring
from outreachdb.sending import schedule
from outreachdb.tenancy import workspaces


async def test_statistics_that_cant_be_renewed_fail_no_launch(
    own_database_url: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "LARGE", 1)
    async with (
        Pools(Settings.load({}, database_url=own_database_url)) as pools,
        await connect(own_database_url, autocommit=True) as admin,
    ):
        await workspaces.create(pools, "acme")
        tenant = await workspaces.tenant(pools, "acme")
        await add_leads(tenant, 3)
        await admin.execute(
            "REVOKE EXECUTE ON FUNCTION outreach.refresh_statistics(text, timestamptz) FROM PUBLIC, outreachdb_trusted"
        )
        with capture_logs() as said:
            made = await launched(tenant, keyring, 25)
        assert (made.scheduled, await statuses(tenant)) == (3, {"scheduled": 3})
        assert [(each["event"], each["log_level"]) for each in said] == [
            ("statistics were not renewed after a launch", "warning")
        ]
        assert "permission denied for function refresh_statistics" in said[0]["reason"]
