"""Relays that give messages an id of their own: the header by which each returns ours, and where it tells its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

KEY = "outreachdb"


def _plain(message_id: str) -> str:
    return message_id


def _bare(message_id: str) -> str:
    """Tags are lists between commas, and shown to people: no brackets."""
    return message_id.strip("<>")


def _nested(*path: str) -> Callable[[str], str]:
    def write(message_id: str) -> str:
        value: object = message_id
        for key in reversed(path):
            value = {key: value}
        return json.dumps(value)

    return write


# By the end of the relay's host name; what is not here keeps our Message-ID, or returns the header of
# sending/message.py, which every message has (Amazon SES, Resend and SendGrid return headers or arguments).
# https://postmarkapp.com/developer/user-guide/send-email-with-smtp, https://dev.mailjet.com/smtp-relay/custom-headers/
# https://mailchimp.com/developer/transactional/docs/smtp-integration/, https://developers.sparkpost.com/api/smtp/
# https://developers.brevo.com/docs/smtp-integration, https://docs.mailtrap.io/email-api-smtp/setup/smtp-integration
# https://www.mailersend.com/help/custom-headers, https://godocs.unisender.ru/smtp-api
HEADERS: dict[str, tuple[str, Callable[[str], str]]] = {
    "postmarkapp.com": ("X-PM-Metadata-" + KEY, _plain),
    "mailjet.com": ("X-MJ-CustomID", _plain),
    "mandrillapp.com": ("X-MC-Metadata", _nested(KEY)),
    "sparkpostmail.com": ("X-MSYS-API", _nested("metadata", KEY)),
    "brevo.com": ("X-Mailin-custom", _plain),
    "sendinblue.com": ("X-Mailin-custom", _plain),
    "mailtrap.io": ("X-MT-Custom-Variables", _nested(KEY)),
    "mailersend.net": ("X-MailerSend-Tags", _bare),
    "unisender.ru": ("X-UNISENDER-GO", _nested("global_metadata", KEY)),
    "unione.io": ("X-UNIONE", _nested("global_metadata", KEY)),
}
# Relays that answer DATA with the id by which their events call the message: it is kept with the log of the message.
REPLIES = ("amazonaws.com", "mailersend.net", "resend.com", "unione.io", "unisender.ru")
_ID = re.compile(r"(?<![0-9A-Za-z-])(?=[0-9A-Za-z-]*[0-9])[0-9A-Za-z][0-9A-Za-z-]{15,}")


def line(host: str | None, message_id: str) -> bytes:
    """The header line for a relay, folded nowhere (a policy would encode what it finds too long); empty for most."""
    for end, (name, write) in HEADERS.items():
        if _ends(host, end):
            return f"{name}: {write(message_id)}\r\n".encode("ascii")
    return b""


def provider_id(host: str | None, reply: str) -> str | None:
    """The relay's own id of a message in its answer to it: the last word that can be one; ``None`` for most relays."""
    if not any(_ends(host, end) for end in REPLIES):
        return None
    found = _ID.findall(reply)
    return found[-1] if found else None


def _ends(host: str | None, end: str) -> bool:
    return host is not None and f".{host.lower()}".endswith(f".{end}")
