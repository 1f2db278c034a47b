"""Steps of a fault server's script: responses, faults and a proxy."""

import gzip
import json
import select
import socket
from urllib.parse import urlsplit

from faults.server import JOIN_TIMEOUT, Peer, Step

TASK = {
    "id": "run-1",
    "agent_id": "agent-1",
    "organization_id": "org-1",
    "input": {"text": "how much?"},
    "status": "completed",
    "created_at": "2026-01-02T03:04:05Z",
    "result": "Up 22%",
}


# Responses.


def raw_response(
    status: int,
    body: object = None,
    headers: dict[str, str] | None = None,
    length: int | str | None = None,
    reason: str = "Reason",
) -> bytes:
    """Return the bytes of a response.

    Args:
        status: HTTP status.
        body: bytes, or a value that is encoded as JSON; None for an empty body.
        headers: further headers; they replace the defaults.
        length: value of content-length, to declare a wrong length.
        reason: reason phrase of the status line.
    """
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    all_headers = {
        "content-type": "application/json",
        "content-length": str(len(content) if length is None else length),
        **(headers or {}),
    }
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in all_headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


def respond(status: int, body: object = None, headers: dict[str, str] | None = None) -> Step:
    """Send a valid response and keep the connection open."""
    return send_raw(raw_response(status, body, headers), keep_open=True)


def send_raw(*parts: bytes, keep_open: bool = False) -> Step:
    """Read a request and send these bytes."""

    def step(peer: Peer) -> bool:
        peer.read_request()
        for part in parts:
            peer.send(part)
        return keep_open

    return step


def gzip_json(body: object) -> bytes:
    return gzip.compress(json.dumps(body).encode())


def _accept(peer: Peer) -> bool:
    """Accept the report, or return a task."""
    request = peer.read_request()
    body = request.body if request.content else None
    peer.send(raw_response(201, {**TASK, "id": body["id"]} if isinstance(body, dict) else TASK))
    return True


ACCEPT = _accept


# Faults.


def close_immediately(peer: Peer) -> None:
    peer.socket.shutdown(socket.SHUT_WR)
    peer.hang()  # closing a socket with unread data would reset the connection


def reset_immediately(peer: Peer) -> None:
    peer.reset()


def reset_after_request(peer: Peer) -> None:
    peer.read_request()
    peer.reset()


def never_read(peer: Peer) -> None:
    """Accept the connection, and neither read nor send."""
    peer.server.is_stopping.wait(JOIN_TIMEOUT)


def hang(*parts: bytes) -> Step:
    """Read a request, send these bytes, and then send nothing more."""

    def step(peer: Peer) -> None:
        peer.read_request()
        for part in parts:
            peer.send(part)
        peer.hang()

    return step


def drip(data: bytes, prefix_length: int = 0, interval: float = 0.05) -> Step:
    """Send the first `prefix_length` bytes together, and the others one per interval."""

    def step(peer: Peer) -> None:
        peer.read_request()
        peer.send(data[:prefix_length])
        peer.drip(data[prefix_length:], interval)

    return step


def read_slowly(interval: float) -> Step:
    """Read at most 200 kB per interval, so that no single write of the client times out; then respond."""

    def step(peer: Peer) -> bool | None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        for _ in range(300):
            if peer.server.is_stopping.wait(interval) or not peer.receive(200_000):
                return None
            if peer.has_whole_request():
                return ACCEPT(peer)
        return None

    return step


def respond_before_body(data: bytes) -> Step:
    """Send a response after the headers, as a server does that rejects a body by its length."""

    def step(peer: Peer) -> None:
        peer.read_request(with_body=False)
        peer.send(data)
        peer.socket.shutdown(socket.SHUT_WR)
        peer.hang()

    return step


# Proxy.


def relay(peer: Peer) -> None:
    """Forward the request to its target, or open a tunnel for CONNECT."""
    request = peer.read_request()
    url = urlsplit(f"//{request.target}" if request.method == "CONNECT" else request.target)
    assert url.hostname
    with socket.create_connection((url.hostname, url.port or 80), JOIN_TIMEOUT) as upstream:
        if request.method == "CONNECT":
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            headers = {name: value for name, value in request.headers.items() if not name.startswith("proxy-")}
            lines = [f"{request.method} {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
            upstream.sendall("\r\n".join([*lines, "connection: close", "", ""]).encode() + request.content)
        opposite = {peer.socket: upstream, upstream: peer.socket}
        while not peer.server.is_stopping.is_set():
            for source in select.select([*opposite], [], [], 0.05)[0]:
                data = source.recv(65_536)
                if not data:
                    return
                opposite[source].sendall(data)
