"""Rollups, the deltas that feed them, and who did a thing first. Tenants never touch these tables."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import Base, Counter, KeyPart, SerialId, WorkspaceId, one_of

ANALYTICS = {"schema": "analytics"}
GRAINS = ("workspace", "campaign", "step", "variant", "mailbox", "domain")


class Rollup(Base):
    """Totals per grain, key, kind and UTC day; ``people`` counts those whose first such event fell on the day."""

    __tablename__ = "rollups"
    __table_args__ = (
        one_of("grain", *GRAINS),
        CheckConstraint("people <= total", name="people_within_total"),
        ANALYTICS | {"postgresql_with": {"fillfactor": "70"}},
    )

    workspace_id: Mapped[WorkspaceId]
    grain: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    total: Mapped[Counter]
    people: Mapped[Counter]


class RollupDelta(Base):
    """A batch's own aggregates, appended by the transaction that stored the batch and folded into ``rollups`` later."""

    __tablename__ = "rollup_deltas"
    __table_args__ = (one_of("grain", *GRAINS), ANALYTICS)

    workspace_id: Mapped[WorkspaceId]
    grain: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    id: Mapped[SerialId]
    total: Mapped[Counter]
    people: Mapped[Counter]


class PersonFirst(Base):
    """When a lead first did a kind of thing within a grain's key; outlives the events, for exact distinct counts."""

    __tablename__ = "people_first"
    __table_args__ = (one_of("grain", *GRAINS), ANALYTICS)

    workspace_id: Mapped[WorkspaceId]
    grain: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    lead_id: Mapped[KeyPart]
    first_at: Mapped[datetime]
    # What first_at was before an earlier event came in late: RETURNING can't say so on PostgreSQL 15 to 17.
    previous_at: Mapped[datetime | None]
