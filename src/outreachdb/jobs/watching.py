"""Jobs that watch the database: snapshots for its history, and alerts."""

from __future__ import annotations

from outreachdb.db.pools import Pools
from outreachdb.health import alerts, configuration, history
from outreachdb.jobs.outcome import Done


async def watch_alerts(pools: Pools) -> Done:
    """One round of alerts; the number of messages that were sent."""
    done = await alerts.run(pools, configuration.load(pools.settings.health_file))
    return Done(done.sent, {"stepped": done.stepped, "written": done.written, "failed": done.failed})


async def snapshot_health(pools: Pools) -> Done:
    """Run the checks and keep what they say; the number of checks that apply."""
    found = await history.snapshot_health(pools, configuration.load(pools.settings.health_file))
    return Done(len(found.applying), {"status": found.status})


async def snapshot_statistics(pools: Pools) -> Done:
    """Keep today's sizes and what queries did; the number of figures and statements."""
    kept = await history.snapshot_statistics(pools, configuration.load(pools.settings.health_file))
    return Done(sum(kept.values()), dict(kept))
