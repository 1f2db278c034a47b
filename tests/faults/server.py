"""HTTP server on raw sockets that follows a script of faults.

The script contains one step for each attempt that reaches the server. An attempt is a new connection, or a further
request on a connection that was kept open. The last step also handles all attempts after it. `steps.py` defines steps.
"""

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any

from attrs import frozen

HOST = "127.0.0.1"
OTHER_HOST = "127.0.0.2"
JOIN_TIMEOUT = 20.0  # seconds; longer than any test waits, so a thread that takes longer never ends


@frozen
class Request:
    """Received request; the names of its headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class Disconnected(Exception):
    """The client closed the connection, or the server stops."""


class Peer:
    """Client side of one connection, as a step of the script uses it."""

    def __init__(self, server: "FaultServer", connection: socket.socket) -> None:
        self.server = server
        self.socket = connection
        self._received = bytearray()

    def read_request(self, *, with_body: bool = True) -> Request:
        """Read a request and add it to the server's list."""
        head = self._read_until(b"\r\n\r\n").decode("latin-1")
        line, *lines = head.split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        content = self._read_exactly(int(headers.get("content-length", 0))) if with_body else b""
        request = Request(method, target, headers, content)
        self.server.requests.append(request)
        return request

    def has_whole_request(self) -> bool:
        """Return whether `read_request` would return without waiting."""
        head = bytes(self._received[:2_000]).partition(b"\r\n\r\n")[0]
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        return length is not None and len(self._received) >= len(head) + 4 + int(length[1])

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Disconnected from error

    def drip(self, data: bytes, interval: float) -> None:
        """Send one byte per interval, which is in seconds."""
        for byte in data:
            self.send(bytes([byte]))
            if self.server.is_stopping.wait(interval):
                raise Disconnected

    def reset(self) -> None:
        """Make the server reset the connection instead of closing it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hang(self) -> None:
        """Send nothing until the client closes the connection."""
        while self.receive():
            pass

    def wait_for_data(self) -> bool:
        """Wait for a further request; return False if the client closes the connection."""
        try:
            return bool(self._received) or self.receive()
        except Disconnected:
            return False

    def receive(self, max_bytes: int = 65_536) -> bool:
        """Read available data; return False if the client has closed the connection."""
        try:
            data = self.socket.recv(max_bytes)
        except OSError as error:
            raise Disconnected from error
        self._received += data
        return bool(data)

    def _read_until(self, end: bytes) -> bytes:
        while (index := self._received.find(end)) < 0:
            if not self.receive():
                raise Disconnected
        return self._take(index + len(end))[: -len(end)]

    def _read_exactly(self, length: int) -> bytes:
        while len(self._received) < length:
            if not self.receive():
                raise Disconnected
        return self._take(length)

    def _take(self, length: int) -> bytes:
        data = bytes(self._received[:length])
        del self._received[:length]
        return data


Step = Callable[[Peer], bool | None]
"""Handler of one attempt; returns whether the connection stays open for a further request."""


class FaultServer:
    """Server on a free loopback port; `with` stops it at the end of the block.

    Args:
        script: steps for the first attempt, the second attempt and so on.
        tls: TLS context; None for plain HTTP.
        is_listening: False reserves the port and refuses connections until `listen()` is called.
        address: host and port to listen at; port 0 is a free port.
    """

    def __init__(
        self,
        *script: Step,
        tls: ssl.SSLContext | None = None,
        is_listening: bool = True,
        address: tuple[str, int] = (HOST, 0),
    ) -> None:
        self.requests: list[Request] = []
        self.attempts = 0
        self.is_stopping = threading.Event()
        self._script = script
        self._tls = tls
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        self._listener.bind(address)
        self.port: int = self._listener.getsockname()[1]
        if is_listening:
            self.listen()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    @property
    def keys(self) -> list[str | None]:
        """API key of each request."""
        return [request.headers.get("x-api-key") for request in self.requests]

    def listen(self) -> None:
        self._listener.listen(128)
        self._start_thread(self._accept)

    def __enter__(self) -> "FaultServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_stopping.set()
        with self._lock:
            sockets = [self._listener, *self._open]
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for the socket; close() would not
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT)
        self._listener.close()
        assert not any(thread.is_alive() for thread in self._threads), "a thread of the server does not end"

    def _start_thread(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.is_stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            self._start_thread(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            step = self._next_step()
            if self._tls is not None:
                # wrap_socket() detaches the plain socket, so `_open` must contain the encrypted one.
                encrypted = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                with self._lock:
                    self._open.discard(connection)
                    self._open.add(encrypted)
                connection = encrypted
                encrypted.do_handshake()
            peer = Peer(self, connection)
            while step(peer) and peer.wait_for_data():
                step = self._next_step()
        except (Disconnected, OSError):
            pass  # many tests make the client close the connection
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _next_step(self) -> Step:
        with self._lock:
            self.attempts += 1
            return self._script[min(self.attempts, len(self._script)) - 1]
