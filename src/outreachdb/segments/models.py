"""Saved segments: a name for a definition that the database compiles."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import Base, CreatedAt, KeyPart, SerialId, WorkspaceId, tenant_key, workspace_key


class Segment(Base):
    __tablename__ = "segments"
    __table_args__ = (
        workspace_key(),
        UniqueConstraint("workspace_id", "name", name="uq_segments_name"),
        CheckConstraint("jsonb_typeof(definition) = 'object'", name="definition_object"),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    name: Mapped[str]
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    version: Mapped[int] = mapped_column(server_default="1")
    last_count: Mapped[int | None]
    last_counted_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class SegmentVersion(Base):
    """Every definition that a segment ever had, the one in force included, and who wrote it."""

    __tablename__ = "segment_versions"
    __table_args__ = (
        tenant_key("segment_id", "segments", owned=True),
        CheckConstraint("jsonb_typeof(definition) = 'object'", name="definition_object"),
    )

    workspace_id: Mapped[WorkspaceId]
    segment_id: Mapped[KeyPart]
    version: Mapped[KeyPart]
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed_by: Mapped[str]
    note: Mapped[str | None]
    changed_at: Mapped[CreatedAt]
