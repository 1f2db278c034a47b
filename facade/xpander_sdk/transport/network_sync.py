"""Network backend for httpcore's synchronous connections, with a deadline for the whole request.

httpcore's timeouts start again with each read and write. A server that sends one byte every few seconds would never
exceed them.
"""

import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from attrs import define

from xpander_sdk.transport.http_library import httpcore

WRITE_SIZE = 65_536  # bytes per write


@define
class Deadline:
    """End of the request that a connection carries at present.

    Attributes:
        time: Monotonic clock, seconds.
    """

    time: float = 0.0

    def limit(self, timeout: float | None) -> float:
        """Return the timeout, or the time that is left if that is shorter.

        Raises:
            httpcore.ReadTimeout: No time is left.
        """
        remaining = self.time - time.monotonic()
        if remaining <= 0:
            raise httpcore.ReadTimeout("the total timeout expired")
        return remaining if timeout is None else min(timeout, remaining)


class _Stream(httpcore.NetworkStream):
    """Stream whose reads and writes end by the deadline of its connection.

    `write` only fills a buffer, which the next `read` sends: head and body of a request then leave in one packet, with
    one system call, and the server wakes up once.
    """

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline
        self._unsent = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            self._flush(timeout)
        return self._stream.read(max_bytes, self._deadline.limit(timeout))

    def _flush(self, timeout: float | None) -> None:
        # A separate function, so that an interrupted `read` has no variable that contains the request and its key.
        unsent, self._unsent = self._unsent, b""
        with suppress(httpcore.WriteError):  # a server may reject a request before it has read all of it
            plain_socket = self._stream.get_extra_info("socket")
            if plain_socket is not None and self._stream.get_extra_info("ssl_object") is None:
                self._send(plain_socket, memoryview(unsent), timeout)
                return
            # The inner stream applies the timeout to each piece that the peer accepts; this loop bounds their sum.
            for start in range(0, len(unsent), WRITE_SIZE):
                self._stream.write(unsent[start : start + WRITE_SIZE], self._deadline.limit(timeout))

    def _send(self, plain_socket: socket.socket, unsent: memoryview, timeout: float | None) -> None:
        """Send all bytes with as few system calls as the peer allows: each may wake it up."""
        try:
            while unsent:
                plain_socket.settimeout(self._deadline.limit(timeout))
                unsent = unsent[plain_socket.send(unsent) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent += buffer

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        encrypted = self._stream.start_tls(ssl_context, server_hostname, self._deadline.limit(timeout))
        return _Stream(encrypted, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class DeadlineBackend(httpcore.SyncBackend):
    """Network backend whose streams obey a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Open a connection; try all addresses of the host within `timeout` seconds, each with an equal share.

        httpcore's own method would apply the timeout to each address.
        """
        deadline = time.monotonic() + self._deadline.limit(timeout)
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for remaining, (*_, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = max(0.001, (deadline - time.monotonic()) / remaining)
            try:
                stream = super().connect_tcp(str(address[0]), port, share, local_address, socket_options)
                return _Stream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure
