"""The declarative base and the column kinds that every room's models share."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

SCHEMA = "outreach"

# Named constraints: a rule that fails is reported by its name (errors.CONSTRAINT_MESSAGES).
NAMING: dict[str, Any] = {
    "last_column": lambda constraint, _table: constraint.column_keys[-1].removesuffix("_id"),
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(last_column)s",
    "pk": "pk_%(table_name)s",
}

WorkspaceId = Annotated[int, mapped_column(BigInteger, primary_key=True)]
KeyPart = Annotated[int, mapped_column(BigInteger, primary_key=True)]
SerialId = Annotated[int, mapped_column(BigInteger, Identity(always=False), primary_key=True)]
Small = Annotated[int, mapped_column(SmallInteger)]
Real = Annotated[float, mapped_column(REAL)]
Counter = Annotated[int, mapped_column(BigInteger, server_default=text("0"))]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("now()"))]
PartitionInstant = Annotated[
    datetime, mapped_column(DateTime(timezone=True), primary_key=True, server_default=text("now()"))
]
Document = Annotated[dict[str, Any], mapped_column(JSONB, server_default=text("'{}'::jsonb"))]
Texts = Annotated[list[str], mapped_column(ARRAY(Text), server_default=text("'{}'::text[]"))]
Money = Annotated[Decimal, mapped_column(Numeric(12, 6))]
Yes = Annotated[bool, mapped_column(server_default=text("true"))]
No = Annotated[bool, mapped_column(server_default=text("false"))]


class Base(DeclarativeBase):
    """Base of all models; tables live in the schema ``outreach`` unless they say otherwise."""

    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy's own protocol)
        str: Text,
        int: BigInteger,
        datetime: DateTime(timezone=True),
        date: Date,
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
    }


def one_of(column: str, *words: str) -> CheckConstraint:
    """A vocabulary as text + CHECK: unlike an enum it can shrink, and its comparison is leakproof."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def tenant_key(column: str, parent: str, *, owned: bool = False) -> ForeignKeyConstraint:
    """A composite foreign key that can't cross workspaces; ``owned`` children go with their parent."""
    return ForeignKeyConstraint(
        ["workspace_id", column],
        [f"{SCHEMA}.{parent}.workspace_id", f"{SCHEMA}.{parent}.id"],
        ondelete="CASCADE" if owned else None,
    )


def workspace_key() -> ForeignKeyConstraint:
    """The foreign key of tables that have no other tenant parent."""
    return ForeignKeyConstraint(["workspace_id"], [f"{SCHEMA}.workspaces.id"])


def monthly() -> dict[str, Any]:
    """Table options of a table partitioned by month of ``created_at``."""
    return {"postgresql_partition_by": "RANGE (created_at)"}
