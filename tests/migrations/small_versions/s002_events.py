"""Events, monthly."""

from __future__ import annotations

from alembic import op

from outreachdb.db import ddl

revision = "s002"
down_revision = "s001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """CREATE TABLE outreach.happenings (workspace_id bigint NOT NULL, id bigint NOT NULL, kind text,
        created_at timestamptz NOT NULL, PRIMARY KEY (workspace_id, id, created_at)) PARTITION BY RANGE (created_at)"""
    )
    for month in ("01", "02"):
        op.execute(
            f"""CREATE TABLE parts.happenings_2026_{month} PARTITION OF outreach.happenings
            FOR VALUES FROM ('2026-{month}-01+00') TO ('2026-0{int(month) + 1}-01+00')"""
        )
    ddl.add_check(op, "outreach.things", "ck_things_size_positive", "size > 0")


def downgrade() -> None:
    op.execute("ALTER TABLE outreach.things DROP CONSTRAINT ck_things_size_positive")
    op.execute("DROP TABLE outreach.happenings")
