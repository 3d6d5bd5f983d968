"""What happened to a message after it left, and the timeline of a lead."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import (
    Base,
    CreatedAt,
    Document,
    No,
    PartitionInstant,
    SerialId,
    WorkspaceId,
    monthly,
    one_of,
    workspace_key,
)

EVENTS = (
    "queued",
    "sent",
    "delivered",
    "deferred",
    "opened",
    "clicked",
    "replied",
    "bounced",
    "complained",
    "unsubscribed",
    "subscribed",
    "rejected",
    "failed",
    "autoresponded",
    "unknown",
)


class EmailEvent(Base):
    """``created_at`` is the payload's own instant, so that a redelivery meets the same primary key."""

    __tablename__ = "email_events"
    __table_args__ = (
        one_of("event", *EVENTS),
        one_of("severity", "hard", "soft"),
        Index("ix_email_events_created_at", "workspace_id", text("created_at DESC")),
        Index("ix_email_events_campaign", "workspace_id", "campaign_id", "event", text("created_at DESC")),
        Index("ix_email_events_lead", "workspace_id", "lead_id", "event", text("created_at DESC")),
        Index(
            "ix_email_events_unmatched",
            "workspace_id",
            "received_at",
            postgresql_where=text("send_id IS NULL AND message_id IS NOT NULL"),
        ),
        Index("brin_email_events_created_at", "created_at", postgresql_using="brin"),
        monthly(),
    )

    workspace_id: Mapped[WorkspaceId]
    event_key: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(primary_key=True)
    received_at: Mapped[CreatedAt]
    event: Mapped[str]
    severity: Mapped[str | None]
    provider: Mapped[str]
    send_id: Mapped[int | None]
    campaign_id: Mapped[int | None]
    lead_id: Mapped[int | None]
    step: Mapped[int | None] = mapped_column(SmallInteger)
    prefetched: Mapped[No]
    recipient: Mapped[str | None]
    message_id: Mapped[str | None]
    reason: Mapped[str | None]
    url: Mapped[str | None]
    raw: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class WebhookEndpoint(Base):
    """Where a provider reports to: the token in its URL names the workspace and is kept as a hash only."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        workspace_key(),
        UniqueConstraint("workspace_id", "token_hash", name="uq_webhook_endpoints_token"),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    provider: Mapped[str]
    token_hash: Mapped[bytes]
    key_encrypted: Mapped[bytes | None]
    settings: Mapped[Document]
    created_at: Mapped[CreatedAt]


class Inbox(Base):
    """A mailbox that is read for replies and reports: how far it was read, by IMAP's own count (RFC 3501, 2.3.1.1)."""

    __tablename__ = "inboxes"
    __table_args__ = (
        workspace_key(),
        UniqueConstraint("workspace_id", "imap_host", "username", "folder", name="uq_inboxes_folder"),
        one_of("security", "plain", "starttls", "tls"),
        CheckConstraint("imap_port BETWEEN 1 AND 65535", name="imap_port_range"),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    address: Mapped[str]
    imap_host: Mapped[str]
    imap_port: Mapped[int] = mapped_column(server_default="993")
    security: Mapped[str] = mapped_column(server_default="tls")
    username: Mapped[str]
    password_encrypted: Mapped[bytes]
    folder: Mapped[str] = mapped_column(server_default="INBOX")
    uid_validity: Mapped[int | None]
    last_uid: Mapped[int] = mapped_column(server_default="0")
    polled_at: Mapped[datetime | None]
    problem: Mapped[str | None]
    created_at: Mapped[CreatedAt]


class LeadActivity(Base):
    __tablename__ = "lead_activities"
    __table_args__ = (
        Index("ix_lead_activities_lead", "workspace_id", "lead_id", "activity_type", text("created_at DESC")),
        Index("brin_lead_activities_created_at", "created_at", postgresql_using="brin"),
        monthly(),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    created_at: Mapped[PartitionInstant]
    lead_id: Mapped[int]
    activity_type: Mapped[str]
    campaign_id: Mapped[int | None]
    send_id: Mapped[int | None]
    details: Mapped[Document]
