"""What runs when, what runs in the background, and who works on which waiting check."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import (
    Base,
    Counter,
    CreatedAt,
    Document,
    KeyPart,
    SerialId,
    WorkspaceId,
    one_of,
    workspace_key,
)

KINDS = ("action", "export", "import", "launch")
QUEUES = ("email", "profile", "url")


class ScheduledJob(Base):
    """The registry as the database needs it to tell what is due: the fields of the schedule are lists of numbers."""

    __tablename__ = "scheduled_jobs"
    __table_args__ = (CheckConstraint("limit_seconds > 0", name="limit_positive"), {"schema": "ops"})

    name: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str]
    schedule: Mapped[str]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    minutes: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    hours: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    days: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    months: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    weekdays: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    # Jobs with the same lock never run at the same time.
    lock: Mapped[str]
    limit_seconds: Mapped[int]
    # What pg_cron can run by itself; none for what needs Python.
    statement: Mapped[str | None]
    registered_at: Mapped[CreatedAt]


class WeeklyReport(Base):
    __tablename__ = "weekly_reports"
    __table_args__ = ({"schema": "ops"},)

    id: Mapped[SerialId]
    created_at: Mapped[CreatedAt]
    document: Mapped[Document]


class BackgroundJob(Base):
    """What somebody asked for and a worker does; ``queue_id`` is its place in procrastinate's queue."""

    __tablename__ = "background_jobs"
    __table_args__ = (
        workspace_key(),
        one_of("kind", *KINDS),
        one_of("status", "queued", "running", "succeeded", "failed", "cancelled"),
        Index(
            "ix_background_jobs_open",
            "workspace_id",
            "id",
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    kind: Mapped[str]
    title: Mapped[str]
    arguments: Mapped[Document]
    status: Mapped[str] = mapped_column(server_default="queued")
    phase: Mapped[str | None]
    done: Mapped[Counter]
    total: Mapped[int | None]
    attempts: Mapped[Counter]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[str | None]
    queue_id: Mapped[int | None]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class QueueLease(Base):
    """An item of a queue of checks that a worker has taken, or that failed and waits."""

    __tablename__ = "queue_leases"
    __table_args__ = (workspace_key(), one_of("queue", *QUEUES))

    workspace_id: Mapped[WorkspaceId]
    queue: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[KeyPart]
    worker: Mapped[str]
    lease_until: Mapped[datetime]
    failures: Mapped[Counter]
    error: Mapped[str | None]
