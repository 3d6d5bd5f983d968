"""Rollups and what feeds them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from outreachdb.migrations import row_security

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "rollups",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("total", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("people", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "grain IN ('workspace', 'campaign', 'step', 'variant', 'mailbox', 'domain')", name="ck_rollups_grain_known"
        ),
        sa.CheckConstraint("people <= total", name="ck_rollups_people_within_total"),
        sa.PrimaryKeyConstraint("workspace_id", "grain", "key", "kind", "day", name="pk_rollups"),
        schema="analytics",
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "rollup_deltas",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("total", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("people", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "grain IN ('workspace', 'campaign', 'step', 'variant', 'mailbox', 'domain')",
            name="ck_rollup_deltas_grain_known",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "grain", "key", "kind", "day", "id", name="pk_rollup_deltas"),
        schema="analytics",
    )
    op.create_table(
        "people_first",
        sa.Column("workspace_id", sa.BigInteger(), nullable=False),
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "grain IN ('workspace', 'campaign', 'step', 'variant', 'mailbox', 'domain')",
            name="ck_people_first_grain_known",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "grain", "key", "kind", "lead_id", name="pk_people_first"),
        schema="analytics",
    )

    for table in ("rollups", "rollup_deltas", "people_first"):
        row_security.share(op, f"analytics.{table}")


def downgrade() -> None:
    op.drop_table("people_first", schema="analytics")
    op.drop_table("rollup_deltas", schema="analytics")
    op.drop_table("rollups", schema="analytics")
