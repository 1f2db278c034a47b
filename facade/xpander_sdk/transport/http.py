"""HTTP transports on httpcore, each with its own stack of idle connections.

httpcore's `ConnectionPool` examines all of its connections for each request. With 32 requests in flight that takes
longer than the requests themselves. These transports therefore keep idle connections on a stack, last in, first out:

    send    pop the connection that was used last, or let httpcore create one
            request → response
            push it back if it can be used again, else close it

Both operations take constant time. The last connection in is also the one that the server is least likely to have
closed; the others expire after `KEEP_ALIVE`. httpcore's pool creates the connections, because it implements proxies and
TLS, and executes no request.

The synchronous transport pops and pushes without a lock (`list.pop` and `list.append` are atomic), because a signal
handler may interrupt a thread that holds one. Each of its connections has a `Deadline`, which bounds a whole request:
httpcore's timeouts bound single reads and writes only. The asynchronous transport cancels the request instead.
"""

import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import SplitResult

import anyio
import httpcore
import sniffio
from attrs import frozen

from xpander_sdk.settings.retry import Timeouts
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.transport import log_filter  # noqa: F401  (from its import on, httpcore's logs are redacted)
from xpander_sdk.transport.base import Request, Response, TransportError, append_chunk, build_response
from xpander_sdk.transport.network_asyncio import AsyncioBackend
from xpander_sdk.transport.network_sync import Deadline, DeadlineBackend
from xpander_sdk.transport.proxies import build_proxy
from xpander_sdk.transport.tls import build_ssl_context

MAX_CONNECTIONS = 100  # asynchronous requests in flight per destination; the others wait
KEEP_ALIVE = 60.0  # seconds; a connection that the server closes earlier is detected before its next use

_HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,  # TLS errors after the handshake, which httpcore does not convert on anyio
)


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
        self._origin = _Origin(url)
        self._options = _pool_options(settings, url)
        self._idle: list[_PooledConnection] = []
        self._is_closed = False

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Send one attempt of the request and return the complete response; see `Transport.send`."""
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
        except _HTTPCORE_ERRORS as error:
            self._release(pooled)
            raise _transport_error(error) from error
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
        """Close idle connections."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().connection.close()


class AsyncHttpTransport:
    """Asynchronous HTTP transport for one event loop of asyncio or trio. Its arguments are those of `HttpTransport`."""

    def __init__(self, settings: TransportSettings, url: SplitResult) -> None:
        self._origin = _Origin(url)
        backend = AsyncioBackend() if sniffio.current_async_library() == "asyncio" else None
        self._pool = httpcore.AsyncConnectionPool(network_backend=backend, **_pool_options(settings, url))
        self._idle: list[httpcore.AsyncConnectionInterface] = []
        self._slots = anyio.Semaphore(MAX_CONNECTIONS, fast_acquire=True)
        self._is_closed = False

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Send one attempt of the request and return the complete response; see `AsyncTransport.send`."""
        try:
            with anyio.fail_after(max(0.0, deadline - time.monotonic())):
                async with self._slots:
                    return await self._send(request, timeouts)
        except TimeoutError as error:
            raise TransportError("the total timeout expired", is_timeout=True) from error

    async def _send(self, request: Request, timeouts: Timeouts) -> Response:
        connection = await self._acquire()
        try:
            response = await connection.handle_async_request(self._origin.httpcore_request(request, timeouts))
            try:
                body = bytearray()
                async for chunk in response.aiter_stream():
                    append_chunk(body, chunk)
            finally:
                await response.aclose()
        except _HTTPCORE_ERRORS as error:
            await self._release(connection)
            raise _transport_error(error) from error
        except BaseException:
            # Cancelled in the middle of a request: its state is unknown.
            with anyio.CancelScope(shield=True):
                await connection.aclose()
            raise
        await self._release(connection)
        return build_response(response.status, response.headers, bytes(body))

    async def _acquire(self) -> httpcore.AsyncConnectionInterface:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return self._pool.create_connection(self._origin.origin)

    async def _release(self, connection: httpcore.AsyncConnectionInterface) -> None:
        if self._is_closed or not connection.is_available():
            await connection.aclose()
        else:
            self._idle.append(connection)

    async def close(self) -> None:
        """Close idle connections."""
        self._is_closed = True
        with anyio.CancelScope(shield=True):  # at the end of trio.run, all tasks are cancelled
            while self._idle:
                await self._idle.pop().aclose()


class _Origin:
    """Scheme, host and port of a destination, encoded once for all requests."""

    def __init__(self, url: SplitResult) -> None:
        self._scheme = url.scheme.lower().encode("ascii")
        self._host = _encode_host(url.hostname or "")
        self._port = url.port or (443 if self._scheme == b"https" else 80)
        self._host_header = (b"host", _encode_host(url.netloc))
        self.origin = httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target="/").origin

    def httpcore_request(self, request: Request, timeouts: Timeouts) -> httpcore.Request:
        return httpcore.Request(
            request.method.encode("ascii"),
            httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target=request.target),
            headers=[self._host_header, *request.headers],
            content=_Content(request.content),
            extensions={"timeout": {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.read}},
        )


class _Content:
    """Body of a request, for both transports.

    httpcore's own class is an asynchronous generator, which a cancelled request leaves unfinished.
    """

    def __init__(self, content: bytes) -> None:
        self._parts = iter((content,) if content else ())

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def __aiter__(self) -> "_Content":
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            raise StopAsyncIteration from None


def _encode_host(host: str) -> bytes:
    return host.encode("ascii" if host.isascii() else "idna")


def _pool_options(settings: TransportSettings, url: SplitResult) -> dict[str, Any]:
    return {
        "ssl_context": build_ssl_context(settings) if url.scheme.lower() == "https" else None,
        "proxy": build_proxy(settings, url),
        "max_connections": 1,
        "keepalive_expiry": KEEP_ALIVE,
    }


def _transport_error(error: Exception) -> TransportError:
    causes = [cause for cause in (error, error.__cause__, error.__context__) if cause is not None]
    description = next((str(cause) for cause in causes if str(cause)), type(error).__name__)
    is_retryable = not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
    if "WRONG_VERSION_NUMBER" in description:
        description = f"{description}. The server does not use TLS; base_url must perhaps begin with http://"
        is_retryable = False
    return TransportError(
        description, is_timeout=isinstance(error, httpcore.TimeoutException), is_retryable=is_retryable
    )
