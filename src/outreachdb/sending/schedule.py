"""Launching a campaign and adding to it: sends are made in the database, all at once or not at all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from psycopg import errors as pg

from outreachdb.campaigns import campaigns
from outreachdb.db.foreign_keys import asked_at_once
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import APP_ROLE, TRUSTED_ROLE, Session, Tenant
from outreachdb.errors import Conflict, InvalidInput, OutreachDBError
from outreachdb.segments import segments
from outreachdb.sending import checking

Q = Queries("outreachdb.sending")
log = structlog.get_logger(__name__)
# No foreign key and no trigger of the table appears while we hold this.
HOLD_FOREIGN_KEYS = "LOCK TABLE ONLY outreach.email_sends IN ROW EXCLUSIVE MODE"
LARGE = 500  # new sends that make the planner's statistics worth renewing: a new month has none at all


@dataclass(frozen=True, slots=True)
class Launch:
    """What a launch made: sends over all steps, and the leads left out by reason."""

    campaign_id: int
    scheduled: int
    excluded: dict[str, int]
    seconds: float


async def launch(
    tenant: Tenant, campaign: str | int, *, launched_at: datetime | None = None, check: bool = True
) -> Launch:
    """Schedule every send of a campaign; ``launched_at`` (default: now) is the instant that its sends carry.

    With ``check`` the templates are tried on the leads first: raises InvalidInput that names the lead that breaks one.
    Raises Conflict when it was launched already, also where another launch won by a moment.
    """
    instant = datetime.now(UTC) if launched_at is None else launched_at
    if instant.tzinfo is None:
        raise InvalidInput("launched_at has no time zone")
    found = await campaigns.find(tenant, campaign)
    started = time.perf_counter()
    if check and found.status in {"draft", "scheduled"}:
        await checking.check_templates(tenant, found.id)
    # A new month is attached in a transaction of its own, not held locked while the sends are written.
    async with tenant.trusted(doing="preparing the month") as session:
        await session.execute(Q.prepare_month, {"launched_at": instant})
    return await _made(tenant, found, Q.schedule, instant, started)


async def add(tenant: Tenant, campaign: str | int, *, check: bool = True) -> Launch:
    """Schedule who entered the segment since the launch; nobody who is in the campaign is touched.

    ``excluded`` counts those as ``already_in_campaign``. Raises Conflict unless the campaign is running or paused.
    """
    found = await campaigns.find(tenant, campaign)
    started = time.perf_counter()
    if check and found.launched_at is not None:
        await checking.check_templates(tenant, found.id)
    return await _made(tenant, found, Q.add_leads, found.launched_at, started)


async def plan(tenant: Tenant, campaign: str | int, at: datetime) -> campaigns.Campaign:
    """Have a draft launched at an instant, by the next worker that looks: its segment counts as it is then.

    What was planned for another instant is planned anew. Raises Conflict for what was launched or is closed.
    """
    if at.tzinfo is None:
        raise InvalidInput("the instant has no time zone")
    found = await campaigns.find(tenant, campaign)
    await checking.check_templates(tenant, found.id)
    async with tenant.session("jobs", doing=f"scheduling the campaign {found.name}") as session:
        status = await session.value(
            Q.plan_launch, {"workspace_id": tenant.workspace_id, "campaign_id": found.id, "start": at}
        )
        try:
            if status != "scheduled":
                await session.execute(campaigns.Q.set_status, {"campaign_id": found.id, "status": "scheduled"})
        except pg.ObjectNotInPrerequisiteState as error:
            raise campaigns.refused(found.name, error) from None
    return await campaigns.find(tenant, found.id)


async def launch_due(tenant: Tenant) -> list[Launch]:
    """Launch the scheduled campaigns whose time has come; what can't be launched is logged and stays scheduled."""
    async with tenant.session("jobs", doing="looking for campaigns to launch") as session:
        due = await session.all(Q.due_launches, {"workspace_id": tenant.workspace_id})
    launched = []
    for row in due:
        try:
            launched.append(await launch(tenant, row["id"], check=False))
        except Conflict:
            continue  # another worker was first
        except OutreachDBError as error:
            log.warning("a scheduled campaign can't be launched", campaign=row["id"], problem=str(error))
    return launched


async def next_run(tenant: Tenant, campaign: str | int) -> campaigns.Campaign:
    """A draft with a closed campaign's name, steps and mailboxes; its launch leaves out whom any run mailed."""
    found = await campaigns.find(tenant, campaign)
    async with tenant.session("jobs", doing=f"making the next run of {found.name}") as session:
        try:
            made = await session.value(Q.next_run, {"campaign_id": found.id})
        except pg.ObjectNotInPrerequisiteState as error:
            raise campaigns.refused(found.name, error) from None
    return await campaigns.find(tenant, int(made))


async def _made(
    tenant: Tenant, found: campaigns.Campaign, statement: str, instant: datetime | None, started: float
) -> Launch:
    async with tenant.session("jobs", doing=f"launching the campaign {found.name}") as session:
        try:
            async with asked_at_once(session, await _may_ask_at_once(session), APP_ROLE):
                row = await session.one(statement, {"campaign_id": found.id, "launched_at": instant})
            if found.segment is not None:
                await segments.note_use(session, tenant, found.segment)
        except pg.ObjectNotInPrerequisiteState as error:
            raise campaigns.refused(found.name, error) from None
        except pg.ForeignKeyViolation:
            raise Conflict(
                f"a lead of {found.name}'s segment was deleted while it was launched; nothing was scheduled",
                hint="try again",
            ) from None
    assert row is not None  # noqa: S101  (a function with one row)
    if row["scheduled"] >= LARGE:
        await _renew_statistics(tenant, instant)
    return Launch(found.id, row["scheduled"], row["excluded"], round(time.perf_counter() - started, 3))


async def _may_ask_at_once(session: Session) -> bool:
    """Whether the sends' foreign keys may be silent: schedule_members then asks for all leads at once.

    Two foreign keys cost 4.9 of the 13.1 s in which 1M sends are inserted, all leads at once 0.8 s.
    """
    async with session.as_role(TRUSTED_ROLE, APP_ROLE):
        await session.execute(HOLD_FOREIGN_KEYS)
        return bool(await session.value(Q.only_known_foreign_keys))


async def _renew_statistics(tenant: Tenant, instant: datetime | None) -> None:
    """The sends are committed: what fails here is told in the log and fails no launch; autovacuum comes later."""
    try:
        async with tenant.trusted(doing="renewing statistics") as session:
            await session.execute(Q.refresh_statistics, {"launched_at": instant})
    except OutreachDBError as error:
        log.warning("statistics were not renewed after a launch", reason=error.detail)
