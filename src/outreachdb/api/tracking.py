"""Open pixel, click redirect and unsubscribe page: what recipients reach. Every address is signed."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from outreachdb.errors import NotFound
from outreachdb.events import tracking
from outreachdb.events.tracking import Visitor

router = APIRouter(tags=["tracking"])
# A transparent picture of one pixel (GIF89a).
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
FRESH = {"Cache-Control": "no-store, private", "X-Robots-Tag": "noindex, nofollow"}
PAGE_HEADERS = FRESH | {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:1.1rem sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1.5rem}}</style></head>
<body><h1>{title}</h1><p>{text}</p>{more}</body></html>
"""
FORM = (
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    "<button>Unsubscribe</button></form>"
)


@router.api_route("/t/o/{token}.gif", methods=["GET", "HEAD"])
async def opened(token: str, request: Request) -> Response:
    """Note an open and give the picture; only looking at its headers (HEAD) is no open."""
    if request.method == "GET":
        await tracking.opened(request.app.state.pools, request.app.state.keyring, token, _visitor(request))
    return Response(PIXEL, media_type="image/gif", headers=FRESH)


@router.get("/t/c/{token}/{target}")
async def clicked(token: str, target: str, request: Request) -> Response:
    """Note a click and lead on; 404 unless we signed this very address."""
    state = request.app.state
    url = await tracking.clicked(state.pools, state.keyring, token, target, _visitor(request))
    return RedirectResponse(url, status_code=302, headers=FRESH)


@router.get("/t/u/{token}")
async def ask(token: str, request: Request) -> Response:
    """Ask before unsubscribing: scanners fetch every link of a mail."""
    try:
        who = await tracking.recipient(request.app.state.pools, request.app.state.keyring, token)
    except NotFound:
        return _page(
            "This link is not known", "It may be incomplete, or very old. Please answer the mail instead.", 404
        )
    return _page("Unsubscribe?", f"{escape(who)} will get no more mail from us.", more=FORM)


@router.post("/t/u/{token}")
async def unsubscribe(token: str, request: Request) -> Response:
    """Unsubscribe at once: the button of our page, and mail programs by one click (RFC 8058)."""
    state = request.app.state
    try:
        who = await tracking.unsubscribed(state.pools, state.keyring, token, _visitor(request))
    except NotFound:
        return _page(
            "This link is not known", "It may be incomplete, or very old. Please answer the mail instead.", 404
        )
    return _page("Done", f"{escape(who)} is unsubscribed.")


def _page(title: str, text: str, status: int = 200, more: str = "") -> Response:
    return HTMLResponse(PAGE.format(title=title, text=text, more=more), status, PAGE_HEADERS)


def _visitor(request: Request) -> Visitor:
    return Visitor(request.client.host if request.client else None, request.headers.get("user-agent", ""))
