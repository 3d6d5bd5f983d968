"""What research, CRM systems, language models and voice agents know of leads."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import (
    Base,
    Counter,
    CreatedAt,
    Document,
    Money,
    Real,
    SerialId,
    WorkspaceId,
    Yes,
    one_of,
    tenant_key,
    workspace_key,
)

RUN_STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")


class ContactSocialProfile(Base):
    __tablename__ = "contact_social_profiles"
    __table_args__ = (
        tenant_key("lead_id", "leads"),
        UniqueConstraint("workspace_id", "lead_id", "platform", name="uq_contact_social_profiles_lead_platform"),
        CheckConstraint("decision_maker_score BETWEEN 0 AND 100", name="decision_maker_score_range"),
        CheckConstraint("profile_url ~ '^https?://'", name="profile_url_format"),
        one_of("contact_priority", "low", "medium", "high"),
        Index(
            "ix_contact_social_profiles_company_score",
            "workspace_id",
            "company_name",
            text("decision_maker_score DESC NULLS LAST"),
        ),
        Index(
            "ix_contact_social_profiles_score",
            "workspace_id",
            text("decision_maker_score DESC"),
            postgresql_where=text("decision_maker_score IS NOT NULL"),
        ),
        Index("ix_contact_social_profiles_priority", "workspace_id", "contact_priority"),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    lead_id: Mapped[int]
    platform: Mapped[str]
    profile_url: Mapped[str | None]
    company_name: Mapped[str | None]
    headline: Mapped[str | None]
    follower_count: Mapped[int | None]
    decision_maker_score: Mapped[Real | None]
    contact_priority: Mapped[str | None]
    scraped_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class SocialMediaActivity(Base):
    __tablename__ = "social_media_activity"
    __table_args__ = (
        tenant_key("lead_id", "leads"),
        CheckConstraint("url ~ '^https?://'", name="url_format"),
        one_of("sentiment", "positive", "neutral", "negative"),
        Index("ix_social_media_activity_lead_id", "workspace_id", "lead_id", text("posted_at DESC")),
        Index("ix_social_media_activity_platform_posted", "workspace_id", "platform", text("posted_at DESC")),
        Index("ix_social_media_activity_posted_at", "workspace_id", text("posted_at DESC")),
        Index("ix_social_media_activity_scraped_at", "workspace_id", text("scraped_at DESC")),
        Index("ix_social_media_activity_sentiment", "workspace_id", "sentiment", text("posted_at DESC")),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    lead_id: Mapped[int]
    platform: Mapped[str]
    content: Mapped[str | None]
    url: Mapped[str | None]
    sentiment: Mapped[str | None]
    posted_at: Mapped[datetime | None]
    scraped_at: Mapped[CreatedAt]


class OrganizationChart(Base):
    __tablename__ = "organization_charts"
    __table_args__ = (
        tenant_key("lead_id", "leads"),
        tenant_key("company_id", "companies"),
        Index("ix_organization_charts_lead_id", "workspace_id", "lead_id"),
        Index("ix_organization_charts_company_id", "workspace_id", "company_id", text("created_at DESC")),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    lead_id: Mapped[int | None]
    company_id: Mapped[int | None]
    chart: Mapped[Document]
    created_at: Mapped[CreatedAt]


class CrmCredential(Base):
    __tablename__ = "crm_credentials"
    __table_args__ = (
        workspace_key(),
        UniqueConstraint("workspace_id", "provider", "account", name="uq_crm_credentials_account"),
        Index("ix_crm_credentials_expires_at", "expires_at", postgresql_where=text("active")),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    provider: Mapped[str]
    account: Mapped[str]
    secret_encrypted: Mapped[bytes]
    active: Mapped[Yes]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class CrmContact(Base):
    __tablename__ = "crm_contacts"
    __table_args__ = (
        tenant_key("credential_id", "crm_credentials"),
        tenant_key("lead_id", "leads"),
        UniqueConstraint("workspace_id", "credential_id", "external_id", name="uq_crm_contacts_external_id"),
        Index("ix_crm_contacts_lead_id", "workspace_id", "lead_id", postgresql_where=text("lead_id IS NOT NULL")),
        Index("ix_crm_contacts_synced_at", "workspace_id", text("synced_at NULLS FIRST")),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    credential_id: Mapped[int]
    lead_id: Mapped[int | None]
    external_id: Mapped[str]
    payload: Mapped[Document]
    synced_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class CrmSyncLog(Base):
    __tablename__ = "crm_sync_logs"
    __table_args__ = (
        tenant_key("credential_id", "crm_credentials"),
        one_of("status", *RUN_STATUSES),
        one_of("direction", "pull", "push"),
        Index("ix_crm_sync_logs_credential_id", "workspace_id", "credential_id", text("started_at DESC")),
        Index("ix_crm_sync_logs_status", "workspace_id", "status", text("started_at DESC")),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    credential_id: Mapped[int]
    direction: Mapped[str]
    status: Mapped[str]
    rows_seen: Mapped[Counter]
    rows_changed: Mapped[Counter]
    error: Mapped[str | None]
    started_at: Mapped[CreatedAt]
    completed_at: Mapped[datetime | None]


class CrmWebhook(Base):
    __tablename__ = "crm_webhooks"
    __table_args__ = (
        tenant_key("credential_id", "crm_credentials"),
        UniqueConstraint("workspace_id", "credential_id", "delivery_id", name="uq_crm_webhooks_delivery_id"),
        Index(
            "ix_crm_webhooks_pending",
            "workspace_id",
            "received_at",
            postgresql_where=text("processed_at IS NULL"),
        ),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    credential_id: Mapped[int]
    delivery_id: Mapped[str]
    event_type: Mapped[str]
    payload: Mapped[Document]
    received_at: Mapped[CreatedAt]
    processed_at: Mapped[datetime | None]
    error: Mapped[str | None]


class LlmApiCall(Base):
    """One call of a language model (the sources' ``cerebras_api_calls``, with a provider)."""

    __tablename__ = "llm_api_calls"
    __table_args__ = (
        workspace_key(),
        CheckConstraint("prompt_tokens > 0 AND completion_tokens > 0 AND total_tokens > 0", name="tokens_positive"),
        CheckConstraint("total_tokens = prompt_tokens + completion_tokens", name="total_tokens"),
        CheckConstraint("latency_ms > 0", name="latency_positive"),
        # NaN is greater than every number to PostgreSQL, and would spoil each sum.
        CheckConstraint("cost_usd >= 0 AND cost_usd <> 'NaN'", name="cost_positive"),
        Index("ix_llm_api_calls_model_created", "workspace_id", "provider", "model", text("created_at DESC")),
        Index("ix_llm_api_calls_created_at", "workspace_id", text("created_at DESC")),
        Index("brin_llm_api_calls_created_at", "created_at", postgresql_using="brin"),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    provider: Mapped[str]
    endpoint: Mapped[str]
    model: Mapped[str]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    total_tokens: Mapped[int]
    latency_ms: Mapped[int]
    cost_usd: Mapped[Money]
    success: Mapped[Yes]
    created_at: Mapped[CreatedAt]


class AgentExecution(Base):
    __tablename__ = "agent_executions"
    __table_args__ = (
        tenant_key("lead_id", "leads"),
        one_of("status", *RUN_STATUSES),
        Index("ix_agent_executions_status_created", "workspace_id", "status", text("created_at DESC")),
        Index("ix_agent_executions_lead_status", "workspace_id", "lead_id", "status"),
        Index("ix_agent_executions_started_at", "workspace_id", text("started_at DESC")),
        Index("ix_agent_executions_completed_at", "workspace_id", text("completed_at DESC")),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    lead_id: Mapped[int | None]
    agent: Mapped[str]
    status: Mapped[str]
    result: Mapped[Document]
    error: Mapped[str | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class VoiceSessionLog(Base):
    __tablename__ = "voice_session_logs"
    __table_args__ = (
        tenant_key("lead_id", "leads"),
        one_of("status", *RUN_STATUSES),
        CheckConstraint("duration_seconds >= 0", name="duration_positive"),
        Index("ix_voice_session_logs_status_created", "workspace_id", "status", text("created_at DESC")),
        Index("ix_voice_session_logs_completed_at", "workspace_id", text("completed_at DESC")),
        Index("ix_voice_session_logs_lead_id", "workspace_id", "lead_id"),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    lead_id: Mapped[int | None]
    status: Mapped[str]
    duration_seconds: Mapped[int | None]
    transcript: Mapped[Document]
    created_at: Mapped[CreatedAt]
    completed_at: Mapped[datetime | None]


class Report(Base):
    __tablename__ = "reports"
    __table_args__ = (
        tenant_key("lead_id", "leads"),
        Index("ix_reports_kind_created", "workspace_id", "kind", text("created_at DESC")),
        Index("ix_reports_lead_id", "workspace_id", "lead_id", postgresql_where=text("lead_id IS NOT NULL")),
        CheckConstraint("period_start <= period_end", name="period_order"),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    lead_id: Mapped[int | None]
    kind: Mapped[str]
    title: Mapped[str]
    body: Mapped[Document]
    format_version: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    period_start: Mapped[date | None]
    period_end: Mapped[date | None]
    created_at: Mapped[CreatedAt]
