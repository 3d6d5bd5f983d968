"""A maildir in the place of SMTP servers: the whole path of a campaign, and nobody is written to."""

from __future__ import annotations

import asyncio
import mailbox
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from outreachdb.errors import UsageError
from outreachdb.sending.message import Message
from outreachdb.sending.smtp import Mailbox, Outcome


class MaildirOutbox:
    """Takes what an :class:`~outreachdb.sending.smtp.Outbox` takes, and writes it into a folder."""

    def __init__(self, box: Mailbox, folder: Path) -> None:
        self.mailbox = box
        self.unusable: str | None = None
        self.hint = ""
        try:
            self._folder = mailbox.Maildir(folder, create=True)
        except OSError as error:
            raise UsageError(f"{folder} can't be a maildir: {error.strerror}") from None
        self._turn = asyncio.Semaphore(1)

    @asynccontextmanager
    async def line(self) -> AsyncIterator[MaildirLine]:
        """A turn; messages are written one by one."""
        async with self._turn:
            yield MaildirLine(self)

    def write(self, message: Message) -> str:
        """Add a message whole (a maildir's files appear by renaming); its key."""
        return self._folder.add(message.content)

    async def close(self) -> None:
        """Nothing is open."""
        self._folder.close()


class MaildirLine:
    """One turn."""

    def __init__(self, outbox: MaildirOutbox) -> None:
        self.outbox = outbox

    async def deliver(self, message: Message) -> Outcome:
        """Write a message; a full disk puts it off."""
        try:
            key = await asyncio.to_thread(self.outbox.write, message)
        except OSError as error:
            return Outcome("deferred", f"maildir: {error.strerror}")
        return Outcome("sent", f"maildir: {key}")
