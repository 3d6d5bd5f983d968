"""Campaigns: made from a file, moved from one status to the next, shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.types.json import Jsonb

from outreachdb.campaigns.file import CampaignFile, MailboxEntry, parse
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Session, Tenant
from outreachdb.errors import Conflict, InvalidInput, NotFound
from outreachdb.secrets import Keyring
from outreachdb.segments import segments
from outreachdb.words import did_you_mean

Q = Queries("outreachdb.campaigns")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as listed; ``segment`` is ``None`` where the file held the definition itself."""

    id: int
    name: str
    run: int
    segment: str | None
    definition: dict[str, Any]
    status: str
    created_at: datetime
    launched_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class CampaignDetails:
    """A campaign with its steps, mailboxes (never their secrets), sends by status, exclusions by reason, variants."""

    campaign: Campaign
    steps: list[Row]
    mailboxes: list[Row]
    sends: dict[str, int]
    excluded: dict[str, int]
    variants: list[Row]


async def create(tenant: Tenant, keyring: Keyring, campaign: CampaignFile | Mapping[str, Any]) -> Campaign:
    """Store a campaign as a draft, in one transaction with its steps and mailboxes.

    Raises InvalidInput for a wrong template, an unknown mailbox without ``smtp`` or a password variable that is not
    set; NotFound for an unknown segment; Conflict when the name is taken or a known mailbox has another server. Of a
    known mailbox only the name, cap and password that the file gives are changed.
    """
    given = campaign if isinstance(campaign, CampaignFile) else parse(dict(campaign))
    segment = await segments.find(tenant, given.segment) if isinstance(given.segment, str) else None
    definition = segment.definition if segment else await segments.resolve(tenant, given.segment)
    key = {"workspace_id": tenant.workspace_id}
    async with tenant.session(doing=f"creating the campaign {given.name}") as session:
        await session.execute(segments.Q.check_segment, {"definition": Jsonb(definition), "id": None})
        made = await session.value(
            Q.create_campaign,
            key
            | {
                "name": given.name,
                "segment_id": segment.id if segment else None,
                "definition": Jsonb(definition),
                "settings": Jsonb(_settings(given)),
                "priority": given.priority,
            }
            | _window(given),
        )
        await session.execute(Q.create_steps, key | {"campaign_id": made, "steps": Jsonb(_steps(given))})
        # In one order, so that two creators of the same mailboxes wait for each other instead of deadlocking.
        wanted = sorted(given.mailboxes, key=lambda mailbox: mailbox.address.lower())
        mailboxes = [await _put_mailbox(session, tenant, keyring, mailbox) for mailbox in wanted]
        await session.execute(Q.assign_mailboxes, key | {"campaign_id": made, "mailboxes": mailboxes})
        if segment:
            await segments.note_use(session, tenant, segment.name)
    return await find(tenant, made)


async def find(tenant: Tenant, campaign: str | int) -> Campaign:
    """A campaign by name (its latest run) or id; raises NotFound."""
    async with tenant.session(doing=f"looking up the campaign {campaign}") as session:
        row = await session.one(Q.find_campaign, {"workspace_id": tenant.workspace_id} | _named(campaign))
    if row is None:
        hint = "outreachdb campaign list"
        if isinstance(campaign, str) and not campaign.isdecimal():
            hint = did_you_mean(campaign, sorted({each.name for each in await listed(tenant)}), hint)
        raise NotFound(f"no campaign named {str(campaign)!r}", hint=hint)
    return Campaign(**row)


async def listed(tenant: Tenant, *, limit: int = 1000) -> list[Campaign]:
    """The newest campaigns first."""
    async with tenant.session(doing="listing campaigns") as session:
        rows = await session.all(Q.list_campaigns, {"workspace_id": tenant.workspace_id, "limit": limit})
    return [Campaign(**row) for row in rows]


async def show(tenant: Tenant, campaign: str | int) -> CampaignDetails:
    """A campaign and what became of its leads."""
    found = await find(tenant, campaign)
    key = {"workspace_id": tenant.workspace_id, "campaign_id": found.id, "launched_at": found.launched_at}
    async with tenant.session(doing=f"reading the campaign {found.name}") as session:
        steps = await session.all(Q.campaign_steps, key)
        mailboxes = await session.all(Q.campaign_mailboxes, key)
        sends = await session.all(Q.campaign_sends, key) if found.launched_at else []
        excluded = await session.all(Q.campaign_exclusions, key)
        variants = await session.all(Q.campaign_variants, key) if found.launched_at else []
    return CampaignDetails(
        found,
        steps,
        mailboxes,
        {row["status"]: row["sends"] for row in sends},
        {row["reason"]: row["leads"] for row in excluded},
        variants,
    )


