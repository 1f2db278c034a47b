"""Around every request: what holds for all of them, whatever they ask."""

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

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_SECURITY = [(b"x-content-type-options", b"nosniff")]
_DEFAULTS = {
    # A page of ours says what it needs; nothing else is to be shown as one, or kept by anybody on the way.
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
}
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")

_ids = random.Random()  # noqa: S311 - they tell requests apart, and are no secret

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request under way, for logs."""


@define
class RequestState:
    """What becomes known of a request while it is answered; at `scope["xpander.about"]`."""

    request_id: str
    operation: str = "none"
    organization_id: str = ""
    key_name: str = ""
    """The key's name."""
    status: int = 0
    has_store_failed: bool = False
    headers: dict[str, str] = field(factory=dict)
    """What the answer is to carry, whatever it is."""


_STATE = "xpander.state"
RECEIVED_BODY = "xpander.received_body"
"""Where in a request's scope its body is, if it came with the head."""
RequestObserver = Callable[[Scope, RequestState, float], None]
"""Told of each request when it was answered: in how many seconds."""
Headers = list[tuple[bytes, bytes]]


def request_state(scope: Scope) -> RequestState:
    """Return the state of the request that `scope` describes."""
    state: RequestState = scope[_STATE]
    return state


class Dispatcher:
    """Routes by the path as it came, so that an escaped slash stays inside its segment; gives the answer the
    `x-request-id` of the request, or one of its own, and security headers.

    Args:
        operations: routes that are answered here, at once: the layers of an application in between take longer than
            what they are for. Looked through in their order.
        others: answers whatever is none of these.
        observer: is told of each request that was answered.
    """

    def __init__(self, operations: Sequence[Route], others: ASGIApp, observer: RequestObserver | None = None) -> None:
        self._operations = operations
        self._others = others
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._others(scope, receive, send)
        elif (route := self.operation(scope)) is not None:
            status, headers, body = await self.answer(route, scope, receive)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await self._pass_on(scope, receive, send)

    def operation(self, scope: Scope) -> Route | None:
        """Which of the operations a request asks for; its path's parts are in the scope from then on."""
        path, method = scope["raw_path"].decode("latin-1"), scope["method"]
        for route in self._operations:
            if method in (route.methods or ()) and (found := route.path_regex.match(path)):
                scope["path_params"] = found.groupdict()
                return route
        return None

    async def answer(self, route: Route, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
        """The answer to a request for one of the operations."""
        state = _begun(scope)
        token = request_id.set(state.request_id)
        started = time.perf_counter()
        try:
            response: Response = await route.endpoint(Request(scope, receive))
            state.status = response.status_code
            return state.status, _headers(response.raw_headers, scope["scheme"], state), bytes(response.body)
        finally:
            self._ended(scope, state, started, token)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = scope["raw_path"].decode("latin-1")
        state = _begun(scope)

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.status = message["status"]
                message["headers"] = _headers(message.get("headers", []), scope["scheme"], state)
            await send(message)

        token = request_id.set(state.request_id)
        started = time.perf_counter()
        try:
            await self._others(scope, receive, send_more)
        finally:
            self._ended(scope, state, started, token)

    def _ended(self, scope: Scope, state: RequestState, started: float, token: Token[str]) -> None:
        if self._observer is not None:
            self._observer(scope, state, time.perf_counter() - started)
        request_id.reset(token)


def _begun(scope: Scope) -> RequestState:
    given = b""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value
            break
    state = RequestState(given.decode("ascii") if _REQUEST_ID.fullmatch(given) else f"{_ids.getrandbits(128):032x}")
    scope[_STATE] = state
    return state


def _headers(own: Headers, scheme: str, state: RequestState) -> Headers:
    missing = dict(_DEFAULTS)
    for name, _ in own:
        missing.pop(name, None)
    headers = [*own, *_SECURITY, *missing.items(), (b"x-request-id", state.request_id.encode())]
    for given, value in state.headers.items():
        headers.append((given.lower().encode(), value.encode()))
    if scheme == "https":
        headers.append(_HTTPS_ONLY)
    return headers
