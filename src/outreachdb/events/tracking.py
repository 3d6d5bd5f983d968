"""Our own tracking: what happens when a link that :mod:`outreachdb.sending.tracking_links` made is followed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import structlog

from outreachdb.db.pools import Pools
from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Row, Tenant
from outreachdb.errors import NotFound, OutreachDBError
from outreachdb.events.ingest import ingest
from outreachdb.events.machines import is_machine
from outreachdb.events.normal import NormalEvent
from outreachdb.secrets import Keyring
from outreachdb.sending import message_id, tracking_links
from outreachdb.sending.tracking_links import TrackedLink

PROVIDER = "tracking"
EVENTS = {"open": "opened", "click": "clicked", "unsubscribe": "unsubscribed"}
Q = Queries("outreachdb.events")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who follows a link, as far as the request tells."""

    address: str | None
    user_agent: str


async def opened(pools: Pools, keyring: Keyring, token: str, visitor: Visitor) -> None:
    """Note an open; raises NotFound for a link that is not ours."""
    link = _link(tracking_links.read(keyring, "open", token))
    await _note_or_log(pools, keyring, link, visitor)


async def clicked(pools: Pools, keyring: Keyring, token: str, target: str, visitor: Visitor) -> str:
    """Note a click and say where it leads; raises NotFound for a link that is not ours, so nobody is led astray."""
    link = _link(tracking_links.read(keyring, "click", token, target))
    await _note_or_log(pools, keyring, link, visitor)
    return str(link.url)


async def recipient(pools: Pools, keyring: Keyring, token: str) -> str:
    """Whom an unsubscribe link would unsubscribe; nothing is changed. Raises NotFound."""
    link = _link(tracking_links.read(keyring, "unsubscribe", token))
    send = await _send(Tenant(pools, link.workspace_id, ""), link)
    if send is None:
        raise NotFound("the message of this link is not known any more")
    return str(send["recipient"])


async def unsubscribed(pools: Pools, keyring: Keyring, token: str, visitor: Visitor) -> str:
    """Unsubscribe the recipient of a message, who is given back; a second time changes nothing. Raises NotFound."""
    link = _link(tracking_links.read(keyring, "unsubscribe", token))
    send = await _note(pools, keyring, link, visitor)
    if send is None:
        raise NotFound("the message of this link is not known any more")
    return str(send["recipient"])


def _link(found: TrackedLink | None) -> TrackedLink:
    if found is None:
        raise NotFound("no such link")
    return found


async def _note_or_log(pools: Pools, keyring: Keyring, link: TrackedLink, visitor: Visitor) -> None:
    """Whoever opens or clicks gets the picture or the page, whatever happens to us."""
    try:
        await _note(pools, keyring, link, visitor)
    except OutreachDBError as error:
        log.warning("a tracked link could not be noted", kind=link.kind, send=link.send_id, problem=str(error))


async def _note(pools: Pools, keyring: Keyring, link: TrackedLink, visitor: Visitor) -> Row | None:
    tenant = Tenant(pools, link.workspace_id, "")
    send = await _send(tenant, link)
    if send is None or (link.kind == "unsubscribe" and send["unsubscribed_at"] is not None):
        return send
    await ingest(tenant, keyring, [_event(keyring, link, send, visitor)])
    return send


async def _send(tenant: Tenant, link: TrackedLink) -> Row | None:
    key: dict[str, Any] = {"workspace_id": tenant.workspace_id, "id": link.send_id, "month": link.month_start}
    async with tenant.session(doing="following a tracked link") as session:
        return await session.one(Q.tracked_send, key)


def _event(keyring: Keyring, link: TrackedLink, send: Row, visitor: Visitor) -> NormalEvent:
    now = datetime.now(UTC)
    left = send["sent_at"] or send["begun_at"]
    raw: dict[str, Any] = {"user_agent": visitor.user_agent[:500], "ip": visitor.address}
    return NormalEvent(
        event=EVENTS[link.kind],
        recipient=send["recipient"],
        timestamp=now,
        provider=PROVIDER,
        message_id=message_id.make(keyring, link.workspace_id, link.send_id, send["created_at"], send["domain"]),
        event_id=uuid4().hex,
        url=link.url,
        raw=raw,
        prefetched=link.kind != "unsubscribe"
        and is_machine(link.kind, visitor.user_agent, visitor.address, now - left if left else None),
    )
