"""Campaigns, their steps and mailboxes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from outreachdb.migrations import row_security

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "campaigns",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("run", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("segment_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "definition", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("status", sa.Text(), server_default="draft", nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("window_from", sa.Time(), nullable=True),
        sa.Column("window_to", sa.Time(), nullable=True),
        sa.Column("window_days", postgresql.ARRAY(sa.SmallInteger()), nullable=True),
        sa.Column("window_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("launched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('draft', 'scheduled', 'cancelled') OR launched_at IS NOT NULL", name="ck_campaigns_launched"
        ),
        sa.CheckConstraint(
            "status IN ('draft', 'scheduled', 'running', 'paused', 'completed', 'cancelled')",
            name="ck_campaigns_status_known",
        ),
        sa.CheckConstraint("run > 0", name="ck_campaigns_run_positive"),
        sa.CheckConstraint(
            "(window_from IS NULL) = (window_to IS NULL) AND (window_from IS NULL OR window_from < window_to)",
            name="ck_campaigns_window_in_order",
        ),
        sa.CheckConstraint(
            "window_days <@ '{1,2,3,4,5,6,7}'::smallint[] AND cardinality(window_days) > 0",
            name="ck_campaigns_window_days_known",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "segment_id"],
            ["outreach.segments.workspace_id", "outreach.segments.id"],
            name="fk_campaigns_segment",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_campaigns_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_campaigns"),
        sa.UniqueConstraint("workspace_id", "id", "launched_at", name="uq_campaigns_launched_at"),
        sa.UniqueConstraint("workspace_id", "name", "run", name="uq_campaigns_name"),
        schema="outreach",
    )
    op.create_index(
        "ix_campaigns_created_at",
        "campaigns",
        ["workspace_id", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_campaigns_segment_id", "campaigns", ["workspace_id", "segment_id"], unique=False, schema="outreach"
    )
    op.create_index(
        "ix_campaigns_status_created",
        "campaigns",
        ["workspace_id", "status", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_table(
        "campaign_steps",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("delay_seconds", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("condition", sa.Text(), server_default="always", nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body_text", sa.Text(), nullable=False),
        sa.Column("body_html", sa.Text(), nullable=True),
        sa.Column(
            "variants", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.CheckConstraint(
            "condition IN ('always', 'no_reply', 'no_click', 'no_open')", name="ck_campaign_steps_condition_known"
        ),
        sa.CheckConstraint("delay_seconds >= 0", name="ck_campaign_steps_delay_positive"),
        sa.CheckConstraint("step > 0", name="ck_campaign_steps_step_positive"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "campaign_id"],
            ["outreach.campaigns.workspace_id", "outreach.campaigns.id"],
            name="fk_campaign_steps_campaign",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "campaign_id", "step", name="pk_campaign_steps"),
        schema="outreach",
    )
    op.create_table(
        "mailboxes",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_key", sa.Text(), sa.Computed("lower(address)", persisted=True), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("smtp_host", sa.Text(), nullable=False),
        sa.Column("smtp_port", sa.BigInteger(), server_default="587", nullable=False),
        sa.Column("security", sa.Text(), server_default="starttls", nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("password_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("daily_cap", sa.BigInteger(), nullable=True),
        sa.Column("ramp_first", sa.BigInteger(), nullable=True),
        sa.Column("ramp_increase", sa.BigInteger(), nullable=True),
        sa.Column("ramp_from", sa.Date(), nullable=True),
        sa.Column("min_spacing_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_free_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("security IN ('plain', 'starttls', 'tls')", name="ck_mailboxes_security_known"),
        sa.CheckConstraint("status IN ('active', 'paused')", name="ck_mailboxes_status_known"),
        sa.CheckConstraint("daily_cap > 0", name="ck_mailboxes_daily_cap_positive"),
        sa.CheckConstraint("min_spacing_ms >= 0", name="ck_mailboxes_min_spacing_positive"),
        sa.CheckConstraint("ramp_first > 0 AND ramp_increase >= 0", name="ck_mailboxes_ramp_positive"),
        sa.CheckConstraint("(ramp_first IS NULL) = (ramp_increase IS NULL)", name="ck_mailboxes_ramp_whole"),
        sa.CheckConstraint("smtp_port BETWEEN 1 AND 65535", name="ck_mailboxes_smtp_port_range"),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_mailboxes_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_mailboxes"),
        sa.UniqueConstraint("workspace_id", "address_key", name="uq_mailboxes_address"),
        schema="outreach",
    )
    op.create_table(
        "campaign_mailboxes",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "campaign_id"],
            ["outreach.campaigns.workspace_id", "outreach.campaigns.id"],
            name="fk_campaign_mailboxes_campaign",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "mailbox_id"],
            ["outreach.mailboxes.workspace_id", "outreach.mailboxes.id"],
            name="fk_campaign_mailboxes_mailbox",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "campaign_id", "mailbox_id", name="pk_campaign_mailboxes"),
        schema="outreach",
    )
    op.create_index(
        "ix_campaign_mailboxes_mailbox_id",
        "campaign_mailboxes",
        ["workspace_id", "mailbox_id"],
        unique=False,
        schema="outreach",
    )
    # Status and instants move through functions only (outreach.set_campaign_status, bulk_schedule_email_sends).
    row_security.isolate(op, "campaigns", app="SELECT, DELETE")
    editable = "name, segment_id, definition, priority, settings, window_from, window_to, window_days, window_zone"
    op.execute(f"GRANT INSERT (workspace_id, run, {editable}) ON outreach.campaigns TO outreachdb_app")
    op.execute(f"GRANT UPDATE ({editable}, updated_at) ON outreach.campaigns TO outreachdb_app")
    row_security.isolate(op, "campaign_steps")
    row_security.isolate(op, "mailboxes", reader=False)
    row_security.isolate(op, "campaign_mailboxes")


def downgrade() -> None:
    op.drop_table("campaign_mailboxes", schema="outreach")
    op.drop_table("mailboxes", schema="outreach")
    op.drop_table("campaign_steps", schema="outreach")
    op.drop_table("campaigns", schema="outreach")
