"""Workspaces, the keys that open them, and the log of who did what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import Base, CreatedAt, Document, No, PartitionInstant, SerialId, Texts, WorkspaceId, monthly


class Workspace(Base):
    __tablename__ = "workspaces"
    __table_args__ = (
        UniqueConstraint("name", name="uq_workspaces_name"),
        CheckConstraint("read_limit_ms BETWEEN 0 AND 2147483647", name="read_limit_range"),
    )

    id: Mapped[SerialId]
    name: Mapped[str]
    settings: Mapped[Document]
    created_at: Mapped[CreatedAt]
    # Milliseconds that one statement of a search or a segment may run; 0 is no limit.
    read_limit_ms: Mapped[int] = mapped_column(server_default="30000")


class ApiKey(Base):
    """A key is looked up by its hash before the workspace is known, hence the unusual primary key."""

    __tablename__ = "api_keys"
    __table_args__ = (
        UniqueConstraint("key_hash", name="uq_api_keys_key_hash"),
        Index("ix_api_keys_workspace", "workspace_id", "created_at"),
        Index("ix_api_keys_expires_at", "expires_at", postgresql_where=text("revoked_at IS NULL")),
    )

    id: Mapped[SerialId]
    workspace_id: Mapped[int] = mapped_column(ForeignKey("outreach.workspaces.id"))
    name: Mapped[str]
    prefix: Mapped[str]
    key_hash: Mapped[bytes]
    scopes: Mapped[Texts]
    renew: Mapped[No]
    # How long it was made for, which is what a renewal adds; null is for ever.
    lifetime_seconds: Mapped[int | None]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditEntry(Base):
    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_action", "workspace_id", "action", text("created_at DESC")),
        Index("brin_audit_log_created_at", "created_at", postgresql_using="brin"),
        monthly(),
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    created_at: Mapped[PartitionInstant]
    actor: Mapped[str]
    action: Mapped[str]
    object_type: Mapped[str | None]
    object_id: Mapped[str | None]
    details: Mapped[Document]
