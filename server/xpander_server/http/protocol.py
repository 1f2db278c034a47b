"""uvicorn's HTTP protocol, with strict framing, time limits, and a fast path for the contract's operations.

Framing. `framing.check_head` refuses heads that a proxy could read in another way. After a refusal the connection reads
nothing more: earlier requests on it are answered, then the refusal is sent, and the connection is closed. `Upgrade` is
ignored: httptools skips the body of a request with `Upgrade` and stops, so `_parse` gives the head without `Upgrade` to
a new parser, which then reads the body by its length.

Time limits. Each connection is checked at intervals of `CHECK_INTERVAL`:

    state                            ends after                       by
    head incomplete                  HEAD_TIMEOUT                     408, or a close if no byte has arrived
    body incomplete, being read      the timeout of the endpoint      408 (api/request_body.py)
    body incomplete, response sent   UNREAD_BODY_TIMEOUT              close
    response that is not accepted    WRITE_TIMEOUT without progress;  abort
                                     CHECK_INTERVAL while all unsent
                                     responses are above their limit
    idle                             uvicorn's timeout_keep_alive     close
    TLS handshake                    HANDSHAKE_TIMEOUT                abort (http/tls.py)

Connections. Above the `ConnectionLimits` of all connections and of one client address, a new connection gets 503 and is
closed. Encrypted connections are counted before their handshake (http/tls.py). uvicorn's own `limit_concurrency`, which
refuses requests on connections that are open already, is not used.

Fast path. Most requests are reports: the body arrives together with the head, and the response is one piece. For these
`_respond` reads the body from the cycle without ASGI messages, and writes the response with one `transport.write`. With
`Dispatcher.respond` this raised the rate without a store from 3,900 to 8,900 reports per second. All other requests
take uvicorn's regular ASGI path. Both paths give the same bytes; tests/server/test_fast_path.py compares them.

uvicorn's protocol is not a public interface. pyproject.toml therefore allows uvicorn 0.40 to 0.54 only; check this
list before raising the upper bound. This module uses these names of `uvicorn.protocols.http.httptools_impl`:

    HttpToolsProtocol     methods   connection_made, connection_lost, resume_writing, on_message_begin,
                                    on_headers_complete, on_body, on_message_complete, _start_asgi_task,
                                    _unset_keepalive_if_required
                          attributes transport, loop, parser, url, headers, scope, cycle, app, connections, pipeline,
                                    timeout_keep_alive
    RequestResponseCycle  read      scope, body, more_body, flow (write_paused, drain), disconnected, default_headers,
                                    keep_alive, message_event, transport, on_response
                          written   keep_alive, response_started, response_complete, disconnected
    STATUS_LINE           status line by status code

Where uvicorn does not call `_start_asgi_task`, every request takes the regular path. uvicorn 0.45 is the first version
that does.
"""

import asyncio
import logging
from functools import partial
from typing import Any

import httptools
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from xpander_server.http import framing
from xpander_server.http.connection_limits import ConnectionLimits, CountedConnection
from xpander_server.http.dispatcher import RECEIVED_BODY, Dispatcher
from xpander_server.http.framing import Refusal

HEAD_TIMEOUT = 20.0
"""Seconds from the start of the connection, or from the first byte of a request, to the end of its head."""
UNREAD_BODY_TIMEOUT = 10.0
"""Seconds from the response to the end of a body that nobody reads."""
WRITE_TIMEOUT = 30.0
"""Seconds in which a client must accept `MIN_WRITE_BYTES` of a response, or its rest."""
MIN_WRITE_BYTES = 64 * 1024
CHECK_INTERVAL = 2.5
"""Seconds between two checks of a connection; a limit applies up to two intervals late."""
LINGER_SECONDS = 1.0
"""Seconds for which input is discarded after a refusal. A close with unread input can destroy the response."""
MAX_HEAD_BYTES = 64 * 1024
"""Bytes of the request line and the headers."""

