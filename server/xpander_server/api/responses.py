"""How every outcome becomes an answer."""

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from xpander_server.contract import JSON
from xpander_server.domain.task import Conflict
from xpander_server.http.dispatcher import request_state
from xpander_server.http.errors import HTTPError, Problem
from xpander_server.store import StoreUnavailable

_log = logging.getLogger(__name__)

RequestHandler = Callable[[Request], Awaitable[Response]]


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type=JSON)


def error_response(status: int, detail: str | list[Problem], headers: Mapping[str, str] | None = None) -> Response:
    return json_response({"detail": detail}, status, headers)


def handle_errors(answer: RequestHandler) -> RequestHandler:
    """`answer`, with whatever it raises turned into the answer that the contract has for it."""

    async def answering(request: Request) -> Response:
        try:
            return await answer(request)
        except HTTPError as refusal:
            return error_response(refusal.status, refusal.detail, refusal.headers)
        except Conflict as conflict:
            return error_response(409, str(conflict))
        except StoreUnavailable as unavailable:
            request_state(request.scope).has_store_failed = True
            _log.error("the store does not answer: %s", unavailable)
            return error_response(503, "The store does not answer.", {"Retry-After": "1"})
        except ClientDisconnect:
            return error_response(400, "The body ended early.")
        except Exception:
            _log.exception("%s failed", request.method)
            return error_response(500, "Internal server error.")

    return answering


def static_response(body: bytes, media_type: str) -> RequestHandler:
    """Always the same."""

    async def answer(_: Request) -> Response:
        return Response(body, media_type=media_type)

    return answer
