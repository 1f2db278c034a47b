"""Around every request: what holds for all of them, whatever they ask."""

import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from attrs import define, field
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

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request under way, for logs."""


@define
class About:
    """What becomes known of a request while it is answered; at `scope["xpander.about"]`."""

    request_id: str
    operation: str = "none"
    organization_id: str = ""
    key: str = ""
    """The key's name."""
    status: int = 0
    has_store_failed: bool = False
    headers: dict[str, str] = field(factory=dict)
    """What the answer is to carry, whatever it is."""


Watch = Callable[[Scope, About, float], None]
"""Told of each request when it was answered: in how many seconds."""


class Frame:
    """Routes by the path as it came, so that an escaped slash stays inside its segment; gives the answer the
    `x-request-id` of the request, or one of its own, and security headers."""

    def __init__(self, app: ASGIApp, watch: Watch | None = None) -> None:
        self._app = app
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        about = About(given.decode("ascii") if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                about.status = message["status"]
                message["headers"] = _headers(message.get("headers", []), scope["scheme"], about)
            await send(message)

        token = request_id.set(about.request_id)
        started = time.perf_counter()
        inner = {**scope, "path": scope["raw_path"].decode("latin-1"), "xpander.about": about}
        try:
            await self._app(inner, receive, send_more)
        finally:
            if self._watch is not None:
                self._watch(scope, about, time.perf_counter() - started)
            request_id.reset(token)


def _headers(own: list[tuple[bytes, bytes]], scheme: str, about: About) -> list[tuple[bytes, bytes]]:
    missing = dict(_DEFAULTS)
    for name, _ in own:
        missing.pop(name, None)
    headers = [*own, *_SECURITY, *missing.items(), (b"x-request-id", about.request_id.encode())]
    for given, value in about.headers.items():
        headers.append((given.lower().encode(), value.encode()))
    if scheme == "https":
        headers.append(_HTTPS_ONLY)
    return headers
