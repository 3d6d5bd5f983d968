"""One's own mailboxes, read by IMAP: replies and reports become events. What was read is known by UID, as IMAP counts.

A mail is read before its UID is noted: after a crash it is read again, and its events are duplicates then.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError

from outreachdb.db.queries import Queries
from outreachdb.db.tenant import Tenant
from outreachdb.errors import NotFound, OutreachDBError, UsageError
from outreachdb.events.inbound import events_of
from outreachdb.events.ingest import IngestReport, ingest
from outreachdb.secrets import Keyring
from outreachdb.sending.links import checked_by

BATCH = 100
LARGEST = 256 * 1024  # bytes of a mail that are looked at: reports stand at the beginning
FIRST_DAYS = 30  # how far back the first poll looks
SECONDS = 30.0
PORTS = {"tls": 993, "starttls": 143, "plain": 143}
Q = Queries("outreachdb.events")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Inbox:
    """A folder of an account; ``problem`` says why the last poll failed."""

    id: int
    address: str
    imap_host: str
    imap_port: int
    security: str
    username: str
    folder: str
    uid_validity: int | None = None
    last_uid: int = 0
    polled_at: datetime | None = None
    problem: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        names = ("id", "address", "imap_host", "imap_port", "security", "username", "folder", "last_uid", "problem")
        shown = {name: getattr(self, name) for name in names}
        return shown | {"polled_at": self.polled_at.isoformat() if self.polled_at else None}


@dataclass(slots=True)
class PollReport:
    """``mails`` were read; ``events`` of them came in; ``problems`` says per inbox why it could not be read."""

    mails: int = 0
    events: IngestReport = field(default_factory=IngestReport)
    problems: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {"mails": self.mails, **self.events.document(), "problems": self.problems}


@dataclass(frozen=True, slots=True)
class Account:
    """Where a mailbox is read; without a port the usual one of the security, without a login the address."""

    address: str
    host: str
    username: str | None = None
    port: int | None = None
    security: str = "tls"
    folder: str = "INBOX"


async def add(tenant: Tenant, keyring: Keyring, account: Account, password: str) -> Inbox:
    """Note an account to read; its password is kept encrypted."""
    if account.security not in PORTS:
        raise UsageError(f"no security named {account.security!r}", hint=f"one of {', '.join(sorted(PORTS))}")
    username = account.username or account.address
    given = {
        "workspace_id": tenant.workspace_id,
        "address": account.address,
        "host": account.host,
        "port": account.port or PORTS[account.security],
        "security": account.security,
        "username": username,
        "password": keyring.encrypt(password, context=_context(tenant.workspace_id, username)),
        "folder": account.folder,
    }
    async with tenant.session(doing="adding an inbox") as session:
        return Inbox(**(await session.one(Q.add_inbox, given) or {}))


async def listing(tenant: Tenant) -> list[Inbox]:
    """All inboxes of the workspace, oldest first."""
    async with tenant.session(doing="listing inboxes") as session:
        rows = await session.all(Q.list_inboxes, {"workspace_id": tenant.workspace_id})
    return [Inbox(**row) for row in rows]


async def remove(tenant: Tenant, inbox_id: int) -> None:
    """Read an inbox no more; its events stay."""
    async with tenant.session(doing="removing an inbox") as session:
        row = await session.one(Q.remove_inbox, {"workspace_id": tenant.workspace_id, "id": inbox_id})
    if row is None:
        raise NotFound(f"no inbox {inbox_id} in {tenant.name}", hint="see `outreachdb inbox list`")


async def poll(tenant: Tenant, keyring: Keyring) -> PollReport:
    """Read what is new in every inbox; one that can't be reached doesn't keep the others from being read."""
    report = PollReport()
    for inbox in await listing(tenant):
        try:
            await _poll(tenant, keyring, inbox, report)
        except (IMAPClientError, OSError, OutreachDBError) as error:
            problem = f"{type(error).__name__}: {error}"[:500]
            report.problems[inbox.address] = problem
            async with tenant.session(doing="noting a problem") as session:
                key = {"workspace_id": tenant.workspace_id, "id": inbox.id}
                await session.execute(Q.could_not_poll, key | {"problem": problem})
    return report


async def watch(tenant: Tenant, keyring: Keyring, every: float) -> None:
    """Poll until cancelled, ``every`` so many seconds."""
    while True:
        report = await poll(tenant, keyring)
        for address, problem in report.problems.items():
            log.warning("an inbox could not be read", inbox=address, problem=problem)
        await asyncio.sleep(every)


async def _poll(tenant: Tenant, keyring: Keyring, inbox: Inbox, report: PollReport) -> None:
    key = {"workspace_id": tenant.workspace_id, "id": inbox.id}
    async with tenant.session(doing="reading an inbox's password") as session:
        sealed = await session.value(Q.inbox_password, key)
    password = keyring.decrypt(sealed, context=_context(tenant.workspace_id, inbox.username))
    batches = _batches(inbox, password, checked_by(tenant.pools.settings.imap_ca_file, "imap_ca_file"))
    try:
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            events = [
                event
                for content, arrived in batch.mails
                for event in events_of(keyring, content, arrived, inbox.address)
            ]
            report.mails += len(batch.mails)
            report.events += await ingest(tenant, keyring, events)
            async with tenant.session(doing="noting how far an inbox was read") as session:
                await session.execute(
                    Q.read_until, key | {"uid_validity": batch.uid_validity, "last_uid": batch.last_uid}
                )
    finally:
        await asyncio.to_thread(batches.close)


@dataclass(frozen=True, slots=True)
class _Batch:
    uid_validity: int
    last_uid: int
    mails: list[tuple[bytes, datetime]]


def _batches(inbox: Inbox, password: str, authorities: ssl.SSLContext) -> Generator[_Batch]:
    """The new mails in order of UID, some at a time; an empty batch tells that there are none. Blocks."""
    with contextlib.closing(_Connection(inbox, password, authorities)) as connection:
        client = connection.client
        # Read only: nobody's mail becomes "seen" because we looked.
        validity = int(client.select_folder(inbox.folder, readonly=True)[b"UIDVALIDITY"])
        # With another validity the old UIDs mean nothing; what is read twice are duplicates.
        known = inbox.last_uid if inbox.uid_validity == validity else 0
        uids = sorted(uid for uid in client.search(_new(known)) if uid > known)
        last = known
        for start in range(0, len(uids), BATCH):
            part = uids[start : start + BATCH]
            found = client.fetch(part, [f"BODY.PEEK[]<0.{LARGEST}>", "INTERNALDATE"])
            last = part[-1]
            yield _Batch(validity, last, [_mail(found[uid]) for uid in part if uid in found])
        if not uids:
            yield _Batch(validity, last, [])


def _new(known: int) -> list[Any]:
    if known:
        return ["UID", f"{known + 1}:*"]
    return ["SINCE", (datetime.now(UTC) - timedelta(days=FIRST_DAYS)).date()]


def _mail(item: dict[bytes, Any]) -> tuple[bytes, datetime]:
    content = next((value for name, value in item.items() if name.startswith(b"BODY[")), b"")
    arrived = item.get(b"INTERNALDATE")
    # The client gives local time without a zone.
    return content or b"", arrived.astimezone(UTC) if isinstance(arrived, datetime) else datetime.now(UTC)


class _Connection:
    """A connection that is logged in; closed however reading ends."""

    def __init__(self, inbox: Inbox, password: str, context: ssl.SSLContext) -> None:
        self.client: Any = IMAPClient(
            inbox.imap_host,
            port=inbox.imap_port,
            ssl=inbox.security == "tls",
            ssl_context=context if inbox.security == "tls" else None,
            timeout=SECONDS,
        )
        try:
            if inbox.security == "starttls":
                self.client.starttls(context)
            self.client.login(inbox.username, password)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(IMAPClientError, OSError):
            self.client.shutdown()


def _context(workspace_id: int, username: str) -> str:
    return f"inbox:{workspace_id}:{username.lower()}"
