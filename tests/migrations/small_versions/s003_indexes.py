"""Indexes that are built while writers write."""

from __future__ import annotations

from alembic import op

from outreachdb.db import ddl

revision = "s003"
down_revision = "s002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    ddl.create_index_concurrently(
        op, "ix_things_size", "outreach.things", "(workspace_id, size DESC) WHERE size IS NOT NULL"
    )
    ddl.create_index_concurrently(op, "ix_happenings_kind", "outreach.happenings", "(workspace_id, kind)")


def downgrade() -> None:
    ddl.drop_index_concurrently(op, "outreach.ix_happenings_kind")
    ddl.drop_index_concurrently(op, "outreach.ix_things_size")
