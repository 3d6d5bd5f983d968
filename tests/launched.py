"""A launched campaign whose sends are out, by direct SQL: what events need before they can come in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from outreachdb.db.tenant import Tenant
from outreachdb.events.normal import NormalEvent
from outreachdb.secrets import Keyring
from outreachdb.sending import message_id


@dataclass(frozen=True, slots=True)
class Send:
    id: int
    lead_id: int
    step: int
    recipient: str
    message_id: str
    launched_at: datetime


@dataclass(frozen=True, slots=True)
class Launched:
    campaign_id: int
    name: str
    launched_at: datetime
    sends: list[Send]

    def event(self, send: Send, event: str, minutes: float = 1, **more: Any) -> NormalEvent:
        values: dict[str, Any] = {
            "event": event,
            "recipient": send.recipient,
            "timestamp": send.launched_at + timedelta(minutes=minutes),
            "provider": "sendgrid",
            "message_id": send.message_id,
            "event_id": uuid4().hex,
        }
        return NormalEvent(**(values | more))


async def launch(
    tenant: Tenant, keyring: Keyring, *, leads: int = 5, steps: int = 1, launched_at: datetime | None = None
) -> Launched:
    """Insert leads, a mailbox, a running campaign and its sends, all sent at the launch."""
    when = launched_at or datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    tag = uuid4().hex[:8]
    given = {"ws": tenant.workspace_id, "tag": tag, "when": when, "leads": leads, "steps": steps}
    async with tenant.trusted() as session:
        campaign_id = await session.value(
            "INSERT INTO outreach.campaigns (workspace_id, name, status, launched_at)"
            " VALUES (%(ws)s, %(tag)s, 'running', %(when)s) RETURNING id",
            given,
        )
        mailbox_id = await session.value(
            "INSERT INTO outreach.mailboxes (workspace_id, address, smtp_host)"
            " VALUES (%(ws)s, %(tag)s || '@sender.example', '127.0.0.1') RETURNING id",
            given,
        )
        rows = await session.all(
            """
            WITH people AS (
              INSERT INTO outreach.leads (workspace_id, email, status)
              SELECT %(ws)s, 'Lead' || n || '@' || %(tag)s || n %% 7 || '.example', 'contacted'
              FROM generate_series(1, %(leads)s) AS n
              RETURNING id, email
            )
            INSERT INTO outreach.email_sends (
              workspace_id, created_at, campaign_id, lead_id, mailbox_id, step, status, recipient,
              scheduled_at, sent_at)
            SELECT %(ws)s, %(when)s, %(campaign)s, p.id, %(mailbox)s, step, 'sent', p.email, %(when)s, %(when)s
            FROM people AS p, generate_series(1, %(steps)s) AS step
            RETURNING id, lead_id, step, recipient
            """,
            given | {"campaign": campaign_id, "mailbox": mailbox_id},
        )
    return Launched(
        campaign_id,
        tag,
        when,
        [
            Send(
                row["id"],
                row["lead_id"],
                row["step"],
                row["recipient"],
                message_id.make(keyring, tenant.workspace_id, row["id"], when, "sender.example"),
                when,
            )
            for row in sorted(rows, key=lambda each: (each["lead_id"], each["step"]))
        ],
    )
