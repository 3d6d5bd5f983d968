"""Rules of leads, companies and model calls: NOT VALID where the table has rows, see `outreachdb constraints validate`."""

from __future__ import annotations

from alembic import op

from outreachdb.db import ddl

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
# Commits on the way where tables have rows; every statement can be run again.
transactional = False

# (table, name, rule); legacy rows may break a rule, so none of them is checked while writers wait.
RULES = (
    ("companies", "ck_companies_domain_lower_case", "domain = lower(domain)"),
    ("companies", "ck_companies_linkedin_url_format", "linkedin_url LIKE 'http://%' OR linkedin_url LIKE 'https://%'"),
    ("companies", "ck_companies_news_url_format", "news_url LIKE 'http://%' OR news_url LIKE 'https://%'"),
    ("companies", "ck_companies_renewal_month_range", "renewal_month BETWEEN 1 AND 12"),
    ("companies", "ck_companies_website_url_format", "website_url LIKE 'http://%' OR website_url LIKE 'https://%'"),
    ("leads", "ck_leads_company_website_format", "company_website LIKE 'http://%' OR company_website LIKE 'https://%'"),
    ("leads", "ck_leads_email_flags_known", "email_flags <@ ARRAY['disposable', 'role']"),
    (
        "leads",
        "ck_leads_email_format",
        r"email LIKE '_%@_%._%' AND email NOT LIKE '%@%@%' AND email !~ '[\s[:cntrl:]]'",
    ),
    ("leads", "ck_leads_email_length", "length(email) <= 254"),
    ("leads", "ck_leads_email_status_known", "email_status IN ('unchecked', 'valid', 'risky', 'invalid', 'unknown')"),
    ("leads", "ck_leads_linkedin_url_format", "linkedin_url LIKE 'http://%' OR linkedin_url LIKE 'https://%'"),
    ("leads", "ck_leads_phone_e164_format", r"phone_e164 ~ '^\+[1-9][0-9]{6,14}$'"),
    ("leads", "ck_leads_qualification_latency_positive", "qualification_latency_ms >= 0"),
    ("leads", "ck_leads_qualification_score_range", "qualification_score BETWEEN 0 AND 100"),
    (
        "leads",
        "ck_leads_status_known",
        "status IN ('new', 'verified', 'contacted', 'replied', 'qualified', 'converted', 'unsubscribed', 'bounced', 'archived')",
    ),
    ("llm_api_calls", "ck_llm_api_calls_cost_positive", "cost_usd >= 0 AND cost_usd <> 'NaN'"),
    ("llm_api_calls", "ck_llm_api_calls_latency_positive", "latency_ms > 0"),
    (
        "llm_api_calls",
        "ck_llm_api_calls_tokens_positive",
        "prompt_tokens > 0 AND completion_tokens > 0 AND total_tokens > 0",
    ),
    ("llm_api_calls", "ck_llm_api_calls_total_tokens", "total_tokens = prompt_tokens + completion_tokens"),
)


def upgrade() -> None:
    for table, name, rule in RULES:
        ddl.add_check(op, f"outreach.{table}", name, rule)


def downgrade() -> None:
    for table, name, _ in reversed(RULES):
        ddl.drop_constraint(op, f"outreach.{table}", name)
