"""Synchronous HTTP transport on httpcore, with its own stack of idle connections.

httpcore's `ConnectionPool` examines all of its connections for each request. With 32 requests in flight that takes
longer than the requests themselves. This transport and that of `http_async` therefore keep idle connections on a
stack, last in, first out:

    send    pop the connection that was used last, or let httpcore create one
            request → response
            push it back if it can be used again, else close it

Both operations take constant time. The last connection in is also the one that the server is least likely to have
closed; the others expire after `KEEP_ALIVE`. httpcore's pool creates the connections, because it implements proxies and
TLS, and executes no request.

The synchronous transport pops and pushes without a lock (`list.pop` and `list.append` are atomic), because a signal
handler may interrupt a thread that holds one. Each of its connections has a `Deadline`, which bounds a whole request:
httpcore's timeouts bound single reads and writes only. The asynchronous transport cancels the request instead. It is a
module of its own, because a synchronous program need not import asyncio.
"""

import time
import weakref
from contextlib import suppress
from urllib.parse import SplitResult

from attrs import frozen

from xpander_sdk.settings.retry import Timeouts
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.transport.base import Request, Response, TransportError, append_chunk, build_response
from xpander_sdk.transport.connection_limits import pool_options
from xpander_sdk.transport.descriptors import is_out_of_descriptors, pauses
from xpander_sdk.transport.http_library import httpcore
from xpander_sdk.transport.http_requests import HTTPCORE_ERRORS, NO_DESCRIPTOR, Origin, transport_error
from xpander_sdk.transport.network_sync import Deadline, DeadlineBackend


@frozen
class _PooledConnection:
    connection: httpcore.ConnectionInterface
    deadline: Deadline


class HttpTransport:
    """Synchronous HTTP transport. Threads can share it; requests in flight never share a connection.

    Args:
        settings: Proxy and certificates.
        url: URL of the destination.
    """

    def __init__(self, settings: TransportSettings, url: SplitResult) -> None:
        self._origin = Origin(url)
        self._options = pool_options(settings, url)
        self._idle: list[_PooledConnection] = []
        self._is_closed = False
        _transports.add(self)

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Send one attempt of the request and return the complete response; see `Transport.send`."""
        for pause in pauses():
            try:
                return self._send(request, timeouts, deadline)
            except TransportError as error:
                if not is_out_of_descriptors(error.__cause__):
                    raise
                if time.monotonic() + pause >= deadline:
                    raise TransportError(NO_DESCRIPTOR, is_timeout=True) from error
            for transport in list(_transports):
                transport.close_idle()
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        pooled = self._acquire()
        pooled.deadline.time = deadline
        try:
            response = pooled.connection.handle_request(self._origin.httpcore_request(request, timeouts))
            try:
                body = bytearray()
                for chunk in response.iter_stream():
                    append_chunk(body, chunk)
            finally:
                response.close()
        except HTTPCORE_ERRORS as error:
            self._release(pooled)
            raise transport_error(error) from error
        except BaseException:
            pooled.connection.close()  # interrupted in the middle of a request: its state is unknown
            raise
        self._release(pooled)
        return build_response(response.status, response.headers, bytes(body))

    def _acquire(self) -> _PooledConnection:
        while True:
            try:
                pooled = self._idle.pop()
            except IndexError:
                deadline = Deadline()
                pool = httpcore.ConnectionPool(network_backend=DeadlineBackend(deadline), **self._options)
                return _PooledConnection(pool.create_connection(self._origin.origin), deadline)
            if not pooled.connection.has_expired():
                return pooled
            pooled.connection.close()

    def _release(self, pooled: _PooledConnection) -> None:
        if self._is_closed or not pooled.connection.is_available():
            pooled.connection.close()
        else:
            self._idle.append(pooled)

    def close(self) -> None:
        """Close idle connections. Connections in use are closed when their response is complete."""
        self._is_closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that are idle now."""
        with suppress(IndexError):  # another thread may take the last one
            while True:
                self._idle.pop().connection.close()


_transports: weakref.WeakSet[HttpTransport] = weakref.WeakSet()
"""All synchronous transports: each gives up its idle connections when the process has no free descriptor."""
