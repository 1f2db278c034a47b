"""Connections: uvicorn's, with bounds that it does not set, and with a short way to the operations of the contract."""

import asyncio
from functools import partial
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from xpander_server.http.dispatcher import RECEIVED_BODY, Dispatcher

HEAD_SECONDS = 20.0
"""From the connection, or from a request's first byte, to the end of its head."""
MAX_HEAD = 64 * 1024
"""Bytes of the request line and the headers."""

_TOO_LARGE = b"431 Request Header Fields Too Large"
_TOO_SLOW = b"408 Request Timeout"


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, which ends a connection whose head is too slow or too large.

    Most requests are reports, whose bodies come with their heads and whose answers are one piece: of these, the body is
    there at once, and the answer is written at once. Everything else goes through ASGI.
    """

    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_size = 0
        self._has_begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._head_timer is None and not self._has_begun:
            self._expect_head()  # whatever came: uvicorn waits for ever once it has seen an empty line
        # A part of a name or a value is kept by the parser, unseen: what comes before a head is complete counts.
        is_within = self._head_timer is not None
        super().data_received(data)
        if is_within and self._head_timer is not None and self._has_begun:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._end(_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._has_begun = True
        self._head_size = 0
        if self._head_timer is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_is_there()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD:
            self._end(_TOO_LARGE)
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._has_begun = False
        if not self.transport.is_closing():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # Where a newer uvicorn does not call this any more, everything goes through ASGI, and is answered as well.
        scope: Any = cycle.scope
        answer: Any = app
        if isinstance(app, Dispatcher) and scope["method"] != "HEAD" and (route := app.operation(scope)) is not None:
            answer = partial(_answer, cycle, app, route)
        super()._start_asgi_task(cycle, answer)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._has_begun:
            self._end(_TOO_SLOW)
        else:
            self.transport.close()

    def _end(self, status: bytes) -> None:
        self._head_is_there()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()


async def _answer(
    cycle: RequestResponseCycle, frame: Dispatcher, route: Route, scope: Scope, receive: Receive, send: Send
) -> None:
    if not cycle.more_body:
        scope[RECEIVED_BODY] = cycle.body
    status, headers, body = await frame.answer(route, scope, receive)
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    parts = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        parts += (name, b": ", value, b"\r\n")
    if (b"connection", b"close") in headers:
        cycle.keep_alive = False
    elif not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts += (b"\r\n", body)
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write(b"".join(parts))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
