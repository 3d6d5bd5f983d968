"""Jobs that go through the workspaces; one that fails doesn't keep the others waiting.

What a job needs is imported when it runs: who only lists the jobs starts without their rooms.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Row, Tenant, session
from outreachdb.errors import OutreachDBError
from outreachdb.jobs.outcome import Done
from outreachdb.secrets import Keyring

Q = Queries("outreachdb.jobs")
log = structlog.get_logger(__name__)


async def fold_rollups(pools: Pools) -> Done:
    """Fold the deltas of every workspace that has any."""
    from outreachdb.analytics import rollups

    return Done(await rollups.fold_all(pools))


async def score_leads(pools: Pools) -> Done:
    """Bring the scores of engagement up to date; the number of leads whose score changed."""
    from outreachdb.analytics import views

    return Done((await views.score(pools)).rows or 0)


async def reconcile_rollups(pools: Pools) -> Done:
    """Compare some days of every workspace with a recount; what differs is somebody's to look at."""
    from outreachdb.analytics import rollups

    found = await rollups.reconcile_all(pools)
    if found.drifted:
        raise OutreachDBError(
            f"{found.drifted} of {found.buckets} buckets of the rollups are not what a recount says",
            hint="analytics.rollup_drifts tells which; outreachdb -w NAME stats reconcile --repair mends them",
        )
    return Done(found.buckets, found.document())


async def launch_due_campaigns(pools: Pools) -> Done:
    """Launch what was planned for now; what can't be launched is logged and stays planned."""
    from outreachdb.sending import schedule

    async def launch(tenant: Tenant) -> int:
        return len(await schedule.launch_due(tenant))

    return await _each(pools, Q.workspaces_with_due_campaigns, launch)


async def release_lost_sends(pools: Pools) -> Done:
    """Clear up after workers that died with sends in their hands."""
    from outreachdb.sending.dispatch import LEASE
    from outreachdb.sending.ledger import Ledger

    async def release(tenant: Tenant) -> int:
        row = await Ledger(tenant, LEASE).release_expired()
        return int(row.get("released") or 0) + int(row.get("unknown") or 0)

    return await _each(pools, Q.workspaces_with_lost_sends, release)


async def match_late_events(pools: Pools) -> Done:
    """Find the sends of events that were faster than the log of their messages; how many."""
    from outreachdb.sending.dispatch import LEASE
    from outreachdb.sending.ledger import Ledger

    async def match(tenant: Tenant) -> int:
        return await Ledger(tenant, LEASE).match_late_events()

    return await _each(pools, Q.workspaces_with_unmatched_events, match)


async def poll_inboxes(pools: Pools) -> Done:
    """Read what is new; a problem with one inbox is noted there and doesn't fail the job."""
    from outreachdb.events import inboxes

    keyring = Keyring.load(pools.settings)

    async def poll(tenant: Tenant) -> int:
        return (await inboxes.poll(tenant, keyring)).mails

    return await _each(pools, Q.workspaces_with_inboxes, poll)


async def end_dead_imports(pools: Pools) -> Done:
    """Mark imports whose process died; listing them does it."""
    from outreachdb.leads import importing

    async def end(tenant: Tenant) -> int:
        await importing.listed(tenant, 1)
        return 1

    return await _each(pools, Q.workspaces_with_running_imports, end)


async def learn_search_words(pools: Pools) -> Done:
    """Learn the words of imports that were killed before they came to it; the number of words that are new."""
    from outreachdb.leads import importing

    return Done(await importing.learn_all_words(pools))


async def _each(pools: Pools, workspaces: str, work: Callable[[Tenant], Awaitable[int]]) -> Done:
    """Do something for each workspace that a statement names; raises the first error after all had their turn."""
    async with session(pools, role=TRUSTED_ROLE, workload="jobs", doing="looking for work") as trusted:
        found = await trusted.all(workspaces)
    done = 0
    failed: list[tuple[str, OutreachDBError]] = []
    for row in found:
        try:
            done += await work(_tenant(pools, row))
        except OutreachDBError as error:
            log.warning("a job failed in one workspace", workspace=row["name"], problem=str(error))
            failed.append((row["name"], error))
    if failed:
        name, first = failed[0]
        raise OutreachDBError(f"{len(failed)} of {len(found)} workspaces failed, {name} first: {first}") from first
    return Done(done)


def _tenant(pools: Pools, row: Row) -> Tenant:
    return Tenant(pools, row["workspace_id"], row["name"])