_log = logging.getLogger(__name__)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with strict framing, limits and the fast path.

    Args:
        *args: As uvicorn gives them.
        limits: Counter of all connections. None for no limits.
        connection: Entry of the connection, if it is counted already.
        **kwargs: As uvicorn gives them.
    """

    head_timeout = HEAD_TIMEOUT
    unread_body_timeout = UNREAD_BODY_TIMEOUT
    write_timeout = WRITE_TIMEOUT
    check_interval = CHECK_INTERVAL

    def __init__(
        self,
        *args: Any,
        limits: ConnectionLimits | None = None,
        connection: CountedConnection | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits or ConnectionLimits(None)
        self._connection = connection
        # Pipelined requests before the newest one, which is the only one that uvicorn informs of the connection's end.
        self._earlier_cycles: list[RequestResponseCycle] = []
        self._timer: asyncio.TimerHandle | None = None
        self._head_since: float | None = None
        self._head_size = 0
        self._is_in_message = False
        self._has_upgrade = False
        self._is_refused = False
        # What the last check saw: the cycle whose response was complete, and the unsent bytes; and since when.
        self._complete_cycle: RequestResponseCycle | None = None
        self._complete_since = 0.0
        self._unsent = 0
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Start the checks, or refuse the connection if there are too many."""
        super().connection_made(transport)
        self._head_since = self.loop.time()
        self._timer = self.loop.call_later(self.check_interval, self._check)
        if self._connection is None:
            peer = transport.get_extra_info("peername")
            self._connection = self._limits.add(peer[0] if isinstance(peer, tuple) else None)
        if self._connection.is_excess:
            is_above_sum = self._connection.is_above_limit
            self._refuse(framing.TOO_MANY_CONNECTIONS if is_above_sum else framing.TOO_MANY_CONNECTIONS_OF_ADDRESS)
            if not self._connection.gets_response:
                transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the checks."""
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.remove()
        for cycle in self._earlier_cycles:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client has accepted a large part of a response."""
        self._unsent_since = self.loop.time()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse `data`, and count it while the head is incomplete."""
        if self._is_refused or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self._head_since is None and not self._is_in_message:
            # Any byte starts the limit. After an empty line, uvicorn would wait for a request without a limit.
            self._head_since = self.loop.time()
        # The parser buffers an incomplete header name or value without a callback. Therefore all bytes that arrive
        # before the head is complete are counted here.
        was_in_head = self._head_since is not None
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(framing.MALFORMED)
        if was_in_head and self._head_since is not None and self._is_in_message:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD_BYTES:
                self._refuse(framing.HEAD_TOO_LARGE)

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if self._is_refused:
                    return
                rest = rest[upgrade.args[0] :]
            version, method = self.parser.get_http_version(), self.parser.get_method()
            head = framing.head_without_upgrade(method, self.url, version, self.headers)
            self._has_upgrade = False
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self.parser.feed_data(head)

    def on_message_begin(self) -> None:
        """Start the limit for the head of a request that follows on the same connection."""
        super().on_message_begin()
        self._is_in_message = True
        self._head_size = 0
        if self._head_since is None:
            self._head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """Start the request, or refuse it."""
        self._head_since = None
        if self._is_refused or self.transport.is_closing():
            return
        refusal = framing.check_head(self.parser.get_method(), self.parser.get_http_version(), self.headers)
        # The size of a head that arrived in one piece was not counted before.
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            refusal = framing.HEAD_TOO_LARGE
        if refusal is not None:
            self._start_refusal(refusal)
        elif self.parser.should_upgrade():
            self._has_upgrade = True
        else:
            previous = self.cycle
            super().on_headers_complete()
            if previous is not None and not previous.response_complete:
                earlier = (cycle for cycle in self._earlier_cycles if not cycle.response_complete)
                self._earlier_cycles = [*earlier, previous]

    def on_body(self, body: bytes) -> None:
        """Pass the body on, unless the request was refused."""
        if not (self._is_refused or self.transport.is_closing()):
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish the request, unless it was refused."""
        self._is_in_message = False
        if not (self._has_upgrade or self._is_refused or self.transport.is_closing()):
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope: Any = cycle.scope  # uvicorn's and Starlette's types of the same ASGI objects differ
        application: Any = partial(_call, cycle, app)
        if isinstance(app, Dispatcher) and scope["method"] != "HEAD" and (route := app.match(scope)) is not None:
            application = partial(_respond, cycle, app, route)
        super()._start_asgi_task(cycle, application)

    def _start_refusal(self, refusal: Refusal) -> None:
        """Answer the request whose head is complete with a refusal, after the responses to earlier requests."""
        application, self.app = self.app, partial(self._send_refusal, refusal)  # uvicorn gives `app` to the cycle
        self.url = b"/"  # uvicorn would fail to parse some targets
        try:
            super().on_headers_complete()
        finally:
            self.app = application
        self._log_refusal(refusal)
        self._is_refused = True

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse the message that is being received, and read nothing more."""
        if self._is_refused or self.transport.is_closing():
            return
        self._log_refusal(refusal)
        self._is_refused = True
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._write_and_close(refusal)
        elif cycle.scope is not self.scope or not cycle.more_body:
            # The message has no cycle yet; responses to earlier requests are still being prepared.
            cycle.keep_alive = False
        elif self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline[0] = (cycle, partial(self._send_refusal, refusal))
        else:
            # The body of the running request is malformed.
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
            else:
                self._write_and_close(refusal)

    async def _send_refusal(self, refusal: Refusal, *_: object) -> None:
        """Answer the newest request, as an ASGI application."""
        self.cycle.response_started = self.cycle.response_complete = True
        self._write_and_close(refusal)

    def _write_and_close(self, refusal: Refusal) -> None:
        self.transport.write(refusal.encode())
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()

    def _log_refusal(self, refusal: Refusal) -> None:
        _log.info("connection refused with %d: %s", refusal.status, refusal.detail)

    def _check(self) -> None:
        """Close the connection if its state has lasted too long."""
        now = self.loop.time()
        self._timer = self.loop.call_later(self.check_interval, self._check)
        if self._is_write_stalled(now):
            self.transport.abort()
        elif self.transport.is_closing() or self._is_refused:
            return
        elif self._head_since is not None:
            if now - self._head_since >= self.head_timeout:
                self._end_head()
        elif self.cycle is not None and self.cycle.response_complete:
            if self._complete_cycle is not self.cycle:
                self._complete_cycle, self._complete_since = self.cycle, now
            limit = self.unread_body_timeout if self._is_in_message else self.timeout_keep_alive
            if now - self._complete_since >= limit:
                self.transport.close()

    def _is_write_stalled(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or self._unsent == 0 or unsent <= self._unsent - MIN_WRITE_BYTES:
            self._unsent, self._unsent_since = unsent, now
        self._unsent = max(self._unsent, unsent)
        if self._connection is not None:
            self._connection.set_unsent_bytes(unsent)
        timeout = self.check_interval if self._limits.has_too_many_unsent_bytes else self.write_timeout
        return unsent > 0 and now - self._unsent_since >= timeout

    def _end_head(self) -> None:
        if self._is_in_message:
            self._refuse(framing.HEAD_TOO_SLOW)
        else:
            self.transport.close()


async def _await_previous_response(cycle: RequestResponseCycle) -> None:
    """Wait until the client has read most of the response to its previous request, so that it occupies memory once."""
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()


async def _call(cycle: RequestResponseCycle, app: Any, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request on uvicorn's regular path."""
    await _await_previous_response(cycle)
    await app(scope, receive, send)


async def _respond(
    cycle: RequestResponseCycle, dispatcher: Dispatcher, route: Route, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a request on the fast path: as `RequestResponseCycle.send` would, but in one write."""
    # uvicorn starts this task before it parses the body. The task runs after the current `data_received`, so by then a
    # body that arrived with the head is in the cycle, complete.
    if not cycle.more_body:
        scope[RECEIVED_BODY] = cycle.body
    await _await_previous_response(cycle)
    status, headers, body = await dispatcher.respond(route, scope, receive)
    if cycle.transport.is_closing():
        # `connection_lost` sets it a moment later. uvicorn would log that the application has not responded.
        cycle.disconnected = True
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
