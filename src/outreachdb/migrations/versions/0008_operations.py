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

    for table in ("index_usage_stats", "health_snapshots", "maintenance_runs", "partition_archives", "retention_holds"):
        row_security.share(op, f"ops.{table}", trusted="SELECT, INSERT, UPDATE")
    row_security.share(op, "ops.partition_adoptions", trusted="SELECT")
    row_security.share(op, "ops.partitioned_tables", trusted="SELECT")
    row_security.share(op, "ops.workspace_retention")
    op.execute(
        "INSERT INTO ops.partitioned_tables (table_name, retention_months) VALUES "
        "('email_sends', 12), ('email_events', 12), ('lead_activities', 12), ('message_log', 12), ('audit_log', 24)"
    )


def downgrade() -> None:
    op.drop_table("maintenance_runs", schema="ops")
    op.drop_table("health_snapshots", schema="ops")
    op.drop_table("index_usage_stats", schema="ops")
    op.drop_table("workspace_retention", schema="ops")
    op.drop_table("retention_holds", schema="ops")
    op.drop_table("partition_archives", schema="ops")
    op.drop_table("partition_adoptions", schema="ops")
    op.drop_table("partitioned_tables", schema="ops")
