"""Partition registry, archives, snapshots and maintenance history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from outreachdb.migrations import job_queue, row_security

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# The last of procrastinate's own migration files that this revision knows; a newer one needs a revision of ours.
QUEUE_VERSION = "03.04.00_50"


def upgrade() -> None:

    op.create_table(
        "partitioned_tables",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), server_default="month", nullable=False),
        sa.Column("ahead", sa.BigInteger(), server_default="3", nullable=False),
        sa.Column("retention_months", sa.BigInteger(), server_default="12", nullable=True),
        sa.Column("retention_days", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("archive", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("backend", sa.Text(), server_default="native", nullable=False),
        sa.CheckConstraint("backend IN ('native', 'partman')", name="ck_partitioned_tables_backend_known"),
        sa.CheckConstraint(
            "interval IN ('day', 'week', 'month', 'quarter')", name="ck_partitioned_tables_interval_known"
        ),
        sa.CheckConstraint("ahead >= 3", name="ck_partitioned_tables_ahead_at_least_three"),
        sa.PrimaryKeyConstraint("table_name", name="pk_partitioned_tables"),
        schema="ops",
    )
    op.create_table(
        "partition_adoptions",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "plan", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("copied_to", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("rows_copied", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('preparing', 'copying', 'copied')", name="ck_partition_adoptions_state_known"),
        sa.PrimaryKeyConstraint("table_name", name="pk_partition_adoptions"),
        schema="ops",
    )
    op.create_table(
        "partition_archives",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("partition_name", sa.Text(), nullable=False),
        sa.Column("leaving", sa.Text(), nullable=True),
        sa.Column("range_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("range_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("content_sha256", sa.LargeBinary(), nullable=True),
        sa.Column(
            "fingerprint",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="writing", nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("restored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column(
            "erasures", postgresql.ARRAY(sa.BigInteger()), server_default=sa.text("'{}'::bigint[]"), nullable=False
        ),
        sa.Column("replaced_file", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state = 'writing' OR (row_count IS NOT NULL AND content_sha256 IS NOT NULL)",
            name="ck_partition_archives_content_known",
        ),
        sa.CheckConstraint(
            "state IN ('writing', 'verified', 'dropped', 'restored')", name="ck_partition_archives_state_known"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_partition_archives"),
        schema="ops",
    )
    op.create_index(
        "ix_partition_archives_table", "partition_archives", ["table_name", "range_start"], unique=False, schema="ops"
    )
    op.create_index(
        "uq_partition_archives_under_way",
        "partition_archives",
        ["table_name", "partition_name"],
        unique=True,
        schema="ops",
        postgresql_where=sa.text("state IN ('writing', 'verified')"),
    )
    op.create_table(
        "archive_erasures",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("lead_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("addresses", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows_removed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "done_at IS NULL OR cardinality(addresses) = 0", name="ck_archive_erasures_addresses_forgotten"
        ),
        sa.CheckConstraint(
            "done_at IS NOT NULL OR cardinality(addresses) > 0 OR cardinality(lead_ids) > 0",
            name="ck_archive_erasures_somebody_named",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_archive_erasures"),
        schema="ops",
    )
    op.create_index(
        "ix_archive_erasures_open",
        "archive_erasures",
        ["workspace_id"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "partition_drops",
        sa.Column("relation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("partition_name", sa.Text(), nullable=False),
        sa.Column("range_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("range_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("only_if_empty", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("detached_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("detached_as", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(detached_at IS NULL) = (detached_as IS NULL)", name="ck_partition_drops_detached_whole"),
        sa.PrimaryKeyConstraint("relation", name="pk_partition_drops"),
        schema="ops",
    )
    op.create_table(
        "retention_holds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=True),
        sa.Column("workspace_id", sa.BigInteger(), nullable=True),
        sa.Column("range_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("range_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.CheckConstraint("(released_at IS NULL) = (released_by IS NULL)", name="ck_retention_holds_release_whole"),
        sa.CheckConstraint("length(btrim(reason)) > 0", name="ck_retention_holds_reason_given"),
        sa.CheckConstraint("range_start < range_end", name="ck_retention_holds_range_in_order"),
        sa.PrimaryKeyConstraint("id", name="pk_retention_holds"),
        schema="ops",
    )
    op.create_index(
        "ix_retention_holds_active",
        "retention_holds",
        ["table_name"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_table(
        "workspace_retention",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("retention_months", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("retention_months > 0", name="ck_workspace_retention_retention_months_positive"),
        sa.PrimaryKeyConstraint("workspace_id", "table_name", name="pk_workspace_retention"),
        schema="ops",
    )
    op.create_table(
        "index_usage_stats",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("schema_name", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("index_name", sa.Text(), nullable=False),
        sa.Column("index_scans", sa.BigInteger(), nullable=False),
        sa.Column("new_scans", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("tuples_read", sa.BigInteger(), nullable=False),
        sa.Column("tuples_fetched", sa.BigInteger(), nullable=False),
        sa.Column("index_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_index_usage_stats"),
        schema="ops",
    )
    op.create_index(
        "ix_index_usage_stats_captured_at",
        "index_usage_stats",
        [sa.literal_column("captured_at DESC")],
        unique=False,
        schema="ops",
    )
    op.create_index(
        "ix_index_usage_stats_index",
        "index_usage_stats",
        ["schema_name", "index_name", sa.literal_column("captured_at DESC")],
        unique=False,
        schema="ops",
    )
    op.create_table(
        "health_snapshots",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "checks", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.CheckConstraint("status IN ('green', 'yellow', 'red')", name="ck_health_snapshots_status_known"),
        sa.PrimaryKeyConstraint("id", name="pk_health_snapshots"),
        schema="ops",
    )
    op.create_index(
        "ix_health_snapshots_captured_at",
        "health_snapshots",
        [sa.literal_column("captured_at DESC")],
        unique=False,
        schema="ops",
    )
    op.create_table(
        "maintenance_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("driver", sa.Text(), server_default="command", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows_affected", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.CheckConstraint("driver IN ('command', 'pg_cron', 'worker')", name="ck_maintenance_runs_driver_known"),
        sa.CheckConstraint(
            "status IN ('running', 'succeeded', 'failed', 'cancelled')", name="ck_maintenance_runs_status_known"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance_runs"),
        schema="ops",
    )
    op.create_index(
        "ix_maintenance_runs_job",
        "maintenance_runs",
        ["job", sa.literal_column("started_at DESC")],
        unique=False,
        schema="ops",
    )
    op.create_index(
        "ix_maintenance_runs_running",
        "maintenance_runs",
        ["job"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("status = 'running'"),
    )
    _create_jobs()

    for table in ("index_usage_stats", "health_snapshots", "maintenance_runs", "partition_archives", "retention_holds"):
        row_security.share(op, f"ops.{table}", trusted="SELECT, INSERT, UPDATE")
    row_security.share(op, "ops.archive_erasures", trusted="SELECT, INSERT, UPDATE")
    row_security.share(op, "ops.partition_adoptions", trusted="SELECT")
    row_security.share(op, "ops.partition_drops", trusted="SELECT")
    row_security.share(op, "ops.partitioned_tables", trusted="SELECT")
    row_security.share(op, "ops.workspace_retention")
    op.execute(
        "INSERT INTO ops.partitioned_tables (table_name, retention_months) VALUES "
        "('email_sends', 12), ('email_events', 12), ('lead_activities', 12), ('message_log', 12), ('audit_log', 24)"
    )
    op.execute("GRANT DELETE ON ops.maintenance_runs TO outreachdb_trusted")
    op.execute("GRANT USAGE ON SCHEMA procrastinate TO outreachdb_trusted, outreachdb_reader")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA procrastinate TO outreachdb_trusted")
    op.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA procrastinate TO outreachdb_trusted")
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA procrastinate TO outreachdb_reader")
    _create_history()
    _create_alerts()


def _create_jobs() -> None:
    op.create_table(
        "scheduled_jobs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("minutes", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("hours", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("days", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("months", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("weekdays", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("lock", sa.Text(), nullable=False),
        sa.Column("limit_seconds", sa.BigInteger(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("limit_seconds > 0", name="ck_scheduled_jobs_limit_positive"),
        sa.PrimaryKeyConstraint("name", name="pk_scheduled_jobs"),
        schema="ops",
    )
    op.create_table(
        "weekly_reports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "document", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name="pk_weekly_reports"),
        schema="ops",
    )
    op.create_table(
        "background_jobs",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column(
            "arguments", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("queue_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('action', 'export', 'import', 'launch')", name="ck_background_jobs_kind_known"),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name="ck_background_jobs_status_known",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_background_jobs_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name="pk_background_jobs"),
        schema="outreach",
    )
    op.create_index(
        "ix_background_jobs_open",
        "background_jobs",
        ["workspace_id", "id"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.create_table(
        "queue_leases",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("queue IN ('email', 'profile', 'url')", name="ck_queue_leases_queue_known"),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_queue_leases_workspace"),
        sa.PrimaryKeyConstraint("workspace_id", "queue", "item_id", name="pk_queue_leases"),
        schema="outreach",
    )
    row_security.isolate(op, "background_jobs", app="SELECT")
    row_security.isolate(op, "queue_leases", app="SELECT")
    row_security.share(op, "ops.scheduled_jobs")
    row_security.share(op, "ops.weekly_reports", trusted="SELECT, INSERT, DELETE")
    job_queue.create(op, QUEUE_VERSION)


def _create_history() -> None:
    op.create_table(
        "counter_epochs",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reset_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("transactions", sa.BigInteger(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_counter_epochs"),
        schema="ops",
    )
    op.create_table(
        "daily_figures",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("most", sa.Double(), nullable=True),
        sa.CheckConstraint("kind IN ('database', 'disk', 'sequence', 'table')", name="ck_daily_figures_kind_known"),
        sa.PrimaryKeyConstraint("kind", "name", "day", name="pk_daily_figures"),
        schema="ops",
    )
    op.create_table(
        "index_counters",
        sa.Column("index_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scans", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("index_id", name="pk_index_counters"),
        schema="ops",
    )
    op.create_table(
        "query_counters",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("query_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("total_ms", sa.Double(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "query_id", name="pk_query_counters"),
        schema="ops",
    )
    op.create_table(
        "query_days",
        sa.Column("query_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("total_ms", sa.Double(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("query_id", "day", name="pk_query_days"),
        schema="ops",
    )
    op.create_table(
        "query_texts",
        sa.Column("query_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("query_id", name="pk_query_texts"),
        schema="ops",
    )
    for table in ("counter_epochs", "daily_figures", "index_counters", "query_counters", "query_days", "query_texts"):
        row_security.share(op, f"ops.{table}")
    op.execute("GRANT DELETE ON ops.index_usage_stats, ops.health_snapshots TO outreachdb_trusted")


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="ok", nullable=False),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("bad", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("red", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("good", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("level IN ('yellow', 'red')", name="ck_alerts_level_known"),
        sa.CheckConstraint("state = 'ok' OR level IS NOT NULL", name="ck_alerts_firing_has_level"),
        sa.CheckConstraint("state IN ('ok', 'firing')", name="ck_alerts_state_known"),
        sa.PrimaryKeyConstraint("check_name", name="pk_alerts"),
        schema="ops",
    )
    op.create_table(
        "alert_messages",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column(
            "document", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("event IN ('firing', 'worse', 'repeat', 'resolved')", name="ck_alert_messages_event_known"),
        sa.PrimaryKeyConstraint("id", name="pk_alert_messages"),
        schema="ops",
    )
    op.create_index(
        "ix_alert_messages_waiting",
        "alert_messages",
        ["channel", "id"],
        unique=False,
        schema="ops",
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    for table in ("alerts", "alert_messages"):
        row_security.share(op, f"ops.{table}")


def downgrade() -> None:
    job_queue.drop(op)
    op.drop_table("queue_leases", schema="outreach")
    op.drop_table("background_jobs", schema="outreach")
    op.drop_table("weekly_reports", schema="ops")
    op.drop_table("scheduled_jobs", schema="ops")
    for table in ("alert_messages", "alerts", "query_texts", "query_days", "query_counters", "index_counters"):
        op.drop_table(table, schema="ops")
    op.drop_table("daily_figures", schema="ops")
    op.drop_table("counter_epochs", schema="ops")
    op.drop_table("maintenance_runs", schema="ops")
    op.drop_table("health_snapshots", schema="ops")
    op.drop_table("index_usage_stats", schema="ops")
    op.drop_table("workspace_retention", schema="ops")
    op.drop_table("retention_holds", schema="ops")
    op.drop_table("partition_drops", schema="ops")
    op.drop_table("archive_erasures", schema="ops")
    op.drop_table("partition_archives", schema="ops")
    op.drop_table("partition_adoptions", schema="ops")
    op.drop_table("partitioned_tables", schema="ops")
