"""Network backend for httpcore on asyncio.

httpcore's own backend uses anyio, whose cancel scopes cost more per read and write than the read or write itself. This
one implements the streams on asyncio's transports and protocols.
"""

import asyncio
import select
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any, cast

from xpander_sdk.transport.http_library import httpcore
from xpander_sdk.transport.network_sync import WRITE_SIZE

MAX_BUFFER = 65_536  # bytes that wait for the reader; above it, the peer has to wait


class AsyncioStream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """Connection: a protocol for asyncio, a network stream for httpcore.

    `write` only fills a buffer, which the next `read` sends: head and body of a request then leave in one packet.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._is_at_end = False
        self._failure: Exception | None = None
        self._unsent = b""
        self._is_paused = False
        self._is_reading_paused = False
        self._is_idle = False
        self._waiter: asyncio.Future[None] | None = None

    # asyncio.Protocol: called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Append received data, and wake the reader. Close the connection if no request is in progress."""
        if self._is_idle:
            self._is_at_end = True
            self._open_transport.abort()
            return
        self._received += data
        if len(self._received) > MAX_BUFFER and not self._is_reading_paused:
            self._is_reading_paused = True
            self._open_transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Record the end of the stream, and wake the reader."""
        self._is_at_end = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Record the end of the connection and its cause, and wake the reader or the writer."""
        self._is_at_end, self._failure = True, exc
        self._wake()

    def pause_writing(self) -> None:
        """Make the writer wait: the transport's buffer is full."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Wake the writer: the transport's buffer has room again."""
        self._is_paused = False
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, seconds: float | None) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(seconds):
            await self._waiter

    # httpcore.AsyncNetworkStream: called by httpcore.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send the buffer, then return received data; `b""` at the end of the stream."""
        try:
            if self._unsent:
                await self._flush(timeout)
            while not self._received and not self._is_at_end:
                await self._wait(timeout)
        except TimeoutError as error:
            raise httpcore.ReadTimeout("the read timeout expired") from error
        if not self._received and self._failure is not None:
            raise httpcore.ReadError(str(self._failure)) from self._failure
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if self._is_reading_paused and len(self._received) <= MAX_BUFFER:
            self._is_reading_paused = False
            self._open_transport.resume_reading()
        return data

    def set_idle(self, is_idle: bool) -> None:
        """Set whether no request is in progress. Data that arrives meanwhile closes the connection."""
        self._is_idle = is_idle

    async def _flush(self, timeout: float | None) -> None:
        unsent, self._unsent = self._unsent, b""
        for start in range(0, len(unsent), WRITE_SIZE):
            self._open_transport.write(unsent[start : start + WRITE_SIZE])
            while self._is_paused and not self._is_at_end:
                await self._wait(timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Add data to the buffer that the next `read` sends."""
        self._unsent += buffer

    async def aclose(self) -> None:
        """Close the connection at once, without waiting for the peer."""
        self._open_transport.abort()
        # The event loop closes the socket in its next iteration, or with TLS in the one after that.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Encrypt the connection, and return this stream.

        Nothing is unsent here: with a proxy, its response to CONNECT has been read.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                encrypted = await loop.start_tls(
                    self._open_transport, self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            self._open_transport.abort()
            raise httpcore.ConnectTimeout("the TLS handshake timed out") from error
        except OSError as error:
            self._open_transport.abort()
            raise httpcore.ConnectError(str(error)) from error
        if encrypted is None:
            raise httpcore.ConnectError("the connection was closed during the TLS handshake")
        self._transport = encrypted
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return information about the connection.

        httpcore asks an idle connection whether it "is_readable": then the server has closed it, or has sent data that
        belongs to no request. Either way the connection must not be used again.
        """
        if info == "is_readable":
            return bool(self._received) or self._is_at_end or _has_input(self._open_transport.get_extra_info("socket"))
        return self._open_transport.get_extra_info(info)

    @property
    def _open_transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport


def _has_input(connection: Any) -> bool:
    """Return whether the socket has input that the event loop has not read yet, for example after it was blocked."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class AsyncioBackend(httpcore.AsyncNetworkBackend):
    """Network backend of one connection, which it opens as an `AsyncioStream`."""

    def __init__(self) -> None:
        self._stream: AsyncioStream | None = None

    def set_idle(self, is_idle: bool) -> None:
        """Set whether no request is in progress on the connection."""
        if self._stream is not None:
            self._stream.set_idle(is_idle)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a connection; try all addresses of the host within `timeout` seconds, each with an equal share."""
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + (timeout or 3600.0)
        try:
            async with asyncio.timeout(timeout):
                addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the name lookup timed out") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for remaining, (*_, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                async with asyncio.timeout(max(0.001, (deadline - time.monotonic()) / remaining)):
                    self._stream = (await loop.create_connection(AsyncioStream, str(address[0]), port))[1]
                    return self._stream
            except TimeoutError:
                failure = httpcore.ConnectTimeout("the connection timed out")
            except OSError as error:
                failure = httpcore.ConnectError(str(error))
                failure.__cause__ = error
        raise failure
