"""The first months of a partitioned table. Revisions depend on this file: add to it, never change what it does."""

from __future__ import annotations

from alembic.operations import Operations

BEHIND = 20
AHEAD = 3


def create_partitions(op: Operations, table: str) -> None:
    """Create 24 months around today: 20 behind, this one, 3 ahead; months are UTC.

    ``PARTITION OF`` locks the parent, which is harmless while the table is new; later months are attached
    (``outreach.ensure_partitions``).
    """
    op.execute(
        f"""
        DO $create$
        DECLARE
            first timestamp := pg_catalog.date_trunc('month', pg_catalog.timezone('UTC', pg_catalog.now()));
            month timestamp;
        BEGIN
            FOR step IN -{BEHIND}..{AHEAD} LOOP
                month := first + step * interval '1 month';
                EXECUTE pg_catalog.format(
                    'CREATE TABLE parts.%I PARTITION OF outreach.{table} FOR VALUES FROM (%L) TO (%L)',
                    '{table}_' || pg_catalog.to_char(month, 'YYYY_MM'),
                    month::text || '+00',
                    (month + interval '1 month')::text || '+00'
                );
            END LOOP;
        END
        $create$
        """
    )


def leave_room(op: Operations, table: str, fillfactor: int) -> None:
    """Let the pages of the months from this one on be filled so far only; later months take it over from the newest."""
    op.execute(
        f"""
        DO $room$
        DECLARE
            first timestamp := pg_catalog.date_trunc('month', pg_catalog.timezone('UTC', pg_catalog.now()));
        BEGIN
            FOR step IN 0..{AHEAD} LOOP
                EXECUTE pg_catalog.format(
                    'ALTER TABLE parts.%I SET (fillfactor = {fillfactor})',
                    '{table}_' || pg_catalog.to_char(first + step * interval '1 month', 'YYYY_MM'));
            END LOOP;
        END
        $room$
        """
    )
