"""What leads back to us in a message: unsubscribe headers and link, tracked links, the picture that tells of opens.

Without the setting ``public_url`` there is nobody to lead back to, and messages carry none of it.
"""

from __future__ import annotations

import html
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from outreachdb.campaigns.templates import Rendered
from outreachdb.config import Settings
from outreachdb.db.tenant import Tenant
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.secrets import Keyring
from outreachdb.sending.tracking_links import TrackingLinks

_ANCHOR = re.compile(r"""(<a\b[^>]*?\bhref\s*=\s*)(["'])(https?://[^"'<>\s]+)\2""", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MessageLinks:
    """The links of one message."""

    links: TrackingLinks
    send_id: int
    created_at: datetime

    @property
    def values(self) -> dict[str, Any]:
        """For templates: ``unsubscribe_url``."""
        return {"unsubscribe_url": self.links.unsubscribe_url(self.send_id, self.created_at)}

    @property
    def headers(self) -> dict[str, str]:
        """``List-Unsubscribe`` and ``List-Unsubscribe-Post`` (RFC 8058)."""
        return self.links.unsubscribe_headers(self.send_id, self.created_at)

    def tracked(self, rendered: Rendered, *, opens: bool, clicks: bool) -> Rendered:
        """The HTML part with links through the redirect and the picture of opens; plain text stays as it is."""
        if rendered.html is None:
            return rendered
        made = _ANCHOR.sub(self._anchor, rendered.html) if clicks else rendered.html
        if opens:
            picture = f'<img src="{self.links.open_url(self.send_id, self.created_at)}" width="1" height="1" alt="">'
            end = _BODY_END.search(made)
            made = made[: end.start()] + picture + made[end.start() :] if end else made + picture
        return replace(rendered, html=made)

    def _anchor(self, match: re.Match[str]) -> str:
        before, quote, given = match.groups()
        url = html.unescape(given)
        if url.startswith(self.links.base_url.rstrip("/") + "/t/"):
            return match[0]  # the unsubscribe link: one click more would unsubscribe nobody
        try:
            tracked = self.links.click_url(self.send_id, self.created_at, url)
        except InvalidInput:
            return match[0]
        return f"{before}{quote}{html.escape(tracked)}{quote}"


def links_of(tenant: Tenant, keyring: Keyring) -> TrackingLinks | None:
    """The workspace's links; ``None`` without ``public_url``."""
    base: str | None = tenant.pools.settings.public_url
    return TrackingLinks(keyring, base, tenant.workspace_id) if base else None


def sample(settings: Settings) -> Mapping[str, Any]:
    """What templates get beside the lead when they are only tried."""
    return {"unsubscribe_url": f"{settings.public_url}/t/u/sample"} if settings.public_url else {}


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Certificates are always checked: by the system's authorities, or by the file ``smtp_ca_file`` alone."""
    return checked_by(settings.smtp_ca_file, "smtp_ca_file")


@cache
def checked_by(authorities: Path | None, setting: str) -> ssl.SSLContext:
    """A context that checks certificates by the authorities of a file; raises UsageError that names the setting."""
    try:
        return ssl.create_default_context(cafile=str(authorities) if authorities else None)
    except OSError as error:
        raise UsageError(f"{setting} {authorities} can't be read: {error.strerror or error}") from None
