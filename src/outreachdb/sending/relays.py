"""Relays that give messages an id of their own: the header by which each returns ours with its events."""

from __future__ import annotations

import json

KEY = "outreachdb"
# By the end of the relay's host name; what is not here keeps our Message-ID, or returns it in a header.
# https://postmarkapp.com/developer/user-guide/send-email-with-smtp, https://dev.mailjet.com/smtp-relay/custom-headers/
# https://mailchimp.com/developer/transactional/docs/smtp-integration/, https://developers.sparkpost.com/api/smtp/
# https://developers.brevo.com/docs/smtp-integration, https://docs.mailtrap.io/email-api-smtp/setup/smtp-integration
HEADERS = {
    "postmarkapp.com": ("X-PM-Metadata-" + KEY, None),
    "mailjet.com": ("X-MJ-CustomID", None),
    "mandrillapp.com": ("X-MC-Metadata", (KEY,)),
    "sparkpostmail.com": ("X-MSYS-API", ("metadata", KEY)),
    "brevo.com": ("X-Mailin-custom", None),
    "sendinblue.com": ("X-Mailin-custom", None),
    "mailtrap.io": ("X-MT-Custom-Variables", (KEY,)),
}


def line(host: str | None, message_id: str) -> bytes:
    """The header line for a relay, folded nowhere (a policy would encode what it finds too long); empty for most."""
    name, path = next(
        (known for end, known in HEADERS.items() if host and f".{host.lower()}".endswith(f".{end}")), ("", None)
    )
    if not name:
        return b""
    value: object = message_id
    for key in reversed(path or ()):
        value = {key: value}
    return f"{name}: {value if path is None else json.dumps(value)}\r\n".encode("ascii")
