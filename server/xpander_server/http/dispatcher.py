"""Outermost ASGI application: routing of the contract's operations, request state and response headers.

Requests take one of two paths:

    operation of the contract   Dispatcher.match → Dispatcher.respond → route endpoint
    anything else               Dispatcher → Starlette (middleware, routing, error pages, web pages)

The first is the fast path. It skips Starlette's middleware stack and router, which cost more than the operation. Under
uvicorn, `protocol.HttpProtocol` also skips the ASGI messages. Both together raised the rate of an application
without a store from 3,900 to 8,900 reports per second. `benchmarks/subjects/server_without_store.py` is that
application; docs/benchmarks.md has current figures. Both paths give the same response.

`Dispatcher` calls Starlette only through public names: `Route.path_regex`, `Route.methods`, `Route.endpoint` and
`Response.raw_headers`.
"""

import random
import re
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token

from attrs import define, field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xpander_server.http.forwarded import TrustedProxies
from xpander_server.http.response_headers import Headers, complete_headers

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_random = random.Random()  # noqa: S311 - request ids distinguish requests; they are not secret

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the current request, for log records."""
root_path: ContextVar[str] = ContextVar("root_path", default="")
"""Path below which a proxy publishes the server, for links in pages; empty without one."""


@define
class RequestState:
    """Facts about one request, collected while it is handled, for logs, metrics and response headers.

    Attributes:
        request_id: The caller's `x-request-id`, or a new id.
        operation: Name of the operation or page.
        organization_id: Organization of the API key; empty before authentication.
        key_name: Name of the API key.
        status: Status code of the response; 0 before the response.
        has_store_failed: Whether the store was unavailable.
        headers: Headers to add to the response, for every status.
    """

    request_id: str
    operation: str = "none"
    organization_id: str = ""
    key_name: str = ""
    status: int = 0
    has_store_failed: bool = False
    headers: dict[str, str] = field(factory=dict)


_STATE = "xpander.state"
RECEIVED_BODY = "xpander.received_body"
"""Key of the request body in the scope, where the protocol has received the whole body already."""
RequestObserver = Callable[[Scope, RequestState, float], None]
"""Function that is called after each request, with the seconds from its head to its response."""


def request_state(scope: Scope) -> RequestState:
    """Return the state of the request that `scope` describes."""
    state: RequestState = scope[_STATE]
    return state


class Dispatcher:
    """ASGI application that answers the contract's operations and passes other requests on.

    It routes by the raw path, so that an escaped slash stays inside its segment. It adds `x-request-id` and security
    headers to each response.

    Args:
        operations: Routes of the fast path. The first route that matches is used.
        fallback: Application for all other requests.
        observer: Called after each request.
        proxies: Proxies whose statements about the client are trusted.
        root_path: Path below which a proxy publishes the server: `/reports`. It is removed from the path of a request,
            unless the proxy has already removed it. Default: none.
    """

    def __init__(
        self,
        operations: Sequence[Route],
        fallback: ASGIApp,
        observer: RequestObserver | None = None,
        proxies: TrustedProxies | None = None,
        root_path: str = "",
    ) -> None:
        self._root_path = root_path
        self._operations = operations
        self._fallback = fallback
        self._observer = observer
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as the ASGI specification describes."""
        if scope["type"] != "http":
            await self._fallback(scope, receive, send)
        elif (route := self.match(scope)) is not None:
            status, headers, body = await self.respond(route, scope, receive)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await self._call_fallback(scope, receive, send)

    def match(self, scope: Scope) -> Route | None:
        """Return the route of a request, and put the parameters of its path into `scope`; None for another request."""
        if self._root_path:
            self._remove_root_path(scope)
        path, method = scope["raw_path"].decode("latin-1"), scope["method"]
        for route in self._operations:
            if method in (route.methods or ()) and (path_match := route.path_regex.match(path)):
                scope["path_params"] = path_match.groupdict()
                return route
        return None

    def _remove_root_path(self, scope: Scope) -> None:
        """Remove the root path from the path of a request, once."""
        if scope.get("root_path") != self._root_path:
            scope["root_path"] = self._root_path
            path: bytes = scope["raw_path"]
            prefix = self._root_path.encode()
            if path == prefix or path.startswith(prefix + b"/"):
                scope["raw_path"] = path.removeprefix(prefix) or b"/"

    async def respond(self, route: Route, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
        """Call the endpoint of `route` and return the status, headers and body of the response."""
        state = self._start_state(scope)
        token = request_id.set(state.request_id)
        started = time.perf_counter()
        try:
            response: Response = await route.endpoint(Request(scope, receive))
            state.status = response.status_code
            return (
                state.status,
                complete_headers(response.raw_headers, scope["scheme"], state.request_id, state.headers),
                bytes(response.body),
            )
        finally:
            self._finish(scope, state, started, token)

    async def _call_fallback(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = scope["raw_path"].decode("latin-1")
        state = self._start_state(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.status = message["status"]
                message["headers"] = complete_headers(
                    message.get("headers", []), scope["scheme"], state.request_id, state.headers
                )
            await send(message)

        token = request_id.set(state.request_id)
        root_path.set(self._root_path)
        started = time.perf_counter()
        try:
            await self._fallback(scope, receive, send_with_headers)
        finally:
            self._finish(scope, state, started, token)

    def _start_state(self, scope: Scope) -> RequestState:
        if self._proxies is not None:
            self._proxies.apply(scope)
        header = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        is_valid = _REQUEST_ID.fullmatch(header) is not None
        state = RequestState(header.decode("ascii") if is_valid else f"{_random.getrandbits(128):032x}")
        scope[_STATE] = state
        return state

    def _finish(self, scope: Scope, state: RequestState, started: float, token: Token[str]) -> None:
        if self._observer is not None:
            self._observer(scope, state, time.perf_counter() - started)
        request_id.reset(token)
