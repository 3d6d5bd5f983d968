"""When this database was last backed up, by whatever tool: health tells how long ago that is."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped

from outreachdb.db.models import Base, Document, SerialId, one_of


class Backup(Base):
    __tablename__ = "backups"
    __table_args__ = (
        one_of("kind", "logical", "physical"),
        Index("ix_backups_finished_at", text("finished_at DESC")),
        {"schema": "ops"},
    )

    id: Mapped[SerialId]
    kind: Mapped[str]
    tool: Mapped[str]
    place: Mapped[str]
    bytes: Mapped[int | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    details: Mapped[Document]
