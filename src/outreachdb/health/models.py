"""Snapshots of what the server did, who was told of it, and the history of maintenance."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from sqlalchemy import BigInteger, CheckConstraint, Double, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import Base, Counter, CreatedAt, Document, SerialId, one_of

OPS = {"schema": "ops"}
FIGURES = ("database", "disk", "sequence", "table")
Number = Annotated[float, mapped_column(Double)]
Id = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=False)]


class Alert(Base):
    """Where a check stands: how often in a row it was bad, red or good, and whether people were told."""

    __tablename__ = "alerts"
    __table_args__ = (
        one_of("level", "yellow", "red"),
        one_of("state", "ok", "firing"),
        CheckConstraint("state = 'ok' OR level IS NOT NULL", name="firing_has_level"),
        OPS,
    )

    check_name: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default="ok")
    level: Mapped[str | None]
    bad: Mapped[Counter]
    red: Mapped[Counter]
    good: Mapped[Counter]
    since: Mapped[CreatedAt]
    notified_at: Mapped[datetime | None]
    evaluated_at: Mapped[CreatedAt]


class AlertMessage(Base):
    """What is to be told and by which channel; written with the alert's state, sent afterwards."""

    __tablename__ = "alert_messages"
    __table_args__ = (
        one_of("event", "firing", "worse", "repeat", "resolved"),
        Index("ix_alert_messages_waiting", "channel", "id", postgresql_where=text("sent_at IS NULL")),
        OPS,
    )

    id: Mapped[SerialId]
    created_at: Mapped[CreatedAt]
    channel: Mapped[str]
    check_name: Mapped[str]
    event: Mapped[str]
    document: Mapped[Document]
    attempts: Mapped[Counter]
    # Not before this: a lease while one sender is at it, a pause after a failure.
    next_at: Mapped[CreatedAt]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]


class CounterEpoch(Base):
    """How the database's own counters stood at the last snapshot: tells that all of its statistics were reset."""

    __tablename__ = "counter_epochs"
    __table_args__ = OPS

    source: Mapped[str] = mapped_column(primary_key=True)
    reset_at: Mapped[datetime | None]
    transactions: Mapped[int]
    captured_at: Mapped[CreatedAt]


class DailyFigure(Base):
    """A size at the end of a UTC day: bytes, or the last value of a sequence; ``most`` is where it must end."""

    __tablename__ = "daily_figures"
    __table_args__ = (one_of("kind", *FIGURES), OPS)

    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    value: Mapped[Number]
    most: Mapped[Number | None]


class IndexCounter(Base):
    """The count of scans of an index, or of a partition's, at the last snapshot."""

    __tablename__ = "index_counters"
    __table_args__ = OPS

    index_id: Mapped[Id]
    scans: Mapped[int]


class QueryCounter(Base):
    """What pg_stat_statements said of a statement at the last snapshot."""

    __tablename__ = "query_counters"
    __table_args__ = OPS

    user_id: Mapped[Id]
    query_id: Mapped[Id]
    calls: Mapped[int]
    total_ms: Mapped[Number]
    rows: Mapped[int]
    since: Mapped[datetime | None]


class QueryDay(Base):
    """What a statement did on a UTC day: the sum of the differences between snapshots."""

    __tablename__ = "query_days"
    __table_args__ = OPS

    query_id: Mapped[Id]
    day: Mapped[date] = mapped_column(primary_key=True)
    calls: Mapped[int]
    total_ms: Mapped[Number]
    rows: Mapped[int]


class QueryText(Base):
    """A statement's text as pg_stat_statements gives it, without its constants."""

    __tablename__ = "query_texts"
    __table_args__ = OPS

    query_id: Mapped[Id]
    query: Mapped[str]


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
    # Since the capture before, whatever was reset in between.
    new_scans: Mapped[Counter]
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
