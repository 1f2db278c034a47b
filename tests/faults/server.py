"""A server of raw sockets that does wrong what it is told to.

Its script has one step for each attempt that reaches it: a new connection, or a further request on one that was kept.
The last step stands for all that follow.
"""

import contextlib
import gzip
import json
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

HOST = "127.0.0.1"
OTHER_HOST = "127.0.0.2"
PATIENCE = 20.0  # seconds; no test waits that long, and a thread that does is found at the end

TASK = {
    "id": "run-1",
    "agent_id": "agent-1",
    "organization_id": "org-1",
    "input": {"text": "how much?"},
    "status": "completed",
    "created_at": "2026-01-02T03:04:05Z",
    "result": "Up 22%",
}


@frozen
class Request:
    """A request as it arrived; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class Hung(Exception):
    """The other end went away, or the server is to end."""


class Peer:
    """The other end of one connection, as a step of the script deals with it."""

    def __init__(self, server: "FaultServer", connection: socket.socket) -> None:
        self.server = server
        self.socket = connection
        self._read = bytearray()

    def request(self, *, with_body: bool = True) -> Request:
        """Read a request, and keep it in the server's list."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        line, *lines = head.split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        content = self._exactly(int(headers.get("content-length", 0))) if with_body else b""
        request = Request(method, target, headers, content)
        self.server.requests.append(request)
        return request

    def has_all(self) -> bool:
        """Whether a whole request can be read without waiting."""
        head = bytes(self._read[:2_000]).partition(b"\r\n\r\n")[0]
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        return length is not None and len(self._read) >= len(head) + 4 + int(length[1])

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Hung from error

    def drip(self, data: bytes, every: float) -> None:
        """Send one byte at a time."""
        for byte in data:
            self.send(bytes([byte]))
            if self.server.is_ending.wait(every):
                raise Hung

    def reset(self) -> None:
        """Close with a reset in place of the usual goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hang(self) -> None:
        """Do nothing until the other end has had enough."""
        while self.more():
            pass

    def has_more(self) -> bool:
        """Wait for a further request; False if the other end closes."""
        try:
            return bool(self._read) or self.more()
        except Hung:
            return False

    def more(self, at_most: int = 65_536) -> bool:
        """Read what there is; False if the other end has closed."""
        try:
            data = self.socket.recv(at_most)
        except OSError as error:
            raise Hung from error
        self._read += data
        return bool(data)

    def _until(self, end: bytes) -> bytes:
        while (found := self._read.find(end)) < 0:
            if not self.more():
                raise Hung
        return self._take(found + len(end))[: -len(end)]

    def _exactly(self, length: int) -> bytes:
        while len(self._read) < length:
            if not self.more():
                raise Hung
        return self._take(length)

    def _take(self, length: int) -> bytes:
        taken = bytes(self._read[:length])
        del self._read[:length]
        return taken


Step = Callable[[Peer], bool | None]
"""What to do with an attempt; whether the connection is kept for a further one."""


class FaultServer:
    """Listens on a free port of the loopback; `with` starts and ends it.

    Args:
        script: what to do with the first attempt, the second and so on.
        tls: to speak TLS.
        is_listening: False keeps the port, and refuses connections until `listen()`.
        address: to listen at, in place of a free port.
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
        self.is_ending = threading.Event()
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
        return [request.headers.get("x-api-key") for request in self.requests]

    def listen(self) -> None:
        self._listener.listen(128)
        self._start(self._accept)

    def __enter__(self) -> "FaultServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_ending.set()
        with self._lock:
            ending = [self._listener, *self._open]
        for each in ending:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # which wakes the thread that waits for it; close() would not
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()
        assert not any(thread.is_alive() for thread in self._threads), "a thread of the server does not end"

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.is_ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            step = self._next_step()
            if self._tls is not None:
                # The socket's place is taken by the one that encrypts.
                encrypted = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                with self._lock:
                    self._open.discard(connection)
                    self._open.add(encrypted)
                connection = encrypted
                encrypted.do_handshake()
            peer = Peer(self, connection)
            while step(peer) and peer.has_more():
                step = self._next_step()
        except (Hung, OSError):
            pass  # the client went away, which many a test is about
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _next_step(self) -> Step:
        with self._lock:
            self.attempts += 1
            return self._script[min(self.attempts, len(self._script)) - 1]


