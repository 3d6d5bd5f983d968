"""API keys: made once and shown once; what is stored is their SHA-256, from which nobody gets the key back.

A key is 256 random bits, so a plain hash is enough (there is nothing to guess), and a look-up by hash tells nothing by
its time: whoever sends a key can't choose the hash that is compared.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import TRUSTED_ROLE, Session, Tenant, session
from outreachdb.errors import Conflict, InvalidInput, NotFound, Unauthorized, UsageError

Q = Queries("outreachdb.tenancy")
MARK = "odb_"
SCOPES = ("read", "write", "admin")
DAYS = 365


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as listed; ``prefix`` is its beginning, to know it by. ``expires_at`` None is never."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    renew: bool
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        shown = asdict(self)
        return {"key_id": shown.pop("id")} | shown


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; ``secret`` is the key itself and is nowhere else."""

    key: ApiKey
    secret: str = field(repr=False)

    def document(self) -> dict[str, Any]:
        """As JSON shows it, once."""
        return self.key.document() | {"key": self.secret}


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a key lets in, and what for."""

    key_id: int
    tenant: Tenant
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raise Unauthorized unless the key has the scope; admin has all, write reads too."""
        enough = {"read": {"read", "write", "admin"}, "write": {"write", "admin"}, "admin": {"admin"}}
        if not self.scopes & enough.get(scope, {scope}):
            raise Unauthorized(f"the key may not {scope}", hint="use a key that has the scope")


def hashed(secret: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(secret.encode()).digest()


async def create(
    tenant: Tenant,
    name: str,
    *,
    scopes: Sequence[str] = ("read",),
    days: int | None = DAYS,
    renew: bool = False,
    by: str = "",
) -> NewKey:
    """Make a key for ``days`` (None: for ever); with ``renew`` it is prolonged while it is in use.

    ``by`` is who asked for it, as the audit log tells it (empty: the database login); so below.
    """
    _check(name, scopes, days)
    lifetime = int(timedelta(days=days).total_seconds()) if days else None
    async with tenant.trusted("web", doing="making an API key") as trusted:
        await trusted.execute(Q.prepare_audit_month)
        return await _insert(
            trusted, tenant, name, list(scopes), renew=renew and lifetime is not None, lifetime=lifetime, by=by
        )


async def listed(tenant: Tenant) -> list[ApiKey]:
    """The workspace's keys, oldest first."""
    async with tenant.trusted("web", doing="listing API keys") as trusted:
        return [ApiKey(**row) for row in await trusted.all(Q.list_keys, {"workspace_id": tenant.workspace_id})]


async def revoke(tenant: Tenant, key_id: int, *, by: str = "") -> ApiKey:
    """End a key at once; raises NotFound, or Conflict where it is revoked already."""
    async with tenant.trusted("web", doing="revoking an API key") as trusted:
        await trusted.execute(Q.prepare_audit_month)
        await _hold(trusted, tenant, key_id)
        return await _end(trusted, tenant, key_id, 0, by=by)


async def rotate(tenant: Tenant, key_id: int, *, grace: timedelta = timedelta(hours=24), by: str = "") -> NewKey:
    """Make a key in place of another, with its name, scopes and lifetime; the old one ends after ``grace``."""
    if grace < timedelta(0) or grace > timedelta(days=90):
        raise InvalidInput("a period of grace is 0 to 90 days")
    async with tenant.trusted("web", doing="rotating an API key") as trusted:
        await trusted.execute(Q.prepare_audit_month)
        old = await _hold(trusted, tenant, key_id)
        made = await _insert(
            trusted,
            tenant,
            old["name"],
            old["scopes"],
            renew=old["renew"],
            lifetime=old["lifetime_seconds"],
            by=by,
            in_place_of=key_id,
        )
        await _end(trusted, tenant, key_id, int(grace.total_seconds()), by=by, replaced_by=made.key.id)
        return made


async def authenticate(pools: Pools, secret: str) -> Identity:
    """Whom a key lets in; raises Unauthorized, with the same words for every key that opens nothing."""
    async with session(pools, role=TRUSTED_ROLE, doing="checking an API key") as trusted:
        row = await trusted.one(Q.authenticate_key, {"hash": hashed(secret)})
    if row is None:
        raise Unauthorized("the API key is unknown, expired or revoked", hint="outreachdb key list")
    tenant = Tenant(pools, row["workspace_id"], row["workspace"], row["read_limit_ms"])
    return Identity(row["key_id"], tenant, frozenset(row["scopes"]))


def _check(name: str, scopes: Sequence[str], days: int | None) -> None:
    if not 0 < len(name.strip()) <= 100 or not name.isprintable():
        raise InvalidInput("a key needs a name", hint="1 to 100 printable characters, such as who uses it")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise UsageError(f"no scope {unknown[0]!r}" if unknown else "a key needs a scope", hint=", ".join(SCOPES))
    if days is not None and not 0 < days <= 3650:
        raise InvalidInput("a key lasts 1 to 3650 days", hint="or for ever")


async def _insert(
    trusted: Session,
    tenant: Tenant,
    name: str,
    scopes: list[str],
    *,
    renew: bool,
    lifetime: int | None,
    by: str,
    in_place_of: int | None = None,
) -> NewKey:
    secret = MARK + secrets.token_urlsafe(32)
    given = {
        "workspace_id": tenant.workspace_id,
        "name": name,
        "prefix": secret[: len(MARK) + 8],
        "key_hash": hashed(secret),
        "scopes": sorted(set(scopes)),
        "renew": renew,
        "lifetime_seconds": lifetime,
        "by": by,
        "in_place_of": in_place_of,
    }
    return NewKey(ApiKey(**(await trusted.one(Q.create_key, given) or {})), secret)


async def _hold(trusted: Session, tenant: Tenant, key_id: int) -> dict[str, Any]:
    row: dict[str, Any] | None = await trusted.one(Q.hold_key, {"workspace_id": tenant.workspace_id, "id": key_id})
    if row is None:
        raise NotFound(f"no API key {key_id} in {tenant.name}", hint="see `outreachdb key list`")
    if row["revoked_at"] is not None:
        raise Conflict(f"the API key {key_id} is revoked already", hint="outreachdb key create NAME makes a new one")
    return row


async def _end(
    trusted: Session, tenant: Tenant, key_id: int, grace_seconds: int, *, by: str, replaced_by: int | None = None
) -> ApiKey:
    given = {"workspace_id": tenant.workspace_id, "id": key_id, "grace_seconds": grace_seconds}
    return ApiKey(**(await trusted.one(Q.end_key, given | {"by": by, "replaced_by": replaced_by}) or {}))
