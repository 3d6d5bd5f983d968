"""Row-level security and grants of a tenant table. Revisions depend on it: add, never change what it does."""

from __future__ import annotations

from alembic.operations import Operations

ALL = "SELECT, INSERT, UPDATE, DELETE"


def isolate(
    op: Operations, table: str, *, app: str | None = ALL, reader: bool = True, key: str = "workspace_id"
) -> None:
    """Enable the policies of a table in ``outreach`` and grant what each role may do.

    ``app`` is what a tenant session may do (``None``: nothing), ``reader`` whether monitoring may look.
    Security is enabled, not forced: a forced owner is blind to rows when it validates constraints or dumps.
    """
    name = f"outreach.{table}"
    op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    if app:
        op.execute(
            f"CREATE POLICY tenant ON {name} TO outreachdb_app USING ({key} = (SELECT outreach.current_workspace()))"
        )
        op.execute(f"GRANT {app} ON {name} TO outreachdb_app")
    op.execute(f"CREATE POLICY trusted ON {name} TO outreachdb_trusted USING (true) WITH CHECK (true)")
    op.execute(f"GRANT {ALL} ON {name} TO outreachdb_trusted")
    if reader:
        op.execute(f"CREATE POLICY reader ON {name} FOR SELECT TO outreachdb_reader USING (true)")
        op.execute(f"GRANT SELECT ON {name} TO outreachdb_reader")


def share(op: Operations, table: str, *, trusted: str = ALL) -> None:
    """Grant a table outside ``outreach`` to the trusted role and to monitoring; tenants get nothing."""
    op.execute(f"GRANT {trusted} ON {table} TO outreachdb_trusted")
    op.execute(f"GRANT SELECT ON {table} TO outreachdb_reader")
