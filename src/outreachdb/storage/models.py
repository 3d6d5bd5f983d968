"""Which tables are partitioned and how long their months stay, and where archived months went."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import Base, Counter, CreatedAt, Document, SerialId, Yes, one_of

OPS = {"schema": "ops"}


class PartitionedTable(Base):
    """The registry of partitioned tables; the partition manager works from this list alone."""

    __tablename__ = "partitioned_tables"
    __table_args__ = (
        one_of("backend", "native", "partman"),
        one_of("interval", "day", "week", "month", "quarter"),
        CheckConstraint("ahead >= 3", name="ahead_at_least_three"),
        OPS,
    )

    table_name: Mapped[str] = mapped_column(primary_key=True)
    interval: Mapped[str] = mapped_column(server_default="month")
    ahead: Mapped[int] = mapped_column(server_default="3")
    # Rows stay for months and days together; no months at all: for ever.
    retention_months: Mapped[int | None] = mapped_column(server_default="12")
    retention_days: Mapped[Counter]
    archive: Mapped[Yes]
    backend: Mapped[str] = mapped_column(server_default="native")


class PartitionAdoption(Base):
    """A table that is being taken over: how far its rows are copied, and what it looked like at the beginning."""

    __tablename__ = "partition_adoptions"
    __table_args__ = (one_of("state", "preparing", "copying", "copied"), OPS)

    table_name: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    plan: Mapped[Document]
    copied_to: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    rows_copied: Mapped[Counter]
    started_at: Mapped[CreatedAt]


class PartitionArchive(Base):
    __tablename__ = "partition_archives"
    __table_args__ = (
        one_of("state", "writing", "verified", "dropped", "restored"),
        Index("ix_partition_archives_table", "table_name", "range_start"),
        OPS,
    )

    id: Mapped[SerialId]
    table_name: Mapped[str]
    partition_name: Mapped[str]
    range_start: Mapped[datetime]
    range_end: Mapped[datetime]
    file: Mapped[str]
    row_count: Mapped[int]
    content_sha256: Mapped[bytes]
    revision: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="writing")
    created_at: Mapped[CreatedAt]
    verified_at: Mapped[datetime | None]
