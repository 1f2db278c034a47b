"""Responses, and the conversion of exceptions to error responses."""

import errno
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from xpander_server.domain.task import Conflict
from xpander_server.http.dispatcher import request_state
from xpander_server.http.errors import HTTPError, Problem
from xpander_server.store import QueueFull, StoreUnavailable

_log = logging.getLogger(__name__)
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

RequestHandler = Callable[[Request], Awaitable[Response]]


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with `value` as JSON."""
    return _JsonResponse(msgspec.json.encode(value), status, headers)


class _JsonResponse(Response):
    """Response with JSON, whose headers need no search for those that are missing."""

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str] | None) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            *((name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in (headers or {}).items()),
            (b"content-length", str(len(body)).encode("ascii")),
            (b"content-type", b"application/json"),
        ]


def error_response(status: int, detail: str | list[Problem], headers: Mapping[str, str] | None = None) -> Response:
    """Return the contract's error response: `{"detail": …}`."""
    return json_response({"detail": detail}, status, headers)


def handle_errors(handler: RequestHandler) -> RequestHandler:
    """Return `handler` with exceptions converted to the error responses of the contract.

    | exception          | status                                   |
    |--------------------|------------------------------------------|
    | `HTTPError`        | its own                                  |
    | `Conflict`         | 409                                      |
    | `QueueFull`        | 503 with `Retry-After`                   |
    | `StoreUnavailable` | 503 with `Retry-After`                   |
    | no descriptor left | 503 with `Retry-After`                   |
    | `ClientDisconnect` | 400; the client no longer reads it       |
    | any other          | 500; the traceback is in the log only    |
    """

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return error_response(400, "The connection was closed before the end of the body.")
        except Exception as exception:
            if isinstance(exception, StoreUnavailable) and not isinstance(exception, QueueFull):
                request_state(request.scope).has_store_failed = True
            error = http_error(exception, request.method)
            return error_response(error.status, error.detail, error.headers)

    return handle


def http_error(error: Exception, method: str) -> HTTPError:
    """Return the error response for an exception, as the table of `handle_errors` states; log unexpected ones.

    Args:
        error: The exception.
        method: HTTP method of the request, for the log.
    """
    if isinstance(error, HTTPError):
        return error
    if isinstance(error, Conflict):
        return HTTPError(409, str(error))
    if isinstance(error, QueueFull):
        return HTTPError(503, "Too many reports of this organization wait.", {"Retry-After": "1"})
    if isinstance(error, StoreUnavailable):
        # The store has noted the reason in the log, once for all requests.
        return HTTPError(503, "The store does not answer.", {"Retry-After": "1"})
    if _is_exhausted(error):
        _log.error("%s request failed: %s", method, error)
        return HTTPError(503, "The server has no free descriptors or memory.", {"Retry-After": "1"})
    _log.error("%s request failed: unexpected exception", method, exc_info=error)
    return HTTPError(500, "Internal server error.")


def _is_exhausted(error: BaseException | None) -> bool:
    """Return whether an exception, or one that caused it, means that descriptors, buffers or memory are used up."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return True
        error = error.__cause__ or error.__context__
    return False


def static_response(body: bytes, media_type: str) -> RequestHandler:
    """Return a handler that always gives the same response."""

    async def handle(_: Request) -> Response:
        return Response(body, media_type=media_type)

    return handle
