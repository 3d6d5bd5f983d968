"""From a rendered step to the bytes that SMTP carries."""

from __future__ import annotations

from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate

from outreachdb.campaigns.templates import Rendered


@dataclass(frozen=True, slots=True)
class Message:
    """A message ready to leave; ``international`` ones need a server that knows SMTPUTF8."""

    recipient: str
    message_id: str
    subject: str
    content: bytes
    international: bool


def build(sender: Address, recipient: str, rendered: Rendered, message_id: str) -> Message:
    """Build a text, or text and HTML, message; raises ValueError where an address can't stand in a header."""
    international = not (recipient.isascii() and sender.addr_spec.isascii())
    message = EmailMessage(policy=SMTPUTF8 if international else SMTP)
    message["From"] = sender
    message["To"] = Address(addr_spec=recipient)
    message["Subject"] = rendered.subject
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = message_id
    message.set_content(rendered.text)
    if rendered.html is not None:
        message.add_alternative(rendered.html, subtype="html")
    return Message(recipient, message_id, rendered.subject, message.as_bytes(), international)
