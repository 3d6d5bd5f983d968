"""Schemas, the workspace of the session, workspaces, keys and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from outreachdb.migrations import monthly, row_security

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


SCHEMAS = ("outreach", "parts", "analytics", "staging")


def upgrade() -> None:
    for schema in SCHEMAS:
        op.execute(f"CREATE SCHEMA {schema}")
    op.execute("GRANT USAGE ON SCHEMA outreach TO outreachdb_app, outreachdb_trusted, outreachdb_reader")
    op.execute("GRANT USAGE ON SCHEMA analytics, ops TO outreachdb_trusted, outreachdb_reader")
    op.execute("GRANT USAGE, CREATE ON SCHEMA staging TO outreachdb_trusted")
    op.execute("GRANT SELECT ON ops.alembic_version TO outreachdb_trusted, outreachdb_reader")
    # A standard body needs no pinned search_path; a parallel-unsafe function would switch parallel query off.
    op.execute(
        """
        CREATE FUNCTION outreach.current_workspace() RETURNS bigint
        LANGUAGE sql STABLE PARALLEL SAFE
        RETURN nullif(pg_catalog.current_setting('app.workspace_id', true), '')::bigint
        """
    )
    op.execute(
        """
        CREATE TABLE ops.routine_files (
            room text CONSTRAINT pk_routine_files PRIMARY KEY,
            sha256 text NOT NULL,
            installed_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(
        """
        CREATE TABLE ops.routine_objects (
            room text NOT NULL,
            kind text NOT NULL,
            identity text NOT NULL,
            CONSTRAINT pk_routine_objects PRIMARY KEY (kind, identity)
        )
        """
    )

    op.create_table(
        "workspaces",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("read_limit_ms", sa.BigInteger(), server_default="30000", nullable=False),
        sa.CheckConstraint("read_limit_ms BETWEEN 0 AND 2147483647", name="ck_workspaces_read_limit_range"),
        sa.PrimaryKeyConstraint("id", name="pk_workspaces"),
        sa.UniqueConstraint("name", name="uq_workspaces_name"),
        schema="outreach",
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False),
        sa.Column("renew", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("lifetime_seconds", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["outreach.workspaces.id"], name="fk_api_keys_workspace"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("key_hash", name="uq_api_keys_key_hash"),
        schema="outreach",
    )
    op.create_index(
        "ix_api_keys_expires_at",
        "api_keys",
        ["expires_at"],
        unique=False,
        schema="outreach",
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_index(
        "ix_api_keys_workspace", "api_keys", ["workspace_id", "created_at"], unique=False, schema="outreach"
    )
    op.create_table(
        "audit_log",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=True),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column(
            "details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", "created_at", name="pk_audit_log"),
        schema="outreach",
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index(
        "brin_audit_log_created_at",
        "audit_log",
        ["created_at"],
        unique=False,
        schema="outreach",
        postgresql_using="brin",
    )
    op.create_index(
        "ix_audit_log_action",
        "audit_log",
        ["workspace_id", "action", sa.literal_column("created_at DESC")],
        unique=False,
        schema="outreach",
    )
    row_security.isolate(op, "workspaces", app="SELECT", key="id")
    row_security.isolate(op, "api_keys", app=None, reader=False)
    row_security.isolate(op, "audit_log", app="SELECT, INSERT")
    monthly.create_partitions(op, "audit_log")


def downgrade() -> None:
    op.drop_table("audit_log", schema="outreach")
    op.drop_table("api_keys", schema="outreach")
    op.drop_table("workspaces", schema="outreach")
    op.execute("DROP TABLE ops.routine_objects")
    op.execute("DROP TABLE ops.routine_files")
    op.execute("DROP FUNCTION outreach.current_workspace()")
    op.execute("REVOKE SELECT ON ops.alembic_version FROM outreachdb_trusted, outreachdb_reader")
    op.execute("REVOKE USAGE ON SCHEMA ops FROM outreachdb_trusted, outreachdb_reader")
    for schema in reversed(SCHEMAS):
        op.execute(f"DROP SCHEMA {schema}")
