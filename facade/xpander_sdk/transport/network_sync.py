"""Connections of the synchronous form, which keep the deadline of their lane.

A server that sends a byte now and then never meets a time-out that counts from the last byte.
"""

import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore
from attrs import define

PART = 65_536  # bytes


@define
class Clock:
    """Until when the request that a lane carries may take (monotonic)."""

    deadline: float = 0.0

    def left(self, seconds: float | None) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the total time is up")
        return left if seconds is None else min(seconds, left)


class _Stream(httpcore.NetworkStream):
    """A stream whose every step ends by the deadline of its lane.

    What is written waits for the first reading, so that the head and the body of a request leave together: one packet,
    one call of the system, and the server is woken once.
    """

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._unsent = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            self._flush(timeout)
        return self._stream.read(max_bytes, self._clock.left(timeout))

    def _flush(self, timeout: float | None) -> None:
        # By itself: who is interrupted while reading has no variable that holds the request, and with it the key.
        unsent, self._unsent = self._unsent, b""
        with suppress(httpcore.WriteError):  # a server may refuse a request, and say why, before it has all of it
            # In parts: the stream gives its time-out to each piece that the receiver takes, however many there are.
            for start in range(0, len(unsent), PART):
                self._stream.write(unsent[start : start + PART], self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent += buffer

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._clock.left(timeout)), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class Network(httpcore.SyncBackend):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        # One time for all addresses of the host together, of which each gets its share; the backend would give it to
        # each of them anew.
        until = time.monotonic() + self._clock.left(timeout)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for still, (*_, address) in zip(range(len(found), 0, -1), found, strict=True):
            share = max(0.001, (until - time.monotonic()) / still)
            try:
                stream = super().connect_tcp(str(address[0]), port, share, local_address, socket_options)
                return _Stream(stream, self._clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure
