"""Rollups, what feeds them, what is known of their health, and the materialised views on them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from outreachdb.migrations import row_security

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

GRAIN = "grain IN ('workspace', 'campaign', 'step', 'variant', 'mailbox', 'domain')"
TABLES = (
    "rollups",
    "rollup_deltas",
    "totals",
    "people_first",
    "engaged_leads",
    "engagement_levels",
    "rollup_checks",
    "rollup_drifts",
    "rollup_freezes",
    "view_refreshes",
)

# What is folded and what is not yet, added up: each view is exact as of its refresh.
CURRENT = """
    SELECT t.workspace_id, t.key, t.kind, sum(t.total)::bigint AS total, sum(t.mails)::bigint AS mails, sum(t.people)::bigint AS people
    FROM (SELECT f.workspace_id, f.key, f.kind, f.total, f.mails, f.people FROM analytics.totals AS f WHERE f.grain = '{grain}'
          UNION ALL
          SELECT d.workspace_id, d.key, d.kind, d.total, d.mails, d.people FROM analytics.rollup_deltas AS d WHERE d.grain = '{grain}') AS t
    GROUP BY t.workspace_id, t.key, t.kind
"""
COUNTS = """
    coalesce(sum(c.total) FILTER (WHERE c.kind = 'scheduled'), 0)::bigint AS scheduled_count,
    coalesce(sum(c.total) FILTER (WHERE c.kind = 'sent'), 0)::bigint AS sent_count,
    coalesce(sum(c.mails) FILTER (WHERE c.kind = 'delivered'), 0)::bigint AS delivered_count,
    coalesce(sum(c.total) FILTER (WHERE c.kind = 'opened'), 0)::bigint AS opened_count,
    coalesce(sum(c.mails) FILTER (WHERE c.kind = 'opened'), 0)::bigint AS opened_mails,
    coalesce(sum(c.people) FILTER (WHERE c.kind = 'opened'), 0)::bigint AS unique_opened_count,
    coalesce(sum(c.total) FILTER (WHERE c.kind = 'clicked'), 0)::bigint AS clicked_count,
    coalesce(sum(c.mails) FILTER (WHERE c.kind = 'clicked'), 0)::bigint AS clicked_mails,
    coalesce(sum(c.people) FILTER (WHERE c.kind = 'clicked'), 0)::bigint AS unique_clicked_count,
    coalesce(sum(c.total) FILTER (WHERE c.kind = 'replied'), 0)::bigint AS replied_count,
    coalesce(sum(c.mails) FILTER (WHERE c.kind = 'replied'), 0)::bigint AS replied_mails,
    coalesce(sum(c.people) FILTER (WHERE c.kind = 'replied'), 0)::bigint AS unique_replied_count,
    coalesce(sum(c.mails) FILTER (WHERE c.kind = 'bounced'), 0)::bigint AS bounced_count,
    coalesce(sum(c.mails) FILTER (WHERE c.kind = 'complained'), 0)::bigint AS complained_count,
    coalesce(sum(c.mails) FILTER (WHERE c.kind = 'unsubscribed'), 0)::bigint AS unsubscribed_count
"""
# Mails by mails: how often somebody opened the same mail does not count.
RATES = """
    round(n.delivered_count::numeric / nullif(n.sent_count, 0), 4) AS delivery_rate,
    round(n.opened_mails::numeric / nullif(n.delivered_count, 0), 4) AS open_rate,
    round(n.clicked_mails::numeric / nullif(n.delivered_count, 0), 4) AS click_rate,
    round(n.replied_mails::numeric / nullif(n.delivered_count, 0), 4) AS reply_rate,
    round(n.bounced_count::numeric / nullif(n.sent_count, 0), 4) AS bounce_rate,
    round(n.complained_count::numeric / nullif(n.delivered_count, 0), 5) AS complaint_rate,
    round(n.unsubscribed_count::numeric / nullif(n.delivered_count, 0), 4) AS unsubscribe_rate
