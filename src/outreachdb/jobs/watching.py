"""Jobs that look at the database itself: health, its history, alerts; what a job needs is imported when it runs."""

from __future__ import annotations

from dataclasses import asdict

from outreachdb.db.pools import Pools
from outreachdb.jobs.outcome import Done


async def snapshot_health(pools: Pools) -> Done:
    """Run the checks and keep their status and value."""
    from outreachdb.health import configuration, history

    found = await history.snapshot_health(pools, configuration.load(pools.settings.health_file))
    return Done(len(found.applying), {"status": found.status})


async def snapshot_statistics(pools: Pools) -> Done:
    """Keep sizes, and what statements did since the last time."""
    from outreachdb.health import configuration, history

    found = await history.snapshot_statistics(pools, configuration.load(pools.settings.health_file))
    return Done(sum(found.values()), dict(found))


async def tell_alerts(pools: Pools) -> Done:
    """Look at the checks and tell what begins, goes on for long, or ends; nothing where no channel is configured."""
    from outreachdb.health import alerts, configuration

    loaded = configuration.load(pools.settings.health_file)
    if not alerts.alerting(loaded).channels:
        return Done()
    told = await alerts.run(pools, loaded)
    return Done(told.sent, asdict(told))
