"""Rollups, the deltas that feed them, who did a thing first, and what is known of their health. Tenants touch none."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated

from sqlalchemy import BigInteger, CheckConstraint, Index, PrimaryKeyConstraint, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from outreachdb.db.models import Base, Counter, CreatedAt, KeyPart, No, SerialId, WorkspaceId, one_of

ANALYTICS = {"schema": "analytics"}
GRAINS = ("workspace", "campaign", "step", "variant", "mailbox", "domain")
# "C" whatever the database's own collation: the steps of campaign 7 are the range from '7:' to '7;'.
Key = Annotated[str, mapped_column(Text(collation="C"), primary_key=True)]


class Rollup(Base):
    """Per grain, key, kind and UTC day: events, mails whose first such event fell on the day, and people likewise."""

    __tablename__ = "rollups"
    __table_args__ = (
        # Reports read days that lie together in the key and anywhere in the table: the key answers alone.
        PrimaryKeyConstraint(
            "workspace_id", "grain", "key", "kind", "day", postgresql_include=["total", "mails", "people"]
        ),
        one_of("grain", *GRAINS),
        CheckConstraint("people <= total", name="people_within_total"),
        CheckConstraint("mails <= total", name="mails_within_total"),
        Index("ix_rollups_day", "workspace_id", "day", "grain"),
        ANALYTICS | {"postgresql_with": {"fillfactor": "70"}},
    )

    workspace_id: Mapped[WorkspaceId]
    grain: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[Key]
    kind: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    total: Mapped[Counter]
    mails: Mapped[Counter]
    people: Mapped[Counter]


class RollupDelta(Base):
    """A batch's own aggregates, appended by the transaction that stored the batch and folded into ``rollups`` later."""

    __tablename__ = "rollup_deltas"
    __table_args__ = (one_of("grain", *GRAINS), ANALYTICS)

    workspace_id: Mapped[WorkspaceId]
    grain: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[Key]
    kind: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    id: Mapped[SerialId]
    total: Mapped[Counter]
    mails: Mapped[Counter]
    people: Mapped[Counter]


class Total(Base):
    """The rollups of all days together, kept by the same fold: what a reader without dates needs, however long ago."""

    __tablename__ = "totals"
    __table_args__ = (
        one_of("grain", *GRAINS),
        Index("ix_totals_busiest", "workspace_id", "grain", text("total DESC")),
        ANALYTICS | {"postgresql_with": {"fillfactor": "70"}},
    )

    workspace_id: Mapped[WorkspaceId]
    grain: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[Key]
    kind: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[Counter]
    mails: Mapped[Counter]
    people: Mapped[Counter]


class PersonFirst(Base):
    """When a lead first did a thing within a grain's key; outlives the events, for exact distinct counts.

    Steps and variants need none: a lead gets one mail of a step.
    """

    __tablename__ = "people_first"
    __table_args__ = (one_of("grain", *GRAINS), ANALYTICS | {"postgresql_with": {"fillfactor": "85"}})

    workspace_id: Mapped[WorkspaceId]
    lead_id: Mapped[KeyPart]
    grain: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[Key]
    opened_at: Mapped[datetime | None]
    clicked_at: Mapped[datetime | None]
    replied_at: Mapped[datetime | None]
    bounced_at: Mapped[datetime | None]
    complained_at: Mapped[datetime | None]
    unsubscribed_at: Mapped[datetime | None]
    # The six before the last change: RETURNING can't say so on PostgreSQL 15 to 17.
    previous: Mapped[list[datetime] | None] = mapped_column(ARRAY(TIMESTAMP(timezone=True)))


class EngagedLeads(Base):
    """The leads of a batch whose engagement changed and whose score is to be made again; one row for a batch."""

    __tablename__ = "engaged_leads"
    __table_args__ = (ANALYTICS,)

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    leads: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class EngagementLevel(Base):
    """How many leads have a level of engagement above cold; kept by whoever changes a level."""

    __tablename__ = "engagement_levels"
    __table_args__ = (one_of("level", "warm", "engaged", "hot"), ANALYTICS)

    workspace_id: Mapped[WorkspaceId]
    level: Mapped[str] = mapped_column(primary_key=True)
    leads: Mapped[Counter]


class RollupCheck(Base):
    """When a day's rollups were last compared with a recount of its events."""

    __tablename__ = "rollup_checks"
    __table_args__ = (ANALYTICS,)

    workspace_id: Mapped[WorkspaceId]
    day: Mapped[date] = mapped_column(primary_key=True)
    checked_at: Mapped[CreatedAt]
    buckets: Mapped[Counter]
    drifted: Mapped[Counter]


class RollupDrift(Base):
    """A bucket that was not what a recount said, and by how much; ``day`` is NULL for a total of all days."""

    __tablename__ = "rollup_drifts"
    __table_args__ = (
        one_of("grain", *GRAINS),
        Index("ix_rollup_drifts_found_at", "workspace_id", text("found_at DESC")),
        ANALYTICS,
    )

    workspace_id: Mapped[WorkspaceId]
    id: Mapped[SerialId]
    found_at: Mapped[CreatedAt]
    grain: Mapped[str]
    key: Mapped[str]
    kind: Mapped[str]
    day: Mapped[date | None]
    total: Mapped[Counter]
    mails: Mapped[Counter]
    people: Mapped[Counter]
    repaired: Mapped[No]


class RollupFreeze(Base):
    """A range whose rows were dropped after its rollups were verified; ``workspace_id`` 0 is all workspaces."""

    __tablename__ = "rollup_freezes"
    __table_args__ = (ANALYTICS,)

    workspace_id: Mapped[WorkspaceId]
    table_name: Mapped[str] = mapped_column(primary_key=True)
    range_start: Mapped[datetime] = mapped_column(primary_key=True)
    range_end: Mapped[datetime] = mapped_column(primary_key=True)
    # The last day that was compared; of events, the last that can no longer be recounted.
    frozen_through: Mapped[date]
    frozen_at: Mapped[CreatedAt]
    buckets: Mapped[Counter]
    repaired: Mapped[Counter]


class ViewRefresh(Base):
    """When a view was last brought up to date, how long that took, and how many rows it has (or changed: scores)."""

    __tablename__ = "view_refreshes"
    __table_args__ = (ANALYTICS,)

    view_name: Mapped[str] = mapped_column(primary_key=True)
    refreshed_at: Mapped[datetime]
    duration: Mapped[timedelta]
    row_count: Mapped[int]
