"""uvicorn's HTTP protocol, with limits on the head of a request and a fast path for the contract's operations.

Limits. uvicorn waits without a limit for the end of a request's head, and keeps a head of any size. Here a head must
arrive within `HEAD_TIMEOUT` seconds (else 408) and within `MAX_HEAD_BYTES` (else 431), and the connection is closed.

    connection opened ─┬─> waiting for a head ──> head complete ──> body, response ─┐
                       │        │ timer runs           timer stopped                │
                       │        └─ timer fires: 408, or close if no byte arrived    │
                       └──────────────────── next request <─────────────────────────┘

Fast path. Most requests are reports: the body arrives together with the head, and the response is one piece. For these
`_respond` reads the body from the cycle without ASGI messages, and writes the response with one `transport.write`. With
`Dispatcher.respond` this raised the rate without a store from 3,900 to 8,900 reports per second. All other requests
take uvicorn's regular ASGI path. Both paths give the same bytes; tests/server/test_fast_path.py compares them.

uvicorn's protocol is not a public interface. pyproject.toml therefore allows uvicorn 0.40 to 0.54 only; check this
list before raising the upper bound. This module uses these names of `uvicorn.protocols.http.httptools_impl`:

    HttpToolsProtocol     methods   connection_made, connection_lost, data_received, on_message_begin,
                                    on_headers_complete, on_body, on_message_complete, _start_asgi_task
                          attributes transport, loop, url, headers, cycle
    RequestResponseCycle  read      scope, body, more_body, flow (write_paused, drain), disconnected, default_headers,
                                    keep_alive, message_event, transport, on_response
                          written   keep_alive, response_started, response_complete
    STATUS_LINE           status line by status code

Where uvicorn does not call `_start_asgi_task` (0.40 does not have it), every request takes the regular path.
"""

import asyncio
from functools import partial
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from xpander_server.http.dispatcher import RECEIVED_BODY, Dispatcher

HEAD_TIMEOUT = 20.0
"""Seconds from the start of the connection, or from the first byte of a request, to the end of its head."""
MAX_HEAD_BYTES = 64 * 1024
"""Bytes of the request line and the headers."""

_TOO_LARGE = b"431 Request Header Fields Too Large"
_TOO_SLOW = b"408 Request Timeout"


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on the request head and with the fast path."""

    head_timeout = HEAD_TIMEOUT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_size = 0
        self._is_in_message = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse `data`, and count it while the head is incomplete."""
        if self.transport.is_closing():
            return
        if self._head_timer is None and not self._is_in_message:
            # Any byte starts the timer. After an empty line, uvicorn would wait for a request without a time limit.
            self._start_head_timer()
        # The parser buffers an incomplete header name or value without a callback. Therefore all bytes that arrive
        # before the head is complete are counted here.
        was_in_head = self._head_timer is not None
        super().data_received(data)
        if was_in_head and self._head_timer is not None and self._is_in_message:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD_BYTES:
                self._close_with(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Start the timer for the head of a request that follows on the same connection."""
        super().on_message_begin()
        self._is_in_message = True
        self._head_size = 0
        if self._head_timer is None:
            self._start_head_timer()

    def on_headers_complete(self) -> None:
        """Stop the timer, and reject a head that arrived in one piece and is too large."""
        self._stop_head_timer()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            self._close_with(_TOO_LARGE)
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass the body on, unless the request was rejected."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish the request, unless it was rejected."""
        self._is_in_message = False
        if not self.transport.is_closing():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope: Any = cycle.scope  # uvicorn's and Starlette's types of the same ASGI objects differ
        application: Any = app
        if isinstance(app, Dispatcher) and scope["method"] != "HEAD" and (route := app.match(scope)) is not None:
            application = partial(_respond, cycle, app, route)
        super()._start_asgi_task(cycle, application)

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._is_in_message:
            self._close_with(_TOO_SLOW)
        else:
            self.transport.close()

    def _close_with(self, status: bytes) -> None:
        """Close the connection; send `status` first, unless another response is being sent."""
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()


async def _respond(
    cycle: RequestResponseCycle, dispatcher: Dispatcher, route: Route, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a request on the fast path: as `RequestResponseCycle.send` would, but in one write."""
    # uvicorn starts this task before it parses the body. The task runs after the current `data_received`, so by then a
    # body that arrived with the head is in the cycle, complete.
    if not cycle.more_body:
        scope[RECEIVED_BODY] = cycle.body
    status, headers, body = await dispatcher.respond(route, scope, receive)
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