"""
NAMED = """n.scheduled_count, n.sent_count, n.delivered_count, n.opened_count, n.opened_mails, n.unique_opened_count, n.clicked_count,
    n.clicked_mails, n.unique_clicked_count, n.replied_count, n.replied_mails, n.unique_replied_count, n.bounced_count,
    n.complained_count, n.unsubscribed_count"""

CAMPAIGN_ANALYTICS = f"""
CREATE MATERIALIZED VIEW analytics.campaign_analytics AS
SELECT p.workspace_id, p.id AS campaign_id, p.name, p.run, p.status, p.launched_at, {NAMED}, {RATES}
FROM outreach.campaigns AS p
JOIN (
    SELECT c.workspace_id, c.key, {COUNTS}
    FROM ({CURRENT.format(grain="campaign")}) AS c
    GROUP BY c.workspace_id, c.key
) AS n ON n.workspace_id = p.workspace_id AND n.key = p.id::text
"""  # noqa: S608 - constants
# The step as a whole has the variant ''.
CAMPAIGN_PERFORMANCE = f"""
CREATE MATERIALIZED VIEW analytics.campaign_performance AS
SELECT n.workspace_id, split_part(n.key, ':', 1)::bigint AS campaign_id, split_part(n.key, ':', 2)::integer AS step,
    coalesce(substring(n.key, '^[^:]+:[^:]+:(.*)$'), '') AS variant, {NAMED}, {RATES}
FROM (
    SELECT c.workspace_id, c.key, {COUNTS}
    FROM ({CURRENT.format(grain="step")} UNION ALL {CURRENT.format(grain="variant")}) AS c
    GROUP BY c.workspace_id, c.key
) AS n
"""  # noqa: S608 - constants
# Status and day are all that the index ix_leads_status_created holds: the leads themselves are not read.
LEAD_ANALYTICS = """
CREATE MATERIALIZED VIEW analytics.lead_analytics AS
SELECT l.workspace_id, l.day, sum(l.leads)::bigint AS new_leads,
    coalesce(sum(l.leads) FILTER (WHERE l.status = 'new'), 0)::bigint AS untouched,
    coalesce(sum(l.leads) FILTER (WHERE l.status = 'verified'), 0)::bigint AS verified,
    coalesce(sum(l.leads) FILTER (WHERE l.status = 'contacted'), 0)::bigint AS contacted,
    coalesce(sum(l.leads) FILTER (WHERE l.status = 'replied'), 0)::bigint AS replied,
    coalesce(sum(l.leads) FILTER (WHERE l.status = 'qualified'), 0)::bigint AS qualified,
    coalesce(sum(l.leads) FILTER (WHERE l.status = 'converted'), 0)::bigint AS converted,
    coalesce(sum(l.leads) FILTER (WHERE l.status = 'unsubscribed'), 0)::bigint AS unsubscribed,
    coalesce(sum(l.leads) FILTER (WHERE l.status = 'bounced'), 0)::bigint AS bounced,
    coalesce(sum(l.leads) FILTER (WHERE l.status = 'archived'), 0)::bigint AS archived,
    sum(sum(l.leads)) OVER (PARTITION BY l.workspace_id ORDER BY l.day)::bigint AS total_leads
FROM (
    SELECT a.workspace_id, a.status, timezone('UTC', a.created_at)::date AS day, count(*) AS leads
    FROM outreach.leads AS a
    GROUP BY a.workspace_id, a.status, timezone('UTC', a.created_at)::date
) AS l
GROUP BY l.workspace_id, l.day
"""
# Thirty days: whoever judges senders looks at recent mail. A recipient's domain counts from a hundred mails on. The score is made
# by the view that shows it, from these counts (outreach.reputation_score).
DELIVERABILITY = """
CREATE MATERIALIZED VIEW analytics.email_deliverability_metrics AS
SELECT n.workspace_id, n.scope, n.key, n.sent_count, n.delivered_count, n.deferred_count, n.bounced_count, n.soft_bounced_count,
    n.complained_count, n.unsubscribed_count,
    round(n.delivered_count::numeric / nullif(n.sent_count, 0), 4) AS delivery_rate,
    round(n.bounced_count::numeric / nullif(n.sent_count, 0), 4) AS bounce_rate,
    round(n.complained_count::numeric / nullif(n.delivered_count, 0), 5) AS complaint_rate
