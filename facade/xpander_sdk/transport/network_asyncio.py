"""Connections on asyncio."""

import asyncio
import select
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any, cast

import httpcore

from xpander_sdk.transport.network_sync import PART


class AsyncioStream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """A connection on asyncio alone: anyio's cancel scopes for every step cost a report more than the step does.

    Writing waits for the first reading, as in `_Stream`.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._is_over = False
        self._failure: Exception | None = None
        self._unsent = b""
        self._is_full = False
        self._waiting: asyncio.Future[None] | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._wake()

    def eof_received(self) -> None:
        self._is_over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over, self._failure = True, exc
        self._wake()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _wait(self, seconds: float | None) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(seconds):
            await self._waiting

    # What httpcore calls.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            if self._unsent:
                await self._flush(timeout)
            while not self._received and not self._is_over:
                await self._wait(timeout)
        except TimeoutError as error:
            raise httpcore.ReadTimeout("no answer in time") from error
        if not self._received and self._failure is not None:
            raise httpcore.ReadError(str(self._failure)) from self._failure
        received = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        return received

    async def _flush(self, timeout: float | None) -> None:
        unsent, self._unsent = self._unsent, b""
        for start in range(0, len(unsent), PART):
            self._open_transport.write(unsent[start : start + PART])
            while self._is_full and not self._is_over:
                await self._wait(timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent += buffer

    async def aclose(self) -> None:
        # At once: waiting for a peer that may be gone is nothing that the host program should do.
        self._open_transport.abort()
        # The event loop closes the socket at its next turn; with TLS, at the one after that.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        # What was written to a proxy was answered; the rest goes through the encrypted transport.
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                upgraded = await loop.start_tls(
                    self._open_transport, self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            self._open_transport.abort()
            raise httpcore.ConnectTimeout("no TLS in time") from error
        except OSError as error:
            self._open_transport.abort()
            raise httpcore.ConnectError(str(error)) from error
        if upgraded is None:
            raise httpcore.ConnectError("the connection ended while TLS was agreed upon")
        self._transport = upgraded
        return self

    def get_extra_info(self, info: str) -> Any:
        if (
            info == "is_readable"
        ):  # asked of an idle connection: whether the server has closed it, or says what it must not
            return bool(self._received) or self._is_over or _has_input(self._open_transport.get_extra_info("socket"))
        return self._open_transport.get_extra_info(info)

    @property
    def _open_transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport


def _has_input(connection: Any) -> bool:
    """Whether there is something that the event loop, which may have stood still for a while, has not seen yet."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class AsyncioNetwork(httpcore.AsyncNetworkBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        until = time.monotonic() + (timeout or 3600.0)
        try:
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no address in time") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for still, (*_, address) in zip(range(len(found), 0, -1), found, strict=True):
            try:
                async with asyncio.timeout(max(0.001, (until - time.monotonic()) / still)):
                    return (await loop.create_connection(AsyncioStream, str(address[0]), port))[1]
            except TimeoutError:
                failure = httpcore.ConnectTimeout("no connection in time")
            except OSError as error:
                failure = httpcore.ConnectError(str(error))
        raise failure
