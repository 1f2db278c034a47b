"""Asynchronous HTTP transport on httpcore. `http` has the synchronous one, and describes the stack of connections."""

import time
import weakref
from urllib.parse import SplitResult

import anyio
import anyio.lowlevel
import sniffio
from attrs import frozen

from xpander_sdk.settings.retry import Timeouts
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.transport.base import Request, Response, TransportError, append_chunk, build_response_async
from xpander_sdk.transport.connection_limits import MAX_CONNECTIONS, pool_options
from xpander_sdk.transport.descriptors import is_out_of_descriptors, pauses
from xpander_sdk.transport.http_library import httpcore
from xpander_sdk.transport.http_requests import HTTPCORE_ERRORS, Origin, transport_error
from xpander_sdk.transport.network_asyncio import AsyncioBackend


@frozen
class _AsyncPooledConnection:
    connection: httpcore.AsyncConnectionInterface
    backend: AsyncioBackend | None  # None on trio, which reads nothing from an idle connection


_ReceivedResponse = tuple[int, list[tuple[bytes, bytes]], bytes]  # status, headers and compressed body


class AsyncHttpTransport:
    """Asynchronous HTTP transport for one event loop of asyncio or trio. Its arguments are those of `HttpTransport`."""

    def __init__(self, settings: TransportSettings, url: SplitResult) -> None:
        self._origin = Origin(url)
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
        except HTTPCORE_ERRORS as error:
            await self._release(pooled)
            raise transport_error(error) from error
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
