"""Advice as a migration: written for Alembic or as a pair of SQL files, and proven on a clone first."""

from outreachdb.advisor.migration.write import Written, write

__all__ = ["Written", "write"]
