"""What the tests of sending share: an SMTP server's memory and manners, campaigns, looks at the ledger."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession

from outreachdb.campaigns import campaigns
from outreachdb.db.tenant import Row, Tenant
from outreachdb.secrets import Keyring
from outreachdb.sending import schedule


@dataclass
class Sink:
    """What arrived; ``refused4@``, ``refused5@``, ``dropped@`` (kept, then cut off) and ``sender5@`` misbehave.

    Answers about ``slowrcpt@`` and, after the whole message was taken, about ``slowdata@`` come ``delay`` seconds late.
    """

    port: int = 0
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    connections: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    notify_at: int = 0
    delay: float = 0.0
    reply: str = "250 2.0.0 taken"

    def recipients(self) -> Counter[str]:
        return Counter(recipient for recipient, _ in self.messages)

    def parsed(self, recipient: str) -> EmailMessage:
        content = next(content for to, content in self.messages if to == recipient)
        message = message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        return message

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: SmtpSession, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: SmtpSession, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("sender5"):
            return "550 5.7.1 not from you"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: SmtpSession, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("refused4"):
            return "451 4.3.0 try again later"
        if address.startswith("refused5"):
            return "550 5.1.1 nobody of that name"
        if address.startswith("slowrcpt"):
            await asyncio.sleep(self.delay)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.messages.append((envelope.rcpt_tos[0], envelope.content))
        if len(self.messages) == self.notify_at:
            self.arrived.set()
            await asyncio.to_thread(self.gate.wait)
        if envelope.rcpt_tos[0].startswith("slowdata"):
            await asyncio.sleep(self.delay)
        if envelope.rcpt_tos[0].startswith("dropped") and server.transport is not None:
            server.transport.abort()
        return self.reply


@contextmanager
def running(*, implicit: ssl.SSLContext | None = None, **options: Any) -> Iterator[Sink]:
    """A sink that listens, in a thread of its own; ``options`` are the server's, ``implicit`` is TLS from the start."""
    taken = Sink()
    loop = asyncio.new_event_loop()

    def factory() -> SMTP:
        return SMTP(taken, enable_SMTPUTF8=True, loop=loop, **options)

    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0, ssl=implicit))
    taken.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield taken
    taken.gate.set()

    async def stop() -> None:
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def campaign_file(port: int, name: str = "spring", **changes: Any) -> dict[str, Any]:
    """A campaign of one step from one mailbox."""
    mailbox = {"address": "ann@sender.example", "display_name": "Änn Sender"}
    return {
        "name": name,
        "segment": {},
        "mailboxes": [mailbox | {"smtp": {"host": "127.0.0.1", "port": port, "security": "plain"}}],
        "steps": [
            {"subject": "Hello {{ first_name }}", "text": "Dear {{ first_name }},\nhow is {{ company_name }}?\n"}
        ],
    } | changes


async def add_leads(tenant: Tenant, count: int, prefix: str = "lead") -> None:
    """Leads named ``lead1@example.org`` and so on."""
    async with tenant.trusted() as session:
        await session.execute(
            "INSERT INTO outreach.leads (workspace_id, email, first_name, company_name) "
            "SELECT %s, %s || n || '@example.org', 'Name' || n, 'Çompany' FROM generate_series(1, %s) AS n",
            [tenant.workspace_id, prefix, count],
        )


async def launched(
    tenant: Tenant, keyring: Keyring, port: int, *, check: bool = True, **changes: Any
) -> schedule.Launch:
    """A launched campaign to everybody."""
    made = await campaigns.create(tenant, keyring, campaign_file(port, **changes))
    return await schedule.launch(tenant, made.id, check=check)


async def rows(tenant: Tenant, query: str, *params: Any) -> list[Row]:
    """Look at the tables as the trusted role."""
    async with tenant.trusted() as session:
        return await session.all(query, list(params))


async def statuses(tenant: Tenant) -> dict[str, int]:
    """The ledger by status."""
    found = await rows(
        tenant,
        "SELECT status, count(*) AS n FROM outreach.email_sends WHERE workspace_id = %s GROUP BY 1",
        tenant.workspace_id,
    )
    return {row["status"]: row["n"] for row in found}
