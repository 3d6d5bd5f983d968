"""Links in messages that lead to us: open pixel, click redirect, unsubscribe page; signed, so that nobody forges one.

A link names workspace, send and month, so that a look-up finds its row's partition; a click's signature covers the
address it leads to as well, so that no such link can be bent to another page.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

from outreachdb.errors import InvalidInput
from outreachdb.secrets import Keyring

Kind = Literal["open", "click", "unsubscribe"]
SIGNATURE_BYTES = 12
LONGEST_URL = 2000
_SHAPE = re.compile(r"((\d{1,19})\.(\d{1,19})\.(\d{4})(0[1-9]|1[0-2]))\.([0-9a-f]{24})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TrackedLink:
    """What a link names; ``month_start`` (UTC) is the partition of the send, ``url`` where a click leads."""

    kind: Kind
    workspace_id: int
    send_id: int
    month_start: datetime
    url: str | None = None


@dataclass(frozen=True, slots=True)
class TrackingLinks:
    """Makes the links of one workspace's messages; ``base_url`` is the setting ``public_url``."""

    keyring: Keyring
    base_url: str
    workspace_id: int

    def open_url(self, send_id: int, created_at: datetime) -> str:
        """Address of the picture that tells of an open."""
        return f"{self._base}/t/o/{self._token('open', send_id, created_at)}.gif"

    def click_url(self, send_id: int, created_at: datetime, url: str) -> str:
        """Address that notes a click and leads on to ``url``; raises InvalidInput unless that is http or https."""
        _check(url)
        token = self._token("click", send_id, created_at, url)
        return f"{self._base}/t/c/{token}/{base64.urlsafe_b64encode(url.encode()).decode().rstrip('=')}"

    def unsubscribe_url(self, send_id: int, created_at: datetime) -> str:
        """Address of the page that unsubscribes; it only asks when it is fetched (GET), and acts on a POST."""
        return f"{self._base}/t/u/{self._token('unsubscribe', send_id, created_at)}"

    def unsubscribe_headers(self, send_id: int, created_at: datetime, mailto: str | None = None) -> dict[str, str]:
        """``List-Unsubscribe`` and ``List-Unsubscribe-Post`` for one-click unsubscribing (RFC 8058).

        Both must be covered by the DKIM signature; ``mailto`` is an address that takes such requests by mail.
        """
        ways = f"<{self.unsubscribe_url(send_id, created_at)}>" + (f", <mailto:{mailto}>" if mailto else "")
        return {"List-Unsubscribe": ways, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}

    @property
    def _base(self) -> str:
        return self.base_url.rstrip("/")

    def _token(self, kind: Kind, send_id: int, created_at: datetime, url: str = "") -> str:
        name = f"{self.workspace_id}.{send_id}.{created_at.astimezone(UTC):%Y%m}"
        return f"{name}.{_sign(self.keyring, kind, name, url)}"


def read(keyring: Keyring, kind: Kind, token: str, target: str | None = None) -> TrackedLink | None:
    """The link behind a token (and, of a click, the target in base64url); ``None`` when it is not one of ours."""
    match = _SHAPE.fullmatch(token)
    if match is None or match[4] == "0000":
        return None
    url = _decoded(target) if kind == "click" else ""
    if url is None or not keyring.verify(f"link-{kind}", f"{match[1]}\n{url}", match[6]):
        return None
    month = datetime(int(match[4]), int(match[5]), 1, tzinfo=UTC)
    return TrackedLink(kind, int(match[2]), int(match[3]), month, url or None)


def _sign(keyring: Keyring, kind: Kind, name: str, url: str) -> str:
    return keyring.sign(f"link-{kind}", f"{name}\n{url}", length=SIGNATURE_BYTES)


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidInput(f"not a web address: {url[:80]!r}") from None
    if parts.scheme.lower() not in {"http", "https"} or not parts.netloc or not url.isprintable() or " " in url:
        raise InvalidInput(f"not a web address: {url[:80]!r}", hint="only http:// and https:// links can be tracked")
    if len(url) > LONGEST_URL:
        raise InvalidInput(f"a link of {len(url)} characters is too long to be tracked", hint=f"at most {LONGEST_URL}")


def _decoded(target: str | None) -> str | None:
    """The address; ``None`` when there is none or it can't be read."""
    if not target or not target.isascii():
        return None
    try:
        padded = target + "=" * (-len(target) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
