"""The Message-ID of a send: names workspace, send and month, signed, so that an event finds its row's partition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from outreachdb.secrets import Keyring

PURPOSE = "message-id"
SIGNATURE_BYTES = 12
_SHAPE = re.compile(
    r"<?\s*(o1\.(\d{1,19})\.(\d{1,19})\.(\d{4})(0[1-9]|1[0-2]))\.([0-9a-f]{24})@[^\s<>@]+\s*>?", re.IGNORECASE
)
_SOMEWHERE = re.compile(r"o1\.\d{1,19}\.\d{1,19}\.\d{6}\.[0-9a-f]{24}@[A-Za-z0-9.-]{1,253}", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class MessageReference:
    """The send that a Message-ID names; ``month_start`` (UTC) is the partition that holds it."""

    workspace_id: int
    send_id: int
    month_start: datetime


def make(keyring: Keyring, workspace_id: int, send_id: int, created_at: datetime, domain: str) -> str:
    """The Message-ID of a send, with angle brackets; only letters, digits and dots before the ``@``."""
    name = f"o1.{workspace_id}.{send_id}.{created_at.astimezone(UTC):%Y%m}"
    return f"<{name}.{keyring.sign(PURPOSE, name, length=SIGNATURE_BYTES)}@{domain}>"


@lru_cache(maxsize=16_384)  # the events of a message come together
def parse(keyring: Keyring, text: str) -> MessageReference | None:
    """The send behind a Message-ID, in any case, with or without brackets; ``None`` when it is not one of ours."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        return None
    name, workspace, send, year, month, signature = match.groups()
    if year == "0000" or not keyring.verify(PURPOSE, name.lower(), signature):
        return None
    return MessageReference(int(workspace), int(send), datetime(int(year), int(month), 1, tzinfo=UTC))


def find(keyring: Keyring, text: str) -> str | None:
    """The last Message-ID of ours anywhere in a text, such as a reply's ``References``, with angle brackets."""
    found = (f"<{match[0]}>" for match in reversed(list(_SOMEWHERE.finditer(text))))
    return next((each for each in found if parse(keyring, each) is not None), None)
