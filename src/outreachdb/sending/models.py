"""The ledger of sends, who was left out and why, and the log of messages."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import (
    Base,
    CreatedAt,
    KeyPart,
    PartitionInstant,
    SerialId,
    WorkspaceId,
    monthly,
    one_of,
    tenant_key,
    workspace_key,
)

SEND_STATUSES = ("scheduled", "claimed", "sent", "failed", "cancelled", "unknown")
EXCLUSION_REASONS = (
    "no_address",
    "suppressed",
    "unsubscribed",
    "invalid",
    "bounced",
    "archived",
    "frequency_cap",
    "already_in_campaign",
)


class EmailSend(Base):
    """One row per lead and step of a campaign run, ever: unique, and bound to the run's launch instant."""

    __tablename__ = "email_sends"
    __table_args__ = (
        UniqueConstraint(
            "workspace_id", "campaign_id", "created_at", "step", "lead_id", name="uq_email_sends_exactly_once"
        ),
        ForeignKeyConstraint(
            ["workspace_id", "campaign_id", "created_at"],
            ["outreach.campaigns.workspace_id", "outreach.campaigns.id", "outreach.campaigns.launched_at"],
            name="fk_email_sends_campaign_run",
        ),
        tenant_key("lead_id", "leads"),
        one_of("status", *SEND_STATUSES),
        CheckConstraint("status <> 'sent' OR sent_at IS NOT NULL", name="sent_has_instant"),
        CheckConstraint("status <> 'claimed' OR lease_expires_at IS NOT NULL", name="claim_has_lease"),
        Index("ix_email_sends_lead_id", "workspace_id", "lead_id", text("created_at DESC")),
        Index(
            "ix_email_sends_due",
            "workspace_id",
            "mailbox_id",
            "campaign_id",
            "scheduled_at",
            postgresql_where=text("status = 'scheduled'"),
        ),
        Index(
            "ix_email_sends_leases",
            "workspace_id",
            "lease_expires_at",
            postgresql_where=text("status = 'claimed'"),
        ),
        Index("ix_email_sends_campaign_status", "workspace_id", "campaign_id", "status", text("created_at DESC")),
        monthly(),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    created_at: Mapped[datetime] = mapped_column(primary_key=True)
    campaign_id: Mapped[int]
    lead_id: Mapped[int]
    mailbox_id: Mapped[int]
    step: Mapped[int] = mapped_column(SmallInteger)
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    variant: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="scheduled")
    recipient: Mapped[str]
    scheduled_at: Mapped[datetime]
    claimed_by: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    # Set just before SMTP begins, so that a crash tells "certainly not sent" from "perhaps sent".
    begun_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]
    clicked_at: Mapped[datetime | None]
    replied_at: Mapped[datetime | None]
    bounced_at: Mapped[datetime | None]
    complained_at: Mapped[datetime | None]
    unsubscribed_at: Mapped[datetime | None]


class SendExclusion(Base):
    """A lead of the segment that was not scheduled, and why. No foreign key to leads: erasing one keeps the count."""

    __tablename__ = "send_exclusions"
    __table_args__ = (
        tenant_key("campaign_id", "campaigns", owned=True),
        one_of("reason", *EXCLUSION_REASONS),
        Index("ix_send_exclusions_lead_id", "workspace_id", "lead_id"),
    )

    workspace_id: Mapped[WorkspaceId]
    campaign_id: Mapped[KeyPart]
    lead_id: Mapped[KeyPart]
    reason: Mapped[str]
    created_at: Mapped[CreatedAt]


class SendingLimits(Base):
    """What a workspace allows itself: a lead gets at most so many mails in so many days, whatever the campaigns."""

    __tablename__ = "sending_limits"
    __table_args__ = (
        workspace_key(),
        CheckConstraint("frequency_sends > 0", name="frequency_sends_positive"),
        CheckConstraint("frequency_days BETWEEN 1 AND 366", name="frequency_days_range"),
    )

    workspace_id: Mapped[WorkspaceId]
    frequency_sends: Mapped[int]
    frequency_days: Mapped[int]


class CampaignLead(Base):
    """Who was mailed by earlier runs of a campaign; outlives their sends. Filled when the next run is made."""

    __tablename__ = "campaign_leads"
    __table_args__ = (workspace_key(),)

    workspace_id: Mapped[WorkspaceId]
    name: Mapped[str] = mapped_column(primary_key=True)
    lead_id: Mapped[KeyPart]


class MessageLogEntry(Base):
    """Each message that left or came in; grows only, hence BRIN."""

    __tablename__ = "message_log"
    __table_args__ = (
        one_of("direction", "outbound", "inbound"),
        Index("ix_message_log_lead_id", "workspace_id", "lead_id", text("created_at DESC")),
        Index(
            "ix_message_log_provider_id",
            "workspace_id",
            "provider_id",
            postgresql_where=text("provider_id IS NOT NULL"),
        ),
        Index("brin_message_log_created_at", "created_at", postgresql_using="brin"),
        monthly(),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    created_at: Mapped[PartitionInstant]
    lead_id: Mapped[int | None]
    campaign_id: Mapped[int | None]
    send_id: Mapped[int | None]
    direction: Mapped[str] = mapped_column(server_default="outbound")
    message_id: Mapped[str | None]
    # What the relay calls the message, where it answers with that: its events may name nothing else.
    provider_id: Mapped[str | None]
    sender: Mapped[str | None]
    recipient: Mapped[str | None]
    subject: Mapped[str | None]
    response: Mapped[str | None]
