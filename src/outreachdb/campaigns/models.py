"""Campaigns, their steps, and the mailboxes they are sent from."""

from __future__ import annotations

from datetime import date, datetime, time

from sqlalchemy import CheckConstraint, Computed, Index, SmallInteger, Time, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import (
    Base,
    CreatedAt,
    Document,
    KeyPart,
    SerialId,
    WorkspaceId,
    one_of,
    tenant_key,
    workspace_key,
)

CAMPAIGN_STATUSES = ("draft", "scheduled", "running", "paused", "completed", "cancelled")


class Campaign(Base):
    """Every send of a run carries its ``launched_at`` as ``created_at``; a foreign key enforces it."""

    __tablename__ = "campaigns"
    __table_args__ = (
        workspace_key(),
        tenant_key("segment_id", "segments"),
        UniqueConstraint("workspace_id", "name", "run", name="uq_campaigns_name"),
        UniqueConstraint("workspace_id", "id", "launched_at", name="uq_campaigns_launched_at"),
        one_of("status", *CAMPAIGN_STATUSES),
        CheckConstraint("status IN ('draft', 'scheduled', 'cancelled') OR launched_at IS NOT NULL", name="launched"),
        CheckConstraint("run > 0", name="run_positive"),
        CheckConstraint(
            "(window_from IS NULL) = (window_to IS NULL) AND (window_from IS NULL OR window_from < window_to)",
            name="window_in_order",
        ),
        CheckConstraint(
            "window_days <@ '{1,2,3,4,5,6,7}'::smallint[] AND cardinality(window_days) > 0", name="window_days_known"
        ),
        Index("ix_campaigns_status_created", "workspace_id", "status", text("created_at DESC")),
        Index("ix_campaigns_created_at", "workspace_id", text("created_at DESC")),
        Index("ix_campaigns_segment_id", "workspace_id", "segment_id"),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    name: Mapped[str]
    run: Mapped[int] = mapped_column(server_default="1")
    segment_id: Mapped[int | None]
    definition: Mapped[Document]
    status: Mapped[str] = mapped_column(server_default="draft")
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    # When a mail may leave, by the clock of its lead (window_zone: of leads without one); days as ISO counts them.
    window_from: Mapped[time | None] = mapped_column(Time)
    window_to: Mapped[time | None] = mapped_column(Time)
    window_days: Mapped[list[int] | None] = mapped_column(ARRAY(SmallInteger))
    window_zone: Mapped[str] = mapped_column(server_default="UTC")
    settings: Mapped[Document]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    launched_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


class CampaignStep(Base):
    __tablename__ = "campaign_steps"
    __table_args__ = (
        tenant_key("campaign_id", "campaigns", owned=True),
        one_of("condition", "always", "no_reply", "no_click", "no_open"),
        CheckConstraint("step > 0", name="step_positive"),
        CheckConstraint("delay_seconds >= 0", name="delay_positive"),
    )

    workspace_id: Mapped[WorkspaceId]
    campaign_id: Mapped[KeyPart]
    step: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    delay_seconds: Mapped[int] = mapped_column(server_default="0")
    condition: Mapped[str] = mapped_column(server_default="always")
    subject: Mapped[str]
    body_text: Mapped[str]
    body_html: Mapped[str | None]
    # Name -> {weight, subject, text, html}; none: everybody gets what the columns above say.
    variants: Mapped[Document]


class Mailbox(Base):
    __tablename__ = "mailboxes"
    __table_args__ = (
        workspace_key(),
        UniqueConstraint("workspace_id", "address_key", name="uq_mailboxes_address"),
        one_of("status", "active", "paused"),
        one_of("security", "plain", "starttls", "tls"),
        CheckConstraint("daily_cap > 0", name="daily_cap_positive"),
        CheckConstraint("min_spacing_ms >= 0", name="min_spacing_positive"),
        CheckConstraint("ramp_first > 0 AND ramp_increase >= 0", name="ramp_positive"),
        CheckConstraint("(ramp_first IS NULL) = (ramp_increase IS NULL)", name="ramp_whole"),
        CheckConstraint("smtp_port BETWEEN 1 AND 65535", name="smtp_port_range"),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    address: Mapped[str]
    address_key: Mapped[str | None] = mapped_column(Computed("lower(address)", persisted=True))
    display_name: Mapped[str | None]
    smtp_host: Mapped[str]
    smtp_port: Mapped[int] = mapped_column(server_default="587")
    security: Mapped[str] = mapped_column(server_default="starttls")
    username: Mapped[str | None]
    password_encrypted: Mapped[bytes | None]
    daily_cap: Mapped[int | None]
    # Ramp-up: on day n after ramp_from at most ramp_first + n * ramp_increase mails, and never more than daily_cap.
    ramp_first: Mapped[int | None]
    ramp_increase: Mapped[int | None]
    ramp_from: Mapped[date | None]
    min_spacing_ms: Mapped[int] = mapped_column(server_default="0")
    next_free_at: Mapped[datetime | None]
    settings: Mapped[Document]
    status: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[CreatedAt]


class CampaignMailbox(Base):
    """The mailboxes that a campaign may send from."""

    __tablename__ = "campaign_mailboxes"
    __table_args__ = (
        tenant_key("campaign_id", "campaigns", owned=True),
        tenant_key("mailbox_id", "mailboxes"),
        Index("ix_campaign_mailboxes_mailbox_id", "workspace_id", "mailbox_id"),
    )

    workspace_id: Mapped[WorkspaceId]
    campaign_id: Mapped[KeyPart]
    mailbox_id: Mapped[KeyPart]
