"""The declarative base and the column kinds that every room's models share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import BigInteger, DateTime, Identity, MetaData, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

SCHEMA = "outreach"

# Named constraints: a rule that fails is reported by its name (errors.CONSTRAINT_MESSAGES).
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

NOW = text("now()")

WorkspaceKey = Annotated[int, mapped_column(BigInteger, primary_key=True)]
SerialKey = Annotated[int, mapped_column(BigInteger, Identity(always=False), primary_key=True)]
Key = Annotated[int, mapped_column(BigInteger)]
Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=NOW)]
Document = Annotated[dict[str, Any], mapped_column(JSONB, server_default=text("'{}'::jsonb"))]


class Base(DeclarativeBase):
    """Base of all models; tables live in the schema ``outreach`` unless they say otherwise."""

    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING)
