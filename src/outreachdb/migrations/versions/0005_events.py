"""Delivery events, webhook endpoints and lead activities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from outreachdb.migrations import monthly, row_security

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "email_events",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("send_id", sa.BigInteger(), nullable=True),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("lead_id", sa.BigInteger(), nullable=True),
        sa.Column("step", sa.SmallInteger(), nullable=True),
        sa.Column("prefetched", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("raw", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "event IN ('queued', 'sent', 'delivered', 'deferred', 'opened', 'clicked', 'replied', 'bounced', 'complained', 'unsubscribed', 'subscribed', 'rejected', 'failed', 'autoresponded', 'unknown')",
            name="ck_email_events_event_known",
        ),
        sa.CheckConstraint("severity IN ('hard', 'soft')", name="ck_email_events_severity_known"),
        sa.PrimaryKeyConstraint("workspace_id", "event_key", "created_at", name="pk_email_events"),
        schema="outreach",
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index(
        "brin_email_events_created_at",
        "email_events",
        ["created_at"],
        unique=False,
        schema="outreach",
        postgresql_using="brin",
    )
    op.create_index(
        "ix_email_events_campaign",
        "email_events",
        ["workspace_id", "campaign_id", "event", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_email_events_created_at",
        "email_events",
        ["workspace_id", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_email_events_lead",
        "email_events",
        ["workspace_id", "lead_id", "event", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_email_events_unmatched",
        "email_events",
        ["workspace_id", "received_at"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("send_id IS NULL AND message_id IS NOT NULL"),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("key_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_webhook_endpoints_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_webhook_endpoints"),
        sa.UniqueConstraint("workspace_id", "token_hash", name="uq_webhook_endpoints_token"),
        schema="outreach",
    )
    op.create_table(
        "inboxes",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("imap_host", sa.Text(), nullable=False),
        sa.Column("imap_port", sa.BigInteger(), server_default="993", nullable=False),
        sa.Column("security", sa.Text(), server_default="tls", nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("password_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("folder", sa.Text(), server_default="INBOX", nullable=False),
        sa.Column("uid_validity", sa.BigInteger(), nullable=True),
        sa.Column("last_uid", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("imap_port BETWEEN 1 AND 65535", name="ck_inboxes_imap_port_range"),
        sa.CheckConstraint("security IN ('plain', 'starttls', 'tls')", name="ck_inboxes_security_known"),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_inboxes_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_inboxes"),
        sa.UniqueConstraint("workspace_id", "imap_host", "username", "folder", name="uq_inboxes_folder"),
        schema="outreach",
    )
    op.create_table(
        "lead_activities",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        sa.Column("activity_type", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("send_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", "created_at", name="pk_lead_activities"),
        schema="outreach",
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index(
        "brin_lead_activities_created_at",
        "lead_activities",
        ["created_at"],
        unique=False,
        schema="outreach",
        postgresql_using="brin",
    )
    op.create_index(
        "ix_lead_activities_lead",
        "lead_activities",
        ["workspace_id", "lead_id", "activity_type", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    row_security.isolate(op, "email_events", app="SELECT")
    monthly.create_partitions(op, "email_events")
    row_security.isolate(op, "webhook_endpoints", reader=False)
    row_security.isolate(op, "inboxes", reader=False)
    row_security.isolate(op, "lead_activities", app="SELECT, INSERT")
    monthly.create_partitions(op, "lead_activities")


def downgrade() -> None:
    op.drop_table("lead_activities", schema="outreach")
    op.drop_table("inboxes", schema="outreach")
    op.drop_table("webhook_endpoints", schema="outreach")
    op.drop_table("email_events", schema="outreach")
