"""From a rendered step to the bytes that SMTP carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.contentmanager import raw_data_manager
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8, Policy, compat32
from email.utils import format_datetime, formataddr
from typing import Any

from outreachdb.campaigns.templates import Rendered
from outreachdb.sending import relays

# SendGrid returns a unique argument with every event, the Message-ID not with opens, clicks and complaints. Always
# sent: a relay may pass on to SendGrid, which takes the header out; to anybody else it says what Message-ID says.
# https://www.twilio.com/docs/sendgrid/for-developers/sending-email/unique-arguments
ARGUMENT_HEADER = "X-SMTPAPI"
MESSAGE_ID_ARGUMENT = "outreachdb_message_id"
# The newer policies parse every header they are given, at a millisecond a message; ours are made here and need none.
_PLAIN: Policy[Any] = compat32.clone(linesep="\r\n", max_line_length=78)


@dataclass(frozen=True, slots=True)
class Message:
    """A message ready to leave; ``international`` ones need a server that knows SMTPUTF8."""

    recipient: str
    message_id: str
    subject: str
    content: bytes
    international: bool


def build(
    name: str | None,
    address: str,
    recipient: str,
    rendered: Rendered,
    message_id: str,
    headers: Mapping[str, str] | None = None,
    *,
    relay: str | None = None,
) -> Message:
    """Build a text, or text and HTML, message; raises ValueError where an address can't stand in a header.

    ``relay`` is the host that takes it: some return our Message-ID only from a header of their own.
    """
    international = not (recipient.isascii() and address.isascii())
    if international:
        message = EmailMessage(policy=SMTPUTF8)
        message["From"] = _address(name, address)
        message["To"] = _address(None, recipient)
        message["Subject"] = rendered.subject
    else:
        message = EmailMessage(policy=_PLAIN)
        message["From"] = formataddr((name, address))
        message["To"] = recipient
        message["Subject"] = Header(rendered.subject, None if rendered.subject.isascii() else "utf-8")
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = message_id
    for header, value in (headers or {}).items():
        message[header] = value
    message.set_content(_sendable(rendered.text), content_manager=raw_data_manager)
    if rendered.html is not None:
        message.add_alternative(_sendable(rendered.html), subtype="html", content_manager=raw_data_manager)
    content = _argument(message_id) + relays.line(relay, message_id) + message.as_bytes()
    return Message(recipient, message_id, rendered.subject, content, international)


def _argument(message_id: str) -> bytes:
    """The header line, folded between JSON's tokens only: a policy would encode or cut what it finds too long."""
    line = f'{ARGUMENT_HEADER}: {{"unique_args":\r\n {{"{MESSAGE_ID_ARGUMENT}":\r\n {json.dumps(message_id)}}}}}\r\n'
    return line.encode("ascii")


def _address(name: str | None, address: str) -> Address:
    # By its parts: Address refuses a whole addr-spec whose local part is not ASCII.
    username, _, domain = address.rpartition("@")
    return Address(name or "", username, domain)


def _sendable(text: str) -> str:
    """Half of a surrogate pair, which a template can make, is in no character set."""
    with suppress(UnicodeEncodeError):
        text.encode()
        return text
    return text.encode(errors="replace").decode()
