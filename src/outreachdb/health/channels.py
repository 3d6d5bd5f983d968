"""Where alerts go: a webhook, a webhook in Slack's format, or e-mail.

A channel's address is a secret: whoever knows a webhook's URL can write there. It stands in the configuration, in an
environment variable (``url_env``) or in a file (``url_file``); no log, error or ``repr`` shows it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx

from outreachdb.errors import InvalidInput
from outreachdb.words import did_you_mean

TIMEOUT = 15.0
KINDS = ("webhook", "slack", "email")
_COMMON = {"name", "kind", "level"}
_HTTP = {"url", "url_env", "url_file"}
_MAIL = {"to", "from", "host", "port", "security", "username", "password", "password_env", "password_file"}
WORDS = {"firing": "firing", "worse": "got worse", "repeat": "still firing", "resolved": "resolved"}

# They log each request with its whole URL.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class NotDelivered(Exception):
    """A message could not be told; the text holds no secret."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One place that is told; ``level`` is the lowest level that goes there."""

    name: str
    kind: str
    level: str = "yellow"
    url: str = field(default="", repr=False)
    mail: Mapping[str, Any] = field(default_factory=dict, repr=False)

    async def send(self, document: Mapping[str, Any], key: str) -> None:
        """Tell it; ``key`` is the same for each attempt. Raises NotDelivered."""
        try:
            if self.kind == "email":
                await _send_mail(self.mail, document, key)
            else:
                body = {"text": text(document)} if self.kind == "slack" else dict(document)
                await _post(self.url, body, key)
        except (httpx.HTTPError, httpx.InvalidURL, aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise NotDelivered(self._scrubbed(f"{type(error).__name__}: {error}")) from None

    def _scrubbed(self, reason: str) -> str:
        for secret in (self.url, httpx_path(self.url), str(self.mail.get("password") or "")):
            if len(secret) > 1:
                reason = reason.replace(secret, "***")
        return " ".join(reason.split())[:300]


def httpx_path(url: str) -> str:
    """The part of a URL behind its host, where webhooks have their secret."""
    return url.split("://", 1)[-1].partition("/")[2]


def text(document: Mapping[str, Any]) -> str:
    """A message in words: what, how bad, what was seen, what to do."""
    value = document.get("value")
    head = f"[{document['level']}] {document['title']} {WORDS[document['event']]} on {document['database']}"
    seen = "" if value is None else f"{value:g} {document['unit']}. "
    lines = [head, f"{seen}{document.get('summary') or ''}".strip()]
    if document["event"] != "resolved":
        lines.append(str(document["advice"]))
    return "\n".join(line for line in lines if line)


async def _post(url: str, body: Mapping[str, Any], key: str) -> None:
    async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
        answer = await client.post(url, json=body, headers={"Idempotency-Key": key})
    if answer.status_code >= 300:
        raise ValueError(f"it answered {answer.status_code}")


async def _send_mail(mail: Mapping[str, Any], document: Mapping[str, Any], key: str) -> None:
    words = text(document)
    message = EmailMessage()
    message["From"], message["To"] = mail["from"], ", ".join(mail["to"])
    message["Subject"] = words.splitlines()[0]
    message["Message-ID"] = f"<{key}@{mail['from'].rpartition('@')[2]}>"
    message.set_content(words + "\n")
    await aiosmtplib.send(
        message,
        hostname=mail["host"],
        port=mail["port"],
        username=mail.get("username"),
        password=mail.get("password"),
        use_tls=mail["security"] == "tls",
        start_tls=mail["security"] == "starttls",
        timeout=TIMEOUT,
    )


def channel(entry: Mapping[str, Any], where: str) -> Channel:
    """A channel of the configuration; raises InvalidInput that names the place."""
    kind = entry.get("kind")
    if kind not in KINDS:
        raise InvalidInput(f"{where}.kind must be one of {', '.join(KINDS)}, not {kind!r}")
    known = _COMMON | (_MAIL if kind == "email" else _HTTP)
    if unknown := sorted(set(entry) - known):
        hint = did_you_mean(unknown[0], sorted(known), f"known: {', '.join(sorted(known))}")
        raise InvalidInput(f"{where}: there is no {unknown[0]}", hint=hint)
    level = entry.get("level", "yellow")
    if level not in {"yellow", "red"}:
        raise InvalidInput(f"{where}.level must be yellow or red, not {level!r}")
    name = str(entry.get("name") or kind)
    if kind == "email":
        return Channel(name, kind, level, mail=_mail(entry, where))
    url = _secret(entry, "url", where)
    if url is None or not url.startswith(("https://", "http://")):
        raise InvalidInput(f"{where} needs url, url_env or url_file with an http(s) address")
    return Channel(name, kind, level, url=url)


def _mail(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    receivers = entry.get("to")
    if not isinstance(receivers, list) or not receivers or not all(isinstance(each, str) for each in receivers):
        raise InvalidInput(f'{where}.to must be a list of addresses, such as ["ops@acme.example"]')
    for key in ("from", "host"):
        if not isinstance(entry.get(key), str):
            raise InvalidInput(f"{where}.{key} is missing")
    security = entry.get("security", "starttls")
    ports = {"starttls": 587, "tls": 465, "plain": 25}
    if security not in ports:
        raise InvalidInput(f"{where}.security must be one of {', '.join(ports)}, not {security!r}")
    return {
        "to": receivers,
        "from": entry["from"],
        "host": entry["host"],
        "port": int(entry.get("port", ports[security])),
        "security": security,
        "username": entry.get("username"),
        "password": _secret(entry, "password", where),
    }


def _secret(entry: Mapping[str, Any], key: str, where: str) -> str | None:
    """A value given as itself, by the name of an environment variable, or by that of a file."""
    readers: dict[str, Callable[[str], str | None]] = {key: str, f"{key}_env": os.environ.get, f"{key}_file": _read}
    given = [name for name in readers if name in entry]
    if len(given) > 1:
        raise InvalidInput(f"{where} has {' and '.join(given)}; one is enough")
    if not given:
        return None
    try:
        found = readers[given[0]](str(entry[given[0]]))
    except OSError as error:
        raise InvalidInput(f"{where}.{given[0]}: the file can't be read: {error.strerror}") from None
    if not found:
        raise InvalidInput(f"{where}.{given[0]}: {entry[given[0]] if given[0] != key else 'it'} is empty or not set")
    return found.strip()


def _read(name: str) -> str:
    return Path(name).read_text(encoding="utf-8")
