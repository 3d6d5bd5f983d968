"""Templates tried on the leads before a launch, and one message sent on trial."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import make_msgid
from typing import Any

from email_validator import EmailNotValidError, validate_email

from outreachdb.campaigns import campaigns
from outreachdb.campaigns.campaigns import secret_context
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import InvalidInput, NotFound, OutreachDBError
from outreachdb.leads.search import find as find_lead
from outreachdb.secrets import Keyring
from outreachdb.sending import links, rendering
from outreachdb.sending.message import build
from outreachdb.sending.smtp import Mailbox, MailboxUnusable, Outbox, Outcome

Q = Queries("outreachdb.sending")
ALL = 20_000  # leads that are tried one by one; of more, each shape
SHOWN = 3


async def check_templates(tenant: Tenant, campaign: str | int) -> int:
    """Render every step and variant for the leads of a campaign's segment; how many leads were tried.

    Raises InvalidInput that names the step and the leads that break it. Of a segment over 20,000 leads it tries as many
    and one of each further shape (which fields are empty, which custom fields are there).
    """
    found = await campaigns.find(tenant, campaign)
    async with tenant.session("jobs", doing="reading leads to try the templates on") as session:
        leads = await session.all(Q.leads_to_check, {"campaign_id": found.id, "all": ALL})
    templates = await rendering.load(tenant, [found.id])
    problems = await asyncio.to_thread(_problems, templates, leads, links.sample(tenant.pools.settings))
    if problems:
        more = f" (and {len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
        raise InvalidInput(
            f"campaign {found.name}: {'; '.join(problems[:SHOWN])}{more}",
            hint="mend the template or the leads; launched with --force, the sends of these leads fail",
        )
    return len(leads)


@dataclass(frozen=True, slots=True)
class Check:
    """How many ``leads`` were tried; ``gaps`` are those for whom an empty field is printed ("Hello ,"), a line each.

    With ``missing: strict`` there are no gaps: these are errors then.
    """

    leads: int
    gaps: list[str]


async def check(tenant: Tenant, campaign: str | int) -> Check:
    """As :func:`check_templates`, and where the templates would print nothing."""
    tried = await check_templates(tenant, campaign)
    found = await campaigns.find(tenant, campaign)
    async with tenant.session("jobs", doing="reading leads to try the templates on") as session:
        leads = await session.all(Q.leads_to_check, {"campaign_id": found.id, "all": ALL})
    templates = await rendering.load(tenant, [found.id], missing="strict")
    return Check(tried, await asyncio.to_thread(_problems, templates, leads, links.sample(tenant.pools.settings)))


def _problems(templates: rendering.Templates, leads: Iterable[Row], given: Mapping[str, Any]) -> list[str]:
    problems = []
    for lead in leads:
        for (_, step, variant), each in templates.items():
            try:
                each.render(lead["lead"] | given)
            except InvalidInput as error:
                spot = f"step {step}" + (f", variant {variant}" if variant else "")
                problems.append(f"{spot}, lead {lead['lead_id']} ({lead['email']}): {error.detail}")
                break
    return problems


async def send_test(
    tenant: Tenant,
    keyring: Keyring,
    campaign: str | int,
    to: str,
    *,
    lead: str | None = None,
    step: int = 1,
    variant: str | None = None,
) -> Row:
    """Send one message of a campaign to an address of one's own, outside the ledger: no lead is touched.

    It is rendered for ``lead`` (id or address; default: the first of the segment) and sent from the campaign's first
    mailbox. Raises NotFound for an unknown step or lead, InvalidInput for a template that fails or a wrong address,
    OutreachDBError when the server doesn't take it.
    """
    to = _address(to)
    found = await campaigns.find(tenant, campaign)
    templates = await rendering.load(tenant, [found.id])
    choices = {key: each for key, each in templates.items() if key[1] == step and (variant or key[2]) == key[2]}
    if not choices:
        raise NotFound(
            f"campaign {found.name} has no step {step}" + (f" with the variant {variant}" if variant else "")
        )
    (_, _, used), chosen = min(choices.items(), key=lambda item: item[0][2] or "")
    row = await _sample(tenant, found.id, lead)
    box = await _mailbox(tenant, keyring, found.id)
    rendered = chosen.render(row["lead"] | links.sample(tenant.pools.settings))
    message = build(box.display_name, box.address, to, rendered, make_msgid(domain=box.domain))
    outbox = Outbox(box, 1, links.tls_context(tenant.pools.settings))
    outcome = await _send(outbox, message)
    if outcome.verdict != "sent":
        raise OutreachDBError(f"the test message was not sent: {outcome.reply}", hint=outbox.hint or None)
    return {
        "campaign": found.name,
        "step": step,
        "variant": used,
        "lead_id": row["lead_id"],
        "sender": box.address,
        "to": to,
        "subject": message.subject,
        "response": outcome.reply,
        "sent_at": datetime.now(UTC),
    }


def _address(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise InvalidInput(f"{text[:80]!r} is no e-mail address: {error}") from None


async def _sample(tenant: Tenant, campaign_id: int, lead: str | None) -> Row:
    if lead is not None:
        wanted = (await find_lead(tenant, lead))["id"]
        async with tenant.session(doing="reading the lead") as session:
            row = await session.one(Q.lead_for_test, {"workspace_id": tenant.workspace_id, "lead_id": wanted})
    else:
        async with tenant.session(doing="reading a lead") as session:
            row = await session.one(Q.leads_to_check, {"campaign_id": campaign_id, "all": 1})
    if row is None:
        raise NotFound("the segment has no lead with an address", hint="name one with --lead")
    return row


async def _mailbox(tenant: Tenant, keyring: Keyring, campaign_id: int) -> Mailbox:
    key: dict[str, Any] = {"workspace_id": tenant.workspace_id}
    async with tenant.session("jobs", doing="reading the mailbox") as session:
        ids = await session.all(Q.campaign_mailbox_ids, key | {"campaign_id": campaign_id})
        [row, *_] = await session.all(Q.mailboxes, key | {"mailboxes": [each["mailbox_id"] for each in ids]})
    return open_mailbox(tenant, keyring, row)


def open_mailbox(tenant: Tenant, keyring: Keyring, row: Row) -> Mailbox:
    """A mailbox with its password in the clear; it never shows it."""
    values = dict(row)
    sealed = values.pop("password_encrypted")
    context = secret_context(tenant.workspace_id, row["address"])
    return Mailbox(**values, password=keyring.decrypt(sealed, context=context) if sealed else None)


async def _send(outbox: Outbox, message: Any) -> Outcome:
    try:
        async with outbox.line() as line:
            return await line.deliver(message)
    except MailboxUnusable as error:
        return Outcome("returned", str(error))
    finally:
        await outbox.close()
