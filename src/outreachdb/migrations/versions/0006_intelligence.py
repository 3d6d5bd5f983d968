"""Social profiles and activity, charts, CRM sync, model calls, agents, voice and reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from outreachdb.migrations import row_security

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "contact_social_profiles",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("profile_url", sa.Text(), nullable=True),
        sa.Column("company_name", sa.Text(), nullable=True),
        sa.Column("headline", sa.Text(), nullable=True),
        sa.Column("follower_count", sa.BigInteger(), nullable=True),
        sa.Column("decision_maker_score", sa.REAL(), nullable=True),
        sa.Column("contact_priority", sa.Text(), nullable=True),
        sa.Column("scraped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "contact_priority IN ('low', 'medium', 'high')", name="ck_contact_social_profiles_contact_priority_known"
        ),
        sa.CheckConstraint("profile_url ~ '^https?://'", name="ck_contact_social_profiles_profile_url_format"),
        sa.CheckConstraint(
            "decision_maker_score BETWEEN 0 AND 100", name="ck_contact_social_profiles_decision_maker_score_range"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"],
            ["outreach.leads.workspace_id", "outreach.leads.id"],
            name="fk_contact_social_profiles_lead",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_contact_social_profiles"),
        sa.UniqueConstraint("workspace_id", "lead_id", "platform", name="uq_contact_social_profiles_lead_platform"),
        schema="outreach",
    )
    op.create_index(
        "ix_contact_social_profiles_company_score",
        "contact_social_profiles",
        ["workspace_id", "company_name", sa.literal_column("decision_maker_score DESC NULLS LAST")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_contact_social_profiles_priority",
        "contact_social_profiles",
        ["workspace_id", "contact_priority"],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_contact_social_profiles_score",
        "contact_social_profiles",
        ["workspace_id", sa.literal_column("decision_maker_score DESC")],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("decision_maker_score IS NOT NULL"),
    )
    op.create_table(
        "social_media_activity",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("sentiment", sa.Text(), nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scraped_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "sentiment IN ('positive', 'neutral', 'negative')", name="ck_social_media_activity_sentiment_known"
        ),
        sa.CheckConstraint("url ~ '^https?://'", name="ck_social_media_activity_url_format"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"],
            ["outreach.leads.workspace_id", "outreach.leads.id"],
            name="fk_social_media_activity_lead",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_social_media_activity"),
        schema="outreach",
    )
    op.create_index(
        "ix_social_media_activity_lead_id",
        "social_media_activity",
        ["workspace_id", "lead_id", sa.literal_column("posted_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_social_media_activity_platform_posted",
        "social_media_activity",
        ["workspace_id", "platform", sa.literal_column("posted_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_social_media_activity_posted_at",
        "social_media_activity",
        ["workspace_id", sa.literal_column("posted_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_social_media_activity_scraped_at",
        "social_media_activity",
        ["workspace_id", sa.literal_column("scraped_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_social_media_activity_sentiment",
        "social_media_activity",
        ["workspace_id", "sentiment", sa.literal_column("posted_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_table(
        "organization_charts",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=True),
        sa.Column("company_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "chart", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "company_id"],
            ["outreach.companies.workspace_id", "outreach.companies.id"],
            name="fk_organization_charts_company",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"],
            ["outreach.leads.workspace_id", "outreach.leads.id"],
            name="fk_organization_charts_lead",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_organization_charts"),
        schema="outreach",
    )
    op.create_index(
        "ix_organization_charts_company_id",
        "organization_charts",
        ["workspace_id", "company_id", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_organization_charts_lead_id",
        "organization_charts",
        ["workspace_id", "lead_id"],
        unique=False,
        schema="outreach",
    )
    op.create_table(
        "crm_credentials",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_crm_credentials_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_crm_credentials"),
        sa.UniqueConstraint("workspace_id", "provider", "account", name="uq_crm_credentials_account"),
        schema="outreach",
    )
    op.create_index(
        "ix_crm_credentials_expires_at",
        "crm_credentials",
        ["expires_at"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "crm_contacts",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("credential_id", sa.BigInteger(), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column(
            "payload", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "credential_id"],
            ["outreach.crm_credentials.workspace_id", "outreach.crm_credentials.id"],
            name="fk_crm_contacts_credential",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"],
            ["outreach.leads.workspace_id", "outreach.leads.id"],
            name="fk_crm_contacts_lead",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_crm_contacts"),
        sa.UniqueConstraint("workspace_id", "credential_id", "external_id", name="uq_crm_contacts_external_id"),
        schema="outreach",
    )
    op.create_index(
        "ix_crm_contacts_lead_id",
        "crm_contacts",
        ["workspace_id", "lead_id"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("lead_id IS NOT NULL"),
    )
    op.create_index(
        "ix_crm_contacts_synced_at",
        "crm_contacts",
        ["workspace_id", sa.literal_column("synced_at NULLS FIRST")],
        unique=False,
        schema="outreach",
    )
    op.create_table(
        "crm_sync_logs",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("credential_id", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("rows_seen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rows_changed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("direction IN ('pull', 'push')", name="ck_crm_sync_logs_direction_known"),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="ck_crm_sync_logs_status_known"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "credential_id"],
            ["outreach.crm_credentials.workspace_id", "outreach.crm_credentials.id"],
            name="fk_crm_sync_logs_credential",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_crm_sync_logs"),
        schema="outreach",
    )
    op.create_index(
        "ix_crm_sync_logs_credential_id",
        "crm_sync_logs",
        ["workspace_id", "credential_id", sa.literal_column("started_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_crm_sync_logs_status",
        "crm_sync_logs",
        ["workspace_id", "status", sa.literal_column("started_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_table(
        "crm_webhooks",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("credential_id", sa.BigInteger(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column(
            "payload", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id", "credential_id"],
            ["outreach.crm_credentials.workspace_id", "outreach.crm_credentials.id"],
            name="fk_crm_webhooks_credential",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_crm_webhooks"),
        sa.UniqueConstraint("workspace_id", "credential_id", "delivery_id", name="uq_crm_webhooks_delivery_id"),
        schema="outreach",
    )
    op.create_index(
        "ix_crm_webhooks_pending",
        "crm_webhooks",
        ["workspace_id", "received_at"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("processed_at IS NULL"),
    )
    op.create_table(
        "llm_api_calls",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=12, scale=6), nullable=False),
        sa.Column("success", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_llm_api_calls_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_llm_api_calls"),
        schema="outreach",
    )
    op.create_table(
        "agent_executions",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "result", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name="ck_agent_executions_status_known",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"],
            ["outreach.leads.workspace_id", "outreach.leads.id"],
            name="fk_agent_executions_lead",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_agent_executions"),
        schema="outreach",
    )
    op.create_index(
        "ix_agent_executions_completed_at",
        "agent_executions",
        ["workspace_id", sa.literal_column("completed_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_agent_executions_lead_status",
        "agent_executions",
        ["workspace_id", "lead_id", "status"],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_agent_executions_started_at",
        "agent_executions",
        ["workspace_id", sa.literal_column("started_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_agent_executions_status_created",
        "agent_executions",
        ["workspace_id", "status", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_table(
        "voice_session_logs",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("duration_seconds", sa.BigInteger(), nullable=True),
        sa.Column(
            "transcript", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name="ck_voice_session_logs_status_known",
        ),
        sa.CheckConstraint("duration_seconds >= 0", name="ck_voice_session_logs_duration_positive"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"],
            ["outreach.leads.workspace_id", "outreach.leads.id"],
            name="fk_voice_session_logs_lead",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_voice_session_logs"),
        schema="outreach",
    )
    op.create_index(
        "ix_voice_session_logs_completed_at",
        "voice_session_logs",
        ["workspace_id", sa.literal_column("completed_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_voice_session_logs_lead_id",
        "voice_session_logs",
        ["workspace_id", "lead_id"],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_voice_session_logs_status_created",
        "voice_session_logs",
        ["workspace_id", "status", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_table(
        "reports",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column(
            "body", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("format_version", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("period_start", sa.Date(), nullable=True),
        sa.Column("period_end", sa.Date(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("period_start <= period_end", name="ck_reports_period_order"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "lead_id"], ["outreach.leads.workspace_id", "outreach.leads.id"], name="fk_reports_lead"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_reports"),
        schema="outreach",
    )
    op.create_index(
        "ix_reports_kind_created",
        "reports",
        ["workspace_id", "kind", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    op.create_index(
        "ix_reports_lead_id",
        "reports",
        ["workspace_id", "lead_id"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("lead_id IS NOT NULL"),
    )
    row_security.isolate(op, "contact_social_profiles")
    row_security.isolate(op, "social_media_activity")
    row_security.isolate(op, "organization_charts")
    row_security.isolate(op, "crm_credentials", reader=False)
    row_security.isolate(op, "crm_contacts")
    row_security.isolate(op, "crm_sync_logs")
    row_security.isolate(op, "crm_webhooks")
    row_security.isolate(op, "llm_api_calls")
    row_security.isolate(op, "agent_executions")
    row_security.isolate(op, "voice_session_logs")
    row_security.isolate(op, "reports")


def downgrade() -> None:
    op.drop_table("reports", schema="outreach")
    op.drop_table("voice_session_logs", schema="outreach")
    op.drop_table("agent_executions", schema="outreach")
    op.drop_table("llm_api_calls", schema="outreach")
    op.drop_table("crm_webhooks", schema="outreach")
    op.drop_table("crm_sync_logs", schema="outreach")
    op.drop_table("crm_contacts", schema="outreach")
    op.drop_table("crm_credentials", schema="outreach")
    op.drop_table("organization_charts", schema="outreach")
    op.drop_table("social_media_activity", schema="outreach")
    op.drop_table("contact_social_profiles", schema="outreach")
