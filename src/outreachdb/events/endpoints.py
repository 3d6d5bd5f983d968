"""Where providers report to: a URL whose token names the workspace, and the key that proves the provider."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import APP_ROLE, Tenant, session
from outreachdb.errors import NotFound, Unauthorized
from outreachdb.events import webhooks
from outreachdb.events.delivery import Delivery
from outreachdb.events.ingest import IngestReport, ingest_parsed
from outreachdb.secrets import Keyring

Q = Queries("outreachdb.events")
_TOKEN = re.compile(r"([1-9]\d{0,17})-[\w-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook's address; only ``create`` gives it with its ``token``."""

    id: int
    provider: str
    created_at: datetime
    token: str | None = field(default=None, repr=False)

    @property
    def path(self) -> str | None:
        """Path of the URL to enter at the provider."""
        return f"/webhooks/{self.provider}/{self.token}" if self.token else None

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        shown = {"id": self.id, "provider": self.provider, "created_at": self.created_at.isoformat()}
        return shown | ({"token": self.token, "path": self.path} if self.token else {})


async def create(tenant: Tenant, keyring: Keyring, provider: str, key: str) -> Endpoint:
    """Make an endpoint for a provider's verification key; the token is shown here once and kept as a hash."""
    webhooks.named(provider).check_key(key)
    token = f"{tenant.workspace_id}-{secrets.token_urlsafe(32)}"
    async with tenant.session(doing="creating a webhook") as open_session:
        row = await open_session.one(
            Q.create_endpoint,
            {
                "workspace_id": tenant.workspace_id,
                "provider": provider,
                "token_hash": _hash(token),
                "key_encrypted": keyring.encrypt(key, context=_context(tenant.workspace_id, provider)),
            },
        )
    return Endpoint(**(row or {}), token=token)


async def listing(tenant: Tenant) -> list[Endpoint]:
    """All endpoints of the workspace, oldest first."""
    async with tenant.session(doing="listing webhooks") as open_session:
        rows = await open_session.all(Q.list_endpoints, {"workspace_id": tenant.workspace_id})
    return [Endpoint(**row) for row in rows]


async def revoke(tenant: Tenant, endpoint_id: int) -> None:
    """Take an endpoint away; its URL is unknown from then on."""
    async with tenant.session(doing="revoking a webhook") as open_session:
        row = await open_session.one(Q.revoke_endpoint, {"workspace_id": tenant.workspace_id, "id": endpoint_id})
    if row is None:
        raise NotFound(f"no webhook {endpoint_id} in {tenant.name}", hint="see `outreachdb webhook list`")


async def receive(
    pools: Pools, keyring: Keyring, provider: str, token: str, headers: Mapping[str, str], body: bytes, url: str
) -> IngestReport:
    """Take in one delivery of a webhook: address, then signature, then content, then storage.

    Raises NotFound for an unknown address, Unauthorized for a bad signature, InvalidInput for a body that is not the
    provider's; nothing is stored then. ``headers`` have lower-case names; ``url`` is where the provider called, as far
    as we can see: the setting ``public_url`` knows better.
    """
    adapter = webhooks.adapter(provider)
    tenant, key = await _find(pools, keyring, provider, token)
    window = timedelta(seconds=pools.settings.webhook_replay_seconds)
    public = pools.settings.public_url
    called = f"{public.rstrip('/')}/webhooks/{provider}/{token}" if public else url
    adapter.verify(Delivery(headers, body, called, datetime.now(UTC), window), key)
    return await ingest_parsed(tenant, keyring, adapter.parse(body, headers.get("content-type")))


async def _find(pools: Pools, keyring: Keyring, provider: str, token: str) -> tuple[Tenant, str]:
    unknown = NotFound("no such webhook", hint="it may have been revoked; see `outreachdb webhook list`")
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise unknown
    workspace_id = int(match[1])
    async with session(pools, role=APP_ROLE, workspace_id=workspace_id, doing="finding a webhook") as open_session:
        row = await open_session.one(Q.find_endpoint, {"workspace_id": workspace_id, "token_hash": _hash(token)})
    if row is None or row["provider"] != provider:
        raise unknown
    if row["key_encrypted"] is None:
        raise Unauthorized("the webhook has no verification key", hint="revoke it and create it again with --key")
    key = keyring.decrypt(row["key_encrypted"], context=_context(workspace_id, provider))
    return Tenant(pools, workspace_id, row["workspace"]), key


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _context(workspace_id: int, provider: str) -> str:
    return f"webhook:{workspace_id}:{provider}"