async def pause(tenant: Tenant, campaign: str | int) -> Campaign:
    """Stop handing out sends; those handed out already may still leave. Raises Conflict unless it is running."""
    return await _set_status(tenant, campaign, "paused")


async def resume(tenant: Tenant, campaign: str | int) -> Campaign:
    """Go on after a pause; raises Conflict unless it is paused."""
    return await _set_status(tenant, campaign, "running")


async def cancel(tenant: Tenant, campaign: str | int) -> Campaign:
    """End it for good: sends that are still to come are cancelled. Raises Conflict when it has ended already."""
    return await _set_status(tenant, campaign, "cancelled")


async def _set_status(tenant: Tenant, campaign: str | int, status: str) -> Campaign:
    found = await find(tenant, campaign)
    async with tenant.session("jobs", doing=f"changing the campaign {found.name}") as session:
        try:
            await session.execute(Q.set_status, {"campaign_id": found.id, "status": status})
        except pg.ObjectNotInPrerequisiteState as error:
            raise refused(found.name, error) from None
    return await find(tenant, found.id)


def refused(name: str, error: psycopg.Error) -> Conflict:
    """The database's refusal of a transition."""
    return Conflict(f"campaign {name}: {error.diag.message_primary}", hint=error.diag.message_hint)


async def _put_mailbox(session: Session, tenant: Tenant, keyring: Keyring, mailbox: MailboxEntry) -> int:
    key = {"workspace_id": tenant.workspace_id, "address": mailbox.address}
    if mailbox.smtp is None:
        known: int | None = await session.value(Q.limit_mailbox, key | _limits(mailbox))
        if known is None:
            raise InvalidInput(f"the mailbox {mailbox.address} is not known yet", hint="give its smtp: host, port ...")
        return known
    sealed = None
    if mailbox.smtp.password_env:
        password = os.environ.get(mailbox.smtp.password_env)
        if not password:
            raise InvalidInput(
                f"the environment variable {mailbox.smtp.password_env} is not set",
                hint=f"it should hold the password of {mailbox.address}",
            )
        sealed = keyring.encrypt(password, context=secret_context(tenant.workspace_id, mailbox.address))
    smtp = mailbox.smtp.model_dump(include={"host", "port", "security", "username"})
    rest = {"display_name": mailbox.display_name, "password": sealed} | _limits(mailbox)
    put: int | None = await session.value(Q.put_mailbox, key | smtp | rest)
    if put is None:
        raise Conflict(
            f"the mailbox {mailbox.address} is known with another host, port, security or username",
            hint="leave smtp out to send from it as it is; "
            "to move it, for all its campaigns, change its row in outreach.mailboxes",
        )
    return put


def secret_context(workspace_id: int, address: str) -> str:
    """What a mailbox's password is bound to, so that a sealed one is of no use in another row."""
    return f"mailbox:{workspace_id}:{address.lower()}"


def _limits(mailbox: MailboxEntry) -> dict[str, Any]:
    return {
        "daily_cap": mailbox.daily_cap,
        "min_spacing_ms": None if mailbox.min_spacing is None else mailbox.min_spacing * 1000,
        "ramp_first": mailbox.ramp_up.first_day if mailbox.ramp_up else None,
        "ramp_increase": mailbox.ramp_up.increase if mailbox.ramp_up else None,
    }


def _settings(campaign: CampaignFile) -> dict[str, Any]:
    start = {"start": campaign.start.isoformat()} if campaign.start else {}
    return {"missing": campaign.missing, "track": campaign.track} | start


def _window(campaign: CampaignFile) -> dict[str, Any]:
    window = campaign.window
    if window is None:
        return {"window_from": None, "window_to": None, "window_days": None, "window_zone": "UTC"}
    return {
        "window_from": window.from_,
        "window_to": window.to,
        "window_days": sorted({DAYS.index(day) + 1 for day in window.days}) if window.days else None,
        "window_zone": window.timezone,
    }


def _steps(campaign: CampaignFile) -> list[dict[str, Any]]:
    """Rows of steps; of one with variants the columns hold the first, for whoever looks at the table."""
    return [
        {
            "step": number,
            "delay_seconds": step.delay,
            "condition": step.condition,
            **dict(zip(("subject", "body_text", "body_html"), next(iter(step.texts().values())), strict=True)),
            "variants": {each.name: each.model_dump(exclude={"name"}) for each in step.variants or []},
        }
        for number, step in enumerate(campaign.steps, 1)
    ]


def _named(campaign: str | int) -> dict[str, Any]:
    text = str(campaign)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    return {"name": None if isinstance(campaign, int) else campaign, "id": number}