FROM (
    SELECT c.workspace_id, c.grain AS scope, c.key,
        coalesce(sum(c.total) FILTER (WHERE c.kind = 'sent'), 0)::bigint AS sent_count,
        coalesce(sum(c.mails) FILTER (WHERE c.kind = 'delivered'), 0)::bigint AS delivered_count,
        coalesce(sum(c.total) FILTER (WHERE c.kind = 'deferred'), 0)::bigint AS deferred_count,
        coalesce(sum(c.mails) FILTER (WHERE c.kind = 'bounced'), 0)::bigint AS bounced_count,
        coalesce(sum(c.total - c.mails) FILTER (WHERE c.kind = 'bounced'), 0)::bigint AS soft_bounced_count,
        coalesce(sum(c.mails) FILTER (WHERE c.kind = 'complained'), 0)::bigint AS complained_count,
        coalesce(sum(c.mails) FILTER (WHERE c.kind = 'unsubscribed'), 0)::bigint AS unsubscribed_count
    FROM (
        SELECT r.workspace_id, r.grain, r.key, r.kind, r.total, r.mails
        FROM outreach.workspaces AS w
        JOIN analytics.rollups AS r ON r.workspace_id = w.id
        WHERE r.day > timezone('UTC', now())::date - 30 AND r.grain IN ('workspace', 'mailbox', 'domain')
          AND r.kind IN ('sent', 'delivered', 'deferred', 'bounced', 'complained', 'unsubscribed')
        UNION ALL
        SELECT d.workspace_id, d.grain, d.key, d.kind, d.total, d.mails
        FROM analytics.rollup_deltas AS d
        WHERE d.day > timezone('UTC', now())::date - 30 AND d.grain IN ('workspace', 'mailbox', 'domain')
          AND d.kind IN ('sent', 'delivered', 'deferred', 'bounced', 'complained', 'unsubscribed')
    ) AS c
    GROUP BY c.workspace_id, c.grain, c.key
) AS n
WHERE n.scope <> 'domain' OR n.sent_count >= 100
"""
USAGE = f"""
CREATE MATERIALIZED VIEW analytics.workspace_usage_analytics AS
SELECT w.id AS workspace_id, w.name, w.created_at,
    (SELECT coalesce(sum(a.new_leads), 0)::bigint FROM analytics.lead_analytics AS a WHERE a.workspace_id = w.id) AS lead_count,
    (SELECT coalesce(sum(a.new_leads), 0)::bigint FROM analytics.lead_analytics AS a
     WHERE a.workspace_id = w.id AND a.day > timezone('UTC', now())::date - 30) AS leads_30_days,
    (SELECT count(*) FROM outreach.campaigns AS p WHERE p.workspace_id = w.id) AS campaign_count,
    (SELECT count(*) FROM outreach.campaigns AS p WHERE p.workspace_id = w.id AND p.status = 'running') AS running_campaigns,
    coalesce(m.emails_sent, 0)::bigint AS emails_sent, coalesce(m.emails_delivered, 0)::bigint AS emails_delivered,
    coalesce(m.emails_replied, 0)::bigint AS emails_replied,
    (SELECT coalesce(sum(r.total), 0)::bigint FROM analytics.rollups AS r
     WHERE r.workspace_id = w.id AND r.grain = 'workspace' AND r.key = '' AND r.kind = 'sent'
       AND r.day > timezone('UTC', now())::date - 30) AS emails_sent_30_days,
    coalesce(i.calls, 0) AS ai_calls_30_days, coalesce(i.tokens, 0)::bigint AS ai_tokens_30_days,
    coalesce(i.cost, 0)::numeric(14, 6) AS ai_cost_usd_30_days,
    (SELECT count(*) FROM outreach.agent_executions AS x
     WHERE x.workspace_id = w.id AND x.created_at > now() - interval '30 days') AS agent_runs_30_days
