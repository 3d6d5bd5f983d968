"""What connected CRM systems know: contacts, syncs and webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.errors import Conflict

Q = Queries("outreachdb.intelligence")


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact of a CRM, and the lead that it is."""

    id: int
    credential_id: int
    lead_id: int | None
    external_id: str
    synced_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sync:
    """One run of a sync; direction is pull or push."""

    id: int
    credential_id: int
    direction: str
    status: str
    rows_seen: int
    rows_changed: int
    error: str | None
    started_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A delivery of a CRM that is still to be processed."""

    id: int
    credential_id: int
    delivery_id: str
    event_type: str
    payload: dict[str, Any]
    received_at: datetime


async def find_contact(tenant: Tenant, credential_id: int, external_id: str) -> Contact | None:
    """A contact by the CRM's own id."""
    found = await _contacts(tenant, Q.find_contact, credential_id=credential_id, external_id=external_id)
    return found[0] if found else None


async def contacts_of_lead(tenant: Tenant, lead_id: int) -> list[Contact]:
    """A lead in all connected CRMs."""
    return await _contacts(tenant, Q.contacts_of_lead, lead_id=lead_id)


async def contacts_due(tenant: Tenant, *, limit: int = 100) -> list[Contact]:
    """Contacts in the order in which to sync them: never synced first, then the longest ago."""
    return await _contacts(tenant, Q.contacts_due, limit=limit)


async def sync_history(tenant: Tenant, credential_id: int, *, limit: int = 50) -> list[Sync]:
    """An account's syncs, latest first."""
    return await _syncs(tenant, Q.sync_history, credential_id=credential_id, limit=limit)


async def syncs_of_status(tenant: Tenant, status: str, *, limit: int = 50) -> list[Sync]:
    """The workspace's syncs of a status, latest first."""
    return await _syncs(tenant, Q.syncs_by_status, status=status, limit=limit)


async def take_webhook(
    tenant: Tenant, credential_id: int, delivery_id: str, event_type: str, payload: dict[str, Any]
) -> bool:
    """Store a delivery; False when it was there already, which a redelivery is."""
    given = {"credential_id": credential_id, "delivery_id": delivery_id, "event_type": event_type}
    given |= {"payload": Jsonb(payload), "workspace_id": tenant.workspace_id}
    async with tenant.session(doing="storing a CRM webhook") as session:
        return await session.value(Q.take_webhook, given) is not None


async def pending_webhooks(tenant: Tenant, *, limit: int = 100) -> list[Webhook]:
    """What is still to be processed, oldest first."""
    given = {"workspace_id": tenant.workspace_id, "limit": limit}
    async with tenant.session(doing="reading CRM webhooks") as session:
        return [Webhook(**row) for row in await session.all(Q.pending_webhooks, given)]


async def webhook_processed(tenant: Tenant, webhook_id: int, now: datetime, *, error: str | None = None) -> None:
    """Mark a webhook; raises Conflict when there is none or another worker was quicker."""
    given = {"workspace_id": tenant.workspace_id, "webhook_id": webhook_id, "now": now, "error": error}
    async with tenant.session(doing="marking a CRM webhook") as session:
        if await session.value(Q.webhook_processed, given) is None:
            raise Conflict(f"no webhook {webhook_id} is pending")


async def _contacts(tenant: Tenant, query: str, **given: Any) -> list[Contact]:
    async with tenant.session(doing="reading CRM contacts") as session:
        return [Contact(**row) for row in await session.all(query, given | {"workspace_id": tenant.workspace_id})]


async def _syncs(tenant: Tenant, query: str, **given: Any) -> list[Sync]:
    async with tenant.session(doing="reading CRM syncs") as session:
        return [Sync(**row) for row in await session.all(query, given | {"workspace_id": tenant.workspace_id})]
