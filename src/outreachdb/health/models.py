"""Snapshots of what the server did, and the history of maintenance."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import Base, CreatedAt, Document, SerialId, one_of

OPS = {"schema": "ops"}


class IndexUsage(Base):
    __tablename__ = "index_usage_stats"
    __table_args__ = (
        Index("ix_index_usage_stats_captured_at", text("captured_at DESC")),
        Index("ix_index_usage_stats_index", "schema_name", "index_name", text("captured_at DESC")),
        OPS,
    )

    id: Mapped[SerialId]
    captured_at: Mapped[CreatedAt]
    schema_name: Mapped[str]
    table_name: Mapped[str]
    index_name: Mapped[str]
    index_scans: Mapped[int]
    tuples_read: Mapped[int]
    tuples_fetched: Mapped[int]
    index_bytes: Mapped[int]


class HealthSnapshot(Base):
    __tablename__ = "health_snapshots"
    __table_args__ = (
        one_of("status", "green", "yellow", "red"),
        Index("ix_health_snapshots_captured_at", text("captured_at DESC")),
        OPS,
    )

    id: Mapped[SerialId]
    captured_at: Mapped[CreatedAt]
    status: Mapped[str]
    checks: Mapped[Document]


class MaintenanceRun(Base):
    __tablename__ = "maintenance_runs"
    __table_args__ = (
        one_of("driver", "command", "pg_cron", "worker"),
        one_of("status", "running", "succeeded", "failed", "cancelled"),
        Index("ix_maintenance_runs_job", "job", text("started_at DESC")),
        Index("ix_maintenance_runs_running", "job", postgresql_where=text("status = 'running'")),
        OPS,
    )

    id: Mapped[SerialId]
    job: Mapped[str]
    driver: Mapped[str] = mapped_column(server_default="command")
    status: Mapped[str]
    # The tick of the schedule that the run is for; none where somebody asked for it.
    due_at: Mapped[datetime | None]
    started_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]
    rows_affected: Mapped[int | None]
    error: Mapped[str | None]
    details: Mapped[Document]
