"""Every failure as problem+json (RFC 9457): what is wrong and how to mend it, never how we are built."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from outreachdb.api.requests import HEADER, id_of
from outreachdb.errors import OutreachDBError, plain_message

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger(__name__)


class BodyTooLarge(OutreachDBError):
    """The body is larger than the setting allows."""

    http_status, code = 413, "body_too_large"


def install(app: FastAPI) -> None:
    """Handle every error of the application."""
    app.add_exception_handler(OutreachDBError, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unforeseen)


def problem(
    request: Request, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem document; it names the request, so that its lines can be found in the log."""
    title = code.replace("_", " ")
    document = {"type": f"urn:outreachdb:error:{code}", "title": title, "status": status, "detail": detail} | more
    return _answer(request, document, headers)


def _answer(request: Request, document: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    request_id = id_of(request)
    named = {"request_id": request_id} if request_id else {}
    # The answer to what nobody foresaw is sent from outside of the middleware that sets the header.
    more = {HEADER: request_id} if request_id else {}
    return JSONResponse(document | named, document["status"], (headers or {}) | more, media_type=MEDIA_TYPE)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OutreachDBError)  # noqa: S101 - the handler is registered for it
    if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed: %s", error.detail)
        if error.http_status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return problem(request, error.http_status, error.code, "the request failed; the server's log says why")
        return problem(request, error.http_status, error.code, "the service can't answer now; try again later")
    return _answer(request, error.problem())


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - the handler is registered for it
    status = HTTPStatus(error.status_code)
    code = status.name.lower()
    return problem(request, status, code, str(error.detail), dict(error.headers) if error.headers else None)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the handler is registered for it
    wrong = [
        {"path": "/" + "/".join(map(str, each["loc"])), "detail": plain_message(each["msg"])} for each in error.errors()
    ]
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", "the request can't be used", errors=wrong)


async def _unforeseen(request: Request, _error: Exception) -> JSONResponse:
    # The server logs the traceback itself.
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "error", "the request failed; the server's log says why")