FROM outreach.workspaces AS w
LEFT JOIN (
    SELECT c.workspace_id, sum(c.total) FILTER (WHERE c.kind = 'sent') AS emails_sent,
        sum(c.mails) FILTER (WHERE c.kind = 'delivered') AS emails_delivered,
        sum(c.mails) FILTER (WHERE c.kind = 'replied') AS emails_replied
    FROM ({CURRENT.format(grain="workspace")}) AS c
    GROUP BY c.workspace_id
) AS m ON m.workspace_id = w.id
LEFT JOIN (
    SELECT k.workspace_id, count(*) AS calls, sum(k.total_tokens) AS tokens, sum(k.cost_usd) AS cost
    FROM outreach.llm_api_calls AS k
    WHERE k.created_at > now() - interval '30 days'
    GROUP BY k.workspace_id
) AS i ON i.workspace_id = w.id
"""  # noqa: S608 - constants
# View -> its definition and the key that REFRESH ... CONCURRENTLY compares by.
VIEWS = {
    "campaign_analytics": (CAMPAIGN_ANALYTICS, "workspace_id, campaign_id"),
    "campaign_performance": (CAMPAIGN_PERFORMANCE, "workspace_id, campaign_id, step, variant"),
    "lead_analytics": (LEAD_ANALYTICS, "workspace_id, day"),
    "email_deliverability_metrics": (DELIVERABILITY, "workspace_id, scope, key"),
    "workspace_usage_analytics": (USAGE, "workspace_id"),
}


def _key() -> sa.Column[str]:
    return sa.Column("key", sa.Text(collation="C"), nullable=False)


def _counter(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _workspace() -> sa.Column[int]:
    return sa.Column("workspace_id", sa.BigInteger(), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def _instant(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    _rollups()
    _people()
    _health()
    for table in TABLES:
        row_security.share(op, f"analytics.{table}")
    for view, (definition, key) in VIEWS.items():
        op.execute(definition)
        # The view was made a moment ago and holds no row: nobody waits for its index.
        index = f"CREATE UNIQUE INDEX uq_{view} ON analytics.{view} ({key})"
        op.execute(f"-- squawk-ignore require-concurrent-index-creation\n{index}")
        row_security.share(op, f"analytics.{view}", trusted="SELECT")


def _rollups() -> None:
    op.create_table(
        "rollups",
        _workspace(),
        _text("grain"),
        _key(),
        _text("kind"),
        sa.Column("day", sa.Date(), nullable=False),
        _counter("total"),
        _counter("mails"),
        _counter("people"),
        sa.CheckConstraint(GRAIN, name="ck_rollups_grain_known"),
        sa.CheckConstraint("people <= total", name="ck_rollups_people_within_total"),
        sa.CheckConstraint("mails <= total", name="ck_rollups_mails_within_total"),
        sa.PrimaryKeyConstraint(
            "workspace_id",
            "grain",
            "key",
            "kind",
            "day",
            name="pk_rollups",
            postgresql_include=["total", "mails", "people"],
        ),
        schema="analytics",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("ix_rollups_day", "rollups", ["workspace_id", "day", "grain"], unique=False, schema="analytics")
    op.create_table(
        "rollup_deltas",
        _workspace(),
        _text("grain"),
        _key(),
        _text("kind"),
        sa.Column("day", sa.Date(), nullable=False),
        _identity(),
        _counter("total"),
        _counter("mails"),
        _counter("people"),
        sa.CheckConstraint(GRAIN, name="ck_rollup_deltas_grain_known"),
        sa.PrimaryKeyConstraint("workspace_id", "grain", "key", "kind", "day", "id", name="pk_rollup_deltas"),
        schema="analytics",
    )
    op.create_table(
        "totals",
        _workspace(),
        _text("grain"),
        _key(),
        _text("kind"),
        _counter("total"),
        _counter("mails"),
        _counter("people"),
        sa.CheckConstraint(GRAIN, name="ck_totals_grain_known"),
        sa.PrimaryKeyConstraint("workspace_id", "grain", "key", "kind", name="pk_totals"),
        schema="analytics",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "ix_totals_busiest",
        "totals",
        ["workspace_id", "grain", sa.literal_column("total DESC")],
        unique=False,
        schema="analytics",
    )


def _people() -> None:
    op.create_table(
        "people_first",
        _workspace(),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        _text("grain"),
        _key(),
        _instant("opened_at"),
        _instant("clicked_at"),
        _instant("replied_at"),
        _instant("bounced_at"),
        _instant("complained_at"),
        _instant("unsubscribed_at"),
        sa.Column("previous", postgresql.ARRAY(postgresql.TIMESTAMP(timezone=True)), nullable=True),
        sa.CheckConstraint(GRAIN, name="ck_people_first_grain_known"),
        sa.PrimaryKeyConstraint("workspace_id", "lead_id", "grain", "key", name="pk_people_first"),
        schema="analytics",
        postgresql_with={"fillfactor": "85"},
    )
    op.create_table(
        "engaged_leads",
        _workspace(),
        _identity(),
        sa.Column("leads", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_engaged_leads"),
        schema="analytics",
    )
    op.create_table(
        "engagement_levels",
        _workspace(),
        _text("level"),
        _counter("leads"),
        sa.CheckConstraint("level IN ('warm', 'engaged', 'hot')", name="ck_engagement_levels_level_known"),
        sa.PrimaryKeyConstraint("workspace_id", "level", name="pk_engagement_levels"),
        schema="analytics",
    )


def _health() -> None:
    op.create_table(
        "rollup_checks",
        _workspace(),
        sa.Column("day", sa.Date(), nullable=False),
        _now("checked_at"),
        _counter("buckets"),
        _counter("drifted"),
        sa.PrimaryKeyConstraint("workspace_id", "day", name="pk_rollup_checks"),
        schema="analytics",
    )
    op.create_table(
        "rollup_drifts",
        _workspace(),
        _identity(),
        _now("found_at"),
        _text("grain"),
        _text("key"),
        _text("kind"),
        sa.Column("day", sa.Date(), nullable=True),
        _counter("total"),
        _counter("mails"),
        _counter("people"),
        sa.Column("repaired", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(GRAIN, name="ck_rollup_drifts_grain_known"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_rollup_drifts"),
        schema="analytics",
    )
    op.create_index(
        "ix_rollup_drifts_found_at",
        "rollup_drifts",
        ["workspace_id", sa.literal_column("found_at DESC")],
        unique=False,
        schema="analytics",
    )
    op.create_table(
        "rollup_freezes",
        _workspace(),
        _text("table_name"),
        _instant("range_start", nullable=False),
        _instant("range_end", nullable=False),
        sa.Column("frozen_through", sa.Date(), nullable=False),
        _now("frozen_at"),
        _counter("buckets"),
        _counter("repaired"),
        sa.PrimaryKeyConstraint("workspace_id", "table_name", "range_start", "range_end", name="pk_rollup_freezes"),
        schema="analytics",
    )
    op.create_table(
        "view_refreshes",
        _text("view_name"),
        _instant("refreshed_at", nullable=False),
        sa.Column("duration", sa.Interval(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("view_name", name="pk_view_refreshes"),
        schema="analytics",
    )


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP MATERIALIZED VIEW analytics.{view}")
    for table in reversed(TABLES):
        op.drop_table(table, schema="analytics")
