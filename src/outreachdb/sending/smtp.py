"""SMTP: a mailbox's connections, kept open and used again, and what each delivery came to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import aiosmtplib

from outreachdb.sending.message import Message

TIMEOUT = 30.0
CLOSING = 421
# A server that hangs up in the middle of message after message would make each of them unknown.
MOST_UNKNOWN_IN_A_ROW = 3

Verdict = Literal["sent", "failed", "deferred", "returned", "unknown"]
_LOST = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, OSError)


class MailboxUnusable(Exception):
    """Nothing can be sent from this mailbox now; certainly nothing was sent by the call that raised it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message; ``reply`` is the server's, or the error."""

    verdict: Verdict
    reply: str


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where and as whom to send; the password never shows."""

    id: int
    address: str
    display_name: str | None
    smtp_host: str
    smtp_port: int
    security: str
    username: str | None
    password: str | None = field(repr=False)

    @property
    def domain(self) -> str:
        """The part after the @."""
        return self.address.rpartition("@")[2]


class Outbox:
    """A mailbox's open connections, at most ``connections`` in use at once."""

    def __init__(self, mailbox: Mailbox, connections: int, tls: ssl.SSLContext | None = None) -> None:
        self.mailbox = mailbox
        self._tls = tls
        self.unusable: str | None = None
        self.hint = ""
        self._free = asyncio.Semaphore(connections)
        self._idle: list[aiosmtplib.SMTP] = []
        self._unknown_in_a_row = 0

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """A turn on one of the connections; it is opened by the first message."""
        async with self._free:
            line = Line(self, self._idle.pop() if self._idle else None)
            try:
                yield line
            finally:
                if line.client is not None and line.client.is_connected:
                    self._idle.append(line.client)

    async def connect(self) -> aiosmtplib.SMTP:
        """A new connection, logged in; raises MailboxUnusable."""
        box = self.mailbox
        client = aiosmtplib.SMTP(
            hostname=box.smtp_host,
            port=box.smtp_port,
            use_tls=box.security == "tls",
            start_tls=box.security == "starttls",
            username=box.username,
            password=box.password,
            tls_context=None if box.security == "plain" else self._tls,
            local_hostname=await asyncio.to_thread(_own_name),
            timeout=TIMEOUT,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            raise self.give_up(error) from None
        return client

    def give_up(self, error: Exception) -> MailboxUnusable:
        """Stop using the mailbox in this run."""
        self.unusable = f"{self.mailbox.smtp_host}:{self.mailbox.smtp_port}: {_say(error)}"
        self.hint = _remedy(error)
        return MailboxUnusable(self.unusable)

    def note(self, outcome: Outcome) -> None:
        """Keep count of deliveries that ended in the dark."""
        self._unknown_in_a_row = self._unknown_in_a_row + 1 if outcome.verdict == "unknown" else 0
        if self._unknown_in_a_row >= MOST_UNKNOWN_IN_A_ROW:
            self.unusable = f"{self.mailbox.smtp_host}: hangs up in the middle of messages ({outcome.reply})"
            self.hint = "the server's own log may say why; what is unknown: outreachdb send unknown"

    async def close(self) -> None:
        """Say goodbye on every connection."""
        idle, self._idle = self._idle, []
        for client in idle:
            try:
                await client.quit(timeout=1)
            except (aiosmtplib.SMTPException, OSError):
                client.close()


class Line:
    """One connection's turn."""

    def __init__(self, outbox: Outbox, client: aiosmtplib.SMTP | None) -> None:
        self.outbox = outbox
        self.client = client

    async def deliver(self, message: Message) -> Outcome:
        """Send a message; raises MailboxUnusable, else says what became of it.

        Until DATA nothing is sent: a connection lost there is replaced once. From DATA on a lost connection leaves the
        fate unknown (RFC 5321, 4.2.5: the server may have taken charge of the message).
        """
        answer = await self._announce(message) or await self._announce(message, last=True)
        outcome = answer if isinstance(answer, Outcome) else await self._transfer(message)
        self.outbox.note(outcome)
        return outcome

    async def _announce(self, message: Message, *, last: bool = False) -> Outcome | bool | None:
        """MAIL and RCPT: ``True`` when accepted, ``None`` when the connection is gone, else the refusal."""
        if self.client is None or not self.client.is_connected:
            self.client = await self.outbox.connect()
        if message.international and not self.client.supports_extension("smtputf8"):
            return Outcome("failed", "the server does not take non-ASCII addresses (SMTPUTF8)")
        options, encoding = (["SMTPUTF8"], "utf-8") if message.international else ([], "ascii")
        try:
            await self.client.mail(self.outbox.mailbox.address, options=options, encoding=encoding)
            await self.client.rcpt(message.recipient, encoding=encoding)
        except _LOST as error:
            self.client.close()
            return Outcome("returned", _say(error)) if last else None
        except aiosmtplib.SMTPSenderRefused as error:
            if error.code >= 500:
                raise self.outbox.give_up(error) from None
            return await self._refused(error, last=last)
        except aiosmtplib.SMTPResponseException as error:
            return await self._refused(error, last=last)
        return True

    async def _transfer(self, message: Message) -> Outcome:
        assert self.client is not None  # noqa: S101  (it accepted the recipient just now)
        try:
            response = await self.client.data(message.content)
        except aiosmtplib.SMTPDataError as error:
            return await self._refused(error, last=True) or Outcome("deferred", _say(error))
        except _LOST as error:
            self.client.close()
            return Outcome("unknown", _say(error))
        return Outcome("sent", f"{response.code} {response.message}")

    async def _refused(self, error: aiosmtplib.SMTPResponseException, *, last: bool) -> Outcome | None:
        """A refusal in so many words; 421 means that the server hangs up, which says nothing about the message."""
        assert self.client is not None  # noqa: S101  (it has just answered)
        if error.code == CLOSING:
            self.client.close()
            return Outcome("deferred", _say(error)) if last else None
        try:
            await self.client.rset()
        except (aiosmtplib.SMTPException, OSError):
            self.client.close()
        return Outcome("failed" if error.code >= 500 else "deferred", _say(error))


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


@cache
def _own_name() -> str:
    return socket.getfqdn()


def _remedy(error: Exception) -> str:
    """What a person can do about a mailbox that can't be used."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "OUTREACHDB_SMTP_CA_FILE names the authority of a server that has its own"
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return "a campaign file that names the mailbox with password_env renews its password"
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return "ask the server's operator to let the address send"
    return (
        "start the server, or mend the mailbox's smtp_host and smtp_port in outreach.mailboxes; its sends are due again"
        " in a minute"
    )


def _say(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPConnectError) and isinstance(error.__cause__, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {' '.join(error.message.split())}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}" if str(error) else type(error).__name__
