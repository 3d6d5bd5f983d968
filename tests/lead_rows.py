"""Reads what imports wrote."""

from __future__ import annotations

from typing import Any

from outreachdb.db.tenant import Tenant

Rows = list[dict[str, Any]]


async def leads(tenant: Tenant, columns: str = "*") -> Rows:
    """The workspace's leads as its own session sees them."""
    async with tenant.session() as session:
        return await session.all(f"SELECT {columns} FROM outreach.leads ORDER BY email_key, id")


async def state(tenant: Tenant) -> dict[str, Rows]:
    """All that an import writes about leads, to compare before and after."""
    async with tenant.session() as session:
        return {
            table: await session.all(f"SELECT * FROM outreach.{table} ORDER BY id") for table in ("leads", "companies")
        }


async def value(tenant: Tenant, query: str) -> Any:
    """One value, read in a tenant session."""
    async with tenant.session() as session:
        return await session.value(query)