# Steps: answers.


def wire(
    status: int,
    body: object = None,
    headers: dict[str, str] | None = None,
    length: int | str | None = None,
    reason: str = "Told",
) -> bytes:
    """An answer as it is sent. `length` is what content-length says, where that is not so."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    named = {
        "content-type": "application/json",
        "content-length": str(len(content) if length is None else length),
        **(headers or {}),
    }
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


def answer(status: int, body: object = None, headers: dict[str, str] | None = None) -> Step:
    """A proper answer; the connection is kept."""
    return sends(wire(status, body, headers), is_kept=True)


def sends(*parts: bytes, is_kept: bool = False) -> Step:
    """Whatever is to be sent after a request."""

    def step(peer: Peer) -> bool:
        peer.request()
        for part in parts:
            peer.send(part)
        return is_kept

    return step


def zipped(body: object) -> bytes:
    return gzip.compress(json.dumps(body).encode())


RECORDED = answer(201, TASK)


# Steps: faults.


def close_at_once(peer: Peer) -> None:
    peer.socket.shutdown(socket.SHUT_WR)
    peer.hang()  # to close with something unread would be a reset


def reset_at_once(peer: Peer) -> None:
    peer.reset()


def reset_after_request(peer: Peer) -> None:
    peer.request()
    peer.reset()


def never_reads(peer: Peer) -> None:
    """The black hole."""
    peer.server.is_ending.wait(PATIENCE)


def hangs(*parts: bytes) -> Step:
    """Sends these after a request, and then nothing more."""

    def step(peer: Peer) -> None:
        peer.request()
        for part in parts:
            peer.send(part)
        peer.hang()

    return step


def drips(data: bytes, at_once: int = 0, every: float = 0.05) -> Step:
    """One byte at a time, but for the first `at_once`."""

    def step(peer: Peer) -> None:
        peer.request()
        peer.send(data[:at_once])
        peer.drip(data[at_once:], every)

    return step


def reads_slowly(every: float) -> Step:
    """Takes up to 200 kB at a time, so that no single step of sending is ever late; then answers."""

    def step(peer: Peer) -> bool | None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        for _ in range(300):
            if peer.server.is_ending.wait(every) or not peer.more(200_000):
                return None
            if peer.has_all():
                return RECORDED(peer)
        return None

    return step


def answers_before_the_body(data: bytes) -> Step:
    """As a server does that sees in the headers that it will not take the body."""

    def step(peer: Peer) -> None:
        peer.request(with_body=False)
        peer.send(data)
        peer.socket.shutdown(socket.SHUT_WR)
        peer.hang()

    return step


# Listeners that do not accept.


@contextmanager
def full_backlog() -> Iterator[str]:
    """A listener that can take no more connections: a further one is neither accepted nor refused."""
    with socket.socket() as listener, contextlib.ExitStack() as held:
        listener.bind((HOST, 0))
        listener.listen(0)
        for _ in range(16):
            client = held.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            if not select.select([], [client], [], 0.2)[1]:
                break  # this one hangs, and so will all that follow
        yield f"http://{HOST}:{listener.getsockname()[1]}"


# A proxy.


def relays(peer: Peer) -> None:
    """Forwards the request that it is sent, or tunnels."""
    request = peer.request()
    url = urlsplit(f"//{request.target}" if request.method == "CONNECT" else request.target)
    assert url.hostname
    with socket.create_connection((url.hostname, url.port or 80), PATIENCE) as upstream:
        if request.method == "CONNECT":
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            passed = {name: value for name, value in request.headers.items() if not name.startswith("proxy-")}
            lines = [f"{request.method} {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in passed.items())]
            upstream.sendall("\r\n".join([*lines, "connection: close", "", ""]).encode() + request.content)
        other = {peer.socket: upstream, upstream: peer.socket}
        while not peer.server.is_ending.is_set():
            for source in select.select([*other], [], [], 0.05)[0]:
                data = source.recv(65_536)
                if not data:
                    return
                other[source].sendall(data)
