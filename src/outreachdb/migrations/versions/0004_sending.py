"""The ledger of sends, exclusions and the message log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from outreachdb.migrations import monthly, row_security

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "email_sends",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("variant", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="scheduled", nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("clicked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bounced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("complained_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unsubscribed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status <> 'claimed' OR lease_expires_at IS NOT NULL", name="ck_email_sends_claim_has_lease"
        ),
        sa.CheckConstraint("status <> 'sent' OR sent_at IS NOT NULL", name="ck_email_sends_sent_has_instant"),
        sa.CheckConstraint(
            "status IN ('scheduled', 'claimed', 'sent', 'failed', 'cancelled', 'unknown')",
            name="ck_email_sends_status_known",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "campaign_id", "created_at"],
            ["outreach.campaigns.workspace_id", "outreach.campaigns.id", "outreach.campaigns.launched_at"],
            name="fk_email_sends_campaign_run",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"],
            ["outreach.leads.workspace_id", "outreach.leads.id"],
            name="fk_email_sends_lead",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", "created_at", name="pk_email_sends"),
        sa.UniqueConstraint(
            "workspace_id", "campaign_id", "created_at", "step", "lead_id", name="uq_email_sends_exactly_once"
        ),
        schema="outreach",
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index(
        "ix_email_sends_campaign_status",
        "email_sends",
        ["workspace_id", "campaign_id", "status", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_email_sends_due",
        "email_sends",
        ["workspace_id", "mailbox_id", "campaign_id", "scheduled_at"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("status = 'scheduled'"),
    )
    op.create_index(
        "ix_email_sends_lead_id",
        "email_sends",
        ["workspace_id", "lead_id", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_email_sends_leases",
        "email_sends",
        ["workspace_id", "lease_expires_at"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("status = 'claimed'"),
    )
    op.create_table(
        "send_exclusions",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "reason IN ('no_address', 'suppressed', 'unsubscribed', 'invalid', 'bounced', 'archived', 'frequency_cap', 'already_in_campaign')",
            name="ck_send_exclusions_reason_known",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "campaign_id"],
            ["outreach.campaigns.workspace_id", "outreach.campaigns.id"],
            name="fk_send_exclusions_campaign",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "campaign_id", "lead_id", name="pk_send_exclusions"),
        schema="outreach",
    )
    op.create_index(
        "ix_send_exclusions_lead_id", "send_exclusions", ["workspace_id", "lead_id"], unique=False, schema="outreach"
    )
    op.create_table(
        "sending_limits",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("frequency_sends", sa.BigInteger(), nullable=False),
        sa.Column("frequency_days", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("frequency_sends > 0", name="ck_sending_limits_frequency_sends_positive"),
        sa.CheckConstraint("frequency_days BETWEEN 1 AND 366", name="ck_sending_limits_frequency_days_range"),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_sending_limits_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", name="pk_sending_limits"),
        schema="outreach",
    )
    op.create_table(
        "campaign_leads",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_campaign_leads_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", "name", "lead_id", name="pk_campaign_leads"),
        schema="outreach",
    )
    op.create_table(
        "message_log",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=True),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("send_id", sa.BigInteger(), nullable=True),
        sa.Column("direction", sa.Text(), server_default="outbound", nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.CheckConstraint("direction IN ('outbound', 'inbound')", name="ck_message_log_direction_known"),
        sa.PrimaryKeyConstraint("workspace_id", "id", "created_at", name="pk_message_log"),
        schema="outreach",
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index(
        "brin_message_log_created_at",
        "message_log",
        ["created_at"],
        unique=False,
        schema="outreach",
        postgresql_using="brin",
    )
    op.create_index(
        "ix_message_log_lead_id",
        "message_log",
        ["workspace_id", "lead_id", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_message_log_provider_id",
        "message_log",
        ["workspace_id", "provider_id"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("provider_id IS NOT NULL"),
    )
    row_security.isolate(op, "email_sends", app="SELECT")
    monthly.create_partitions(op, "email_sends")
    # Room for the marks of events beside the row: the HOT share of those updates, see decision 0019.
    monthly.leave_room(op, "email_sends", 80)
    row_security.isolate(op, "send_exclusions", app="SELECT")
    row_security.isolate(op, "sending_limits")
    row_security.isolate(op, "campaign_leads", app="SELECT")
    row_security.isolate(op, "message_log", app="SELECT")
    monthly.create_partitions(op, "message_log")


def downgrade() -> None:
    op.drop_table("message_log", schema="outreach")
    op.drop_table("campaign_leads", schema="outreach")
    op.drop_table("sending_limits", schema="outreach")
    op.drop_table("send_exclusions", schema="outreach")
    op.drop_table("email_sends", schema="outreach")
