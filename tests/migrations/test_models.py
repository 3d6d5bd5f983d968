from __future__ import annotations

import warnings

import psycopg
import sqlalchemy
from alembic import command
from sqlalchemy.dialects.postgresql import JSONB

from outreachdb.db import migrate
from outreachdb.db.migrating.session import MigrationSession
from outreachdb.db.models import Base
from outreachdb.db.rooms import import_models
from outreachdb.leads.models import Lead
from outreachdb.leads.vocabulary import COMPUTED, LEAD_COLUMNS

ALL_RULES = """
SELECT n.nspname || '.' || c.relname || '.' || k.conname, k.contype::text
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('outreach', 'analytics', 'ops') AND k.contype IN ('c', 'f', 'p', 'u') AND k.conparentid = 0
  AND c.relname NOT IN ('alembic_version', 'routine_files', 'routine_objects')
"""
KINDS = {
    sqlalchemy.CheckConstraint: "c",
    sqlalchemy.ForeignKeyConstraint: "f",
    sqlalchemy.PrimaryKeyConstraint: "p",
    sqlalchemy.UniqueConstraint: "u",
}


def test_the_names_of_a_lead_s_columns_are_those_of_its_model():
    columns = Lead.__table__.columns
    # SQLAlchemy names no one type for JSON.
    kinds = [dict if isinstance(column.type, JSONB) else column.type.python_type for column in columns]
    assert dict(zip(columns.keys(), kinds, strict=True)) == LEAD_COLUMNS
    assert {column.name for column in columns if column.computed is not None} == COMPUTED


def test_models_are_what_the_migrations_make(migrated, settings):
    """Alembic's own comparison: tables, columns, types, defaults, indexes, unique and foreign keys."""
    config = migrate.OURS.config()
    with MigrationSession(migrated, settings) as session, warnings.catch_warnings():
        # It can't compare an index expression that has an operator class, and says so; verification compares it.
        warnings.filterwarnings("ignore", "Expression #", UserWarning)
        config.attributes["connection"] = session.connection
        command.check(config)
        assert migrate.history()


def test_every_rule_of_the_models_is_in_the_database_and_no_other(migrated):
    """Alembic leaves out CHECK constraints, so all kinds are compared here by name."""
    import_models()
    promised = {
        (f"{table.schema}.{table.name}.{rule.name}", KINDS[type(rule)])
        for table in Base.metadata.tables.values()
        for rule in table.constraints
        if rule.name is not None
    }
    with psycopg.connect(migrated) as connection:
        live = set(connection.execute(ALL_RULES).fetchall())
    assert live == promised
