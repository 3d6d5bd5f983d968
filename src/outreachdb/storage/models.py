"""Which tables are partitioned and how long their months stay, and where archived months went."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import Base, Counter, CreatedAt, Document, SerialId, WorkspaceId, Yes, one_of

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
    """A partition that became a file: begun (writing), read back (verified), gone (dropped), back again (restored)."""

    __tablename__ = "partition_archives"
    __table_args__ = (
        one_of("state", "writing", "verified", "dropped", "restored"),
        CheckConstraint(
            "state = 'writing' OR (row_count IS NOT NULL AND content_sha256 IS NOT NULL)", name="content_known"
        ),
        Index("ix_partition_archives_table", "table_name", "range_start"),
        Index(
            "uq_partition_archives_under_way",
            "table_name",
            "partition_name",
            unique=True,
            postgresql_where=text("state IN ('writing', 'verified')"),
        ),
        OPS,
    )

    id: Mapped[SerialId]
    table_name: Mapped[str]
    partition_name: Mapped[str]
    # What the detached table is called: its own name is free for rows that come late.
    leaving: Mapped[str | None]
    range_start: Mapped[datetime]
    range_end: Mapped[datetime]
    file: Mapped[str]
    row_count: Mapped[int | None]
    content_sha256: Mapped[bytes | None]
    fingerprint: Mapped[Document]
    revision: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="writing")
    bytes: Mapped[int | None]
    created_at: Mapped[CreatedAt]
    verified_at: Mapped[datetime | None]
    dropped_at: Mapped[datetime | None]
    restored_at: Mapped[datetime | None]
    problem: Mapped[str | None]
    # Which erasures the file has been through, and the file before the last, until it is removed.
    erasures: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'::bigint[]"))
    replaced_file: Mapped[str | None]


class ArchiveErasure(Base):
    """People who are to be erased from archives; queries and restores leave them out from now on."""

    __tablename__ = "archive_erasures"
    __table_args__ = (
        CheckConstraint("done_at IS NULL OR cardinality(addresses) = 0", name="addresses_forgotten"),
        CheckConstraint(
            "done_at IS NOT NULL OR cardinality(addresses) > 0 OR cardinality(lead_ids) > 0", name="somebody_named"
        ),
        Index("ix_archive_erasures_open", "workspace_id", postgresql_where=text("done_at IS NULL")),
        OPS,
    )

    id: Mapped[SerialId]
    workspace_id: Mapped[int]
    lead_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    # Lower-cased; gone when the last file has been rewritten.
    addresses: Mapped[list[str]] = mapped_column(ARRAY(Text))
    requested_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    done_at: Mapped[datetime | None]
    rows_removed: Mapped[Counter]


class PartitionDrop(Base):
    """A partition that retention lets go without an archive: written before it is detached, gone with the table."""

    __tablename__ = "partition_drops"
    __table_args__ = (
        CheckConstraint("(detached_at IS NULL) = (detached_as IS NULL)", name="detached_whole"),
        OPS,
    )

    # The table itself (its oid): another one may get its name.
    relation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    table_name: Mapped[str]
    partition_name: Mapped[str]
    range_start: Mapped[datetime]
    range_end: Mapped[datetime]
    # Of a table that is archived only a partition without a row goes like this.
    only_if_empty: Mapped[bool]
    created_at: Mapped[CreatedAt]
    detached_at: Mapped[datetime | None]
    # Which version of the table's row in the catalogue our detach made: whoever attaches, detaches or renames it later
    # makes another, and it is no longer ours to drop.
    detached_as: Mapped[int | None]


class RetentionHold(Base):
    """A legal hold: while it is not released nothing of what it names is deleted, archived or dropped."""

    __tablename__ = "retention_holds"
    __table_args__ = (
        CheckConstraint("length(btrim(reason)) > 0", name="reason_given"),
        CheckConstraint("range_start < range_end", name="range_in_order"),
        CheckConstraint("(released_at IS NULL) = (released_by IS NULL)", name="release_whole"),
        Index("ix_retention_holds_active", "table_name", postgresql_where=text("released_at IS NULL")),
        OPS,
    )

    id: Mapped[SerialId]
    # NULL stands for all: every table, every workspace, from ever, for ever.
    table_name: Mapped[str | None]
    workspace_id: Mapped[int | None]
    range_start: Mapped[datetime | None]
    range_end: Mapped[datetime | None]
    reason: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    released_at: Mapped[datetime | None]
    released_by: Mapped[str | None]


class WorkspaceRetention(Base):
    """How long a workspace keeps its rows of a table, where that is not as long as the table says."""

    __tablename__ = "workspace_retention"
    __table_args__ = (CheckConstraint("retention_months > 0", name="retention_months_positive"), OPS)

    workspace_id: Mapped[WorkspaceId]
    table_name: Mapped[str] = mapped_column(primary_key=True)
    # NULL: for ever.
    retention_months: Mapped[int | None]
    created_at: Mapped[CreatedAt]
