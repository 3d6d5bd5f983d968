"""Links in messages find their way back, and only ours do."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest

from outreachdb.errors import InvalidInput
from outreachdb.secrets import Keyring
from outreachdb.sending.tracking_links import TrackedLink, TrackingLinks, read

AT = datetime(2026, 3, 31, 23, 59, 59, 123456, UTC)
MONTH = datetime(2026, 3, 1, tzinfo=UTC)
URL = "https://www.example.com/ä?a=1&b=%20#c"


@pytest.fixture
def links(keyring: Keyring) -> TrackingLinks:
    return TrackingLinks(keyring, "https://t.example/", 7)


def _token(url: str) -> str:
    return url.rsplit("/", 1)[1].removesuffix(".gif")


def test_each_kind_names_its_send(links: TrackingLinks, keyring: Keyring) -> None:
    here = AT.astimezone(timezone(timedelta(hours=9)))
    opened, page, click = links.open_url(42, AT), links.unsubscribe_url(42, here), links.click_url(42, AT, URL)
    assert opened.startswith("https://t.example/t/o/7.42.202603.")
    assert read(keyring, "open", _token(opened)) == TrackedLink("open", 7, 42, MONTH)
    assert read(keyring, "unsubscribe", _token(page)) == TrackedLink("unsubscribe", 7, 42, MONTH)
    token, target = click.split("/")[-2:]
    assert read(keyring, "click", token, target) == TrackedLink("click", 7, 42, MONTH, URL)


def test_the_headers_of_rfc_8058(links: TrackingLinks) -> None:
    page = links.unsubscribe_url(42, AT)
    assert links.unsubscribe_headers(42, AT) == {
        "List-Unsubscribe": f"<{page}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    both = links.unsubscribe_headers(42, AT, mailto="out@sender.example")["List-Unsubscribe"]
    assert both == f"<{page}>, <mailto:out@sender.example>"


def test_no_link_can_be_bent(links: TrackingLinks, keyring: Keyring) -> None:
    token, target = links.click_url(42, AT, URL).split("/")[-2:]
    other = base64.urlsafe_b64encode(b"https://evil.example/").decode().rstrip("=")
    wrong = [other, "", None, target[:-1], "%", "é", target + "===="]
    assert [each for each in wrong if read(keyring, "click", token, each)] == []
    opened = _token(links.open_url(42, AT))
    assert read(keyring, "unsubscribe", opened) is None
    assert read(keyring, "click", opened, target) is None
    changed = [
        opened.replace(".42.", ".43."),
        opened.replace("7.", "8.", 1),
        opened.replace("202603", "202604"),
        opened.replace("202603", "202613"),
        opened.replace("202603", "000003"),
        opened[:-1],
        "",
        "٧" + opened[1:],
        _token(TrackingLinks(Keyring(bytes(32)), "https://t.example", 7).open_url(42, AT)),
    ]
    assert [each for each in changed if read(keyring, "open", each)] == []


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "mailto:a@b.example", "//x.example", "https://", "http://[x", "https://a b", "", "h\n"],
)
def test_only_web_addresses_are_tracked(links: TrackingLinks, url: str) -> None:
    with pytest.raises(InvalidInput, match="not a web address"):
        links.click_url(42, AT, url)
    with pytest.raises(InvalidInput, match="too long"):
        links.click_url(42, AT, "https://x.example/" + "a" * 2000)
