"""Indexes of leads, companies and model calls, built without blocking writers where the table has rows."""

from __future__ import annotations

from alembic import op

from outreachdb.db import ddl

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
# Commits on the way where tables have rows; every statement can be run again.
transactional = False

# (name, table, definition); who needs each of them is told in the rooms' indexes.sql.
INDEXES = (
    ("ix_companies_last_crawled_at", "companies", "(workspace_id, last_crawled_at NULLS FIRST)"),
    ("ix_companies_name_key", "companies", "(workspace_id, name_key)"),
    ("ix_companies_renewal_month", "companies", "(workspace_id, renewal_month)"),
    ("gin_leads_custom_fields", "leads", "USING gin (workspace_id, custom_fields jsonb_path_ops)"),
    (
        "gin_leads_search",
        "leads",
        "USING gin (workspace_id, (lower(coalesce(first_name, '') || ' ' || coalesce(last_name, '') || ' ' || coalesce(email, '') || ' ' || coalesce(company_name, ''))) gin_trgm_ops)",
    ),
    ("gin_leads_tags", "leads", "USING gin (workspace_id, tags)"),
    ("ix_leads_company_id", "leads", "(workspace_id, company_id) WHERE company_id IS NOT NULL"),
    ("ix_leads_company_name", "leads", "(workspace_id, company_name, id)"),
    ("ix_leads_created_at", "leads", "(workspace_id, created_at DESC, id DESC)"),
    ("ix_leads_industry_created", "leads", "(workspace_id, industry, created_at DESC)"),
    ("ix_leads_profile_checked_at", "leads", "(workspace_id, profile_checked_at NULLS FIRST)"),
    ("ix_leads_qualified_at", "leads", "(workspace_id, qualified_at DESC, id DESC) WHERE qualified_at IS NOT NULL"),
    (
        "ix_leads_score_created",
        "leads",
        "(workspace_id, qualification_score DESC, created_at DESC, id DESC) WHERE qualification_score IS NOT NULL",
    ),
    ("ix_leads_status_created", "leads", "(workspace_id, status, created_at DESC)"),
    ("ix_leads_updated_at", "leads", "(workspace_id, updated_at DESC, id DESC)"),
    ("ix_leads_verification", "leads", "(workspace_id, email_status, email_checked_at NULLS FIRST)"),
    ("brin_llm_api_calls_created_at", "llm_api_calls", "USING brin (created_at)"),
    ("ix_llm_api_calls_created_at", "llm_api_calls", "(workspace_id, created_at DESC)"),
    ("ix_llm_api_calls_model_created", "llm_api_calls", "(workspace_id, provider, model, created_at DESC)"),
)


def upgrade() -> None:
    for name, table, definition in INDEXES:
        ddl.create_index_concurrently(op, name, f"outreach.{table}", definition)
    # The text that people search is never the same twice; to sort a sample of it took half of ANALYZE's time.
    op.execute("ALTER INDEX outreach.gin_leads_search ALTER COLUMN 2 SET STATISTICS 0")


def downgrade() -> None:
    for name, _, _ in reversed(INDEXES):
        ddl.drop_index_concurrently(op, f"outreach.{name}")
