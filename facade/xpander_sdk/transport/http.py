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
import weakref
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import SplitResult

import anyio
import anyio.lowlevel
import sniffio
from attrs import frozen

from xpander_sdk.settings.retry import Timeouts
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.transport import log_filter  # noqa: F401  (from its import on, httpcore's logs are redacted)
from xpander_sdk.transport.base import (
    Request,
    Response,
    TransportError,
    append_chunk,
    build_response,
    build_response_async,
)
from xpander_sdk.transport.connection_limits import MAX_CONNECTIONS, pool_options
from xpander_sdk.transport.descriptors import is_out_of_descriptors, pauses
from xpander_sdk.transport.http_library import httpcore
from xpander_sdk.transport.network_asyncio import AsyncioBackend
from xpander_sdk.transport.network_sync import Deadline, DeadlineBackend

_HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,  # TLS errors after the handshake, which httpcore does not convert on anyio
)


_NO_DESCRIPTOR = "the total timeout expired before the process had a free file descriptor; raise its limit (ulimit -n)"


@frozen
class _PooledConnection:
    connection: httpcore.ConnectionInterface
    deadline: Deadline


@frozen
class _AsyncPooledConnection:
    connection: httpcore.AsyncConnectionInterface
    backend: AsyncioBackend | None  # None on trio, which reads nothing from an idle connection


_ReceivedResponse = tuple[int, list[tuple[bytes, bytes]], bytes]  # status, headers and compressed body


class HttpTransport:
    """Synchronous HTTP transport. Threads can share it; requests in flight never share a connection.

    Args:
        settings: Proxy and certificates.
        url: URL of the destination.
    """

    def __init__(self, settings: TransportSettings, url: SplitResult) -> None:
        self._origin = _Origin(url)
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
                    raise TransportError(_NO_DESCRIPTOR, is_timeout=True) from error
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


class AsyncHttpTransport:
    """Asynchronous HTTP transport for one event loop of asyncio or trio. Its arguments are those of `HttpTransport`."""

    def __init__(self, settings: TransportSettings, url: SplitResult) -> None:
        self._origin = _Origin(url)
        self._options = pool_options(settings, url)
        self._loop = anyio.lowlevel.current_token()
        self._is_asyncio = sniffio.current_async_library() == "asyncio"
        self._idle: list[_AsyncPooledConnection] = []
        self._slots = anyio.Semaphore(MAX_CONNECTIONS, fast_acquire=True)
        self._is_closed = False
        _async_transports.add(self)

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Send one attempt of the request and return the complete response; see `AsyncTransport.send`."""
        try:
            with anyio.fail_after(max(0.0, deadline - time.monotonic())):
                async with self._slots:
                    return await build_response_async(*await self._receive(request, timeouts))
        except TimeoutError as error:
            raise TransportError("the total timeout expired", is_timeout=True) from error

    async def _receive(self, request: Request, timeouts: Timeouts) -> _ReceivedResponse:
        for pause in pauses():
            try:
                return await self._send(request, timeouts)
            except TransportError as error:
                if not is_out_of_descriptors(error.__cause__):
                    raise
            for transport in list(_async_transports):
                if transport._loop == self._loop:
                    await transport.close_idle()
            await anyio.sleep(pause)
        raise AssertionError("unreachable")

    async def _send(self, request: Request, timeouts: Timeouts) -> _ReceivedResponse:
        pooled = await self._acquire()
        try:
            response = await pooled.connection.handle_async_request(self._origin.httpcore_request(request, timeouts))
            try:
                body = bytearray()
                async for chunk in response.aiter_stream():
                    append_chunk(body, chunk)
            finally:
                await response.aclose()
        except _HTTPCORE_ERRORS as error:
            await self._release(pooled)
            raise _transport_error(error) from error
        except BaseException:
            # Cancelled in the middle of a request: its state is unknown.
            with anyio.CancelScope(shield=True):
                await pooled.connection.aclose()
            raise
        await self._release(pooled)
        return response.status, response.headers, bytes(body)

    async def _acquire(self) -> _AsyncPooledConnection:
        while self._idle:
            pooled = self._idle.pop()
            if not pooled.connection.has_expired():
                if pooled.backend is not None:
                    pooled.backend.set_idle(False)
                return pooled
            await pooled.connection.aclose()
        backend = AsyncioBackend() if self._is_asyncio else None
        pool = httpcore.AsyncConnectionPool(network_backend=backend, **self._options)
        return _AsyncPooledConnection(pool.create_connection(self._origin.origin), backend)

    async def _release(self, pooled: _AsyncPooledConnection) -> None:
        if self._is_closed or not pooled.connection.is_available():
            await pooled.connection.aclose()
        else:
            if pooled.backend is not None:
                pooled.backend.set_idle(True)
            self._idle.append(pooled)

    async def close(self) -> None:
        """Close idle connections."""
        self._is_closed = True
        await self.close_idle()

    async def close_idle(self) -> None:
        """Close the connections that are idle now."""
        with anyio.CancelScope(shield=True):  # at the end of trio.run, all tasks are cancelled
            while self._idle:
                await self._idle.pop().connection.aclose()


_async_transports: weakref.WeakSet[AsyncHttpTransport] = weakref.WeakSet()
"""All asynchronous transports; those of one event loop give up their idle connections for each other."""


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
