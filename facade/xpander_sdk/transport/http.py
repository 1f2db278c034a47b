"""HTTP through httpcore, the engine below httpx, in lanes: connections that are taken and given back like plates from
a pile.

httpcore's own pool looks at all of its connections for every request, which with 32 in flight costs more than the
requests; a pile looks at none. The pool only makes them, for it knows how through which proxy. And a lane of the
synchronous form has a deadline of its own.
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
from xpander_sdk.transport.base import Request, Response, TransportError, bounded, build_response
from xpander_sdk.transport.network_asyncio import AsyncioNetwork
from xpander_sdk.transport.network_sync import Clock, Network
from xpander_sdk.transport.proxies import proxy_for
from xpander_sdk.transport.tls import build_ssl_context

MAX_CONNECTIONS = 100
KEEP_ALIVE = 60.0  # seconds; what a server closes earlier is noticed before it is used


@frozen
class _PooledConnection:
    connection: httpcore.ConnectionInterface
    clock: Clock


class HttpTransport:
    """HTTP, synchronously. Safe to share between threads."""

    def __init__(self, settings: TransportSettings, url: SplitResult) -> None:
        self._origin = _Origin(url)
        self._options = _pool_options(settings, url)
        self._idle: list[_PooledConnection] = []
        self._is_closed = False

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        # As many lanes as threads report at once; no lock is taken that a signal could leave half taken.
        lane = self._lane()
        lane.clock.deadline = deadline
        try:
            response = lane.connection.handle_request(self._origin.wire(request, timeouts))
            try:
                body = bytearray()
                for chunk in response.iter_stream():
                    body += bounded(body, chunk)
            finally:
                response.close()
        except _HTTPCORE_ERRORS as error:
            self._give_back(lane)
            raise _no_answer(error) from error
        except BaseException:
            lane.connection.close()  # interrupted between two steps, it is of no further use
            raise
        self._give_back(lane)
        return build_response(response.status, response.headers, bytes(body))

    def _lane(self) -> _PooledConnection:
        while True:
            try:
                lane = self._idle.pop()
            except IndexError:
                clock = Clock()
                pool = httpcore.ConnectionPool(network_backend=Network(clock), **self._options)
                return _PooledConnection(pool.create_connection(self._origin.origin), clock)
            if not lane.connection.has_expired():
                return lane
            lane.connection.close()

    def _give_back(self, lane: _PooledConnection) -> None:
        if self._is_closed or not lane.connection.is_available():
            lane.connection.close()
        else:
            self._idle.append(lane)

    def close(self) -> None:
        self._is_closed = True
        while self._idle:
            self._idle.pop().connection.close()


class AsyncHttpTransport:
    """HTTP within one event loop, of asyncio or of trio."""

    def __init__(self, settings: TransportSettings, url: SplitResult) -> None:
        self._origin = _Origin(url)
        backend = AsyncioNetwork() if sniffio.current_async_library() == "asyncio" else None
        self._pool = httpcore.AsyncConnectionPool(network_backend=backend, **_pool_options(settings, url))
        self._idle: list[httpcore.AsyncConnectionInterface] = []
        self._free = anyio.Semaphore(MAX_CONNECTIONS, fast_acquire=True)
        self._is_closed = False

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        try:
            with anyio.fail_after(max(0.0, deadline - time.monotonic())):
                async with self._free:
                    return await self._send(request, timeouts)
        except TimeoutError as error:
            raise TransportError("the total time is up", is_timeout=True) from error

    async def _lane(self) -> httpcore.AsyncConnectionInterface:
        while self._idle:
            lane = self._idle.pop()
            if not lane.has_expired():
                return lane
            await lane.aclose()
        return self._pool.create_connection(self._origin.origin)

    async def _give_back(self, lane: httpcore.AsyncConnectionInterface) -> None:
        if self._is_closed or not lane.is_available():
            await lane.aclose()
        else:
            self._idle.append(lane)

    async def _send(self, request: Request, timeouts: Timeouts) -> Response:
        lane = await self._lane()
        try:
            response = await lane.handle_async_request(self._origin.wire(request, timeouts))
            try:
                body = bytearray()
                async for chunk in response.aiter_stream():
                    body += bounded(body, chunk)
            finally:
                await response.aclose()
        except _HTTPCORE_ERRORS as error:
            await self._give_back(lane)
            raise _no_answer(error) from error
        except BaseException:
            # Cancelled between two steps, it is of no further use.
            with anyio.CancelScope(shield=True):
                await lane.aclose()
            raise
        await self._give_back(lane)
        return build_response(response.status, response.headers, bytes(body))

    async def close(self) -> None:
        self._is_closed = True
        with anyio.CancelScope(shield=True):  # at the end of trio.run, all is cancelled
            while self._idle:
                await self._idle.pop().aclose()


_HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,  # encryption that breaks after the handshake, which httpcore's anyio streams let through
)


class _Origin:
    """The place that all requests of a sender go to."""

    def __init__(self, url: SplitResult) -> None:
        self._scheme = url.scheme.lower().encode("ascii")
        self._host = _ascii(url.hostname or "")
        self._port = url.port or (443 if self._scheme == b"https" else 80)
        self._header = (b"host", _ascii(url.netloc))
        self.origin = httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target="/").origin

    def wire(self, request: Request, timeouts: Timeouts) -> httpcore.Request:
        return httpcore.Request(
            request.method.encode("ascii"),
            httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target=request.target),
            headers=[self._header, *request.headers],
            content=_Content(request.content),
            extensions={"timeout": {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.read}},
        )


class _Content:
    """A body, for both forms. httpcore's own is an asynchronous generator, of which a cancelled request leaves half."""

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


def _ascii(host: str) -> bytes:
    return host.encode("ascii" if host.isascii() else "idna")


def _pool_options(settings: TransportSettings, url: SplitResult) -> dict[str, Any]:
    return {
        "ssl_context": build_ssl_context(settings) if url.scheme.lower() == "https" else None,
        "proxy": proxy_for(settings, url),
        "max_connections": 1,
        "keepalive_expiry": KEEP_ALIVE,
    }


def _no_answer(error: Exception) -> TransportError:
    causes = [cause for cause in (error, error.__cause__, error.__context__) if cause is not None]
    told = next((str(cause) for cause in causes if str(cause)), type(error).__name__)
    is_retryable = not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
    if "WRONG_VERSION_NUMBER" in told:
        told, is_retryable = f"{told}. It does not speak TLS; is base_url to begin with http://?", False
    return TransportError(told, is_timeout=isinstance(error, httpcore.TimeoutException), is_retryable=is_retryable)
