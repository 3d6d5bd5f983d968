"""Partition registry, archives, snapshots and maintenance history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from outreachdb.migrations import row_security

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


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
        sa.Column("range_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("range_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("content_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="writing", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('writing', 'verified', 'dropped', 'restored')", name="ck_partition_archives_state_known"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_partition_archives"),
        schema="ops",
    )
    op.create_index(
        "ix_partition_archives_table", "partition_archives", ["table_name", "range_start"], unique=False, schema="ops"
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
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows_affected", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
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

    for table in ("index_usage_stats", "health_snapshots", "maintenance_runs", "partition_archives"):
        row_security.share(op, f"ops.{table}", trusted="SELECT, INSERT, UPDATE")
    row_security.share(op, "ops.partition_adoptions", trusted="SELECT")
    row_security.share(op, "ops.partitioned_tables", trusted="SELECT")
    op.execute(
        "INSERT INTO ops.partitioned_tables (table_name, retention_months) VALUES "
        "('email_sends', 12), ('email_events', 12), ('lead_activities', 12), ('message_log', 12), ('audit_log', 24)"
    )
    _create_history()
    _create_alerts()


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
    for table in ("alert_messages", "alerts", "query_texts", "query_days", "query_counters", "index_counters"):
        op.drop_table(table, schema="ops")
    op.drop_table("daily_figures", schema="ops")
    op.drop_table("counter_epochs", schema="ops")
    op.drop_table("maintenance_runs", schema="ops")
    op.drop_table("health_snapshots", schema="ops")
    op.drop_table("index_usage_stats", schema="ops")
    op.drop_table("partition_archives", schema="ops")
    op.drop_table("partition_adoptions", schema="ops")
    op.drop_table("partitioned_tables", schema="ops")
